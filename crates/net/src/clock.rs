//! The clock: wall time for dates and the queue, and waiting. Real, or simulated and moved by hand.
//!
//! Invariant: no other file of the project asks the system for the time (clippy.toml forbids it).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// A clock. Clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System,
    Simulated(Arc<Simulated>),
}

#[derive(Debug)]
struct Simulated {
    now_ms: AtomicI64,
    moved: Notify,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that stands still until [`Clock::advance`].
    pub fn simulated(now_ms: i64) -> Self {
        Self(Kind::Simulated(Arc::new(Simulated { now_ms: AtomicI64::new(now_ms), moved: Notify::new() })))
    }

    /// Moves a simulated clock; a real one ignores it.
    pub fn advance(&self, by: Duration) {
        if let Kind::Simulated(simulated) = &self.0 {
            simulated.now_ms.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
            simulated.moved.notify_waiters();
        }
    }

    /// Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            #[allow(clippy::disallowed_methods)]
            Kind::System => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
            Kind::Simulated(simulated) => simulated.now_ms.load(Ordering::SeqCst),
        }
    }

    /// Unix seconds.
    pub fn now_s(&self) -> i64 {
        self.now_ms() / 1000
    }

    /// Waits until the wall clock shows that time, but never longer than `at_most` at a stretch, so that a clock
    /// that was set is noticed.
    pub async fn sleep_until_ms(&self, until_ms: i64, at_most: Duration) {
        match &self.0 {
            Kind::System => {
                let wait_ms = u64::try_from(until_ms - self.now_ms()).unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(wait_ms).min(at_most)).await;
            }
            Kind::Simulated(simulated) => {
                let moved = simulated.moved.notified();
                if self.now_ms() < until_ms {
                    moved.await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_simulated_clock_moves_by_hand() {
        let clock = Clock::simulated(1000);
        let other = clock.clone();
        let waiter = tokio::spawn(async move {
            while other.now_ms() < 6000 {
                other.sleep_until_ms(6000, Duration::from_secs(1)).await;
            }
            other.now_ms()
        });
        for _ in 0..5 {
            tokio::task::yield_now().await;
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(waiter.await.unwrap(), 6000);
    }
}
