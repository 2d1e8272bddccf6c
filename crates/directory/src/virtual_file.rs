//! The text form of Postfix's virtual(5), read and written.
//!
//! Postfix postmap(1), virtual(5). A logical line is a key and its value; lines that begin with white space continue
//! it, and comments and empty lines may be between them. Invariant: [`parse`] reads back the output of [`write`]; a line
//! means the same as in Postfix, or a fault or a warning names it; a bad line affects no good one.

use std::collections::{BTreeMap, HashMap, HashSet};

use mail::{Domain, Mailbox};

use crate::alias::{Alias, AliasSource, Origin, Target};
use crate::alias_options::{AliasOptions, StrictDomain};
use crate::extension::local_part;
use crate::names::invisible_in;
use crate::right_side;

/// Marks a disabled alias. To Postfix it is a comment.
const DISABLED: &str = "# disabled: ";

/// Marks the options of an alias. To Postfix it is a comment.
const OPTIONS: &str = "# options: ";

/// The mark in exports of earlier versions, which had only that option.
const STRICT: &str = "# strict: ";

/// The contents of a virtual file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VirtualFile {
    /// The domains that it declares (`example.com anything`).
    pub domains: Vec<Domain>,
    /// Its aliases, each with its first line, from 1. An alias without a target has a line without a usable target: its address
    /// exists, and mail to it is deferred until the line is corrected.
    pub aliases: Vec<(Alias, usize)>,
    /// The options of aliases, as [`write`] writes them.
    pub alias_options: Vec<(AliasSource, AliasOptions)>,
    /// The faults, with the line: that line, or a part of it, has no effect until it is corrected.
    pub faults: Vec<(usize, String)>,
    /// The warnings, with the line: it was left out without a loss, or does not mean what it seems to mean.
    pub warnings: Vec<(usize, String)>,
}

/// Parses a file. `origin` completes names without a domain, as Postfix's `myorigin`; without it they are faults.
pub fn parse(text: &str, origin: Option<&Domain>) -> VirtualFile {
    let mut reader = VirtualFileReader { origin, ..VirtualFileReader::default() };
    let (lines, faults) = logical_lines(text);
    reader.file.faults = faults;
    reader.file.alias_options = text.lines().filter_map(options).collect();
    for logical in lines {
        let read = if logical.disabled { reader.disabled(&logical) } else { reader.entry(&logical) };
        if let Err(message) = read {
            reader.file.faults.push((logical.line, message));
        }
    }
    reader.finish()
}

/// Writes a file. Disabled aliases become comments that only [`parse`] reads; an alias without a target becomes a plain
/// comment.
pub fn write<'a>(
    domains: &[Domain],
    aliases: impl IntoIterator<Item = &'a Alias>,
    alias_options: &BTreeMap<String, AliasOptions>,
) -> String {
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
    for (key, options) in alias_options {
        let source = key.parse().map_or_else(|_| key.clone(), |source| source_text(&source));
        text.push_str(&format!("{OPTIONS}{source} {options}\n"));
    }
    text
}

/// Quotes a `#` at the start of a line, which would make it a comment. Postfix has no way to write it.
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

fn options(line: &str) -> Option<(AliasSource, AliasOptions)> {
    if let Some(text) = line.strip_prefix(STRICT) {
        let (source, setting) = text.trim_ascii().rsplit_once(' ')?;
        return Some((source.parse().ok()?, AliasOptions::from(setting.parse::<StrictDomain>().ok()?)));
    }
    let (source, options) = line.strip_prefix(OPTIONS)?.trim_ascii().split_once(" {")?;
    Some((source.parse().ok()?, format!("{{{options}").parse().ok()?))
}

struct Logical {
    line: usize,
    text: String,
    disabled: bool,
}

fn logical_lines(text: &str) -> (Vec<Logical>, Vec<(usize, String)>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut logical, mut faults): (Vec<Logical>, Vec<(usize, String)>) = (Vec::new(), Vec::new());
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
            faults.push((line, "the line starts with white space, which continues a line, but there is no entry before it".into()));
        }
    }
    (logical, faults)
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

#[derive(Default)]
struct VirtualFileReader<'a> {
    origin: Option<&'a Domain>,
    file: VirtualFile,
    /// The line of each key, without disabled aliases.
    lines: HashMap<String, usize>,
    /// Keys of lines without a usable target.
    broken: Vec<(AliasSource, usize)>,
    /// Entries of names without a domain, which come after those with one (virtual(5), table search order).
    local: Vec<(AliasSource, String, usize)>,
}

impl VirtualFileReader<'_> {
    fn entry(&mut self, logical: &Logical) -> Result<(), String> {
        if logical.text.contains('\u{fffd}') {
            return Err("the line is not UTF-8; save the file in that encoding".into());
        }
        let (key, value) = split_outside_quotes(&logical.text, |c| c.is_ascii_whitespace())?;
        let value = value.trim_ascii();
        if let Some(c) = invisible_in(key) {
            return Err(format!("the key `{}` contains an invisible character: U+{:04X}", key.escape_debug(), u32::from(c)));
        }
        if value.is_empty() {
            return Err(format!("the key `{key}` has no value, so Postfix ignores the line"));
        }
        if key.contains('@') {
            let source: AliasSource = key.parse().map_err(|error| format!("the key `{key}`: {error}"))?;
            if let Some(domain) = key.strip_prefix("*@") {
                let warning = format!("`{key}` is the address of a user called `*`, as in Postfix; a catch-all is written @{domain}");
                self.file.warnings.push((logical.line, warning));
            }
            return self.alias(source, value, logical.line);
        }
        // A dot at the end makes no domain: Postfix looks names up without it.
        if key.trim_end_matches('.').contains('.') || key.starts_with('[') {
            let domain = Domain::parse(key).map_err(|error| format!("the key `{key}`: {error}"))?;
            if self.is_new(logical.line, domain.to_string()) {
                self.file.domains.push(domain);
            }
            return Ok(());
        }
        match (self.origin, local_part(key)) {
            (Some(origin), Some(local)) => {
                let source = AliasSource::Address(Mailbox { local, domain: origin.clone() });
                self.local.push((source, value.to_owned(), logical.line));
            }
            _ => {
                let warning = format!("the key `{key}` names a local user, and this server has none: left out");
                self.file.warnings.push((logical.line, warning));
            }
        }
        Ok(())
    }

    fn alias(&mut self, source: AliasSource, value: &str, line: usize) -> Result<(), String> {
        let first = self.lines.get(&source.key()).copied();
        let mut read = right_side::read(value, self.origin);
        read.targets.retain(|target| match invisible_in(&target.to_string()) {
            Some(c) => {
                let shown = target.to_string().escape_debug().to_string();
                read.faults.push(format!("the target `{shown}` contains an invisible character: U+{:04X}", u32::from(c)));
                false
            }
            None => true,
        });
        let (targets, warnings, is_own) = without_itself(&source, read.targets);
        if let (Some(_), _) | (None, false) = (first, targets.is_empty()) {
            if self.is_new(line, source.key()) {
                self.file.faults.extend(read.faults.into_iter().map(|fault| (line, format!("{source}: {fault}: left out"))));
                self.file.warnings.extend(warnings.into_iter().map(|warning| (line, warning)));
                self.file.aliases.push((Alias { source, targets, enabled: true, origin: Origin::File }, line));
            }
            return Ok(());
        }
        let why = match (read.faults.is_empty(), is_own) {
            (false, _) => read.faults.join("; "),
            (true, true) => "it leads only to itself, which in Postfix means a local mailbox; this server has none".into(),
            (true, false) => "there is no target".into(),
        };
        let message = format!("{source}: {why}");
        self.broken.push((source, line));
        Err(message)
    }

    /// Reads a disabled alias from a comment; ignores any other comment.
    fn disabled(&mut self, logical: &Logical) -> Result<(), String> {
        let read = split_outside_quotes(&logical.text, |c| c.is_ascii_whitespace());
        if let Ok((key, value)) = read
            && let (Ok(source), side) = (key.parse(), right_side::read(value, None))
            && side.faults.is_empty()
            && let (targets, _, _) = without_itself(&source, side.targets)
            && !targets.is_empty()
        {
            self.file.aliases.push((Alias { source, targets, enabled: false, origin: Origin::File }, logical.line));
        }
        Ok(())
    }

    /// Returns whether the key is new. As in Postfix the first one counts.
    fn is_new(&mut self, line: usize, key: String) -> bool {
        let first = *self.lines.entry(key.clone()).or_insert(line);
        if first != line {
            self.file.warnings.push((line, format!("`{key}` was read on line {first}, which counts: left out")));
        }
        first == line
    }

    /// Keeps an enabled alias over a disabled one in any order, since Postfix sees only the enabled one.
    fn finish(mut self) -> VirtualFile {
        for (source, value, line) in std::mem::take(&mut self.local) {
            if let Err(message) = self.alias(source, &value, line) {
                self.file.faults.push((line, message));
            }
        }
        let Self { mut file, mut lines, broken, .. } = self;
        for (source, line) in broken {
            if let std::collections::hash_map::Entry::Vacant(free) = lines.entry(source.key()) {
                free.insert(line);
                file.aliases.push((Alias { source, targets: Vec::new(), enabled: true, origin: Origin::File }, line));
            }
        }
        let mut disabled = HashSet::new();
        let mut warnings = Vec::new();
        file.aliases.retain(|(alias, line)| {
            let key = alias.source.key();
            let keep = alias.enabled || (!lines.contains_key(&key) && disabled.insert(key.clone()));
            if !keep {
                warnings.push((*line, format!("the disabled `{key}` is defined elsewhere too: left out")));
            }
            keep
        });
        file.warnings.append(&mut warnings);
        file.warnings.sort_by_key(|(line, _)| *line);
        file.faults.sort_by_key(|(line, _)| *line);
        file
    }
}

/// Returns the usable targets, warnings about the others, and whether one was the source itself. In Postfix an alias that leads to itself and to others
/// keeps a copy in a local mailbox.
fn without_itself(source: &AliasSource, found: Vec<Target>) -> (Vec<Target>, Vec<String>, bool) {
    let (mut targets, mut warnings, mut is_own) = (Vec::<Target>::new(), Vec::new(), false);
    for target in found {
        match target {
            _ if target.to_string().to_lowercase() == source.key() => is_own = true,
            Target::Domain(domain) if !targets.is_empty() => {
                warnings.push(format!("the target @{domain} is allowed only as the first one: left out"));
            }
            target => targets.push(target),
        }
    }
    if is_own && !targets.is_empty() {
        warnings.push(format!(
            "{source} leads to itself too, which in Postfix keeps a copy in a local mailbox; this server has none: left out"
        ));
    }
    if let [Target::Domain(domain), _, ..] = targets.as_slice() {
        warnings.push(format!("the target @{domain} has others after it, which Postfix would misread; this server uses all"));
    }
    (targets, warnings, is_own)
}

#[cfg(test)]
mod tests;
