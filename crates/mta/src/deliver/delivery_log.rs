//! Logs the outcome of each recipient, and records it as an event: the message, the recipient as its sender knows it, the target behind it, and the host's
//! reply.
//!
//! Log and history belong to the operator: nothing of them reaches a sender. Invariant: log line and event take their words from one [`EventKind`]; with
//! `log.targets = false` no log line of this file names the mailbox behind an alias, whatever its host replies.

use events::{Event, EventKind, Fact};
use mail::{Domain, one_line_at_most};
use policy::{Meaning, Trouble};
use store::{ClaimedRecipient, Message, NewRecipient};

use crate::context::Shared;
use crate::deliver::job::{AttemptMade, Job};
use crate::deliver::transaction::Delivered;
use crate::support::vouched::vouched;

/// Maximum characters of a host's reply in an event.
const REPLY_MAX_CHARS: usize = 1000;

/// One recipient of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tried<'a> {
    /// Its message.
    pub message: &'a Message,
    /// The recipient.
    pub recipient: &'a NewRecipient,
    /// The attempts before this one.
    pub attempts: u32,
    /// This attempt, if there was one.
    pub attempt: Option<AttemptMade>,
}

impl<'a> Tried<'a> {
    /// A recipient of a job.
    pub fn of(job: &'a Job, recipient: &'a ClaimedRecipient) -> Self {
        let ClaimedRecipient { recipient, attempts, .. } = recipient;
        Self { message: &job.claimed.message, recipient, attempts: *attempts, attempt: job.attempt }
    }

    /// The event of this recipient.
    fn event(&self, shared: &Shared, kind: EventKind) -> Event {
        let (message, now_ms) = (self.message, shared.clock.now_ms());
        let event = Event::new(kind, now_ms).of_message(message.id).from(message.reverse_path.to_bare());
        let event = named(event, self.recipient).fact(Fact::Flow, message.flow.as_str());
        let event = Event { client: self.attempt.and_then(|attempt| attempt.address), ..event };
        event.maybe(Fact::TookMs, self.attempt.map(|attempt| attempt.took_ms)).fact(Fact::AgeMs, now_ms - message.arrived_ms)
    }

    /// The event of an attempt that failed with this trouble.
    fn failed_event(&self, shared: &Shared, kind: EventKind, trouble: &Trouble) -> Event {
        with_trouble(self.event(shared, kind).fact(Fact::Attempt, self.attempts + 1), trouble)
    }
}

/// Names the recipient as its sender knows it, and the mailbox behind it.
pub(super) fn named(event: Event, recipient: &NewRecipient) -> Event {
    match &recipient.known_as {
        Some(alias) => event.to(alias.to_string()).target(recipient.mailbox.to_string()),
        None => event.to(recipient.mailbox.to_string()),
    }
}

/// Adds the host's reply, or the reason without one, and what it means.
fn with_trouble(event: Event, trouble: &Trouble) -> Event {
    let Trouble { said, meaning, text, enhanced, .. } = trouble;
    let event = match said {
        Some(said) => event.host(said.host.as_str()).reply(one_line_at_most(&said.reply.to_string(), REPLY_MAX_CHARS)),
        None => event,
    };
    // The usual text is `HOST said: REPLY`.
    let adds = said.as_ref().is_none_or(|said| !text.strip_prefix(said.host.as_str()).is_some_and(|rest| rest.starts_with(" said: ")));
    let event = event.reason(adds.then(|| one_line_at_most(text, REPLY_MAX_CHARS))).fact(Fact::Status, enhanced);
    match meaning {
        Some(meaning) => event.fact(Fact::Meaning, meaning.row).fact(Fact::Cause, meaning.cause).fact(Fact::NextStep, meaning.next_step),
        None => event,
    }
}

/// One recipient, as logged.
struct LogLine {
    to: String,
    alias: Option<String>,
    /// The hidden local part, and its mask.
    hidden: Option<(String, String)>,
}

impl LogLine {
    fn new(shared: &Shared, recipient: &NewRecipient) -> Self {
        let alias = recipient.known_as.as_ref().map(ToString::to_string);
        let to = recipient.mailbox.to_string();
        if alias.is_none() || shared.settings.load().log_targets {
            return Self { to, alias, hidden: None };
        }
        let (local, domain) = to.rsplit_once('@').unwrap_or((&to, ""));
        let masked = masked(local);
        Self { to: format!("{masked}@{domain}"), alias, hidden: Some((local.to_owned(), masked)) }
    }

    fn text_of(&self, trouble: &Trouble) -> String {
        let text = trouble.to_string();
        self.hidden.as_ref().map_or(text.clone(), |(local, masked)| replaced(&text, local, masked))
    }
}

/// Logs a delivery.
pub(crate) fn delivered(shared: &Shared, tried: Tried<'_>, delivered: &Delivered) {
    let (kind, message, line) = (EventKind::Delivered, tried.message, LogLine::new(shared, tried.recipient));
    let host_reply = delivered.reply.to_string();
    let masked = line.hidden.as_ref().map(|(local, masked)| replaced(&host_reply, local, masked));
    let reply = masked.as_ref().unwrap_or(&host_reply);
    let age_ms = shared.clock.now_ms() - message.arrived_ms;
    tracing::info!(id = %message.id, to = %line.to, alias = line.alias, host = %delivered.host, tls = delivered.tls, verified = delivered.verified, %reply, age_ms, "{}", kind.words());
    shared.events.record_with(|| accepted_event(shared, kind, &tried, delivered, &host_reply));
}

/// Logs a delivery of which its sender does not know: it got a temporary failure before.
pub(crate) fn delivered_late(shared: &Shared, tried: Tried<'_>, delivered: &Delivered) {
    let kind = EventKind::DeliveredLate;
    tracing::warn!(id = %tried.message.id, "{}", kind.words());
    shared.events.record_with(|| accepted_event(shared, kind, &tried, delivered, &delivered.reply.to_string()));
}

fn accepted_event(shared: &Shared, kind: EventKind, tried: &Tried<'_>, delivered: &Delivered, reply: &str) -> Event {
    let event = tried.event(shared, kind).host(delivered.host.as_str()).reply(one_line_at_most(reply, REPLY_MAX_CHARS));
    let event = event.fact(Fact::Attempt, tried.attempts + 1).maybe(Fact::Tls, delivered.tls.as_deref());
    event.maybe(Fact::Plaintext, delivered.plaintext.as_deref()).maybe(Fact::Verified, delivered.verified)
}

/// Logs a permanent failure.
pub(crate) fn failed(shared: &Shared, tried: Tried<'_>, trouble: &Trouble, reported: bool) {
    let (kind, line, attempts) = (EventKind::Failed, LogLine::new(shared, tried.recipient), tried.attempts + 1);
    let (meaning, cause) = (trouble.row().map(tracing::field::display), trouble.cause());
    tracing::warn!(id = %tried.message.id, to = %line.to, alias = line.alias, attempts, meaning, cause, trouble = %line.text_of(trouble), reported, "{}", kind.words());
    shared.events.record_with(|| tried.failed_event(shared, kind, trouble).fact(Fact::Reported, if reported { "yes" } else { "no" }));
}

/// Logs a deferral.
pub(crate) fn deferred(shared: &Shared, tried: Tried<'_>, trouble: &Trouble, wait_ms: i64) {
    let (id, line, again_in_s) = (tried.message.id, LogLine::new(shared, tried.recipient), wait_ms / 1000);
    if !trouble.was_attempted() {
        let kind = EventKind::HeldBack;
        tracing::info!(%id, to = %line.to, alias = line.alias, again_in_s, trouble = %line.text_of(trouble), "{}", kind.words());
        shared.events.record_with(|| with_trouble(tried.event(shared, kind), trouble).fact(Fact::RetryInS, again_in_s));
        return;
    }
    let kind = EventKind::Deferred;
    let (meaning, cause, attempts) = (trouble.row().map(tracing::field::display), trouble.cause(), tried.attempts + 1);
    tracing::info!(%id, to = %line.to, alias = line.alias, attempts, meaning, cause, again_in_s, trouble = %line.text_of(trouble), "{}", kind.words());
    shared.events.record_with(|| tried.failed_event(shared, kind, trouble).fact(Fact::RetryInS, again_in_s));
}

/// Logs a target's refusal during cut-through; the sender gets only a code.
pub(crate) fn not_taken(shared: &Shared, tried: Tried<'_>, trouble: &Trouble) {
    let (kind, line) = (EventKind::NotTaken, LogLine::new(shared, tried.recipient));
    let (meaning, cause) = (trouble.row().map(tracing::field::display), trouble.cause());
    tracing::info!(id = %tried.message.id, to = %line.to, alias = line.alias, meaning, cause, trouble = %line.text_of(trouble), "{}", kind.words());
    shared.events.record_with(|| tried.failed_event(shared, kind, trouble));
}

/// Records that a message was queued again, as `new`, with our address in its From field.
pub(crate) fn rewritten(shared: &Shared, tried: Tried<'_>, new: &Message) {
    shared.events.record_with(|| {
        let event = tried.event(shared, EventKind::Rewritten);
        let event = Event { queue_id: Some(new.id), ..event }.fact(Fact::About, tried.message.id);
        vouched([new.prefix.as_ref()], &[]).into_iter().fold(event, |event, (fact, value)| event.fact(fact, value))
    });
}

/// Logs that a message was not offered to its targets, since it is with them or on its way already.
pub(crate) fn known_already(shared: &Shared, kind: EventKind, message: &Message, recipients: &[NewRecipient]) {
    tracing::info!(id = %message.id, "{}", kind.words());
    for recipient in recipients {
        shared.events.record_with(|| Tried { message, recipient, attempts: 0, attempt: None }.event(shared, kind));
    }
}

/// Logs that the connection was lost after the whole message was sent: the host may have it.
pub(crate) fn in_doubt(shared: &Shared, job: &Job, host: &Domain) {
    let (kind, message) = (EventKind::InDoubt, &job.claimed.message);
    tracing::warn!(id = %message.id, %host, "{}", kind.words());
    shared.events.record_with(|| of_job(shared, kind, job).host(host.as_str()));
}

/// Logs that the content of a queued message cannot be read.
pub(crate) fn set_aside(shared: &Shared, job: &Job, reason: &str) {
    let (kind, message) = (EventKind::SetAside, &job.claimed.message);
    tracing::error!(id = %message.id, reason, "{}", kind.words());
    shared.events.record_with(|| of_job(shared, kind, job).reason(Some(reason)));
}

/// An event about all recipients of a job.
fn of_job(shared: &Shared, kind: EventKind, job: &Job) -> Event {
    let message = &job.claimed.message;
    let event = Event::new(kind, shared.clock.now_ms()).of_message(message.id).from(message.reverse_path.to_bare());
    job.claimed.recipients.iter().fold(event, |event, one| named(event, &one.recipient))
}

/// The fault of a mailbox, by the subject and detail of the code (RFC 3463 s.3.3).
fn fault_of_target(trouble: &Trouble) -> &'static str {
    match (trouble.enhanced.1, trouble.enhanced.2) {
        (2, 2) => "a target mailbox is full repeatedly",
        (2, 1) => "a target mailbox is disabled repeatedly",
        _ => "a target address is invalid repeatedly",
    }
}

/// Logs a mailbox that was full, disabled or invalid several times in a row.
pub(crate) fn invalid_target(shared: &Shared, recipient: &NewRecipient, meaning: &Meaning, times: u32, trouble: &Trouble) {
    let line = LogLine::new(shared, recipient);
    tracing::error!(
        target = %line.to,
        alias = line.alias,
        times,
        meaning = %meaning.row,
        cause = meaning.cause,
        next_step = meaning.next_step,
        "{}",
        fault_of_target(trouble)
    );
    shared.events.record_with(|| {
        let event = named(Event::new(EventKind::MailboxPaused, shared.clock.now_ms()), recipient);
        with_trouble(event, trouble).fact(Fact::Times, times)
    });
}

fn masked(local: &str) -> String {
    format!("{}***", local.chars().take(1).collect::<String>())
}

/// Replaces a word in the text, ignoring case.
fn replaced(text: &str, word: &str, by: &str) -> String {
    let (lower, word) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    if word.is_empty() {
        return text.to_owned();
    }
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    while let Some(at) = lower.get(from..).and_then(|rest| rest.find(&word)) {
        out.push_str(text.get(from..from + at).unwrap_or_default());
        out.push_str(by);
        from += at + word.len();
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_removes_the_local_part_everywhere() {
        let text = "mx.inbox.test said: 550 5.1.1 <Foo.Bar@inbox.test>: no foo.bar here";
        assert_eq!(replaced(text, "foo.bar", &masked("foo.bar")), "mx.inbox.test said: 550 5.1.1 <f***@inbox.test>: no f*** here");
        assert_eq!((masked("ü"), replaced("aXa", "x", ""), replaced("ä", "a", "b")), ("ü***".into(), "aa".into(), "ä".into()));
    }

    #[test]
    fn a_full_mailbox_is_not_called_invalid() {
        let fault = |code, enhanced| {
            fault_of_target(&Trouble::from_reply(
                &mail::Domain::parse("mx.far.test").unwrap(),
                &mail::Reply::new(code, enhanced, "no"),
                policy::Scope::Recipient,
            ))
        };
        assert!(fault(552, (5, 2, 2)).contains("is full") && fault(550, (5, 2, 1)).contains("is disabled"));
        assert!(fault(550, (5, 1, 1)).contains("invalid"));
    }
}
