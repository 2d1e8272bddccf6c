//! What a session hands on at the end of DATA.
//!
//! Invariant: a `Received` is complete, its content is on disk where it is large, and nobody has been told 250 yet.

use std::net::IpAddr;

use mail::{MailParameters, QueueId, Recipient, ReversePath};
use policy::AcceptedRecipient;
use store::Content;

/// What is known of the session that brought a message.
#[derive(Debug, Clone)]
pub(crate) struct SessionFacts {
    /// The client's address.
    pub client: IpAddr,
    /// What it called itself.
    pub hello: String,
    /// Whether it said EHLO.
    pub extended: bool,
    /// TLS version and suite.
    pub tls: Option<String>,
    /// The account, where it logged in; the user of this machine, where it is `local`.
    pub login: Option<String>,
    /// Whether it came from a program on this machine.
    pub local: bool,
}

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Received {
    /// Its queue id.
    pub id: QueueId,
    /// When it was complete, Unix milliseconds.
    pub at_ms: i64,
    /// Who brought it.
    pub facts: SessionFacts,
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// What MAIL said besides.
    pub parameters: MailParameters,
    /// Who it is for, and what that means here.
    pub recipients: Vec<(Recipient, AcceptedRecipient)>,
    /// The content.
    pub content: Content,
}
