//! The validations that orders of certificates wait for: the authority may ask any node.
//!
//! Each node stores those of its own orders, and answers those of all. Invariant: the authority is asked to look when every node that runs has said that it
//! answers, or after [`ANSWERED_MAX`].

use std::time::Duration;

use anyhow::Result;
use data_encoding::HEXLOWER;
use net::acme::ActiveChallenge;
use net::{Clock, sha256};
use store::{NodeValues, StoreError};
use tokio::time::{sleep, timeout};

use super::{CHALLENGES, SharedFiles};

/// Maximum wait for the other nodes.
const ANSWERED_MAX: Duration = Duration::from_secs(30);

/// Interval at which they are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The digest of what a node has stored, by which others say that they answer it.
fn digest(value: &[u8]) -> String {
    HEXLOWER.encode(&sha256(&[value]))
}

impl SharedFiles {
    /// Answers the validations of all nodes, and says so.
    pub(super) async fn take_challenges(&self) -> Result<(), StoreError> {
        let own = self.own(CHALLENGES);
        let mut others = self.store.shared_list(CHALLENGES, i64::MIN).await?;
        others.retain(|(name, _)| *name != own);
        let read = |(_, value): &(String, Vec<u8>)| serde_json::from_slice::<Vec<ActiveChallenge>>(value).unwrap_or_default();
        self.challenges.answer_others(others.iter().flat_map(read).collect());
        let mut digests: Vec<String> = others.iter().map(|(_, value)| digest(value)).collect();
        digests.sort_unstable();
        let (name, answered) = (self.own(NodeValues::ANSWERED), digests.join(" ").into_bytes());
        if self.is_news(&name, &answered) {
            self.store.shared_put(&name, answered.clone(), Clock::system().now_ms()).await?;
            self.note(&name, &answered);
        }
        Ok(())
    }

    /// Tells the other nodes the validations of this one's orders, and waits until they answer them.
    pub(crate) async fn show_challenges(&self) -> Result<()> {
        let value = serde_json::to_vec(&self.challenges.own())?;
        let wanted = digest(&value);
        self.store.shared_put(&self.own(CHALLENGES), value, Clock::system().now_ms()).await?;
        let answered = async {
            while !self.silent_nodes(&wanted).await?.is_empty() {
                sleep(LOOK_EVERY).await;
            }
            Ok::<(), StoreError>(())
        };
        if let Ok(ended) = timeout(ANSWERED_MAX, answered).await {
            return Ok(ended?);
        }
        let silent = self.silent_nodes(&wanted).await?.join(", ");
        tracing::warn!(nodes = silent, "these nodes do not answer the authority yet; if it asks one of them, the order fails");
        Ok(())
    }

    /// The other nodes that run and have not said that they answer it.
    async fn silent_nodes(&self, wanted: &str) -> Result<Vec<String>, StoreError> {
        let said = self.store.shared_list(NodeValues::ANSWERED, i64::MIN).await?;
        let answers = |node: &str| {
            let name = format!("{}{node}", NodeValues::ANSWERED);
            said.iter().any(|(of, value)| *of == name && String::from_utf8_lossy(value).split(' ').any(|digest| digest == wanted))
        };
        let nodes = self.store.nodes().await?;
        Ok(nodes.into_iter().filter(|node| node.is_alive && node.name != self.node && !answers(&node.name)).map(|node| node.name).collect())
    }

    /// The orders of this node are at their end. Of a node that was killed in the middle of an order, it removes what that one left.
    pub(crate) async fn hide_challenges(&self) -> Result<(), StoreError> {
        self.store.shared_remove(&self.own(CHALLENGES)).await?;
        self.store.sweep_nodes().await.map(drop)
    }
}
