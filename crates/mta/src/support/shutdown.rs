//! Shutdown: starts no new work, and waits for transfers that the other server may have accepted.
//!
//! RFC 5321 s.4.2.5 (a transfer interrupted before its reply was read is repeated and arrives twice). Invariant: a task that transfers or accepts a
//! message holds a [`Hold`] until the outcome is on disk or sent.

use std::sync::Arc;

use tokio::sync::watch;

/// The state of the shutdown, and the work that must not be interrupted. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Closing {
    closes: Arc<watch::Sender<bool>>,
    held: Arc<watch::Sender<usize>>,
}

/// Keeps the process alive until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold(Arc<watch::Sender<usize>>);

impl Default for Closing {
    fn default() -> Self {
        Self { closes: Arc::new(watch::Sender::new(false)), held: Arc::new(watch::Sender::new(0)) }
    }
}

impl Closing {
    /// Begins the shutdown.
    pub fn begin(&self) {
        self.closes.send_replace(true);
    }

    /// Returns whether the shutdown has begun.
    pub fn has_begun(&self) -> bool {
        *self.closes.borrow()
    }

    /// Waits until the shutdown begins.
    pub async fn begun(&self) {
        // An error would mean that the sender is gone; this struct holds it.
        let _ = self.closes.subscribe().wait_for(|closes| *closes).await;
    }

    /// A receiver that changes to true when the shutdown begins.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.closes.subscribe()
    }

    /// Registers work that must not be interrupted.
    pub fn hold(&self) -> Hold {
        self.held.send_modify(|held| *held += 1);
        Hold(self.held.clone())
    }

    /// The number of [`Hold`]s.
    pub fn held(&self) -> usize {
        *self.held.borrow()
    }

    /// Waits until no [`Hold`] is left.
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
    async fn shutdown_waits_for_registered_work() {
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
