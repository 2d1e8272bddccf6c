//! Letters to the postmaster: what is held and waits for a decision, and what failed without anybody having been told.
//!
//! RFC 3834 s.5 (Auto-Submitted). Invariant: at most one an interval, and each failure and each held message stands in one of them; it is remembered
//! in the commit that queues the letter.

use std::fmt::Write as _;
use std::time::Duration;

use mail::{Mailbox, QueueId, rfc5322_date};
use net::random_u32;
use store::{StoreError, Unnoticed};

use crate::deliver::dsn::addressed;
use crate::queue::dispatch::{Dispatch, World};
use crate::support::panic_edge::caught;

/// How often it is looked whether there is something to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So many of each kind are told one by one.
const TOLD_MAX: u32 = 50;

/// Looks for ever.
pub(crate) async fn run(dispatch: Dispatch) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match caught(look(dispatch.world())).await {
            Some(Ok(true)) => dispatch.wake(),
            Some(Err(error)) => tracing::error!(%error, "the postmaster could not be told of held mail and failures; trying again"),
            Some(Ok(false)) | None => {}
        }
    }
}

/// Writes the letter that is due; true where there was one.
async fn look(world: &World) -> Result<bool, StoreError> {
    let settings = world.settings.load_full();
    let (Some(postmaster), true) = (&settings.postmaster, settings.forward.notice_s > 0) else { return Ok(false) };
    let unnoticed = world.store.unnoticed(TOLD_MAX).await?;
    let now_ms = world.clock.now_ms();
    // A time to come is one of a clock that was wrong.
    let is_due = now_ms < unnoticed.last_told_ms || now_ms - unnoticed.last_told_ms >= i64::from(settings.forward.notice_s) * 1000;
    if !is_due || unnoticed.failed_count + unnoticed.held_count == 0 {
        return Ok(false);
    }
    let id = QueueId::next(now_ms, random_u32());
    let Ok(from) = Mailbox::parse(&format!("postmaster@{}", settings.hostname)) else { return Ok(false) };
    let text = letter(&from, postmaster, id, now_ms / 1000, &unnoticed);
    let utf8 = !text.split("\r\n\r\n").next().unwrap_or_default().is_ascii();
    let messages = addressed(world, id, postmaster, text.into_bytes().into(), utf8).await;
    tracing::info!(%id, held = unnoticed.held_count, failed = unnoticed.failed_count, to = %postmaster, "the postmaster is told");
    world.store.notice(messages, unnoticed.up_to, now_ms).await?;
    Ok(true)
}

/// Writes to the postmaster of what the flow does not know of.
#[derive(Debug, Clone)]
pub struct Postmaster(pub(crate) Dispatch);

impl Postmaster {
    /// Queues a letter; false where there is no postmaster. Lines of the text end with LF.
    pub async fn tell(&self, subject: &str, text: &str) -> Result<bool, StoreError> {
        let world = self.0.world();
        let settings = world.settings.load_full();
        let Some(postmaster) = &settings.postmaster else { return Ok(false) };
        let Ok(from) = Mailbox::parse(&format!("postmaster@{}", settings.hostname)) else { return Ok(false) };
        let now_ms = world.clock.now_ms();
        let id = QueueId::next(now_ms, random_u32());
        let mut letter = head(&from, postmaster, id, now_ms / 1000, &one_line(subject));
        for line in text.lines() {
            let _ = write!(letter, "{}\r\n", one_line(line));
        }
        let utf8 = !letter.split("\r\n\r\n").next().unwrap_or_default().is_ascii();
        let messages = addressed(world, id, postmaster, letter.into_bytes().into(), utf8).await;
        tracing::info!(%id, subject, to = %postmaster, "the postmaster is told");
        world.store.commit(messages, 0).await?;
        self.0.wake();
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
    text.push_str("These messages are held until you have looked at them. On the server:\r\n\r\n  waypost held release ID            sends it on as it came\r\n  waypost held release ID --wrapped  sends it on within a message of the server\r\n  waypost held drop ID               removes it\r\n\r\n");
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
    text.push_str("These deliveries failed for good. Nothing vouched for their senders, so none of them was told.\r\n\r\n");
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

/// What strangers wrote adds no line of its own.
fn one_line(text: &str) -> String {
    mail::one_line_at_most(text, 900)
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::FailedDelivery;

    #[test]
    fn what_a_stranger_wrote_adds_no_line() {
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
