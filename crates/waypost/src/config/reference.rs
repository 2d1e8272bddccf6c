//! The options as a reference, and as a file to begin with.

use super::option_row::OptionRow;
use super::options::all;

/// All options as Markdown.
pub fn reference() -> String {
    let mut text = String::from(
        "# Configuration\n\nA TOML file, /etc/waypost/waypost.toml unless `--config` or `WAYPOST_CONFIG` names another. Every option \
         has a default except\n`hostname`. A key that is not listed here is refused. Relative paths are relative to the file. \
         `waypost config check` reads\na file and says what is wrong with it; SIGHUP or `POST /v1/reload` puts a changed one in \
         force.\n\nSizes are octets or texts such as \"50 MiB\"; times are seconds or texts such as \"5d\".\n",
    );
    let mut section = None;
    for option in all() {
        if section != Some(option.section) {
            section = Some(option.section);
            let title = if option.section.is_empty() { "Top of the file".to_owned() } else { format!("`{}`", option.section) };
            text.push_str(&format!("\n## {title}\n\n{}\n\n| option | kind | default | meaning |\n|---|---|---|---|\n", option.about));
        }
        let default = option.default.as_ref().map_or_else(|| "not set".to_owned(), |d| format!("`{d}`"));
        text.push_str(&format!("| `{}` | {} | {default} | {} |\n", option.name, option.kind, option.doc.replace('|', "\\|")));
    }
    text
}

/// A file with every option and its meaning, where only `set` (section, name, TOML value) is in force.
pub fn template(set: &[(&str, &str, String)]) -> String {
    let mut text = String::from(
        "# Waypost's configuration. What is commented out shows the default. `waypost config check` reads this file and says\n\
         # what is wrong with it; SIGHUP puts a change in force.\n",
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
