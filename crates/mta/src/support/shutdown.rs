//! Shutdown: starts no new work, and waits for transfers that the other server may have accepted.
//!
//! RFC 5321 s.4.2.5 (a transfer interrupted before its reply was read is repeated and arrives twice). Invariant: a task that transfers or accepts a
//! message holds a [`Hold`] until the outcome is on disk or sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

/// The state of the shutdown, and the work that must not be interrupted. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Closing {
    closes: Arc<watch::Sender<bool>>,
    held: Arc<HeldWork>,
}

/// Counts the work under way.
#[derive(Debug, Default)]
struct HeldWork {
    count: AtomicUsize,
    none_left: Notify,
}

/// Keeps the process alive until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold(Arc<HeldWork>);

impl Default for Closing {
    fn default() -> Self {
        Self { closes: Arc::new(watch::Sender::new(false)), held: Arc::default() }
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
        self.held.count.fetch_add(1, Ordering::SeqCst);
        Hold(self.held.clone())
    }

    /// The number of [`Hold`]s.
    pub fn held(&self) -> usize {
        self.held.count.load(Ordering::SeqCst)
    }

    /// Waits until no [`Hold`] is left.
    pub async fn idle(&self) {
        loop {
            // Made before the count is read, so that no end is missed.
            let none_left = self.held.none_left.notified();
            if self.held() == 0 {
                return;
            }
            none_left.await;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_left.notify_waiters();
        }
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
