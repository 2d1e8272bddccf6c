//! Options that were renamed: they are still read by their former names, with a notice.
//!
//! Invariant: the names come from the options themselves (`was "..."`), so that each notice has an option that is read.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::{self, ConfigError};
use super::options::all;

/// Returns a notice for each option in the text that has its former name.
pub(super) fn notices(path: &Path, text: &str) -> Vec<ConfigError> {
    let Ok(document) = DeTable::parse(text) else { return Vec::new() };
    let mut notices = Vec::new();
    for option in all() {
        let Some(former) = option.former else { continue };
        for table in tables(document.get_ref(), option.section) {
            for key in table.keys().filter(|key| key.get_ref() == former) {
                let what = format!("`{former}` is now called `{}`", option.name);
                notices.push(error::at(path, text, key.span(), what, Some("rename it; the former name still works")));
            }
        }
    }
    notices.sort_by_key(|notice| notice.at);
    notices
}

/// Returns the tables of a section: `[name]` once, `[[name]]` any number of times.
fn tables<'a, 'i>(document: &'a DeTable<'i>, section: &str) -> Vec<&'a DeTable<'i>> {
    let name = section.trim_matches(['[', ']']);
    match document.get(name).map(|value| value.get_ref()) {
        Some(DeValue::Table(table)) => vec![table],
        Some(DeValue::Array(list)) => list.iter().filter_map(|item| item.get_ref().as_table()).collect(),
        _ => Vec::new(),
    }
}
