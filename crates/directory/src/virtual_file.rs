//! The text form of Postfix's virtual(5), read and written.
//!
//! Postfix postmap(1), virtual(5). A logical line is a key and its value; lines that begin with white space continue
//! it, and comments and empty lines may stand between. Invariant: what [`write`] gives, [`parse`] reads back;
//! and what [`parse`] takes, it takes to mean what Postfix does, or says so in a warning.

use std::collections::{HashMap, HashSet};

use mail::{AddressError, Domain};

use crate::alias::{Alias, AliasSource, Origin, Target};

/// Marks a disabled alias. To Postfix it is a comment.
const DISABLED: &str = "# disabled: ";

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VirtualFile {
    /// The domains that it declares (`example.com anything`).
    pub domains: Vec<Domain>,
    /// Its aliases, each with the line that it starts on, from 1.
    pub aliases: Vec<(Alias, usize)>,
    /// What was read and left out, with the line.
    pub warnings: Vec<(usize, String)>,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// The line that the entry starts on, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

/// Reads a file. An entry that Postfix would skip with a warning for its form is an error here, since its mail
/// would be lost.
pub fn parse(text: &str) -> Result<VirtualFile, ParseError> {
    let mut reader = Reader::default();
    for logical in logical_lines(text)? {
        let read = if logical.disabled { reader.disabled(&logical) } else { reader.entry(&logical) };
        read.map_err(|message| ParseError { line: logical.line, message })?;
    }
    Ok(reader.finish())
}

/// Writes a file. Disabled aliases become comments that only [`parse`] understands; an alias without a target
/// becomes a comment for people.
pub fn write<'a>(domains: &[Domain], aliases: impl IntoIterator<Item = &'a Alias>) -> String {
    let mut text = String::new();
    for domain in domains {
        text.push_str(&format!("{domain} domain\n"));
    }
    for alias in aliases {
        let source = source_text(&alias.source);
        let targets: Vec<String> = alias.targets.iter().map(Target::to_string).collect();
        let mark = if alias.enabled { "" } else { DISABLED };
        text.push_str(&match targets.is_empty() {
            true => format!("# without a target: {source}\n"),
            false => format!("{mark}{source} {}\n", targets.join(", ")),
        });
    }
    text
}

/// A `#` that begins a line would make it a comment, so it is quoted. Postfix has no way to say it.
fn source_text(source: &AliasSource) -> String {
    match source {
        AliasSource::Address(mailbox) if mailbox.local.as_str().starts_with('#') => {
            let plain = mailbox.to_string();
            let local = mailbox.local.to_string();
            if local.starts_with('"') { plain } else { format!("\"{local}\"@{}", mailbox.domain) }
        }
        other => other.to_string(),
    }
}

struct Logical {
    line: usize,
    text: String,
    disabled: bool,
}

fn logical_lines(text: &str) -> Result<Vec<Logical>, ParseError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut logical: Vec<Logical> = Vec::new();
    let mut open: Option<usize> = None;
    for (place, physical) in text.split('\n').enumerate() {
        let line = place + 1;
        let content = physical.trim_ascii();
        if let Some(entry) = physical.strip_prefix(DISABLED) {
            logical.push(Logical { line, text: entry.trim_ascii().to_owned(), disabled: true });
        } else if content.is_empty() || content.starts_with('#') {
            continue;
        } else if !physical.starts_with(|c: char| c.is_ascii_whitespace()) {
            open = Some(logical.len());
            logical.push(Logical { line, text: content.to_owned(), disabled: false });
        } else if let Some(current) = open.and_then(|place| logical.get_mut(place)) {
            current.text.push(' ');
            current.text.push_str(content);
        } else {
            return Err(ParseError { line, message: "the first entry begins with white space".into() });
        }
    }
    Ok(logical)
}

/// Splits at the first character that `is_end` accepts outside quotes; the error is an open quote.
fn split_outside_quotes(text: &str, is_end: impl Fn(char) -> bool) -> Result<(&str, &str), String> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if !quoted && is_end(c) => return Ok(text.split_at_checked(at).unwrap_or((text, ""))),
            _ => {}
        }
    }
    if quoted { Err(format!("a quote is not closed in `{text}`")) } else { Ok((text, "")) }
}

/// The targets of a value, and the warnings about those that were left out.
fn targets(value: &str) -> Result<(Vec<Target>, Vec<String>), String> {
    let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
    let (mut targets, mut warnings) = (Vec::new(), Vec::new());
    let mut rest = value.trim_start_matches(is_separator);
    while !rest.is_empty() {
        let (word, tail) = split_outside_quotes(rest, is_separator)?;
        rest = tail.trim_start_matches(is_separator);
        let bare = word.strip_prefix('<').and_then(|w| w.strip_suffix('>')).unwrap_or(word);
        match bare.parse() {
            Ok(Target::Domain(_)) if !targets.is_empty() => {
                warnings.push(format!("the target {word} means something only as the first one: left out"));
            }
            Ok(target) => targets.push(target),
            Err(AddressError::NoDomain) => {
                return Err(format!("the target `{word}` has no @domain, and this server has no local users"));
            }
            Err(error) => return Err(format!("the target `{word}`: {error}")),
        }
    }
    if let [Target::Domain(domain), _, ..] = targets.as_slice() {
        warnings.push(format!("the target @{domain} has others beside it, which Postfix would misread: all are kept here"));
    }
    if targets.is_empty() { Err("there is no target".into()) } else { Ok((targets, warnings)) }
}

#[derive(Default)]
struct Reader {
    file: VirtualFile,
    /// The line of each key that was read, disabled aliases aside.
    lines: HashMap<String, usize>,
}

impl Reader {
    fn entry(&mut self, logical: &Logical) -> Result<(), String> {
        let (key, value) = split_outside_quotes(&logical.text, |c| c.is_ascii_whitespace())?;
        let value = value.trim_ascii();
        if value.is_empty() {
            return Err(format!("the key `{key}` has no value"));
        }
        if key.contains('@') {
            let source: AliasSource = key.parse().map_err(|error| format!("the key `{key}`: {error}"))?;
            if self.is_new(logical.line, source.key()) {
                let (targets, warnings) = targets(value)?;
                self.file.warnings.extend(warnings.into_iter().map(|warning| (logical.line, warning)));
                self.file.aliases.push((Alias { source, targets, enabled: true, origin: Origin::File }, logical.line));
            }
        } else if key.contains('.') || key.starts_with('[') {
            let domain = Domain::parse(key).map_err(|error| format!("the key `{key}`: {error}"))?;
            if self.is_new(logical.line, domain.to_string()) {
                self.file.domains.push(domain);
            }
        } else {
            let warning = format!("the key `{key}` names a local user, and this server has none: left out");
            self.file.warnings.push((logical.line, warning));
        }
        Ok(())
    }

    /// A comment in the form of a disabled alias; one that is not is only a comment.
    fn disabled(&mut self, logical: &Logical) -> Result<(), String> {
        let read = split_outside_quotes(&logical.text, |c| c.is_ascii_whitespace());
        if let Ok((key, value)) = read
            && let (Ok(source), Ok((targets, _))) = (key.parse(), targets(value))
        {
            self.file.aliases.push((Alias { source, targets, enabled: false, origin: Origin::File }, logical.line));
        }
        Ok(())
    }

    /// Whether the key was not read before. As in Postfix the first one counts.
    fn is_new(&mut self, line: usize, key: String) -> bool {
        let first = *self.lines.entry(key.clone()).or_insert(line);
        if first != line {
            self.file.warnings.push((line, format!("`{key}` was read on line {first}, which counts: left out")));
        }
        first == line
    }

    /// Lets an enabled alias win over a disabled one wherever they stand, since Postfix sees only the first.
    fn finish(self) -> VirtualFile {
        let Self { mut file, lines } = self;
        let mut disabled = HashSet::new();
        let mut warnings = Vec::new();
        file.aliases.retain(|(alias, line)| {
            let key = alias.source.key();
            let keep = alias.enabled || (!lines.contains_key(&key) && disabled.insert(key.clone()));
            if !keep {
                warnings.push((*line, format!("the disabled `{key}` stands elsewhere too: left out")));
            }
            keep
        });
        file.warnings.append(&mut warnings);
        file.warnings.sort_by_key(|(line, _)| *line);
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let file = parse(text).unwrap();
        let domains = file.domains.iter().map(|d| format!("domain {d}"));
        let aliases = file.aliases.iter().map(|(alias, line)| {
            let targets: Vec<_> = alias.targets.iter().map(Target::to_string).collect();
            let off = if alias.enabled { "" } else { "off " };
            format!("{line} {off}{} -> {}", alias.source, targets.join(" "))
        });
        let warnings = file.warnings.iter().map(|(line, _)| format!("warning {line}"));
        domains.chain(aliases).chain(warnings).collect()
    }

    #[test]
    fn entries_are_read_as_postmap_reads_them() {
        let text = "# c\n\nme@x.test a@g.test\n  # between\n\n\tb@g.test\nME@x.test dup@g.test\nx.test anything\nbare v@g.test\n\
            \"two words\"@x.test tw@g.test\n#foo@x.test h@g.test\n\"#foo\"@x.test h2@g.test\n@y.test @z.test\nk@x.test\n l@g.test";
        let want = [
            "domain x.test",
            "3 me@x.test -> a@g.test b@g.test",
            "10 \"two words\"@x.test -> tw@g.test",
            "12 #foo@x.test -> h2@g.test",
            "13 @y.test -> @z.test",
            "14 k@x.test -> l@g.test",
            "warning 7",
            "warning 9",
        ];
        assert_eq!(shown(text), want);
        assert_eq!(shown(&text.replace('\n', "\r\n")), want);
    }

    #[test]
    fn targets_stand_apart_by_commas_and_white_space() {
        let text = "a@x.test b@g.test c@g.test,d@g.test , \"e, f\"@g.test,,<g@g.test>,";
        assert_eq!(shown(text), ["1 a@x.test -> b@g.test c@g.test d@g.test \"e, f\"@g.test g@g.test"]);
        assert_eq!(shown("a@x.test b@g.test, @y.test"), ["1 a@x.test -> b@g.test", "warning 1"]);
        assert_eq!(shown("a@x.test @y.test, b@g.test"), ["1 a@x.test -> @y.test b@g.test", "warning 1"]);
    }

    #[test]
    fn what_postmap_would_skip_is_an_error() {
        for (text, line) in [
            (" a@x.test b@g.test", 1),
            ("\n\na@x.test", 3),
            ("a@x.test  \nb@x.test c@g.test", 1),
            ("\"a@x.test b@g.test", 1),
            ("# c\na@x.test \"b@g.test", 2),
            ("a@x.test root", 1),
            ("a@x.test b@g.test # comment", 1),
            ("a@x.test |/bin/sh", 1),
            ("a@x.test :include:/etc/passwd", 1),
            ("a@x.test ,", 1),
            ("a@ b@g.test", 1),
            ("a b@x.test c@g.test\nx..test v", 2),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text}");
        }
    }

    #[test]
    fn disabled_aliases_are_comments_to_others() {
        let text = "a@x.test b@g.test\n# disabled: c@x.test d@g.test\n e@g.test\n# disabled: for now\n# disabled: A@x.test f@g.test\n";
        assert_eq!(shown(text), ["1 a@x.test -> b@g.test e@g.test", "2 off c@x.test -> d@g.test", "warning 5"]);
    }

    #[test]
    fn a_file_is_written_for_postfix() {
        let mut aliases: Vec<Alias> = parse("a@x.test b@g.test c@g.test\n@x.test @y.test\n\"#q\"@x.test b@g.test")
            .unwrap()
            .aliases
            .into_iter()
            .map(|(alias, _)| alias)
            .collect();
        aliases[1].enabled = false;
        aliases.push(Alias { source: "n@x.test".parse().unwrap(), targets: Vec::new(), enabled: true, origin: Origin::Database });
        let text = write(&["x.test".parse().unwrap()], &aliases);
        let want = "x.test domain\na@x.test b@g.test, c@g.test\n# disabled: @x.test @y.test\n\"#q\"@x.test b@g.test\n\
            # without a target: n@x.test\n";
        assert_eq!(text, want);
    }
}
