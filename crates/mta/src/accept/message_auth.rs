//! Stage: what is known about who sent a message: a login, or what SPF, DKIM, DMARC, ARC and the address's name say.
//!
//! RFC 8601 s.2. Invariant: evidence is gathered, nothing is decided; a message from a logged-in client is not asked where it comes from; a large
//! content is in memory only while its signatures are computed.

use bytes::Bytes;
use mail::evidence::Evidence;
use msgauth::{Authenticator, Input};
use store::StoreError;

use crate::accept::received::Received;
use crate::support::large_contents::{LargeContents, Whose, header};

/// Who vouches for a message.
#[derive(Debug)]
pub(crate) enum Proof {
    /// The client logged in to this account.
    Login(String),
    /// A program of this user of the machine handed it over.
    Local(String),
    /// From another server, and what was found out about it.
    Evidence(Box<Evidence>),
}

impl Proof {
    /// Whether it comes from an account or a user of this machine.
    pub fn is_submitted(&self) -> bool {
        matches!(self, Self::Login(_) | Self::Local(_))
    }
}

impl From<&Proof> for Whose {
    fn from(proof: &Proof) -> Self {
        if proof.is_submitted() { Self::Account } else { Self::Stranger }
    }
}

/// A message with the proof of its sender.
#[derive(Debug)]
pub(crate) struct Authenticated {
    /// The message.
    pub received: Received,
    /// Who vouches for it.
    pub proof: Proof,
    /// Its header section.
    pub header: Bytes,
}

impl Authenticated {
    /// A message of the account or user that its session names.
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
    let input = Input { client: facts.client, hello: &facts.hello, reverse_path: sender.as_deref(), message: &header };
    let whole = async { room.load(&received.content, Whose::Stranger).await };
    let evidence = authenticator.evaluate_later(input, whole).await?;
    Ok(Authenticated { received, proof: Proof::Evidence(Box::new(evidence)), header })
}
