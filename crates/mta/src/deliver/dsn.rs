//! Stage: makes the DSN about a message.
//!
//! RFC 3464, RFC 3461 s.6, RFC 5321 s.4.5.5 (null reverse-path), draft-ietf-dkim-dkim2-spec-08 s.16. Invariant: no DSN about a DSN, and none to an unauthenticated sender.

use events::{Event, EventKind, Fact};
use mail::dsn::{Dsn, DsnRecipient};
use mail::{Fields, Mailbox, QueueId, Ret, ReversePath};
use msgauth::is_chain_field;
use net::random_u32;
use store::{Content, Flow, Message, NewMessage, TlsWish};

use crate::notify::outbox::Outbox;

/// Makes the messages of a DSN: one, or one per target if the sender is an alias of ours.
pub(crate) async fn reports(
    outbox: &Outbox,
    message: &Message,
    content: Option<&Content>,
    recipients: Vec<DsnRecipient>,
) -> Vec<NewMessage> {
    let ReversePath::Mailbox(to) = &message.reverse_path else {
        tracing::info!(id = %message.id, "no DSN: the message has a null reverse-path");
        return Vec::new();
    };
    let settings = outbox.shared.settings.load();
    let now_ms = outbox.shared.clock.now_ms();
    let report_id = QueueId::next(now_ms, random_u32());
    // A DSN to the hop before ours in a DKIM2 chain: that hop accepts it from the domain that it sent the message to.
    let was_continued = Fields::new(&message.prefix).any(|field| is_chain_field(&field));
    let was_continued = was_continued && message.flow == Flow::Forward;
    let chain = recipients.first().filter(|_| was_continued).map(|first| first.recipient.domain.clone());
    let from = Mailbox::postmaster(chain.as_ref().unwrap_or(&settings.hostname));
    let front = content.map(|c| c.front().as_ref()).unwrap_or_default();
    let is_whole = content.is_some_and(|c| c.size_bytes() == front.len() as u64);
    let composed = Dsn {
        reporting: &settings.hostname,
        from: &from,
        to,
        queue_id: message.id,
        report_id,
        envid: message.envid.as_deref(),
        arrived_unix_s: message.arrived_ms / 1000,
        now_unix_s: now_ms / 1000,
        ret: if message.ret == Some(Ret::Full) && is_whole && message.tls != TlsWish::Required { Ret::Full } else { Ret::Headers },
        original: front,
        recipients: &recipients,
    }
    .compose();
    tracing::info!(id = %report_id, about = %message.id, %to, "{}", EventKind::DsnQueued.words());
    let messages = match &chain {
        Some(domain) => outbox.addressed_in_chain(report_id, to, composed, domain).await,
        None => outbox.addressed(report_id, to, composed.content.into(), composed.utf8).await,
    };
    outbox.shared.events.record_with(|| {
        let event =
            Event::new(EventKind::DsnQueued, now_ms).of_message(report_id).from("").to(to.to_string()).fact(Fact::About, message.id);
        let copies: Vec<String> = messages.iter().skip(1).map(|copy| copy.message.id.to_string()).collect();
        event.maybe(Fact::Copies, (!copies.is_empty()).then(|| copies.join(" ")))
    });
    messages
}
