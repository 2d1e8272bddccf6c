//! The clock: wall time for dates and the queue, and waiting. Real, or simulated and moved by hand.
//!
//! Invariant: no other file of the project asks the system for the time (clippy.toml forbids it).

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

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
    /// What was set, beside what went by.
    set_ms: AtomicI64,
    moved: Notify,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that stands still until [`Clock::advance`].
    pub fn simulated(now_ms: i64) -> Self {
        Self(Kind::Simulated(Arc::new(Simulated { now_ms: AtomicI64::new(now_ms), set_ms: AtomicI64::new(0), moved: Notify::new() })))
    }

    /// Moves a simulated clock; a real one ignores it.
    pub fn advance(&self, by: Duration) {
        if let Kind::Simulated(simulated) = &self.0 {
            simulated.now_ms.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
            simulated.moved.notify_waiters();
        }
    }

    /// Sets a simulated clock, forward or back, as an operator or NTP does; a real one ignores it.
    pub fn set_by_ms(&self, by_ms: i64) {
        if let Kind::Simulated(simulated) = &self.0 {
            simulated.set_ms.fetch_add(by_ms, Ordering::SeqCst);
            simulated.now_ms.fetch_add(by_ms, Ordering::SeqCst);
            simulated.moved.notify_waiters();
        }
    }

    /// Milliseconds since some moment: what went by, whatever the wall clock is set to.
    pub fn steady_ms(&self) -> i64 {
        match &self.0 {
            #[allow(clippy::disallowed_methods)]
            Kind::System => {
                static START: LazyLock<Instant> = LazyLock::new(Instant::now);
                i64::try_from(START.elapsed().as_millis()).unwrap_or(i64::MAX)
            }
            Kind::Simulated(simulated) => simulated.now_ms.load(Ordering::SeqCst) - simulated.set_ms.load(Ordering::SeqCst),
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

/// A wall clock that leaves the monotonic one behind by this was set, in milliseconds; less is drift that is slewed.
const STEP_MIN_MS: i64 = 30_000;

/// Notices that the wall clock was set. A machine that slept looks the same: nothing went by for it.
#[derive(Debug)]
pub struct StepWatch {
    /// Wall less steady time at the last look.
    offset_ms: i64,
}

impl StepWatch {
    /// Watches from now on.
    pub fn new(clock: &Clock) -> Self {
        Self { offset_ms: clock.now_ms() - clock.steady_ms() }
    }

    /// By how much the clock was set since the last look, in milliseconds; positive is forward.
    pub fn look(&mut self, clock: &Clock) -> Option<i64> {
        let offset_ms = clock.now_ms() - clock.steady_ms();
        let by_ms = offset_ms - std::mem::replace(&mut self.offset_ms, offset_ms);
        (by_ms.abs() >= STEP_MIN_MS).then_some(by_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_from_time_that_goes_by() {
        let clock = Clock::simulated(1000);
        let mut watch = StepWatch::new(&clock);
        clock.advance(Duration::from_secs(86_400));
        assert_eq!(watch.look(&clock), None);
        clock.set_by_ms(-86_400_000);
        clock.advance(Duration::from_secs(1));
        assert_eq!((watch.look(&clock), watch.look(&clock)), (Some(-86_400_000), None));
        clock.set_by_ms(STEP_MIN_MS - 1);
        assert_eq!(watch.look(&clock), None);
        let system = Clock::system();
        assert_eq!(StepWatch::new(&system).look(&system), None);
    }

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
