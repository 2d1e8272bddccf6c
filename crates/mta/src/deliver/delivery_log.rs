//! Logs each recipient: the message, the recipient as its sender knows it, the target behind it, and the host's reply.
//!
//! The log belongs to the operator: nothing of it reaches a sender. Invariant: with `log.targets = false` no line of this file names the
//! mailbox behind an alias, whatever its host replies.

use policy::{Meaning, Trouble};
use store::{ClaimedRecipient, Message, NewRecipient};

use crate::context::Shared;
use crate::deliver::transaction::Delivered;

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
pub(crate) fn delivered(shared: &Shared, message: &Message, recipient: &NewRecipient, delivered: &Delivered) {
    let line = LogLine::new(shared, recipient);
    let reply = delivered.reply.to_string();
    let reply = line.hidden.as_ref().map_or(reply.clone(), |(local, masked)| replaced(&reply, local, masked));
    let age_ms = shared.clock.now_ms() - message.arrived_ms;
    tracing::info!(id = %message.id, to = %line.to, alias = line.alias, host = %delivered.host, tls = delivered.tls, verified = delivered.verified, %reply, age_ms, "delivered");
}

/// Logs a permanent failure.
pub(crate) fn failed(shared: &Shared, message: &Message, recipient: &ClaimedRecipient, trouble: &Trouble, reported: bool) {
    let (line, attempts) = (LogLine::new(shared, &recipient.recipient), recipient.attempts + 1);
    let (meaning, cause) = (trouble.row().map(tracing::field::display), trouble.cause());
    tracing::warn!(id = %message.id, to = %line.to, alias = line.alias, attempts, meaning, cause, trouble = %line.text_of(trouble), reported, "failed");
}

/// Logs a deferral.
pub(crate) fn deferred(shared: &Shared, message: &Message, recipient: &ClaimedRecipient, trouble: &Trouble, wait_ms: i64) {
    let (line, again_in_s) = (LogLine::new(shared, &recipient.recipient), wait_ms / 1000);
    if !trouble.was_attempted() {
        tracing::info!(id = %message.id, to = %line.to, alias = line.alias, again_in_s, trouble = %line.text_of(trouble), "held back");
        return;
    }
    let (meaning, cause, attempts) = (trouble.row().map(tracing::field::display), trouble.cause(), recipient.attempts + 1);
    tracing::info!(id = %message.id, to = %line.to, alias = line.alias, attempts, meaning, cause, again_in_s, trouble = %line.text_of(trouble), "deferred");
}

/// Logs a target's refusal during cut-through; the sender gets only a code.
pub(crate) fn not_taken(shared: &Shared, message: &Message, recipient: &NewRecipient, trouble: &Trouble) {
    let line = LogLine::new(shared, recipient);
    let (meaning, cause) = (trouble.row().map(tracing::field::display), trouble.cause());
    tracing::info!(id = %message.id, to = %line.to, alias = line.alias, meaning, cause, trouble = %line.text_of(trouble), "not accepted while the sender waited");
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
