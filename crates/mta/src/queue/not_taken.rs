//! Why a message was not taken.
//!
//! RFC 5321 s.4.2.5. Invariant: every stage fails with this error, and the client's reply depends on it alone.

use mail::Reply;
use store::StoreError;

/// Why a message was not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// A stage refused it, with this reply.
    Refused(Reply),
    /// The store failed.
    Store(StoreError),
}

impl From<Reply> for NotTaken {
    fn from(reply: Reply) -> Self {
        Self::Refused(reply)
    }
}

impl From<StoreError> for NotTaken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl NotTaken {
    /// Whether it is final: a 5xx.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused(reply) if reply.code >= 500)
    }

    /// The reply to the client.
    pub fn into_reply(self) -> Reply {
        match self {
            Self::Refused(reply) => reply,
            Self::Store(error) => reply_to_store_error(&error),
        }
    }
}

/// The reply to a client when the store fails.
pub(crate) fn reply_to_store_error(error: &StoreError) -> Reply {
    match error {
        StoreError::Full => Reply::new(452, (4, 3, 1), "the server's disk is full; try again later"),
        StoreError::Closed => Reply::new(421, (4, 3, 2), "the server is shutting down; try again in a minute"),
        _ => Reply::new(451, (4, 3, 0), "the server could not store the message; try again later"),
    }
}
