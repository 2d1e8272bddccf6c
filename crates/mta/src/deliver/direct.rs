//! Sends a letter of ours at once over a fixed route, outside of the queue: for notices that the queue could not deliver.
//!
//! RFC 5321 s.3.3. Invariant: neither the store nor a circuit breaker can stop it; what it sends is signed, and encrypted and logged in as the route says.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use mail::{Domain, Mailbox, QueueId};
use net::random_u32;
use store::{Claimed, ClaimedRecipient, Flow, Lease, NewMessage, RecipientKey};

use crate::deliver::connect::{TriedHosts, connect};
use crate::deliver::outbound::Outbound;
use crate::deliver::route::{Plan, fixed_plan};
use crate::deliver::transaction::deliver;
use crate::notify::letter::Letter;

/// Sends letters past the queue.
#[derive(Debug, Clone)]
pub struct DirectSender(pub(crate) Arc<Outbound>);

impl DirectSender {
    /// Sends a letter over the route to this host. Returns the host's reply.
    ///
    /// # Errors
    /// Why it was not accepted, in words.
    pub fn send<'a>(&'a self, host: &'a Domain, to: &'a Mailbox, subject: &'a str, text: &'a str) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(self.sent(host, to, subject, text))
    }

    async fn sent(&self, host: &Domain, to: &Mailbox, subject: &str, text: &str) -> Result<String, String> {
        let settings = self.0.shared().settings.load_full();
        let route = settings.delivery.routes.iter().find(|route| route.host == *host && route.maildir.is_none());
        let plan = fixed_plan(route.ok_or_else(|| format!("there is no [[route]] with host = \"{host}\""))?, Flow::Report);
        let id = QueueId::next(self.0.shared().clock.now_ms(), random_u32());
        let messages = Letter { id, to, subject, text }.messages(&self.0.outbox).await;
        if messages.is_empty() {
            return Err(format!("no alias has the address {to}, and no postmaster is configured"));
        }
        let mut replies = Vec::new();
        for new in messages {
            replies.push(self.one(&plan, new).await?);
        }
        Ok(replies.join("; "))
    }

    async fn one(&self, plan: &Plan, new: NewMessage) -> Result<String, String> {
        let NewMessage { message, content, recipients, .. } = new;
        let domain = recipients.first().map(|recipient| recipient.mailbox.domain.clone()).ok_or("it has no recipient")?;
        let mut connection = connect(&self.0.connector, plan, &domain, &mut TriedHosts::default()).await.map_err(|trouble| trouble.text)?;
        let claimed = |(index, recipient)| {
            let key = RecipientKey { message: message.id, index };
            ClaimedRecipient { key, recipient, attempts: 0 }
        };
        let recipients = (0..).zip(recipients).map(claimed).collect();
        let claimed = Claimed { message: message.clone(), content: Some(content.clone()), recipients, lease: Lease::default() };
        let attempt = deliver(&mut connection, &self.0.shared().store, &claimed, &content).await;
        let host = connection.host.clone();
        connection.close(attempt.reusable).await;
        match attempt.results.into_iter().next() {
            Some(Ok(delivered)) => Ok(format!("{host} said: {}", delivered.reply.to_string().trim_end())),
            Some(Err(trouble)) => Err(trouble.text),
            None => Err("an internal error".into()),
        }
    }
}
