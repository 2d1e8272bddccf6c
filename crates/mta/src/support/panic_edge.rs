//! Catches panics at the edge of a task: a panic ends the task and nothing else.
//!
//! Invariant: every panic is counted, and every test requires the count to be 0.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use events::EventKind;
use tokio::sync::watch;

static CAUGHT: LazyLock<watch::Sender<u64>> = LazyLock::new(watch::Sender::default);

static BROKEN: AtomicU64 = AtomicU64::new(0);

/// Panics caught since the start.
pub fn bugs_caught() -> u64 {
    *CAUGHT.borrow()
}

/// Returns what changes when a panic is caught: their number since the start.
pub(crate) fn watch_bugs() -> watch::Receiver<u64> {
    CAUGHT.subscribe()
}

/// Messages stopped because their original signature would no longer verify.
pub fn signatures_broken() -> u64 {
    BROKEN.load(Ordering::Relaxed)
}

/// Counts such a message.
pub(crate) fn count_broken_signature() {
    BROKEN.fetch_add(1, Ordering::Relaxed);
}

/// Runs a future; `None` if it panics.
pub(crate) async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => {
            CAUGHT.send_modify(|caught| *caught += 1);
            tracing::error!("{}", EventKind::BugCaught.words());
            Poll::Ready(None)
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_and_counted() {
        assert_eq!(caught(async { 7 }).await, Some(7));
        let before = bugs_caught();
        assert_eq!(caught(async { panic!("on purpose") }).await, None::<()>);
        assert_eq!(bugs_caught(), before + 1);
    }
}
