//! Errors of the configuration: `path:line:column: what`, and the remedy.
//!
//! Invariant: every error about the file's text has a line; no error shows a secret.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::options;

/// One error, or one notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// Line and column from 1, if it is about a place in the file.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub what: String,
    /// The remedy.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// All errors, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Returns line and column, from 1, of an octet of the text.
pub fn place(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    (line, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}

/// Makes an error at a span of the text.
pub fn at(path: &Path, text: &str, span: Range<usize>, what: impl Into<String>, hint: Option<&str>) -> ConfigError {
    ConfigError { path: path.into(), at: Some(place(text, span.start)), what: what.into(), hint: hint.map(str::to_owned) }
}

/// Converts an error of the parser.
pub fn of_toml(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let message = error.message().trim();
    let start = error.span().map_or(0, |span| within(text, &span, message).unwrap_or(span.start));
    let what = message.lines().collect::<Vec<_>>().join(", ");
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (what, hint) = match names.split_first() {
        Some((unknown, known)) if message.starts_with("unknown field") => {
            (format!("unknown key `{unknown}`"), Some(nearest(unknown, known)))
        }
        _ if message.contains("duplicate key") => (what, Some("remove one of the two keys or sections".into())),
        Some((name, _)) if message.starts_with("duplicate field") => {
            (format!("duplicate key `{name}`"), Some("remove one of the two; an option may also be written with its former name".into()))
        }
        _ if message.starts_with("invalid type") || message.starts_with("unknown variant") => {
            (what, Some("`waypost config reference` lists each option with the kind of its value".into()))
        }
        _ => (what, None),
    };
    ConfigError { path: path.into(), at: Some(place(text, start)), what, hint }
}

/// Returns the place of a bad list item: the parser gives that of the list, and the message begins with the item.
fn within(text: &str, span: &Range<usize>, message: &str) -> Option<usize> {
    let list = text.get(span.clone()).filter(|list| list.starts_with('['))?;
    let (item, _) = message.split_once(" is not ")?;
    let ends = |at: usize| !list.get(at + item.len()..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
    list.match_indices(item).map(|(at, _)| at).find(|at| ends(*at)).map(|at| span.start + at)
}

/// Keys of earlier versions that are no longer read, and their replacement.
const REPLACED: [(&str, &str); 1] = [(
    "contents",
    "remove the line: limits.content_memory_bytes limits the memory of messages that are being received, instead of their number",
)];

fn nearest(unknown: &str, known: &[&str]) -> String {
    if let Some((_, instead)) = REPLACED.iter().find(|(old, _)| *old == unknown) {
        return (*instead).to_owned();
    }
    let rows = options::all();
    let is_former = |name: &str| rows.iter().any(|row| row.former == Some(name));
    let known: Vec<&str> = known.iter().copied().filter(|name| !is_former(name)).collect();
    let best = known.iter().map(|name| (strsim::osa_distance(unknown, name), *name)).min();
    match best {
        Some((distance, name)) if distance <= 1 + unknown.len() / 3 => format!("did you mean `{name}`?"),
        _ => format!("known keys: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one() {
        assert_eq!(place("a\nbü = 1", 6), (2, 4));
        assert_eq!(place("", 9), (1, 1));
    }
}
