//! The help page of `waypost`: the commands in groups.
//!
//! Invariant: every command that is not hidden is in exactly one group; no line is longer than [`WIDTH`].

use clap::{Command, CommandFactory};

use super::Cli;

/// Columns of the narrowest terminal that help is written for.
pub const WIDTH: usize = 80;

const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Start and monitor",
        &["setup", "serve", "doctor", "status", "top", "web", "notify", "node", "reload", "backup", "restore", "store", "demo", "selftest"],
    ),
    ("Addresses and accounts", &["domain", "alias", "account", "sendas"]),
    ("Mail in transit", &["trace", "log", "explain", "queue", "held", "failed", "explain-reply", "explain-trust", "sendmail"]),
    ("DNS, keys and reports", &["dns", "key", "cert", "route", "reports"]),
    ("Configuration and shell", &["config", "token", "completions"]),
];

/// The command line, with the commands grouped in its help.
pub fn command() -> Command {
    let command = Cli::command();
    let groups = groups(&command);
    let template = format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}\n\nOptions:\n{{options}}{{after-help}}\n");
    fitted(command.help_template(template))
}

/// Breaks the examples of all commands to fit [`WIDTH`].
fn fitted(command: Command) -> Command {
    let text = command.get_after_help().map(ToString::to_string);
    let command = match text {
        Some(text) => command.after_help(paragraphs(&text).iter().flat_map(|line| lines(line)).collect::<Vec<_>>().join("\n")),
        None => command,
    };
    command.mut_subcommands(fitted)
}

/// Joins the lines of each paragraph; indented lines stay apart.
fn paragraphs(text: &str) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let is_text = |line: &str| !line.is_empty() && !line.starts_with(' ');
    for line in text.lines() {
        match joined.last_mut() {
            Some(last) if is_text(last) && is_text(line) => {
                last.push(' ');
                last.push_str(line);
            }
            _ => joined.push(line.to_owned()),
        }
    }
    joined
}

/// Breaks a long line: the example first, its explanation below.
fn lines(line: &str) -> Vec<String> {
    if line.chars().count() <= WIDTH {
        return vec![line.to_owned()];
    }
    let Some(example) = line.strip_prefix("  ") else { return wrapped(line, "", "", "") };
    match example.split_once("   ") {
        Some((example, words)) => {
            let mut all = wrapped(example.trim_end(), "  ", "      ", " \\");
            all.extend(wrapped(words.trim(), "      ", "      ", ""));
            all
        }
        None => wrapped(example, "  ", "      ", " \\"),
    }
}

/// Breaks between words; a line that continues ends with `more`.
fn wrapped(text: &str, first: &str, further: &str, more: &str) -> Vec<String> {
    let mut lines = vec![first.to_owned()];
    for word in text.split(' ') {
        let is_empty = lines.len() == 1 && lines.last().is_some_and(|line| line == first);
        let length = lines.last().map_or(0, |line| line.chars().count());
        let is_full = length + 1 + word.chars().count() + more.len() > WIDTH;
        if is_full && !is_empty {
            lines.iter_mut().next_back().into_iter().for_each(|line| line.push_str(more));
            lines.push(format!("{further}{word}"));
        } else if let Some(line) = lines.last_mut() {
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

fn groups(command: &Command) -> String {
    let about = |name: &str| command.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string).unwrap_or_default();
    let width = GROUPS.iter().flat_map(|(_, names)| names.iter()).map(|name| name.len()).max().unwrap_or(0);
    let line = |name: &&str| format!("  {name:<width$}  {}", short(&about(name), WIDTH - width - 4));
    let group = |(title, names): &(&str, &[&str])| format!("{title}:\n{}", names.iter().map(line).collect::<Vec<_>>().join("\n"));
    GROUPS.iter().map(group).collect::<Vec<_>>().join("\n\n")
}

/// The first clause of a sentence that fits.
fn short(about: &str, room: usize) -> String {
    let first = about.split([';', ':']).next().unwrap_or_default().trim_end_matches('.');
    if first.chars().count() <= room {
        return first.to_owned();
    }
    let clause = first.rmatch_indices(", ").filter_map(|(at, _)| first.get(..at)).find(|clause| clause.chars().count() <= room);
    if let Some(clause) = clause {
        return clause.to_owned();
    }
    let mut text = String::new();
    for word in first.split(' ') {
        if text.chars().count() + word.chars().count() + 3 > room {
            break;
        }
        text.push_str(word);
        text.push(' ');
    }
    format!("{}…", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group_within_the_width() {
        let command = Cli::command();
        let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(Command::get_name);
        for name in shown.filter(|name| *name != "help") {
            let times = GROUPS.iter().flat_map(|(_, names)| names.iter()).filter(|listed| **listed == name).count();
            assert_eq!(times, 1, "{name}");
        }
        let text = super::command().render_help().to_string();
        assert!(text.contains("Mail in transit:\n  trace"), "{text}");
        let all = groups(&command);
        assert!(all.lines().all(|line| line.chars().count() <= WIDTH), "{all}");
    }

    #[test]
    fn paragraphs_are_joined_and_examples_are_not() {
        let text = "One sentence\nand its end.\n\nExamples:\n  waypost a\n  waypost b";
        assert_eq!(paragraphs(text), ["One sentence and its end.", "", "Examples:", "  waypost a", "  waypost b"]);
    }

    #[test]
    fn examples_fit_a_narrow_terminal() {
        fn look(command: &Command, path: &str, long: &mut Vec<String>) {
            let path = format!("{path} {}", command.get_name());
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            // A shell keeps a backslash between quotation marks.
            let is_bad = |line: &&str| line.chars().count() > WIDTH || (line.ends_with('\\') && line.matches('\'').count() % 2 == 1);
            long.extend(text.lines().filter(is_bad).map(|line| format!("{path}: {line}")));
            command.get_subcommands().for_each(|sub| look(sub, &path, long));
        }
        let mut long = Vec::new();
        look(&super::command(), "", &mut long);
        assert!(long.is_empty(), "{}", long.join("\n"));
    }
}
