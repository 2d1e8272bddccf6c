//! Wakes the dispatcher: something in the store may be due.
//!
//! Invariant: a call before the dispatcher waits is not lost.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes one waiter. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wake(Arc<Notify>);

impl Wake {
    /// Has the store looked at for what is due.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Returns once [`Wake::wake`] was called.
    pub async fn woken(&self) {
        self.0.notified().await;
    }
}
