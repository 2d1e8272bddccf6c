//! docs/limits.md: each limit that is a constant, with its value and meaning, as the sources have it.
//!
//! Invariant: a limit is a constant of a number or a duration whose comment says that it is one; nothing else is on the page.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use crate::code_map::{crate_folders, name_of, sources};

/// The part that people write.
const OPENING: &str = include_str!("limits_opening.md");

/// What the comment of a limit begins with.
const BEGINNINGS: [&str; 14] = [
    "Maximum",
    "Minimum",
    "Limit",
    "Time limit",
    "How long",
    "How often",
    "Interval",
    "Memory",
    "Retention",
    "Time after",
    "Pause",
    "Wait",
    "Polling",
    "Free space",
];

/// The types of limits.
const TYPES: [&str; 10] = ["usize", "u8", "u16", "u32", "u64", "i32", "i64", "f64", "Duration", "u128"];

struct Limit {
    name: String,
    value: String,
    meaning: String,
}

/// The page, as the sources have it now.
pub fn page() -> Result<String> {
    let mut page = OPENING.to_owned();
    for dir in crate_folders()? {
        let (name, src) = (name_of(&dir), dir.join("src"));
        let mut rows = String::new();
        for file in sources(&src)? {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let shown = file.strip_prefix(&src).unwrap_or(&file).display();
            for limit in limits(&text) {
                let _ = writeln!(rows, "| `{}` | {} | {} | `{shown}` |", limit.name, limit.value, limit.meaning.replace('|', "\\|"));
            }
        }
        if !rows.is_empty() {
            let _ = write!(page, "\n### {name}\n\n| name | value | meaning | file |\n|---|---|---|---|\n{rows}");
        }
    }
    Ok(page)
}

/// The limits in a source file, outside of its tests.
fn limits(text: &str) -> Vec<Limit> {
    let mut found = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            comment.push(words.trim());
            continue;
        }
        found.extend(limit(line, &comment.join(" ")));
        comment.clear();
    }
    found
}

/// A constant on one line.
fn limit(line: &str, meaning: &str) -> Option<Limit> {
    let definition = line.split_once("const ")?.1.strip_suffix(';')?;
    let (name, rest) = definition.split_once(": ")?;
    let (kind, value) = rest.split_once(" = ")?;
    let is_limit = BEGINNINGS.iter().any(|beginning| meaning.starts_with(beginning));
    let of_kind = TYPES.contains(&kind.trim_start_matches("std::time::"));
    (is_limit && of_kind && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')).then(|| Limit {
        name: name.to_owned(),
        value: plain(value),
        meaning: meaning.replace("[`", "`").replace("`]", "`"),
    })
}

/// A value as people write it: `5 s`, `128 KiB`; an expression of other constants stays as it is.
fn plain(value: &str) -> String {
    let inside = |name: &str| value.strip_prefix(name).and_then(|rest| rest.strip_suffix(')'));
    for (call, unit) in [("Duration::from_secs(", "s"), ("Duration::from_millis(", "ms"), ("Duration::from_micros(", "µs")] {
        if let Some(number) = inside(call) {
            return format!("{} {unit}", grouped(number));
        }
    }
    let shifted = |shift: &str, unit: &str| value.strip_suffix(shift).map(|number| format!("{number} {unit}"));
    let sized = [(" << 10", "KiB"), (" * 1024", "KiB"), (" << 20", "MiB"), (" * 1024 * 1024", "MiB"), (" << 30", "GiB")];
    let found = sized.iter().rev().find_map(|(shift, unit)| shifted(shift, unit));
    found.unwrap_or_else(|| grouped(value))
}

/// A number without its underscores; code otherwise.
fn grouped(value: &str) -> String {
    let is_number = value.chars().all(|c| c.is_ascii_digit() || c == '_' || c == '.' || c == '-');
    if is_number { value.replace('_', ",") } else { format!("`{value}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_with_value_and_meaning() {
        let text = "/// Maximum wait\n/// for [`Room`].\nconst WAIT: Duration = Duration::from_secs(5);\n/// Maximum a.\npub(crate) const A: usize = 128 * 1024;\n\
                    /// The name.\nconst NAME: &str = \"Maximum\";\n/// Maximum of both.\nconst B: u64 = A + 10_000;\n#[cfg(test)]\n/// Maximum c.\nconst C: u8 = 1;\n";
        let found: Vec<String> = limits(text).iter().map(|limit| format!("{}={}: {}", limit.name, limit.value, limit.meaning)).collect();
        assert_eq!(found, ["WAIT=5 s: Maximum wait for `Room`.", "A=128 KiB: Maximum a.", "B=`A + 10_000`: Maximum of both."]);
        assert_eq!(plain("10_000"), "10,000");
    }
}
