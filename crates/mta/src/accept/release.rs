//! Releases held mail, unchanged or wrapped in a message of ours.
//!
//! RFC 2046 s.5.2.1. Invariant: the wrapped form replaces the held one in one commit, so that the mail exists exactly once.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use mail::{Body, Mailbox, QueueId, ReversePath};
use net::{Clock, random_u32};
use store::{ListFilter, Message, NewMessage, NewRecipient, Store, StoreError};

use crate::accept::wrapped::wrapped;
use crate::context::{Shared, Snapshot};
use crate::settings::LiveSettings;
use crate::support::directory_cache::LiveDirectory;
use crate::support::dkim_signers::Signing;
use crate::support::large_contents::{ContentOrigin, LargeContents};

/// Releases held mail.
#[derive(Debug)]
pub struct Releaser {
    shared: Shared,
    signing: Signing,
}

impl Releaser {
    /// Creates a releaser for this store.
    pub fn new(settings: LiveSettings, store: Store, directory: Arc<LiveDirectory>, clock: Clock) -> Self {
        Self { shared: Shared { settings, store, clock, directory, events: events::Events::default() }, signing: Signing::default() }
    }

    /// Releases a held message. Returns the queue ID under which it leaves: another one if it is wrapped.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if no such message is held.
    pub fn release(&self, id: QueueId, as_wrapped: bool) -> BoxFuture<'_, Result<QueueId, StoreError>> {
        Box::pin(self.released(id, as_wrapped))
    }

    async fn released(&self, id: QueueId, as_wrapped: bool) -> Result<QueueId, StoreError> {
        let now_ms = self.shared.clock.now_ms();
        let expires_ms = self.shared.settings.load().schedule.expires_ms(now_ms);
        if !as_wrapped {
            return self.shared.store.release(id, now_ms, expires_ms).await.map(|()| id);
        }
        let filter = ListFilter { only: Some(id), limit: 1, held: Some(true), ..ListFilter::default() };
        let not_found = || StoreError::NotFound(format!("no message {id} is held; `waypost held list` shows what is"));
        let held = self.shared.store.list(filter).await?.pop().ok_or_else(not_found)?;
        let recipient = held.recipients.first().ok_or_else(not_found)?;
        let parse = |text: &str| Mailbox::parse(text).map_err(|e| StoreError::Corrupt(format!("{e}: {text:?}")));
        let target = parse(&recipient.mailbox)?;
        let alias = recipient.known_as.as_deref().map(parse).transpose()?;
        let new = self.wrap(held.message, target, alias, expires_ms).await?;
        let leaves_as = new.message.id;
        self.shared.store.replace(id, new).await.map(|()| leaves_as)
    }

    async fn wrap(&self, message: Message, target: Mailbox, alias: Option<Mailbox>, expires_ms: i64) -> Result<NewMessage, StoreError> {
        let Snapshot { settings, directory } = self.shared.snapshot();
        let now_ms = self.shared.clock.now_ms();
        let room = LargeContents::default();
        let content = self.shared.store.content(message.id).await?;
        let whole = room.load(&content, ContentOrigin::Account).await?;
        let domain = &settings.forward.srs.domain;
        let from = Mailbox::postmaster(domain);
        let known_as = alias.clone().unwrap_or_else(|| target.clone());
        let bytes = wrapped(&whole.bytes, message.id, Some(&known_as), &from, &settings.hostname, now_ms / 1000);
        let prefix = self.signing.sign(&directory, domain, b"", &bytes).await;
        let id = QueueId::next(now_ms, random_u32());
        let is_8bit = !bytes.is_ascii();
        let content = self.shared.store.put(id, &bytes).await?;
        Ok(NewMessage {
            message: Message {
                id,
                rewritten_path: Some(ReversePath::Mailbox(from)),
                mendable: false,
                body: if is_8bit { Body::EightBit } else { Body::SevenBit },
                expires_ms,
                prefix: prefix.into(),
                ..message
            },
            content,
            recipients: vec![NewRecipient { mailbox: target, notify: mail::Notify::default(), orcpt: None, known_as: alias }],
            claimed: false,
            held: None,
        })
    }
}
