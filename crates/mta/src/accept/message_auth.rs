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
    /// The password of this account was given, or this user of the machine wrote it.
    Login(String),
    /// Nobody logged in; this was found out.
    Evidence(Box<Evidence>),
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

/// Gathers the evidence.
pub(crate) async fn authenticate(
    received: Received,
    authenticator: &Authenticator,
    room: &LargeContents,
) -> Result<Authenticated, StoreError> {
    let header = header(&received.content).await?;
    let facts = &received.facts;
    let proof = match &facts.login {
        Some(login) => Proof::Login(login.clone()),
        None => {
            let sender = received.reverse_path.mailbox().map(ToString::to_string);
            let input = Input { client: facts.client, hello: &facts.hello, reverse_path: sender.as_deref(), message: &header };
            let whole = async { room.load(&received.content, Whose::Stranger).await };
            Proof::Evidence(Box::new(authenticator.evaluate_later(input, whole).await?))
        }
    };
    Ok(Authenticated { received, proof, header })
}
