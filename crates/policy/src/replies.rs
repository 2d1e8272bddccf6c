//! The table of remote replies, read once from `data/replies.toml`.
//!
//! RFC 5321 s.4.2 and RFC 3463 for the codes. Invariant: the first row that matches is used; a table that cannot be read fails a
//! test, and at run time every reply still has a meaning, by its class alone.

use std::sync::LazyLock;

use mail::{Domain, EnhancedCode, Reply};
use serde::Deserialize;

use crate::meaning::{Meaning, PauseRule, Reaction, ReplyScope, Severity};

static TABLE: LazyLock<Table> = LazyLock::new(|| read(include_str!("../data/replies.toml")).unwrap_or_default());

/// Returns the meaning of a reply. `host` is the host that sent it, if known.
pub fn classify_reply(host: Option<&Domain>, reply: &Reply) -> Meaning {
    let text = joined(reply);
    let provider = host.and_then(by_host).or_else(|| by_text(&text));
    let row = TABLE.rows.iter().find(|row| row.matches(provider, reply, &text));
    let Some(row) = row else { return by_class(reply) };
    Meaning {
        row: &row.id,
        provider: provider.map(|p| p.title.as_str()),
        cause: &row.cause,
        next_step: &row.next_step,
        reaction: row.reaction.clone(),
        scopes: &row.scopes,
        severity: row.severity,
        own_severity: row.own_severity,
        link: row.link.as_deref(),
        waits: !reply.is_permanent() || row.reaction.defers_after_5xx(),
    }
}

/// The names of all rows that a reply can match, for metrics.
pub fn reply_rows() -> Vec<&'static str> {
    let mut rows: Vec<&str> = TABLE.rows.iter().map(|row| row.id.as_str()).collect();
    rows.extend(BY_CLASS.iter().filter(|name| TABLE.rows.iter().all(|row| row.id != **name)));
    rows
}

/// The short name of the provider that runs this host, and counts over all its hosts.
pub fn provider_of(host: &Domain) -> Option<&'static str> {
    by_host(host).map(|p| p.name.as_str())
}

/// The text between a host and its reply in log, queue, failures and DSNs.
const SAID: &str = " said: ";

/// Reads the host in a pasted text: `mx.example.net said: 550 ...`.
pub fn parse_pasted_host(text: &str) -> Option<Domain> {
    let (before, _) = text.rsplit_once(SAID)?;
    before.split(|c: char| c.is_whitespace() || "(\"=".contains(c)).next_back().and_then(|host| Domain::parse(host).ok())
}

/// Reads the reply in a pasted text: lines with or without codes, `\n` escaped or real; or a line of Waypost's log or queue around the reply.
pub fn parse_pasted_reply(text: &str) -> Option<Reply> {
    let text = text.rsplit_once(SAID).map_or(text, |(_, reply)| reply);
    let text = text.replace("\\r", "").replace("\\n", "\n").replace('\r', "");
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let (code, first) = code_of(lines.next()?)?;
    let rest = lines.map(|line| code_of(line).filter(|(c, _)| *c == code).map_or(line, |(_, rest)| rest));
    let body: Vec<&str> = std::iter::once(first).chain(rest).collect();
    Some(Reply::from_wire(code, &body.join("\n")))
}

/// Splits `550-5.1.1 no` after the code and its separator.
fn code_of(line: &str) -> Option<(u16, &str)> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    match rest.chars().next() {
        None => Some((code, "")),
        Some(' ' | '-') => Some((code, rest.get(1..)?.trim_start())),
        Some(_) => None,
    }
}

#[derive(Debug, Default)]
struct Table {
    providers: Vec<ReplyProvider>,
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyProvider {
    name: String,
    title: String,
    hosts: Vec<String>,
    texts: Vec<String>,
}

#[derive(Debug)]
struct Row {
    id: String,
    /// `None` is any.
    provider: Option<String>,
    codes: Vec<Code>,
    enhanced: Vec<EnhancedRange>,
    text: Vec<String>,
    cause: String,
    next_step: String,
    reaction: Reaction,
    scopes: Vec<ReplyScope>,
    severity: Severity,
    own_severity: Severity,
    link: Option<String>,
}

#[derive(Debug)]
enum Code {
    Is(u16),
    Class(u16),
}

#[derive(Debug)]
struct EnhancedRange {
    /// `None` is any.
    class: Option<u8>,
    subject: u16,
    first: u16,
    last: u16,
}

impl Row {
    fn matches(&self, provider: Option<&ReplyProvider>, reply: &Reply, text: &str) -> bool {
        self.provider.as_ref().is_none_or(|name| provider.is_some_and(|p| p.name == *name))
            && self.codes.iter().any(|code| code.matches(reply.code))
            && (self.enhanced.is_empty() || reply.enhanced.is_some_and(|e| self.enhanced.iter().any(|range| range.matches(e))))
            && (self.text.is_empty() || self.text.iter().any(|pattern| contains_parts(pattern, text)))
    }
}

impl Code {
    fn matches(&self, code: u16) -> bool {
        match *self {
            Self::Is(this) => this == code,
            Self::Class(class) => class == code / 100,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix("xx") {
            Some(class) => class.parse().ok().map(Self::Class),
            None => text.parse().ok().map(Self::Is),
        }
    }
}

impl EnhancedRange {
    fn matches(&self, EnhancedCode(class, subject, detail): EnhancedCode) -> bool {
        self.class.is_none_or(|c| c == class) && self.subject == subject && (self.first..=self.last).contains(&detail)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (class, subject, details) = (parts.next()?, parts.next()?, parts.next()?);
        let (first, last) = details.split_once('-').unwrap_or((details, details));
        Some(Self {
            class: if class == "x" { None } else { Some(class.parse().ok()?) },
            subject: subject.parse().ok()?,
            first: first.parse().ok()?,
            last: last.parse().ok().filter(|_| parts.next().is_none())?,
        })
    }
}

/// Whether the text contains the parts of the pattern, in order.
fn contains_parts(pattern: &str, text: &str) -> bool {
    let mut rest = Some(text);
    for part in pattern.split(" .. ") {
        rest = rest.and_then(|text| text.split_once(part)).map(|(_, behind)| behind);
    }
    rest.is_some()
}

/// The text as one line in lower case, without the code before each line.
fn joined(reply: &Reply) -> String {
    let mut words = Vec::new();
    for line in reply.text().lines() {
        let mut line = line.split_whitespace().peekable();
        line.next_if(|word| EnhancedCode::parse(word).is_some());
        words.extend(line);
    }
    words.join(" ").to_lowercase()
}

fn by_host(host: &Domain) -> Option<&'static ReplyProvider> {
    let host = host.as_str().trim_end_matches('.').to_ascii_lowercase();
    let is_below = |domain: &String| host.strip_suffix(domain.as_str()).is_some_and(|front| front.is_empty() || front.ends_with('.'));
    TABLE.providers.iter().find(|provider| provider.hosts.iter().any(is_below))
}

fn by_text(text: &str) -> Option<&'static ReplyProvider> {
    TABLE.providers.iter().find(|provider| provider.texts.iter().any(|mark| text.contains(mark)))
}

/// The rows of replies that no row of the table matches: 4xx and 5xx.
const BY_CLASS: [&str; 2] = ["any-later", "any-refused"];

/// The meaning of a reply without a table.
fn by_class(reply: &Reply) -> Meaning {
    let waits = !reply.is_permanent();
    let [later, refused] = BY_CLASS;
    let (row, reaction) = if waits { (later, Reaction::Retry { waits_s: Vec::new() }) } else { (refused, Reaction::Fail) };
    Meaning {
        row,
        provider: None,
        cause: "The host refuses the message.",
        next_step: "Read the host's reply.",
        reaction,
        scopes: &[],
        severity: Severity::Info,
        own_severity: Severity::Info,
        link: None,
        waits,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyFile {
    provider: Vec<ReplyProvider>,
    row: Vec<FileRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRow {
    id: String,
    provider: String,
    codes: Vec<String>,
    #[serde(default)]
    enhanced: Vec<String>,
    #[serde(default)]
    text: Vec<String>,
    cause: String,
    next: String,
    reaction: String,
    scopes: Vec<String>,
    severity: String,
    own_severity: Option<String>,
    link: Option<String>,
}

fn read(text: &str) -> Result<Table, String> {
    let written: ReplyFile = toml::from_str(text).map_err(|e| e.to_string())?;
    let mut table = Table { providers: written.provider, rows: Vec::new() };
    for row in written.row {
        let id = row.id.clone();
        let row = row.read(&table.providers).map_err(|what| format!("{id}: {what}"))?;
        table.rows.push(row);
    }
    Ok(table)
}

impl FileRow {
    fn read(self, providers: &[ReplyProvider]) -> Result<Row, String> {
        let provider = (self.provider != "any").then_some(self.provider);
        if let Some(name) = provider.as_ref().filter(|name| providers.iter().all(|p| p.name != **name)) {
            return Err(format!("no provider {name}"));
        }
        let severity = of(&self.severity, Severity::parse)?;
        Ok(Row {
            id: self.id,
            provider,
            codes: all(&self.codes, Code::parse)?,
            enhanced: all(&self.enhanced, EnhancedRange::parse)?,
            text: self.text.iter().map(|t| t.to_lowercase()).collect(),
            cause: self.cause,
            next_step: self.next,
            reaction: of(&self.reaction, reaction)?,
            scopes: all(&self.scopes, ReplyScope::parse)?,
            severity,
            own_severity: self.own_severity.map_or(Ok(severity), |name| of(&name, Severity::parse))?,
            link: self.link,
        })
    }
}

fn of<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    parse(text).ok_or_else(|| format!("{text:?} cannot be read"))
}

fn all<T>(texts: &[String], parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    texts.iter().map(|text| of(text, &parse)).collect()
}

fn reaction(text: &str) -> Option<Reaction> {
    let mut words = text.split(' ');
    let (name, rest) = (words.next()?, words.collect::<Vec<_>>());
    let number = || rest.first().and_then(|word| word.parse().ok());
    let plain = |reaction| rest.is_empty().then_some(reaction);
    match name {
        "retry" => rest.iter().map(|word| word.parse().ok()).collect::<Option<_>>().map(|waits_s| Reaction::Retry { waits_s }),
        "fail" => plain(Reaction::Fail),
        "pause" => Some(Reaction::Pause(PauseRule { at_least_s: number()?, growing: rest.get(1) == Some(&"growing") })),
        "invalid-target" => Some(Reaction::InvalidTarget { after: number()? }),
        "force-tls" => plain(Reaction::ForceTls),
        "force-ipv4" => plain(Reaction::ForceIpv4),
        "switch-route" => plain(Reaction::SwitchRoute),
        "remedy" => plain(Reaction::Remedy),
        "reconnect" => plain(Reaction::Reconnect),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn table() -> Table {
        read(include_str!("../data/replies.toml")).unwrap()
    }

    #[test]
    fn the_table_is_valid_and_its_ids_are_unique() {
        let table = table();
        let ids: BTreeSet<&str> = table.rows.iter().map(|r| r.id.as_str()).collect();
        assert_eq!(ids.len(), table.rows.len());
        for row in &table.rows {
            let name = row.provider.as_deref().unwrap_or("any");
            assert!(row.id.starts_with(&format!("{name}-")), "{}", row.id);
            assert!(row.cause.ends_with('.') && row.next_step.ends_with('.'), "{}", row.id);
            assert!(row.reaction.pause().is_none() || !row.scopes.is_empty(), "{}: a pause without a scope", row.id);
        }
    }

    /// `data/replies.test`: a host (or `-`), a row, and a reply with `\n` between its lines.
    #[test]
    fn each_row_matches_a_real_reply() {
        let mut hit = BTreeSet::new();
        let mut count = 0;
        for line in include_str!("../data/replies.test").lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let [host, id, said] = line.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
            let host = (host != "-").then(|| Domain::parse(host).unwrap());
            let reply = parse_pasted_reply(said).unwrap();
            let meaning = classify_reply(host.as_ref(), &reply);
            assert_eq!(meaning.row, id, "{line}");
            hit.insert(id.to_owned());
            count += 1;
        }
        assert!(count >= 60, "{count}");
        let missed: Vec<String> = table().rows.into_iter().map(|r| r.id).filter(|id| !hit.contains(id)).collect();
        assert!(missed.is_empty(), "rows without a reply: {missed:?}");
    }

    #[test]
    fn every_reply_has_a_meaning() {
        for code in 0..1000 {
            for text in ["", "5.7.1 no", "4.7.28 slow", "x\ny"] {
                let reply = Reply::from_wire(code, text);
                assert!(!classify_reply(None, &reply).cause.is_empty());
                assert_eq!(by_class(&reply).waits, code / 100 != 5);
            }
        }
    }

    #[test]
    fn replies_about_this_server_defer_and_those_about_the_message_fail() {
        let of = |said: &str| {
            classify_reply(Some(&Domain::parse("gmail-smtp-in.l.google.com").unwrap()), &parse_pasted_reply(said).unwrap()).waits
        };
        assert!(of("550 5.7.28 unusual rate"));
        assert!(of("550-5.2.1 The user you are trying to contact is receiving mail at a rate that\n550 5.2.1 prevents"));
        assert!(!of("550 5.7.26 unauthenticated"));
        assert!(!of("550 5.1.1 no such user"));
        assert!(of("451 4.7.26 later"));
    }

    #[test]
    fn providers_match_whole_labels_of_the_host() {
        let name = |host: &str| provider_of(&Domain::parse(host).unwrap());
        assert_eq!(name("ALT1.gmail-smtp-in.l.Google.com"), Some("gmail"));
        assert_eq!(name("example-com.mail.protection.outlook.com"), Some("microsoft"));
        assert_eq!(name("mx01.mail.icloud.com"), Some("apple"));
        assert_eq!(name("mx.notgoogle.com"), None);
        assert_eq!(name("google.com.example.net"), None);
    }

    #[test]
    fn pasted_replies_are_read_in_any_form() {
        let wire = parse_pasted_reply("550-5.1.1 no such\r\n550 5.1.1 user\r\n").unwrap();
        assert_eq!(parse_pasted_reply("550-5.1.1 no such\\n550 5.1.1 user"), Some(wire.clone()));
        assert_eq!(joined(&wire), "no such user");
        assert_eq!(joined(&parse_pasted_reply("  421 4.7.0 go\n away ").unwrap()), "go away");
        let shown = "INFO mta::log_fate: failed id=1 trouble=5.1.1 mx.example.net said: 550 5.1.1 no such user";
        assert_eq!(parse_pasted_reply(shown), parse_pasted_reply("550 5.1.1 no such user"));
        assert_eq!(parse_pasted_host(shown).unwrap().as_str(), "mx.example.net");
        assert_eq!(parse_pasted_host("Do this. (mx.a.test said: 550 no)").unwrap().as_str(), "mx.a.test");
        assert_eq!(parse_pasted_host("550 no"), None);
        for nothing in ["", "hello", "55", "5501 x", "ü50 x", "55ü x"] {
            assert_eq!(parse_pasted_reply(nothing), None, "{nothing:?}");
        }
    }
}
