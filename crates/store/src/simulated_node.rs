//! A node in a simulation of many: its monotonic clock stands still until the simulation moves it, and its heartbeats come when the simulation says so.
//!
//! The rest is the engine's own code over a real PostgreSQL, whose `clock_timestamp()` the simulation sets as well. Invariant: no setting leads here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::error::StoreError;

/// Heartbeats that wait.
const BEATS_MAX: usize = 8;

/// A heartbeat that is due, and the channel for its outcome.
pub(crate) type BeatDue = oneshot::Sender<Result<(), StoreError>>;

/// The clock and the heartbeats of a simulated node. Clones are the same node.
#[derive(Debug, Clone)]
pub struct SimulatedNode {
    elapsed_ms: Arc<AtomicU64>,
    due: mpsc::Sender<BeatDue>,
    /// What the node takes when it opens its store.
    line: Arc<Mutex<Option<mpsc::Receiver<BeatDue>>>>,
}

impl Default for SimulatedNode {
    fn default() -> Self {
        let (due, line) = mpsc::channel(BEATS_MAX);
        Self { elapsed_ms: Arc::default(), due, line: Arc::new(Mutex::new(Some(line))) }
    }
}

impl SimulatedNode {
    /// Moves the monotonic clock of the node.
    pub fn advance(&self, by: Duration) {
        self.elapsed_ms.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Has the node send a heartbeat and read what others have changed.
    ///
    /// # Errors
    /// If the database did not answer; the next heartbeat opens another connection. [`StoreError::Closed`] if the node has no store.
    pub async fn beat(&self) -> Result<(), StoreError> {
        let (answer, outcome) = oneshot::channel();
        self.due.send(answer).await.map_err(|_| StoreError::Closed)?;
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    /// Time since its start.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms.load(Ordering::SeqCst))
    }

    /// The line of heartbeats, once.
    pub(crate) fn heartbeats(&self) -> Option<mpsc::Receiver<BeatDue>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
