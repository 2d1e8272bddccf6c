//! An option as a row of the reference, and what has options in it.

use toml::Spanned;

/// One option, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionRow {
    /// Its section: empty for the top of the file, `[name]` or `[[name]]`.
    pub section: &'static str,
    /// What the section is for.
    pub about: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What kind of value it takes.
    pub kind: String,
    /// The default, as TOML; `None` where there is none.
    pub default: Option<String>,
    /// What it means.
    pub doc: &'static str,
}

/// Something with options in it.
pub(super) trait Part {
    fn rows(rows: &mut Vec<OptionRow>);
}

impl<T: Part> Part for Vec<Spanned<T>> {
    fn rows(rows: &mut Vec<OptionRow>) {
        T::rows(rows);
    }
}
