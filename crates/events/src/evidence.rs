//! What was found out about a message before it was decided, in words.
//!
//! SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 9989), by the names of RFC 8601.

use crate::story::{StoryLine, plain};
use crate::{Event, Fact};

/// Returns what was found out: one line on who sent it, one on what else is known.
pub(crate) fn evidence(event: &Event) -> Vec<StoryLine> {
    let mut lines = Vec::new();
    if let Some(subject) = event.get(Fact::Subject) {
        lines.push(StoryLine::Plain(format!("Subject: {}", plain(subject))));
    }
    let author = event.get(Fact::FromField).filter(|author| event.from.as_deref() != Some(*author));
    if let Some(author) = author {
        lines.push(StoryLine::Plain(format!("From: {}", plain(author))));
    }
    let results = authentication(event);
    if !results.is_empty() {
        lines.push(StoryLine::Plain(results));
    }
    let mut more = Vec::new();
    more.extend(event.get(Fact::Iprev).map(|name| format!("the client's address is confirmed as {}", plain(name))));
    more.extend(event.get(Fact::Score).map(|score| format!("spam score {}", plain(score))));
    more.extend(event.get(Fact::Tls).map(|tls| format!("received with {}", plain(tls))));
    if !more.is_empty() {
        lines.push(StoryLine::Plain(more.join("; ")));
    }
    lines
}

/// Returns the results of authentication: `SPF pass for example.org; DKIM pass (example.org, s1); DMARC pass`.
pub fn authentication(event: &Event) -> String {
    let mut parts = Vec::new();
    if let Some(spf) = event.get(Fact::Spf) {
        let (result, domain) = spf.split_once(' ').unwrap_or((spf, ""));
        let about = if domain.is_empty() { String::new() } else { format!(" for {}", plain(domain)) };
        parts.push(format!("SPF {}{about}", plain(result)));
    }
    if let Some(dkim) = event.get(Fact::Dkim) {
        let each = dkim.split(", ").map(|one| match one.split_once(' ') {
            Some((result, rest)) => format!("{} ({})", plain(result), plain(&rest.replacen(' ', ", ", 1))),
            None => plain(one),
        });
        parts.push(format!("DKIM {}", each.collect::<Vec<_>>().join(", ")));
    }
    if let Some(dkim2) = event.get(Fact::Dkim2) {
        parts.push(match dkim2.split_once(' ') {
            Some((result, about)) => format!("DKIM2 {} ({})", plain(result), plain(about)),
            None => format!("DKIM2 {}", plain(dkim2)),
        });
    }
    if let Some(dmarc) = event.get(Fact::Dmarc) {
        parts.push(match dmarc.split_once(" p=") {
            Some((result, policy)) => format!("DMARC {} (p={})", plain(result), plain(policy)),
            None => format!("DMARC {}", plain(dmarc)),
        });
    }
    parts.extend(event.get(Fact::Arc).map(|arc| format!("ARC {}", plain(arc))));
    parts.join("; ")
}

/// Returns what we added to the chains of trust of what leaves: `continued the DKIM2 chain as hop 2 (fwd.example.org, ed25519); added ARC set 1
/// (fwd.example.org)`.
pub(crate) fn vouched(event: &Event) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(hops) = event.get(Fact::Dkim2Hop) {
        let told: Vec<String> = hops.split(", ").map(hop).collect();
        parts.push(if hops.starts_with("1 ") {
            format!("began a DKIM2 chain with {}", told.join(", "))
        } else {
            format!("continued the DKIM2 chain as {}", told.join(", "))
        });
    }
    if let Some(sets) = event.get(Fact::ArcSet) {
        let told = sets.split(", ").map(|set| match set.split_once(' ') {
            Some((number, domain)) => format!("{} ({})", plain(number), plain(domain)),
            None => plain(set),
        });
        parts.push(format!("added ARC set {}", told.collect::<Vec<_>>().join(", ")));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// One hop: `hop 2 (fwd.example.org, ed25519)`.
fn hop(fact: &str) -> String {
    match fact.split_once(' ') {
        Some((number, rest)) => format!("hop {} ({})", plain(number), plain(&rest.replacen(' ', ", ", 1))),
        None => plain(fact),
    }
}
