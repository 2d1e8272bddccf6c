//! The options as a reference, and as a template of the file.

use super::option_row::OptionRow;
use super::options::all;

/// Returns all options as Markdown.
pub fn reference() -> String {
    let mut text = String::from(
        "# Configuration\n\nA TOML file: /etc/waypost/waypost.toml, unless `--config` or `WAYPOST_CONFIG` names another. Only `hostname` is \
         required.\nUnknown keys are errors. Relative paths are relative to the file. `waypost config check` checks a file; SIGHUP or \
         `waypost reload`\nputs a changed file into effect.\n\nA size is a number of octets or a text such as \"50 MiB\"; a time is a number \
         of seconds or a text such as \"5d\".\n",
    );
    let mut section = None;
    for option in all() {
        if section != Some(option.section) {
            section = Some(option.section);
            let title = if option.section.is_empty() { "Top of the file".to_owned() } else { format!("`{}`", option.section) };
            text.push_str(&format!("\n## {title}\n\n{}\n\n| option | kind | default | meaning |\n|---|---|---|---|\n", option.about));
        }
        let default = option.default.as_ref().map_or_else(|| "not set".to_owned(), |d| format!("`{d}`"));
        let former = option.former.map_or(String::new(), |name| format!(" Formerly `{name}`."));
        text.push_str(&format!("| `{}` | {} | {default} | {}{former} |\n", option.name, option.kind, option.doc.replace('|', "\\|")));
    }
    text
}

/// Returns a file with every option and its meaning, where only `set` (section, name, TOML value) is not commented out.
pub fn template(set: &[(&str, &str, String)]) -> String {
    let mut text = String::from(
        "# Waypost's configuration. Options that are commented out show their defaults. `waypost config check` checks this file;\n\
         # `waypost reload` puts a change into effect.\n",
    );
    let options = all();
    let mut section = None;
    for option in &options {
        let is_set = |option: &OptionRow| set.iter().find(|(s, name, _)| *s == option.section && *name == option.name);
        if section != Some(option.section) {
            section = Some(option.section);
            let off = if option.section.starts_with("[[") { "# " } else { "" };
            if !option.section.is_empty() {
                text.push_str(&format!("\n# {}\n{off}{}\n", option.about, option.section));
            }
        }
        text.push('\n');
        for line in wrapped(option.doc, 110) {
            text.push_str(&format!("# {line}\n"));
        }
        match (is_set(option), &option.default) {
            (Some((_, _, value)), _) => text.push_str(&format!("{} = {value}\n", option.name)),
            (None, Some(default)) => text.push_str(&format!("# {} = {default}\n", option.name)),
            (None, None) => text.push_str(&format!("# {} =\n", option.name)),
        }
    }
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let full = lines.last().is_some_and(|line| !line.is_empty() && line.len() + 1 + word.len() > width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
