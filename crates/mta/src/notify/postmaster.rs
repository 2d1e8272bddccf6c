//! Messages to the postmaster about held mail and about failures for which no DSN was sent.
//!
//! RFC 3834 s.5 (Auto-Submitted). Invariant: at most one per interval, and each failure and each held message is reported once: the commit that
//! queues the message also marks them.

use std::fmt::Write as _;
use std::time::Duration;

use mail::{Mailbox, QueueId, rfc5322_date};
use net::random_u32;
use store::{StoreError, Unnoticed};

use crate::context::Shared;
use crate::notify::outbox::Outbox;
use crate::support::panic_edge::caught;

/// Polling interval.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Maximum number of messages of each kind that are listed.
const LISTED_MAX: u32 = 50;

/// Runs until shutdown.
pub(crate) async fn run(outbox: Outbox) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match caught(look(&outbox)).await {
            Some(Ok(true)) => outbox.wake.wake(),
            Some(Err(error)) => tracing::error!(%error, "the postmaster could not be notified of held mail and failures; trying again"),
            Some(Ok(false)) | None => {}
        }
    }
}

/// Queues the message that is due; true if there was one.
async fn look(outbox: &Outbox) -> Result<bool, StoreError> {
    let Shared { settings, store, clock, .. } = &outbox.shared;
    let settings = settings.load_full();
    let (Some(postmaster), true) = (&settings.postmaster, settings.forward.notice_s > 0) else { return Ok(false) };
    let unnoticed = store.unnoticed(LISTED_MAX).await?;
    let now_ms = clock.now_ms();
    // A time in the future comes from a clock that was wrong.
    let is_due = now_ms < unnoticed.last_told_ms || now_ms - unnoticed.last_told_ms >= i64::from(settings.forward.notice_s) * 1000;
    if !is_due || unnoticed.failed_count + unnoticed.held_count == 0 {
        return Ok(false);
    }
    let id = QueueId::next(now_ms, random_u32());
    let Ok(from) = Mailbox::parse(&format!("postmaster@{}", settings.hostname)) else { return Ok(false) };
    let text = letter(&from, postmaster, id, now_ms / 1000, &unnoticed);
    let utf8 = !text.split("\r\n\r\n").next().unwrap_or_default().is_ascii();
    let messages = outbox.addressed(id, postmaster, text.into_bytes().into(), utf8).await;
    tracing::info!(%id, held = unnoticed.held_count, failed = unnoticed.failed_count, to = %postmaster, "postmaster notified");
    store.notice(messages, unnoticed.up_to, now_ms).await?;
    Ok(true)
}

/// Sends messages to the postmaster on behalf of other parts of the server.
#[derive(Debug, Clone)]
pub struct Postmaster(pub(crate) Outbox);

impl Postmaster {
    /// Queues a message; false if no postmaster is configured. Lines of the text end with LF.
    pub async fn tell(&self, subject: &str, text: &str) -> Result<bool, StoreError> {
        let Outbox { shared: Shared { settings, store, clock, .. }, wake, .. } = &self.0;
        let settings = settings.load_full();
        let Some(postmaster) = &settings.postmaster else { return Ok(false) };
        let Ok(from) = Mailbox::parse(&format!("postmaster@{}", settings.hostname)) else { return Ok(false) };
        let now_ms = clock.now_ms();
        let id = QueueId::next(now_ms, random_u32());
        let mut letter = head(&from, postmaster, id, now_ms / 1000, &one_line(subject));
        for line in text.lines() {
            let _ = write!(letter, "{}\r\n", one_line(line));
        }
        let utf8 = !letter.split("\r\n\r\n").next().unwrap_or_default().is_ascii();
        let messages = self.0.addressed(id, postmaster, letter.into_bytes().into(), utf8).await;
        tracing::info!(%id, subject, to = %postmaster, "postmaster notified");
        store.commit(messages, 0).await?;
        wake.wake();
        Ok(true)
    }
}

fn head(from: &Mailbox, to: &Mailbox, id: QueueId, now_unix_s: i64, subject: &str) -> String {
    format!(
        "From: \"Waypost\" <{from}>\r\nTo: <{to}>\r\nSubject: Waypost: {subject}\r\nDate: {}\r\nMessage-ID: <{id}.notice@{}>\r\nAuto-Submitted: auto-generated\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        rfc5322_date(now_unix_s),
        from.domain,
    )
}

fn letter(from: &Mailbox, to: &Mailbox, id: QueueId, now_unix_s: i64, unnoticed: &Unnoticed) -> String {
    let Unnoticed { held_count, failed_count, .. } = unnoticed;
    let subject = match (held_count, failed_count) {
        (held, 0) => format!("{held} messages are held"),
        (0, failed) => format!("{failed} deliveries failed"),
        (held, failed) => format!("{held} messages are held, {failed} deliveries failed"),
    };
    let mut text = head(from, to, id, now_unix_s, &subject);
    write_held(&mut text, unnoticed);
    write_failed(&mut text, unnoticed);
    text
}

fn write_held(text: &mut String, unnoticed: &Unnoticed) {
    if unnoticed.held_count == 0 {
        return;
    }
    text.push_str("These messages are held until you decide about them. On the server:\r\n\r\n  waypost held release ID            forwards the message unchanged\r\n  waypost held release ID --wrapped  forwards it inside a message of the server\r\n  waypost held drop ID               deletes it\r\n\r\n");
    for message in &unnoticed.held {
        let recipient = message.recipients.first();
        let to = recipient.map(|r| r.known_as.as_ref().unwrap_or(&r.mailbox).as_str()).unwrap_or_default();
        let why = recipient.and_then(|r| r.reason.as_deref()).unwrap_or_default();
        let _ =
            write!(text, "{}  from {} for {}\r\n    {}\r\n", message.message.id, message.message.reverse_path, one_line(to), one_line(why));
    }
    more(text, unnoticed.held_count, unnoticed.held.len(), "waypost held list");
}

fn write_failed(text: &mut String, unnoticed: &Unnoticed) {
    if unnoticed.failed_count == 0 {
        return;
    }
    text.push_str("These deliveries failed permanently. Their senders were not authenticated, so no DSN was sent.\r\n\r\n");
    for failed in &unnoticed.failed {
        let (from, to, target) = (one_line(&failed.from), one_line(&failed.to), one_line(&failed.target));
        let _ = write!(text, "{}  from <{from}> for {to}, which leads to {target}\r\n    {}\r\n", failed.message, one_line(&failed.reason));
    }
    more(text, unnoticed.failed_count, unnoticed.failed.len(), "waypost failed");
}

fn more(text: &mut String, count: u64, told: usize, command: &str) {
    let rest = count.saturating_sub(told as u64);
    if rest > 0 {
        let _ = write!(text, "and {rest} more: {command}\r\n");
    }
    text.push_str("\r\n");
}

/// Text of a sender or of another server must not add lines.
fn one_line(text: &str) -> String {
    mail::one_line_at_most(text, 900)
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::FailedDelivery;

    #[test]
    fn text_of_a_sender_adds_no_line() {
        let mailbox = |text: &str| Mailbox::parse(text).unwrap();
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
        let text = letter(&mailbox("postmaster@mx.example.test"), &mailbox("me@example.test"), QueueId(2), 0, &unnoticed);
        assert!(text.contains("Subject: Waypost: 60 deliveries failed\r\n"), "{text}");
        assert!(text.contains("    550 no    Bcc: x\r\nand 59 more: waypost failed\r\n"), "{text}");
        assert!(!text.contains("held release"));
    }
}
