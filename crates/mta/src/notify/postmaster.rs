//! Messages to the postmaster about held mail and about failures for which no DSN was sent.
//!
//! RFC 3834 s.5 (Auto-Submitted). Invariant: at most one per interval, and each failure and each held message is reported once: the commit that
//! queues the message also marks them.

use std::fmt::Write as _;
use std::time::Duration;

use events::{Event, EventKind, Fact};
use futures_util::future::BoxFuture;
use mail::{Mailbox, QueueId};
use net::random_u32;
use store::{Duty, StoreError, Unnoticed};

use crate::context::Shared;
use crate::notify::letter::{Letter, one_line};
use crate::notify::outbox::Outbox;
use crate::support::panic_edge::caught;

/// Polling interval.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Time for which a node keeps the duty of sending notices.
const DUTY_FOR: Duration = Duration::from_secs(60);

/// Maximum number of messages of each kind that are listed.
const LISTED_MAX: u32 = 50;

/// Runs until shutdown.
pub(crate) async fn run(outbox: Outbox) {
    loop {
        tokio::time::sleep(POLL_EVERY).await;
        match caught(notify_if_due(&outbox)).await {
            Some(Ok(true)) => outbox.wake.wake(),
            Some(Err(error)) => not_notified(&outbox.shared, "held mail and failures", &error),
            Some(Ok(false)) | None => {}
        }
    }
}

/// Queues the message that is due; true if there was one.
async fn notify_if_due(outbox: &Outbox) -> Result<bool, StoreError> {
    let Shared { settings, store, clock, .. } = &outbox.shared;
    let settings = settings.load_full();
    let (Some(postmaster), true) = (&settings.postmaster, settings.forward.notice_s > 0) else { return Ok(false) };
    if !store.take_duty(Duty::Notices, DUTY_FOR).await? {
        return Ok(false);
    }
    let unnoticed = store.unnoticed(LISTED_MAX).await?;
    let now_ms = clock.now_ms();
    // A time in the future comes from a clock that was wrong.
    let is_due = now_ms < unnoticed.last_told_ms || now_ms - unnoticed.last_told_ms >= i64::from(settings.forward.notice_s) * 1000;
    if !is_due || unnoticed.failed_count + unnoticed.held_count == 0 {
        return Ok(false);
    }
    let id = QueueId::next(now_ms, random_u32());
    let letter = Letter { id, to: postmaster, subject: &subject(&unnoticed), text: &text(&unnoticed) };
    let messages = letter.messages(outbox).await;
    tracing::info!(%id, held = unnoticed.held_count, failed = unnoticed.failed_count, to = %postmaster, "{}", EventKind::Notified.words());
    store.notice(messages, unnoticed.up_to, now_ms).await?;
    record_notified(&outbox.shared, id, postmaster, &subject(&unnoticed));
    Ok(true)
}

/// Sends messages to the postmaster on behalf of other parts of the server.
#[derive(Debug, Clone)]
pub struct Postmaster(pub(crate) Outbox);

impl Postmaster {
    /// Queues a message; false if no postmaster is configured. Lines of the text end with LF.
    pub fn notify<'a>(&'a self, subject: &'a str, text: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.notified(subject, text))
    }

    async fn notified(&self, subject: &str, text: &str) -> Result<bool, StoreError> {
        let Outbox { shared: Shared { settings, store, clock, .. }, wake, .. } = &self.0;
        let settings = settings.load_full();
        let Some(postmaster) = &settings.postmaster else { return Ok(false) };
        let id = QueueId::next(clock.now_ms(), random_u32());
        let messages = Letter { id, to: postmaster, subject, text }.messages(&self.0).await;
        tracing::info!(%id, subject, to = %postmaster, "{}", EventKind::Notified.words());
        store.commit(messages, 0).await?;
        record_notified(&self.0.shared, id, postmaster, subject);
        wake.wake();
        Ok(true)
    }
}

/// Logs that the postmaster was not notified of this.
pub(super) fn not_notified(shared: &Shared, of: &str, error: &StoreError) {
    let kind = EventKind::NotNotified;
    tracing::error!(%error, "{} of {of}; trying again", kind.words());
    shared.events.record_with(|| Event::new(kind, shared.clock.now_ms()).fact(Fact::What, of).reason(Some(error.to_string())));
}

fn record_notified(shared: &Shared, id: QueueId, to: &Mailbox, subject: &str) {
    let event = || Event::new(EventKind::Notified, shared.clock.now_ms()).of_message(id).from("").to(to.to_string());
    shared.events.record_with(|| event().fact(Fact::What, one_line(subject)));
}

fn subject(unnoticed: &Unnoticed) -> String {
    match (unnoticed.held_count, unnoticed.failed_count) {
        (held, 0) => format!("{held} messages are held"),
        (0, failed) => format!("{failed} deliveries failed"),
        (held, failed) => format!("{held} messages are held, {failed} deliveries failed"),
    }
}

fn text(unnoticed: &Unnoticed) -> String {
    let mut text = String::new();
    write_held(&mut text, unnoticed);
    write_failed(&mut text, unnoticed);
    text
}

fn write_held(text: &mut String, unnoticed: &Unnoticed) {
    if unnoticed.held_count == 0 {
        return;
    }
    text.push_str(
        "These messages are held until you decide about them. On the server:\n\n  waypost held release ID            forwards the message unchanged\n  \
         waypost held release ID --wrapped  forwards it inside a message of the server\n  waypost held drop ID               deletes it\n\n",
    );
    for message in &unnoticed.held {
        let recipient = message.recipients.first();
        let to = recipient.map(|r| r.known_as.as_ref().unwrap_or(&r.mailbox).as_str()).unwrap_or_default();
        let why = recipient.and_then(|r| r.reason.as_deref()).unwrap_or_default();
        let _ = write!(text, "{}  from {} for {}\n    {}\n", message.message.id, message.message.reverse_path, one_line(to), one_line(why));
    }
    write_rest(text, unnoticed.held_count, unnoticed.held.len(), "waypost held list");
}

fn write_failed(text: &mut String, unnoticed: &Unnoticed) {
    if unnoticed.failed_count == 0 {
        return;
    }
    text.push_str("These deliveries failed permanently. Their senders were not authenticated, so no DSN was sent.\n\n");
    for failed in &unnoticed.failed {
        let (from, to, target) = (one_line(&failed.from), one_line(&failed.to), one_line(&failed.target));
        let _ = write!(text, "{}  from <{from}> for {to}, which leads to {target}\n    {}\n", failed.message, one_line(&failed.reason));
    }
    write_rest(text, unnoticed.failed_count, unnoticed.failed.len(), "waypost failed");
}

fn write_rest(text: &mut String, count: u64, listed: usize, command: &str) {
    let rest = count.saturating_sub(listed as u64);
    if rest > 0 {
        let _ = writeln!(text, "and {rest} more: {command}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::FailedDelivery;

    #[test]
    fn text_of_a_sender_adds_no_line() {
        let failed = FailedDelivery {
            message: QueueId(1),
            at_ms: 0,
            from: "her@foreign.test".into(),
            to: "me@example.test".into(),
            target: "foo@inbox.test".into(),
            status: "5.1.1".into(),
            reason: "550 no\r\n\r\nBcc: x".into(),
        };
        let unnoticed = Unnoticed { failed_count: 60, failed: vec![failed], ..Unnoticed::default() };
        assert_eq!(subject(&unnoticed), "60 deliveries failed");
        let text = text(&unnoticed);
        assert!(text.contains("    550 no    Bcc: x\nand 59 more: waypost failed\n"), "{text}");
        assert!(!text.contains("held release"));
    }
}
