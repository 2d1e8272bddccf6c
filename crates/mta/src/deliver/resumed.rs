//! Ends of pauses by the operator, which count on every node of a shared database.
//!
//! Invariant: an end is applied once on each node, also to a pause that the node that was asked does not have; over SQLite nothing is stored.

use std::collections::HashMap;

use mail::{Domain, Mailbox, QueueId};
use net::random_u32;
use store::{Store, StoreError};

use crate::deliver::pauses::Pauses;

/// The prefix of the names of shared values; what was resumed follows.
const RESUMED: &str = "resumed/";

/// Maximum length of what is resumed, in octets: a longer one is no address.
const ABOUT_MAX_BYTES: usize = 320;

/// Retention, in milliseconds: every node that runs has heard of it long before.
const RETENTION_MS: i64 = 86_400_000;

/// What the end of a pause did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumption {
    /// Pauses that this node had.
    pub here: usize,
    /// Whether other nodes hear of it.
    pub is_shared: bool,
    /// Recipients that are due now.
    pub due: u64,
}

impl Pauses {
    /// Ends the pauses of a mailbox, a host or a provider, on every node, and makes its mail due.
    ///
    /// # Errors
    /// The store does not answer. The pauses of this node have ended all the same.
    pub async fn resume_everywhere(&self, store: &Store, about: &str) -> Result<Resumption, StoreError> {
        let here = self.resume(about);
        let is_shared = store.node_name().is_some() && about.len() <= ABOUT_MAX_BYTES;
        if is_shared {
            self.tell_others(store, about).await?;
        }
        let due = if here > 0 || is_shared { self.retry(store, about).await? } else { 0 };
        Ok(Resumption { here, is_shared, due })
    }

    async fn tell_others(&self, store: &Store, about: &str) -> Result<(), StoreError> {
        let now_ms = self.clock.now_ms();
        let late = store.shared_list(RESUMED, now_ms - RETENTION_MS).await?;
        for (name, _) in store.shared_list(RESUMED, i64::MIN).await? {
            if !late.iter().any(|(kept, _)| *kept == name) {
                store.shared_remove(&name).await?;
            }
        }
        // Another value each time, so that the second end of the same pause is one, too.
        let id = QueueId::next(now_ms, random_u32()).to_string();
        store.shared_put(&format!("{RESUMED}{}", about.to_ascii_lowercase()), id.into_bytes(), now_ms).await
    }

    /// Mail to a mailbox has been deferred until after the end of the pause.
    async fn retry(&self, store: &Store, about: &str) -> Result<u64, StoreError> {
        let domain = Mailbox::parse(about).map(|mailbox| mailbox.domain).or_else(|_| Domain::parse(about)).ok();
        let due = match domain {
            Some(domain) => store.retry(None, Some(domain), self.clock.now_ms()).await?,
            None => 0,
        };
        self.wake();
        Ok(due)
    }
}

/// What this node has heard of the ends of pauses.
#[derive(Debug)]
pub(crate) struct HeardResumptions {
    pauses: Pauses,
    store: Store,
    /// The last value of each name.
    heard: HashMap<String, Vec<u8>>,
}

impl HeardResumptions {
    /// Those from before the start are not applied: they are of other pauses.
    pub async fn open(pauses: Pauses, store: Store) -> Self {
        let heard = store.shared_list(RESUMED, i64::MIN).await.unwrap_or_default().into_iter().collect();
        Self { pauses, store, heard }
    }

    /// Applies those that are new.
    pub async fn take(&mut self) -> Result<(), StoreError> {
        let all = self.store.shared_list(RESUMED, i64::MIN).await?;
        for (name, value) in &all {
            let Some(about) = name.strip_prefix(RESUMED).filter(|_| self.heard.get(name) != Some(value)) else { continue };
            // The node that was asked has made the mail due, but this one may have deferred it once more in between.
            if self.pauses.resume(about) > 0 {
                let due = self.pauses.retry(&self.store, about).await?;
                tracing::info!(about, due, "resumed what the operator has resumed on another node");
            }
        }
        self.heard = all.into_iter().collect();
        Ok(())
    }
}
