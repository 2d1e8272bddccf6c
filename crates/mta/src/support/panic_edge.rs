//! Catches panics at the edge of a task: a panic ends the task and nothing else.
//!
//! Invariant: every panic is counted, and every test requires the count to be 0.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

static CAUGHT: AtomicU64 = AtomicU64::new(0);

static BROKEN: AtomicU64 = AtomicU64::new(0);

/// Panics caught since the start.
pub fn bugs_caught() -> u64 {
    CAUGHT.load(Ordering::Relaxed)
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
            CAUGHT.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a bug was caught; please report it with the lines above");
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
