//! Stage: what is known about who sent a message.
//!
//! Today that is the login; SPF, DKIM, DMARC and ARC results join it here. Invariant: evidence is gathered, nothing
//! is decided.

use crate::received::Received;

/// A message with the evidence about its sender.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// The message.
    pub received: Received,
    /// The account whose password was given.
    pub login: Option<String>,
}

/// Gathers the evidence.
pub(crate) fn authenticate(received: Received) -> Evidence {
    Evidence { login: received.facts.login.clone(), received }
}
