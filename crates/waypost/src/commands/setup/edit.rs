//! Sets options in an existing configuration file, as an operator would by hand.
//!
//! Invariant: every other line stays, comments too; the result is parsed before it is written.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

use crate::config;

/// An option to set.
#[derive(Debug)]
pub struct OptionEdit {
    /// The section with brackets; empty for the top of the file.
    pub section: &'static str,
    pub name: &'static str,
    /// The value in TOML.
    pub value: String,
}

impl OptionEdit {
    pub fn new(section: &'static str, name: &'static str, value: impl Into<String>) -> Self {
        Self { section, name, value: value.into() }
    }

    /// An option whose value is a string.
    pub fn text(section: &'static str, name: &'static str, value: impl Into<String>) -> Self {
        Self::new(section, name, toml::Value::String(value.into()).to_string())
    }
}

/// Returns the text with the option set.
pub fn with(text: &str, option: &OptionEdit) -> String {
    let (section, name) = (option.section, option.name);
    let wanted = format!("{name} = {}", option.value);
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    let header = |line: &String| line.trim_start().starts_with('[');
    let start = match section.is_empty() {
        true => Some(0),
        false => lines.iter().position(|line| line.split('#').next().unwrap_or_default().trim() == section).map(|place| place + 1),
    };
    let Some(start) = start else {
        lines.extend([String::new(), section.to_owned(), wanted]);
        return lines.join("\n") + "\n";
    };
    let end = lines.iter().skip(start).position(header).map_or(lines.len(), |length| start + length);
    let is_name = |line: &str| line.trim_start().strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='));
    let place = |is_it: &dyn Fn(&str) -> bool| lines.iter().take(end).skip(start).position(|line| is_it(line)).map(|place| start + place);
    let present = place(&is_name);
    // After the template's comment for the option, if there is one.
    let commented = place(&|line| line.trim_start().strip_prefix('#').is_some_and(is_name));
    let first = place(&|line| !line.trim_start().starts_with('#') || !section.is_empty());
    match present.and_then(|place| lines.get_mut(place)) {
        Some(line) => *line = wanted,
        None => {
            let place = commented.map_or(first.unwrap_or(start), |place| place + 1);
            lines.insert(place.min(lines.len()), wanted);
        }
    }
    lines.join("\n") + "\n"
}

/// Sets options in the file.
///
/// # Errors
/// The result is not a valid configuration, or the file cannot be written.
pub fn apply(path: &Path, edits: &[OptionEdit]) -> Result<()> {
    let place = fs::canonicalize(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let before = fs::read_to_string(&place).with_context(|| format!("{} cannot be read", path.display()))?;
    let text = edits.iter().fold(before, |text, option| with(&text, option));
    config::parse(path, &text)?;
    let metadata = fs::metadata(&place)?;
    let mut beside = place.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    let write = || {
        fs::write(beside, &text)?;
        fs::set_permissions(beside, fs::Permissions::from_mode(metadata.mode() & 0o777))?;
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(beside, Some(metadata.uid()), Some(metadata.gid()))?;
        }
        fs::rename(beside, &place)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

/// The options in words: `enabled = true under [acme]`.
pub fn by_hand(edits: &[OptionEdit]) -> String {
    let one = |edit: &OptionEdit| match edit.section.is_empty() {
        true => format!("{} = {} at the top", edit.name, edit.value),
        false => format!("{} = {} under {}", edit.name, edit.value, edit.section),
    };
    edits.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_set_beside_its_comment_or_in_its_section() {
        let acme = OptionEdit::new("[acme]", "enabled", "true");
        let postmaster = OptionEdit::text("", "postmaster", "me@example.test");
        for (before, set, after) in [
            (
                "hostname = \"a\"\n\n[acme]\n# enabled = false\nstaging = true\n",
                &acme,
                "[acme]\n# enabled = false\nenabled = true\nstaging",
            ),
            ("[acme] # certificates\nenabled = false\n[dns]\nenabled = 1\n", &acme, "certificates\nenabled = true\n[dns]\nenabled = 1\n"),
            ("hostname = \"a\"\n[dns]\n", &acme, "[dns]\n\n[acme]\nenabled = true\n"),
            ("# mine\nhostname = \"a\"\n[dns]\npostmaster = 1\n", &postmaster, "# mine\npostmaster = \"me@example.test\"\nhostname"),
            ("postmaster=\"old@example.test\"\nx = 1\n", &postmaster, "postmaster = \"me@example.test\"\nx = 1\n"),
        ] {
            let text = with(before, set);
            assert!(text.contains(after), "{before} became {text}");
            assert_eq!(with(&text, set), text);
        }
    }
}
