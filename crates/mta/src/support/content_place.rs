//! Where a stage puts a content that it makes.
//!
//! Invariant: a dry run leaves nothing on disk, and removes nothing.

use bytes::Bytes;
use mail::QueueId;
use store::{Content, Store, StoreError};

/// The place of contents that a stage makes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ContentPlace<'a> {
    /// The store: a large content is in a file.
    Store(&'a Store),
    /// Memory, for a dry run.
    Memory,
}

impl ContentPlace<'_> {
    /// Puts a content there.
    pub async fn put(self, id: QueueId, bytes: &Bytes) -> Result<Content, StoreError> {
        match self {
            Self::Store(store) => store.put(id, bytes).await,
            Self::Memory => Ok(Content::memory(id, bytes.clone())),
        }
    }

    /// Removes a content that another one replaces.
    pub fn discard(self, content: &Content) {
        if let Self::Store(store) = self {
            store.discard(content);
        }
    }
}
