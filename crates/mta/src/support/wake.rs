//! Wakes the dispatcher when mail in the store may be due.
//!
//! Invariant: a wake before the dispatcher waits is not lost.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes one waiter. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wake(Arc<Notify>);

impl Wake {
    /// Has the store queried for due mail.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits for [`Wake::wake`].
    pub async fn woken(&self) {
        self.0.notified().await;
    }
}
