//! The way down: nothing begins any more, and what another server may have taken already is waited for.
//!
//! RFC 5321 s.4.2.5 (a transfer that is cut before its reply was read is sent again, and arrives twice). Invariant: whoever hands a message over or
//! answers for one holds a [`Hold`] until the outcome is on disk or said.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether the server closes, and how much must not be cut. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Closing {
    closes: Arc<watch::Sender<bool>>,
    held: Arc<watch::Sender<usize>>,
}

/// Something that must not be cut. Dropped, it may.
#[derive(Debug)]
pub(crate) struct Hold(Arc<watch::Sender<usize>>);

impl Default for Closing {
    fn default() -> Self {
        Self { closes: Arc::new(watch::Sender::new(false)), held: Arc::new(watch::Sender::new(0)) }
    }
}

impl Closing {
    /// From now on nothing begins.
    pub fn begin(&self) {
        self.closes.send_replace(true);
    }

    /// Whether nothing is to begin any more.
    pub fn has_begun(&self) -> bool {
        *self.closes.borrow()
    }

    /// Returns once nothing is to begin any more.
    pub async fn begun(&self) {
        // The sender is here, so that it cannot be gone.
        let _ = self.closes.subscribe().wait_for(|closes| *closes).await;
    }

    /// Changes when the server begins to close.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.closes.subscribe()
    }

    /// Something is under way that must not be cut.
    pub fn hold(&self) -> Hold {
        self.held.send_modify(|held| *held += 1);
        Hold(self.held.clone())
    }

    /// How much is under way.
    pub fn held(&self) -> usize {
        *self.held.borrow()
    }

    /// Returns once nothing is under way.
    pub async fn idle(&self) {
        let _ = self.held.subscribe().wait_for(|held| *held == 0).await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held = held.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_held_is_waited_for() {
        let closing = Closing::default();
        let (hold, other) = (closing.hold(), closing.clone());
        let waiter = tokio::spawn(async move {
            other.begun().await;
            other.idle().await;
        });
        closing.begin();
        tokio::task::yield_now().await;
        assert!(closing.has_begun() && !waiter.is_finished() && closing.held() == 1);
        drop(hold);
        waiter.await.unwrap();
    }
}
