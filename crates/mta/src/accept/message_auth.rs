//! Stage: authenticates a message: by its login, or by SPF, DKIM, DKIM2, DMARC, ARC and the client's reverse DNS.
//!
//! RFC 8601 s.2. Invariant: it gathers evidence and decides nothing; a message from an account needs no evidence; large content is in memory
//! only while its signatures are verified.

use bytes::Bytes;
use mail::evidence::Evidence;
use msgauth::{Authenticator, Input};
use store::StoreError;

use crate::accept::received::Received;
use crate::support::large_contents::{ContentOrigin, LargeContents, header};

/// The proof of a message's sender.
#[derive(Debug)]
pub(crate) enum Proof {
    /// The client logged in to this account.
    Login(String),
    /// A program of this local user submitted it.
    Local(String),
    /// From another server, with the evidence about it.
    Evidence(Box<Evidence>),
}

impl Proof {
    /// The evidence about mail of another server.
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Evidence(evidence) => Some(evidence),
            Self::Login(_) | Self::Local(_) => None,
        }
    }

    /// Whether an account or a local user sent it.
    pub fn is_submitted(&self) -> bool {
        matches!(self, Self::Login(_) | Self::Local(_))
    }
}

impl From<&Proof> for ContentOrigin {
    fn from(proof: &Proof) -> Self {
        if proof.is_submitted() { Self::Account } else { Self::Outside }
    }
}

/// A message with the proof of its sender.
#[derive(Debug)]
pub(crate) struct Authenticated {
    /// The message.
    pub received: Received,
    /// The proof.
    pub proof: Proof,
    /// Its header section.
    pub header: Bytes,
}

impl Authenticated {
    /// Returns a message that an account or a local user has sent, with that proof.
    pub async fn submitted(received: Received, proof: fn(String) -> Proof) -> Result<Self, StoreError> {
        let header = header(&received.content).await?;
        let proof = proof(received.facts.login.clone().unwrap_or_default());
        Ok(Self { received, proof, header })
    }
}

/// Gathers the evidence about a message from another server.
pub(crate) async fn authenticate(
    received: Received,
    authenticator: &Authenticator,
    room: &LargeContents,
) -> Result<Authenticated, StoreError> {
    let header = header(&received.content).await?;
    let facts = &received.facts;
    let sender = received.reverse_path.mailbox().map(ToString::to_string);
    let recipients = received.forward_paths();
    let input =
        Input { client: facts.client, hello: &facts.hello, reverse_path: sender.as_deref(), recipients: &recipients, message: &header };
    let whole = async { room.load(&received.content, ContentOrigin::Outside).await };
    let evidence = authenticator.evaluate_later(input, whole).await?;
    Ok(Authenticated { received, proof: Proof::Evidence(Box::new(evidence)), header })
}
