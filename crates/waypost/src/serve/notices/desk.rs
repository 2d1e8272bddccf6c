//! What was told and what waits, and where it is kept: in a file of the data directory, or for all nodes of a database in one value there.
//!
//! Where nodes share a database, each stores its notices in it, and the node that has the duty takes them, decides and sends. Invariant: that node stores its
//! decision and removes what it took in one transaction, which fails once another node has the duty. So what one node has told is told by no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use net::Clock;
use serde::{Deserialize, Serialize};
use store::{Duty, Store, StoreError};

use super::courier::{Waiting, new_id};
use super::ledger::Ledger;
use super::notice::Notice;
use crate::serve::seen_file::SeenFile;

/// The shared value with the state, and the prefix of the notices that no node has taken yet.
const STATE: &str = "seen/notices.json";
const NOTICE: &str = "notice/";

/// Time for which a node keeps the duty of notices.
const DUTY_FOR: Duration = Duration::from_secs(60);

/// A node stores the same notice at most once in this time: a check that runs every few seconds finds the same again and again.
const STORED_EVERY_MS: i64 = 3_600_000;

/// Maximum notices that wait for the database, and maximum keys that are remembered.
const UNSTORED_MAX: usize = 100;
const STORED_MAX: usize = 2_000;

/// What a restart, or the end of a node, must not forget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    pub ledger: Ledger,
    /// The addresses that have had mail; `None` until first sender notices are wanted.
    pub senders: Option<BTreeSet<String>>,
    /// What the channels have not accepted yet.
    pub waiting: Waiting,
}

/// Where it is kept.
pub(super) enum Desk {
    /// One server.
    Own(SeenFile),
    /// Several nodes.
    Shared(SharedDesk),
}

impl Desk {
    /// The desk of this server; `file` is that of one without other nodes.
    pub fn new(store: &Store, file: PathBuf) -> Self {
        let own = SeenFile::Own(file);
        match store.node_name() {
            Some(node) => Self::Shared(SharedDesk {
                store: store.clone(),
                node: node.to_owned(),
                before: own,
                stored: BTreeMap::new(),
                unstored: Vec::new(),
            }),
            None => Self::Own(own),
        }
    }

    /// Reads the state.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn read(&self) -> Result<Kept> {
        match self {
            Self::Own(file) => Ok(file.read().await.ok().flatten().unwrap_or_default()),
            Self::Shared(desk) => desk.read().await,
        }
    }

    /// Stores the state and removes the notices that it took. False if another node has the duty.
    ///
    /// # Errors
    /// The file cannot be written, or the database does not answer.
    pub async fn write(&self, kept: &Kept, taken: Vec<String>, now_ms: i64) -> Result<bool> {
        match self {
            Self::Own(file) => file.write(kept).await.map(|()| true),
            Self::Shared(desk) => Ok(desk.store.keep_by_duty(Duty::Notices, STATE, serde_json::to_vec(kept)?, taken, now_ms).await?),
        }
    }

    /// Whether this server is to send notices.
    pub async fn has_duty(&self) -> bool {
        match self {
            Self::Own(_) => true,
            Self::Shared(desk) => desk.store.take_duty(Duty::Notices, DUTY_FOR).await.unwrap_or(false),
        }
    }
}

/// The desk that several nodes share.
pub(super) struct SharedDesk {
    store: Store,
    node: String,
    /// The file of this node from before it shared a database.
    before: SeenFile,
    /// When a notice of this node was stored last, by key, Unix milliseconds.
    stored: BTreeMap<String, i64>,
    /// Notices that the database does not have yet.
    unstored: Vec<Notice>,
}

impl SharedDesk {
    async fn read(&self) -> Result<Kept> {
        let kept = self.store.shared_get(STATE).await?.and_then(|text| serde_json::from_slice(&text).ok());
        match kept {
            Some(kept) => Ok(kept),
            None => Ok(self.before.read().await.ok().flatten().unwrap_or_default()),
        }
    }

    /// Stores what this node has to tell. What the database does not take now is stored at the next call.
    pub async fn store(&mut self, notices: Vec<Notice>, clock: &Clock) {
        let now_ms = clock.now_ms();
        for notice in notices {
            let notice = notice.at_node(&self.node);
            if self.is_new(&notice.key, now_ms) && self.unstored.len() < UNSTORED_MAX {
                self.unstored.push(notice);
            }
        }
        while let Some(notice) = self.unstored.first() {
            let Ok(value) = serde_json::to_vec(notice) else { break };
            if let Err(error) = self.store.shared_put(&format!("{NOTICE}{}", new_id(clock)), value, now_ms).await {
                tracing::warn!(%error, subject = notice.subject, "the database does not take a notice; trying again");
                return;
            }
            tracing::info!(subject = notice.subject, "stored a notice for the node that sends them");
            self.unstored.remove(0);
        }
    }

    fn is_new(&mut self, key: &str, now_ms: i64) -> bool {
        self.stored.retain(|_, at_ms| (0..STORED_EVERY_MS).contains(&now_ms.saturating_sub(*at_ms)));
        self.stored.len() < STORED_MAX && self.stored.insert(key.to_owned(), now_ms).is_none()
    }

    /// Returns the notices of all nodes that were not taken yet, the oldest first, and the names of their values.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn waiting(&self) -> Result<(Vec<Notice>, Vec<String>), StoreError> {
        let all = self.store.shared_list(NOTICE, i64::MIN).await?;
        let notices = all.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect();
        Ok((notices, all.into_iter().map(|(name, _)| name).collect()))
    }
}
