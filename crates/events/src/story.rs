//! The life of a message in words: one entry for each event, in the order of time, for `trace` and for pages.
//!
//! Invariant: every text is one line without control characters and without characters that change the direction of writing; what was stripped from an
//! event because the reader may not see it is not missed.

use std::fmt::Write;

use mail::one_line;

use crate::evidence::{evidence, vouched};
use crate::{Event, EventKind, Fact, Group, Level};

/// One step of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoryEntry {
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// How much attention it needs.
    pub level: Level,
    /// What happened.
    pub title: String,
    /// More about it.
    pub lines: Vec<StoryLine>,
}

/// A line of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoryLine {
    /// What was found out or decided, and why.
    Plain(String),
    /// A reply, as it was sent.
    Reply(String),
    /// What the owner can do.
    Advice(String),
}

/// Tells the events of a timeline.
pub fn tell<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<StoryEntry> {
    let events: Vec<&Event> = events.into_iter().collect();
    let dsns: Vec<_> = events.iter().filter(|event| event.kind == EventKind::DsnQueued).map(|event| event.queue_id).collect();
    let of_event = |event: &&Event| {
        let is_of_dsn = event.kind != EventKind::DsnQueued && event.queue_id.is_some() && dsns.contains(&event.queue_id);
        entries(event)
            .into_iter()
            .map(move |entry| if is_of_dsn { StoryEntry { title: format!("the DSN: {}", entry.title), ..entry } } else { entry })
    };
    let mut story: Vec<StoryEntry> = events.iter().flat_map(of_event).collect();
    story.sort_by_key(|entry| entry.at_ms);
    story
}

/// Returns a text in one line, without characters that change the direction of writing: with them a name could look like another.
pub fn plain(text: &str) -> String {
    let is_direction = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    one_line(text).replace(is_direction, "\u{fffd}")
}

/// Returns a duration: `240 ms`, `3.2 s`, `5 min`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(ms: i64) -> String {
    let (ms, s) = (ms.max(0), ms.max(0) / 1000);
    let two =
        |a: i64, a_unit: &str, b: i64, b_unit: &str| if b == 0 { format!("{a} {a_unit}") } else { format!("{a} {a_unit} {b} {b_unit}") };
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{s}.{} s", ms % 1000 / 100),
        60..3600 => two(s / 60, "min", s % 60, "s"),
        3600..86_400 => two(s / 3600, "h", s % 3600 / 60, "min"),
        _ => two(s / 86_400, "d", s % 86_400 / 3600, "h"),
    }
}

/// Tells one event in one line, for a log.
pub fn one_event(event: &Event) -> String {
    let mut text = match event.kind.group() {
        Group::Message => {
            let from = event.from.as_deref().map_or_else(String::new, |from| format!("from <{}> ", plain(from)));
            format!("{}: {from}to {}", event.kind.words(), recipients(event))
        }
        _ => entries(event).pop().map(|entry| entry.title).unwrap_or_default(),
    };
    for more in [event.get(Fact::What), event.get(Fact::Change), event.reason.as_deref(), event.reply.as_deref()].into_iter().flatten() {
        let _ = write!(text, ": {}", plain(more));
    }
    text
}

/// A decision about a message is two entries: that it arrived, and what was decided.
fn entries(event: &Event) -> Vec<StoryEntry> {
    use EventKind::*;
    let level = event.kind.level();
    let entry = |title: String, lines: Vec<StoryLine>| StoryEntry { at_ms: event.at_ms, level, title: plain(&title), lines };
    match event.kind {
        MessageAccepted | MessageHandedOver | MessageHeld | MessageRefused | MessageNotStored | ReportStored | AutoReplyDropped => {
            let took_ms = number(event, Fact::TookMs).unwrap_or(0);
            let arrived = StoryEntry { at_ms: event.at_ms - took_ms, level: Level::Info, title: arrival(event), lines: evidence(event) };
            vec![arrived, entry(decision(event), outcome_lines(event))]
        }
        Delivered | DeliveredLate => vec![entry(format!("{} to {}", event.kind.words(), hop(event)), outcome_lines(event))],
        Deferred | Failed | NotTaken | HeldBack | UnderWay | InDoubt => {
            vec![entry(format!("{}: {}", event.kind.words(), hop(event)), outcome_lines(event))]
        }
        DsnQueued => {
            let id = event.queue_id.map(|id| format!(" as {id}")).unwrap_or_default();
            vec![entry(format!("DSN to {} queued{id}", recipients(event)), Vec::new())]
        }
        _ if event.kind.group() == Group::Delivery && (event.target.is_some() || !event.to.is_empty()) => {
            vec![entry(format!("{}: {}", event.kind.words(), hop(event)), outcome_lines(event))]
        }
        _ => vec![entry(format!("{}{}", event.kind.words(), who(event)), outcome_lines(event))],
    }
}

fn number(event: &Event, fact: Fact) -> Option<i64> {
    event.get(fact)?.parse().ok()
}

/// Returns the recipients, shortened.
pub(crate) fn recipients(event: &Event) -> String {
    match event.to.as_slice() {
        [] => "no recipient".into(),
        [one] => plain(one),
        [one, rest @ ..] => format!("{} and {} more", plain(one), rest.len()),
    }
}

/// Returns the host with its address: `mx.example.com [192.0.2.7]`.
pub(crate) fn host(event: &Event) -> Option<String> {
    match (&event.host, event.client) {
        (Some(host), Some(client)) => Some(format!("{} [{client}]", plain(host))),
        (Some(host), None) => Some(plain(host)),
        (None, Some(client)) => Some(format!("[{client}]")),
        (None, None) => None,
    }
}

fn arrival(event: &Event) -> String {
    let mut text = String::from("arrived");
    if let Some(login) = &event.login {
        let _ = write!(text, " from {}", plain(login));
    }
    if let Some(host) = host(event) {
        let _ = write!(text, "{} {host}", if event.login.is_some() { " at" } else { " from" });
    }
    if let Some(bytes) = number(event, Fact::SizeBytes) {
        let _ = write!(text, ", {}", size(bytes));
    }
    if let Some(ms) = number(event, Fact::ReceivedInMs) {
        let _ = write!(text, " in {}", duration(ms));
    }
    text
}

/// Returns a size: `3.4 KiB`.
fn size(bytes: i64) -> String {
    match bytes {
        ..1024 => format!("{bytes} octets"),
        1024..1_048_576 => format!("{}.{} KiB", bytes / 1024, bytes % 1024 * 10 / 1024),
        _ => format!("{}.{} MiB", bytes / 1_048_576, bytes % 1_048_576 * 10 / 1_048_576),
    }
}

fn decision(event: &Event) -> String {
    use EventKind::*;
    match event.kind {
        MessageAccepted => "accepted: stored in the queue, and the sender got 250".into(),
        MessageHandedOver => "accepted: every target took it while the sender waited, then the sender got 250".into(),
        MessageHeld => "accepted, but held for the owner to look at".into(),
        MessageRefused => "refused".into(),
        kind => kind.words().into(),
    }
}

/// The mailbox, and the host that it was tried at.
fn hop(event: &Event) -> String {
    let to = match (&event.target, event.to.first()) {
        (Some(target), Some(alias)) if target != alias => format!("{} (for {})", plain(target), recipients(event)),
        (Some(target), _) => plain(target),
        (None, _) => recipients(event),
    };
    host(event).map_or_else(|| to.clone(), |host| format!("{to} at {host}"))
}

/// Who caused an event that is about no delivery.
fn who(event: &Event) -> String {
    let mut text = String::new();
    for (word, value) in [("from", &event.from), ("by", &event.login)] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            let _ = write!(text, ", {word} {}", plain(value));
        }
    }
    if !event.to.is_empty() {
        let _ = write!(text, ", to {}", recipients(event));
    }
    if let Some(host) = host(event) {
        let _ = write!(text, ", {host}");
    }
    text
}

/// Why, in which words, how long it took, what comes next.
fn outcome_lines(event: &Event) -> Vec<StoryLine> {
    let mut lines = Vec::new();
    for fact in [Fact::What, Fact::Change] {
        lines.extend(event.get(fact).map(|value| StoryLine::Plain(plain(value))));
    }
    lines.extend(event.reason.as_deref().map(|reason| StoryLine::Plain(plain(reason))));
    lines.extend(event.reply.as_deref().map(|reply| StoryLine::Reply(plain(reply))));
    lines.extend(event.get(Fact::Cause).map(|cause| StoryLine::Plain(plain(cause))));
    lines.extend(vouched(event).map(StoryLine::Plain));
    let facts = attempt(event);
    if !facts.is_empty() {
        lines.push(StoryLine::Plain(facts));
    }
    if let Some(s) = number(event, Fact::RetryInS) {
        lines.push(StoryLine::Plain(format!("next attempt in {}", duration(s * 1000))));
    }
    match event.get(Fact::Reported) {
        Some("yes") => lines.push(StoryLine::Plain("the sender gets a DSN".into())),
        Some("no") => lines.push(StoryLine::Plain("the sender gets no DSN".into())),
        _ => {}
    }
    lines.extend(event.get(Fact::NextStep).map(|step| StoryLine::Advice(plain(step))));
    lines
}

/// Attempt, connection and duration in one line.
fn attempt(event: &Event) -> String {
    let mut parts = Vec::new();
    parts.extend(event.get(Fact::Attempt).filter(|attempt| *attempt != "1").map(|attempt| format!("attempt {}", plain(attempt))));
    if let Some(tls) = event.get(Fact::Tls).filter(|_| event.kind.group() == Group::Delivery) {
        let verified =
            event.get(Fact::Verified).map_or_else(|| "certificate not verified".into(), |how| format!("verified by {}", plain(how)));
        parts.push(format!("{}, {verified}", plain(tls)));
    }
    parts.extend(event.get(Fact::Plaintext).map(|why| format!("not encrypted: {}", plain(why))));
    // The step of a decision is the time since the message arrived.
    if let Some(ms) = number(event, Fact::TookMs).filter(|_| event.kind.group() != Group::Message) {
        parts.push(format!("took {}", duration(ms)));
    }
    if let Some(ms) = number(event, Fact::AgeMs) {
        parts.push(format!("{} after it arrived", duration(ms)));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &Event) -> String {
        let mut text = String::new();
        for entry in tell([event]) {
            let _ = writeln!(text, "{} {}", entry.at_ms, entry.title);
            for line in entry.lines {
                let (mark, words) = match line {
                    StoryLine::Plain(words) => (" ", words),
                    StoryLine::Reply(words) => ("<", words),
                    StoryLine::Advice(words) => (">", words),
                };
                let _ = writeln!(text, "  {mark} {words}");
            }
        }
        text
    }

    #[test]
    fn a_message_arrives_then_is_decided() {
        let event = Event::new(EventKind::MessageAccepted, 1000)
            .from("ada@sender.test")
            .to("me@example.test")
            .client("192.0.2.7".parse().unwrap())
            .host("mx.sender.test")
            .fact(Fact::Spf, "pass sender.test")
            .fact(Fact::Dkim, "pass sender.test s1, fail other.test s2")
            .fact(Fact::Dmarc, "pass p=reject")
            .fact(Fact::SizeBytes, 3482)
            .fact(Fact::ReceivedInMs, 1240)
            .fact(Fact::TookMs, 31);
        assert_eq!(
            line(&event),
            "969 arrived from mx.sender.test [192.0.2.7], 3.4 KiB in 1.2 s
    SPF pass for sender.test; DKIM pass (sender.test, s1), fail (other.test, s2); DMARC pass (p=reject)
1000 accepted: stored in the queue, and the sender got 250
"
        );
    }

    #[test]
    fn what_we_vouched_for_stands_below_the_decision() {
        let accepted = Event::new(EventKind::MessageAccepted, 5);
        let last = |event: Event| line(&event).lines().last().unwrap_or_default().trim().to_owned();
        let bridged = accepted.clone().fact(Fact::Dkim2Hop, "2 second.test ed25519, 3 fwd.example.test rsa");
        assert_eq!(
            last(bridged.fact(Fact::ArcSet, "1 fwd.example.test")),
            "continued the DKIM2 chain as hop 2 (second.test, ed25519), hop 3 (fwd.example.test, rsa); added ARC set 1 (fwd.example.test)"
        );
        let own = accepted.fact(Fact::Dkim2Hop, "1 example.test ed25519");
        assert_eq!(last(own), "began a DKIM2 chain with hop 1 (example.test, ed25519)");
    }

    #[test]
    fn an_attempt_has_reply_cause_and_advice() {
        let event = Event::new(EventKind::Deferred, 5)
            .to("me@example.test")
            .target("foo@inbox.test")
            .client("198.51.100.2".parse().unwrap())
            .host("mx.inbox.test")
            .reply("452 4.2.2 over quota")
            .fact(Fact::Attempt, 2)
            .fact(Fact::TookMs, 240)
            .fact(Fact::AgeMs, 65_000)
            .fact(Fact::Cause, "The mailbox is full.")
            .fact(Fact::RetryInS, 900)
            .fact(Fact::NextStep, "Make room in it.");
        assert_eq!(
            line(&event),
            "5 deferred: foo@inbox.test (for me@example.test) at mx.inbox.test [198.51.100.2]
  < 452 4.2.2 over quota
    The mailbox is full.
    attempt 2; took 240 ms; 1 min 5 s after it arrived
    next attempt in 15 min
  > Make room in it.
"
        );
        let for_others = Event { target: None, reply: None, ..event };
        assert!(line(&for_others).starts_with("5 deferred: me@example.test at mx.inbox.test"));
    }

    #[test]
    fn a_dsn_is_named_in_its_events() {
        let id = mail::QueueId(7);
        let queued = Event::new(EventKind::DsnQueued, 1).of_message(id).to("ada@sender.test");
        let failed = Event::new(EventKind::Failed, 2).of_message(id).to("ada@sender.test").reason(Some("no host"));
        let titles: Vec<String> = tell([&queued, &failed]).into_iter().map(|entry| entry.title).collect();
        assert_eq!(titles, ["DSN to ada@sender.test queued as 0000000000007", "the DSN: failed: ada@sender.test"]);
        let paused = Event::new(EventKind::MailboxPaused, 1).to("me@example.test").target("foo@inbox.test").host("mx.inbox.test");
        assert_eq!(tell([&paused])[0].title, "mailbox paused: foo@inbox.test (for me@example.test) at mx.inbox.test");
        assert_eq!(tell([&Event::new(EventKind::HostPaused, 1).host("mx.inbox.test")])[0].title, "host paused, mx.inbox.test");
    }

    #[test]
    fn hostile_text_stays_in_its_line() {
        let event = Event::new(EventKind::RecipientRefused, 5).from("a\r\nforged").to("b\u{202e}gpj.exe").reply("550 \u{1b}[2Jno\n250 ok");
        assert_eq!(line(&event), "5 recipient refused, from a  forged, to b\u{fffd}gpj.exe\n  < 550  [2Jno 250 ok\n");
    }

    #[test]
    fn a_log_has_one_line_for_each_event() {
        let event =
            Event::new(EventKind::MessageRefused, 5).from("ada@sender.test").to("me@example.test").to("you@example.test").reply("550 no");
        assert_eq!(one_event(&event), "message refused: from <ada@sender.test> to me@example.test and 1 more: 550 no");
        let event = Event::new(EventKind::DirectoryChanged, 5)
            .login(Some("me"))
            .fact(Fact::What, "shop@example.test")
            .fact(Fact::Change, "disabled");
        assert_eq!(one_event(&event), "directory changed, by me: shop@example.test: disabled");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let shown = [0, 999, 3240, 60_000, 65_000, 7_500_000, 100_000_000, -5].map(duration);
        assert_eq!(shown.join(", "), "0 ms, 999 ms, 3.2 s, 1 min, 1 min 5 s, 2 h 5 min, 1 d 3 h, 0 ms");
    }
}
