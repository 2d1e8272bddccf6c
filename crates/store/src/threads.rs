//! The store's threads, and the report that one of them has died.
//!
//! Invariant: a thread that panics is reported; one that ends because every handle was dropped is not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, Thread};

use tokio::sync::watch;

use crate::error::StoreError;

/// The threads of one store.
#[derive(Debug, Clone)]
pub(crate) struct Threads(Arc<watch::Sender<Option<&'static str>>>);

impl Default for Threads {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

/// Runs a thread's work and reports a panic. If even that fails the process ends, since it must not run on without the thread.
fn watched(name: &'static str, died: &watch::Sender<Option<&'static str>>, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_ok() {
        return;
    }
    let report = || {
        tracing::error!(thread = name, "a thread of the store has panicked, which is a bug; please report it with the lines above");
        died.send_replace(Some(name));
    };
    if catch_unwind(AssertUnwindSafe(report)).is_err() {
        std::process::abort();
    }
}

impl Threads {
    /// Starts a thread.
    pub fn start(&self, name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<Thread, StoreError> {
        let died = self.0.clone();
        let handle = thread::Builder::new().name(name.into()).spawn(move || watched(name, &died, work))?;
        Ok(handle.thread().clone())
    }

    /// Waits until a thread has died, and returns its name.
    pub async fn died(&self) -> &'static str {
        let mut died = self.0.subscribe();
        loop {
            if let Some(name) = *died.borrow_and_update() {
                return name;
            }
            // The sender lives in `self`.
            let _ = died.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_reported_and_an_end_is_not() {
        let threads = Threads::default();
        threads.start("ends", || {}).unwrap();
        threads.start("dies", || panic!("on purpose")).unwrap();
        assert_eq!(threads.died().await, "dies");
    }
}
