//! Messages of our own: with the null reverse-path, signed, and addressed to whoever reads them.
//!
//! RFC 5321 s.4.5.5. Invariant: such a message asks for no report on itself; it goes where mail to its address goes, and where that is nowhere, to
//! the postmaster.

use std::sync::Arc;

use bytes::Bytes;
use mail::{Body, ForwardPath, Mailbox, Notify, QueueId, ReversePath};
use net::random_u32;
use policy::{AcceptedRecipient, Client, Rules};
use store::{Content, Flow, Message, NewMessage, NewRecipient, TlsWish};

use crate::context::{Shared, Snapshot};
use crate::support::dkim_signers::Signing;
use crate::support::wake::Wake;

/// What a message of ours is made with. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    pub shared: Shared,
    pub signing: Arc<Signing>,
    /// Wakes the dispatcher once a message is committed.
    pub wake: Wake,
}

impl Outbox {
    /// The messages that carry this content to an address: one, or one a target where that is an alias of ours.
    pub async fn addressed(&self, id: QueueId, to: &Mailbox, bytes: Bytes, utf8: bool) -> Vec<NewMessage> {
        let snapshot = self.shared.snapshot();
        let settings = &snapshot.settings;
        let now_ms = self.shared.clock.now_ms();
        let prefix = self.signing.sign(&snapshot.directory, &settings.forward.srs.domain, b"", &bytes).await;
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
        addressees(&snapshot, to, id, now_ms / 1000)
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
}

/// Where a message of ours goes, and the alias through which it goes there: a mailbox elsewhere, or the targets of an alias of ours.
fn addressees(snapshot: &Snapshot, to: &Mailbox, id: QueueId, now_unix_s: i64) -> Vec<(Mailbox, Option<Mailbox>)> {
    let Snapshot { settings, directory } = snapshot;
    if !directory.hosts(&to.domain) {
        // A user of this machine, whose mail the postmaster reads.
        let is_local = to.domain == settings.hostname;
        return vec![(settings.postmaster.clone().filter(|_| is_local).unwrap_or_else(|| to.clone()), None)];
    }
    let ourselves = Client { address: std::net::IpAddr::from([127, 0, 0, 1]), login: None };
    let rules = Rules { directory, postmaster: settings.postmaster.as_ref(), srs: &settings.forward.srs, now_unix_s };
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
