//! Stage: the report about a message, on its way back to the sender as a message of its own.
//!
//! RFC 3464, RFC 3461 s.6, RFC 5321 s.4.5.5 (null reverse-path). Invariant: there is never a report on a report, and none to a sender that nothing
//! vouched for.

use bytes::Bytes;
use mail::report::{RecipientReport, Report};
use mail::{Body, ForwardPath, Mailbox, Notify, QueueId, Ret, ReversePath};
use net::random_u32;
use policy::{AcceptedRecipient, Client, Rules};
use store::{Content, Flow, Message, NewMessage, NewRecipient, TlsWish};

use crate::queue::dispatch::World;

/// Makes the messages that carry a report: one, or one a target where the sender is an alias of ours.
pub(crate) async fn reports(
    world: &World,
    message: &Message,
    content: Option<&Content>,
    recipients: Vec<RecipientReport>,
) -> Vec<NewMessage> {
    let ReversePath::Mailbox(to) = &message.reverse_path else {
        tracing::info!(id = %message.id, "no report: the message has a null reverse-path");
        return Vec::new();
    };
    let settings = world.settings.load();
    let now_ms = world.clock.now_ms();
    let report_id = QueueId::next(now_ms, random_u32());
    let Ok(from) = Mailbox::parse(&format!("postmaster@{}", settings.hostname)) else { return Vec::new() };
    let front = content.map(|c| c.front().as_ref()).unwrap_or_default();
    let is_whole = content.is_some_and(|c| c.size_bytes() == front.len() as u64);
    let composed = Report {
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
    tracing::info!(id = %report_id, about = %message.id, %to, "report queued");
    addressed(world, report_id, to, composed.content.into(), composed.utf8).await
}

/// A message of our own, with the null reverse-path and our signature, to somebody: one, or one a target where that is an alias of ours.
pub(crate) async fn addressed(world: &World, id: QueueId, to: &Mailbox, bytes: Bytes, utf8: bool) -> Vec<NewMessage> {
    let settings = world.settings.load_full();
    let now_ms = world.clock.now_ms();
    let prefix = world.signing.sign(&world.live.current(), &settings.forward.srs.domain, b"", &bytes).await;
    let facts = Message {
        id,
        flow: Flow::Report,
        reverse_path: ReversePath::Null,
        rewritten_path: None,
        may_report: true,
        mendable: false,
        body: if bytes.is_ascii() { Body::SevenBit } else { Body::EightBit },
        smtputf8: utf8,
        ret: None,
        envid: None,
        tls: TlsWish::AsPublished,
        arrived_ms: now_ms,
        expires_ms: settings.schedule.expires_ms(now_ms),
        delay_reported: false,
        prefix: prefix.into(),
    };
    let content = Content::memory(id, bytes);
    addressees(world, to, id)
        .into_iter()
        .enumerate()
        .map(|(n, (mailbox, known_as))| NewMessage {
            message: Message { id: if n == 0 { id } else { QueueId::next(now_ms, random_u32()) }, ..facts.clone() },
            content: content.clone(),
            recipients: vec![NewRecipient { mailbox, notify: Notify { never: true, ..Notify::default() }, orcpt: None, known_as }],
            claimed: false,
            held: None,
        })
        .collect()
}

/// Where a message of ours goes, and the alias through which it goes there: a mailbox elsewhere, or the targets of an alias of ours.
fn addressees(world: &World, to: &Mailbox, id: QueueId) -> Vec<(Mailbox, Option<Mailbox>)> {
    let directory = world.live.current();
    let settings = world.settings.load();
    if !directory.hosts(&to.domain) {
        // A user of this machine, whose mail the postmaster reads.
        let is_local = to.domain == settings.hostname;
        return vec![(settings.postmaster.clone().filter(|_| is_local).unwrap_or_else(|| to.clone()), None)];
    }
    let ourselves = Client { address: std::net::IpAddr::from([127, 0, 0, 1]), login: None };
    let rules = Rules {
        directory: &directory,
        postmaster: settings.postmaster.as_ref(),
        srs: &settings.forward.srs,
        now_unix_s: world.clock.now_s(),
    };
    let leads_to = |path: &ForwardPath| match policy::decide_recipient(rules, ourselves, &ReversePath::Null, path) {
        Ok(AcceptedRecipient::Alias { alias, targets }) => Some(targets.into_iter().map(|target| (target, Some(alias.clone()))).collect()),
        Ok(_) | Err(_) => None,
    };
    leads_to(&ForwardPath::Mailbox(to.clone())).unwrap_or_else(|| {
        // An account without an alias, say: somebody must learn of it.
        tracing::warn!(%id, %to, "no alias has this address: the message goes to the postmaster instead");
        leads_to(&ForwardPath::Postmaster).unwrap_or_else(|| {
            tracing::error!(%id, %to, "not sent: the address leads nowhere here, and no postmaster is configured");
            Vec::new()
        })
    })
}
