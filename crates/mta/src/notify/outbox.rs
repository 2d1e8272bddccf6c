//! Queues our own messages: DSNs, reports and letters, signed and with the null reverse-path.
//!
//! RFC 5321 s.4.5.5. Invariant: such a message requests no DSN; it is delivered like any mail to its address, and to the postmaster if no
//! alias has that.

use std::sync::Arc;

use bytes::Bytes;
use mail::dsn::ComposedDsn;
use mail::{Body, Domain, ForwardPath, Mailbox, Notify, QueueId, ReversePath};
use net::random_u32;
use policy::{AcceptedRecipient, Client, Rules};
use store::{Content, Flow, Message, NewMessage, NewRecipient, TlsWish};

use crate::context::{Shared, Snapshot};
use crate::support::dkim_signers::{OwnedEnvelope, Signing};
use crate::support::wake::Wake;

/// Makes and signs our own messages. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    pub shared: Shared,
    pub signing: Arc<Signing>,
    /// Wakes the dispatcher once a message is committed.
    pub wake: Wake,
}

impl Outbox {
    /// Makes the messages for an addressee: one, or one per target if the address is an alias of ours.
    pub async fn addressed(&self, id: QueueId, to: &Mailbox, bytes: Bytes, utf8: bool) -> Vec<NewMessage> {
        self.addressed_as(id, to, bytes, utf8, None).await
    }

    /// Makes a DSN about a message whose DKIM2 chain we continued: signed with DKIM2 by this domain, which the message came to.
    pub async fn addressed_in_chain(&self, id: QueueId, to: &Mailbox, dsn: ComposedDsn, domain: &Domain) -> Vec<NewMessage> {
        self.addressed_as(id, to, dsn.content.into(), dsn.utf8, Some(domain)).await
    }

    async fn addressed_as(&self, id: QueueId, to: &Mailbox, bytes: Bytes, utf8: bool, chain: Option<&Domain>) -> Vec<NewMessage> {
        let snapshot = self.shared.snapshot();
        let settings = &snapshot.settings;
        let now_ms = self.shared.clock.now_ms();
        let mut prefix = self.signing.sign(&snapshot.directory, &settings.forward.srs.domain, b"", &bytes).await;
        if let Some(domain) = chain {
            let envelope = OwnedEnvelope { from: String::new(), to: vec![to.to_string()] };
            let mut fields = self.signing.originate(&snapshot.directory, domain, &prefix, &bytes, envelope).await;
            fields.append(&mut prefix);
            prefix = fields;
        }
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

/// The recipients of a message of ours, each with its alias: the address itself, or the targets of an alias of ours.
fn addressees(snapshot: &Snapshot, to: &Mailbox, id: QueueId, now_unix_s: i64) -> Vec<(Mailbox, Option<Mailbox>)> {
    let Snapshot { settings, directory } = snapshot;
    if !directory.hosts(&to.domain) {
        // The postmaster reads the mail of local users.
        let is_local = to.domain == settings.hostname;
        return vec![(settings.postmaster.clone().filter(|_| is_local).unwrap_or_else(|| to.clone()), None)];
    }
    let server = Client { login: None };
    let rules = Rules { directory, postmaster: settings.postmaster.as_ref(), srs: &settings.forward.srs, now_unix_s };
    let targets_of = |path: &ForwardPath| match policy::decide_recipient(rules, server, &ReversePath::Null, path) {
        Ok(AcceptedRecipient::Alias { alias, targets }) => Some(targets.into_iter().map(|target| (target, Some(alias.clone()))).collect()),
        Ok(_) | Err(_) => None,
    };
    targets_of(&ForwardPath::Mailbox(to.clone())).unwrap_or_else(|| {
        // An account without an alias, for example.
        tracing::warn!(%id, %to, "no alias has this address; sending to the postmaster instead");
        targets_of(&ForwardPath::Postmaster).unwrap_or_else(|| {
            tracing::error!(%id, %to, "not sent: no alias has this address, and no postmaster is configured");
            Vec::new()
        })
    })
}
