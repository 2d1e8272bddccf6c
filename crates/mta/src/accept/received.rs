//! A message as it was received, at the end of DATA.
//!
//! Invariant: a `Received` is complete, large content is on disk, and the client has not got its 250 yet.

use std::net::IpAddr;

use mail::{MailParameters, QueueId, Recipient, ReversePath};
use policy::AcceptedRecipient;
use store::Content;

use crate::settings::ListenerKind;

/// The session in which a message was received.
#[derive(Debug, Clone)]
pub(crate) struct SessionFacts {
    /// The listener; `None` for a program on this host.
    pub listener: Option<ListenerKind>,
    /// The client's address.
    pub client: IpAddr,
    /// Its name in HELO or EHLO.
    pub hello: String,
    /// Whether it used EHLO.
    pub extended: bool,
    /// TLS version and suite.
    pub tls: Option<String>,
    /// The account that logged in; the local user, if `local`.
    pub login: Option<String>,
    /// Whether a program on this host submitted it.
    pub local: bool,
}

/// A complete message, as the client sent it.
#[derive(Debug)]
pub(crate) struct Received {
    /// Its queue ID.
    pub id: QueueId,
    /// When it was complete, in Unix milliseconds.
    pub at_ms: i64,
    /// The session.
    pub facts: SessionFacts,
    /// Where DSNs go.
    pub reverse_path: ReversePath,
    /// The other parameters of MAIL.
    pub parameters: MailParameters,
    /// The recipients, each with policy's decision.
    pub recipients: Vec<(Recipient, AcceptedRecipient)>,
    /// The content.
    pub content: Content,
}

impl Received {
    /// The forward-paths of RCPT, without brackets.
    pub fn forward_paths(&self) -> Vec<String> {
        self.recipients.iter().map(|(recipient, _)| recipient.forward_path.to_bare()).collect()
    }
}
