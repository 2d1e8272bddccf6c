//! Stage: what is known about who sent a message: a login, or what SPF, DKIM, DMARC, ARC and the address's name say.
//!
//! RFC 8601 s.2. Invariant: evidence is gathered, nothing is decided; a message from a logged-in client is not asked where it comes from.

use bytes::{Bytes, BytesMut};
use mail::evidence::Evidence;
use msgauth::{Authenticator, Input};
use store::{Content, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::received::Received;

/// Large contents that are in memory as a whole at a time.
const LARGE_AT_ONCE: usize = 4;

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
pub(crate) struct Authenticated<'a> {
    /// The message.
    pub received: Received,
    /// Who vouches for it.
    pub proof: Proof,
    /// Its content in memory.
    pub whole: Whole<'a>,
}

/// A content in memory, as a whole; large ones are counted.
#[derive(Debug)]
pub(crate) struct Whole<'a> {
    /// All its octets.
    pub bytes: Bytes,
    _place: Option<SemaphorePermit<'a>>,
}

/// Room for large contents in memory.
#[derive(Debug)]
pub(crate) struct LargeContents(Semaphore);

impl Default for LargeContents {
    fn default() -> Self {
        Self(Semaphore::new(LARGE_AT_ONCE))
    }
}

impl LargeContents {
    /// Brings a content into memory.
    pub async fn load(&self, content: &Content) -> Result<Whole<'_>, StoreError> {
        if content.front().len() as u64 == content.size_bytes() {
            return Ok(Whole { bytes: content.front().clone(), _place: None });
        }
        // An error says that the semaphore was closed, which nobody does.
        let place = self.0.acquire().await.ok();
        let mut bytes = BytesMut::with_capacity(usize::try_from(content.size_bytes()).unwrap_or(0));
        let mut reader = content.read().await?;
        while let Some(piece) = reader.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(Whole { bytes: bytes.freeze(), _place: place })
    }
}

/// Gathers the evidence.
pub(crate) async fn authenticate<'a>(
    received: Received,
    authenticator: &Authenticator,
    room: &'a LargeContents,
) -> Result<Authenticated<'a>, (Box<Received>, StoreError)> {
    let whole = match room.load(&received.content).await {
        Ok(whole) => whole,
        Err(error) => return Err((Box::new(received), error)),
    };
    let facts = &received.facts;
    let proof = match &facts.login {
        Some(login) => Proof::Login(login.clone()),
        None => {
            let sender = received.reverse_path.mailbox().map(ToString::to_string);
            let input = Input { client: facts.client, hello: &facts.hello, reverse_path: sender.as_deref(), message: &whole.bytes };
            Proof::Evidence(Box::new(authenticator.evaluate(input).await))
        }
    };
    Ok(Authenticated { received, proof, whole })
}
