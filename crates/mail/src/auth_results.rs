//! The Authentication-Results field: written, and recognized as ours.
//!
//! RFC 8601 s.2.2 (the field), s.5 (removing forged ones), RFC 5322 s.3.2.3 (atoms). Invariant: text of a peer is in the
//! field as a token or in quotes, without control characters, so it can end neither a value nor the field.

use std::net::IpAddr;

use crate::domain::Domain;
use crate::evidence::{ChainCheck, ChainResult, DkimCheck, DmarcCheck, DmarcResult, Evidence, SpfCheck};
use crate::header::Field;

/// Maximum characters of a value from a peer.
const MAX_VALUE: usize = 255;

/// The message that the results are about.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// The argument of EHLO or HELO.
    pub hello: &'a str,
    /// The reverse-path; `None` if null.
    pub reverse_path: Option<&'a str>,
    /// The domain of From, if there is one.
    pub header_from: Option<&'a str>,
}

/// Writes the field, folded, with its final CRLF.
pub fn authentication_results(authserv_id: &Domain, evidence: &Evidence, facts: &Facts<'_>) -> String {
    let mut lines = vec![authserv_id.to_string(), iprev(evidence, facts.client)];
    lines.extend(spf(evidence, facts));
    if evidence.dkim.is_empty() {
        lines.push("dkim=none".into());
    }
    lines.extend(evidence.dkim.iter().map(dkim));
    lines.extend(dkim2(&evidence.dkim2));
    lines.push(dmarc(&evidence.dmarc, facts.header_from));
    lines.push(format!("arc={}", evidence.arc.word()));
    format!("Authentication-Results: {}\r\n", lines.join(";\r\n\t"))
}

fn iprev(evidence: &Evidence, client: IpAddr) -> String {
    let name = evidence.client_name.as_deref().map(|name| format!(" ({})", comment(name))).unwrap_or_default();
    format!("iprev={}{name} policy.iprev={}", evidence.iprev.word(), value(&client.to_string()))
}

/// HELO's result always, that of the reverse-path unless null.
fn spf(evidence: &Evidence, facts: &Facts<'_>) -> Vec<String> {
    let line = |check: &SpfCheck, property: &str, what: &str| format!("spf={} smtp.{property}={}", check.result.word(), value(what));
    let helo = line(&evidence.helo, "helo", facts.hello);
    match facts.reverse_path.filter(|path| !path.is_empty()) {
        Some(path) => vec![line(&evidence.mail_from, "mailfrom", path), helo],
        None => vec![helo],
    }
}

fn dkim(check: &DkimCheck) -> String {
    let mut line = format!("dkim={}", check.result.word());
    if let Some(reason) = &check.reason {
        line.push_str(&format!(" reason={}", quoted(reason)));
    }
    let written = [("d", &check.domain), ("s", &check.selector), ("a", &check.algorithm), ("b", &check.signature_prefix)];
    for (tag, text) in written.into_iter().filter(|(_, text)| !text.is_empty()) {
        line.push_str(&format!(" header.{tag}={}", value(text)));
    }
    line
}

/// The chain as a whole, if there is one: the originator's domain, and the hop at fault (draft-gondwana-dkim2-authres-00 s.3.2).
fn dkim2(check: &ChainCheck) -> Option<String> {
    if check.result == ChainResult::None {
        return None;
    }
    let mut line = format!("dkim2={}", check.result.word());
    if check.result == ChainResult::Pass {
        let hops = check.hops.iter().map(|hop| format!("i={} {}", hop.number, comment(&hop.domain))).collect::<Vec<_>>().join(", ");
        line.push_str(&format!(" ({hops})"));
    }
    if let Some(reason) = &check.reason {
        line.push_str(&format!(" reason={}", quoted(reason)));
    }
    if let Some(domain) = check.originator() {
        line.push_str(&format!(" header.d={}", value(domain)));
    }
    if let Some(hop) = check.failed_hop {
        line.push_str(&format!(" header.i={hop}"));
    }
    Some(line)
}

fn dmarc(check: &DmarcCheck, header_from: Option<&str>) -> String {
    let policy = check.policy.word();
    // Without a record there is no policy.
    let policy = if check.result == DmarcResult::None { String::new() } else { format!(" (policy={policy})") };
    let from = match header_from {
        Some(from) => from,
        None => &check.domain,
    };
    let from = if from.is_empty() { String::new() } else { format!(" header.from={}", value(from)) };
    format!("dmarc={}{policy}{from}", check.result.word())
}

/// A value: unchanged if it is a token or an address of tokens, otherwise quoted (RFC 8601 s.2.2, `pvalue`).
fn value(text: &str) -> String {
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&*+-.^_{|}~".contains(&b));
    let mut parts = text.splitn(2, '@');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let is_plain = match second {
        Some(domain) => (first.is_empty() || plain(first)) && plain(domain),
        None => plain(first),
    };
    if is_plain && text.len() <= MAX_VALUE { text.to_owned() } else { quoted(text) }
}

/// A quoted-string (RFC 5322 s.3.2.4).
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in printable(text) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// The text of a comment, without characters that could end it.
fn comment(text: &str) -> String {
    printable(text).filter(|c| !"()\\".contains(*c)).collect()
}

fn printable(text: &str) -> impl Iterator<Item = char> + '_ {
    // Other line separators and direction marks would mislead a reader.
    let bad = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().take(MAX_VALUE).map(move |c| if bad(c) { '?' } else { c })
}

/// Whether an Authentication-Results field claims to be ours.
///
/// Reads more leniently than it writes: everything that a program downstream could take for our name counts.
pub fn is_ours(field: &Field<'_>, authserv_id: &Domain) -> bool {
    field.is("Authentication-Results") && claimed_id(field.value).is_some_and(|id| is_same(&id, authserv_id))
}

fn is_same(claimed: &str, ours: &Domain) -> bool {
    let claimed = claimed.trim().trim_end_matches('.');
    claimed.eq_ignore_ascii_case(ours.as_str()) || Domain::parse(claimed).is_ok_and(|claimed| claimed == *ours)
}

/// The first word of a value, after white space and comments, quoted or not.
fn claimed_id(value: &[u8]) -> Option<String> {
    let mut rest = value.iter().copied().peekable();
    let mut depth = 0_u32;
    let mut quoted = false;
    let mut id: Vec<u8> = Vec::new();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' if depth > 0 || quoted => {
                let escaped = rest.next();
                if quoted {
                    id.extend(escaped);
                }
            }
            b'"' if depth == 0 => quoted = !quoted,
            _ if quoted => id.push(byte),
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            b';' => break,
            byte if byte.is_ascii_whitespace() || byte.is_ascii_control() => {
                // The word ends here if it has begun; but a dot, or the rest of a quoted word, may follow a fold or a comment.
                if !id.is_empty() && !continues(&mut rest.clone(), id.last() == Some(&b'.')) {
                    break;
                }
            }
            byte => id.push(byte),
        }
    }
    (!id.is_empty()).then(|| String::from_utf8_lossy(&id).into_owned())
}

/// Whether the word continues after white space: obsolete syntax allows it around a dot.
fn continues(rest: &mut impl Iterator<Item = u8>, after_dot: bool) -> bool {
    after_dot || rest.find(|byte| !byte.is_ascii_whitespace()) == Some(b'.')
}

#[cfg(test)]
#[path = "auth_results_tests.rs"]
mod tests;
