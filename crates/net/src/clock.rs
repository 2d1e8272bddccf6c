//! The clock: wall time and waiting, real, simulated, or that of a runtime whose time may be paused.
//!
//! Invariant: no other file of the project reads the system's clock (clippy.toml forbids it).

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A clock. Clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(ClockKind);

#[derive(Debug, Clone)]
enum ClockKind {
    System,
    SimulatedClock(Arc<SimulatedClock>),
    RuntimeClock(Arc<RuntimeClock>),
}

#[derive(Debug)]
struct SimulatedClock {
    now_ms: AtomicI64,
    /// The sum of all clock steps.
    set_ms: AtomicI64,
    moved: Notify,
}

/// The time of the runtime, which tokio can pause: it then moves on when every task waits.
#[derive(Debug)]
struct RuntimeClock {
    start: tokio::time::Instant,
    start_ms: i64,
    /// The sum of all clock steps.
    set_ms: AtomicI64,
}

impl RuntimeClock {
    fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

impl Clock {
    /// The system clock.
    pub fn system() -> Self {
        Self(ClockKind::System)
    }

    /// A clock that moves only by [`Clock::advance`].
    pub fn simulated(now_ms: i64) -> Self {
        Self(ClockKind::SimulatedClock(Arc::new(SimulatedClock {
            now_ms: AtomicI64::new(now_ms),
            set_ms: AtomicI64::new(0),
            moved: Notify::new(),
        })))
    }

    /// A clock that shows `now_ms` now, and moves with the time of the runtime.
    #[allow(clippy::disallowed_methods)] // the runtime's time is what this clock shows
    pub fn of_runtime(now_ms: i64) -> Self {
        let start = tokio::time::Instant::now();
        Self(ClockKind::RuntimeClock(Arc::new(RuntimeClock { start, start_ms: now_ms, set_ms: AtomicI64::new(0) })))
    }

    /// Advances a simulated clock; the system clock ignores it.
    pub fn advance(&self, by: Duration) {
        if let ClockKind::SimulatedClock(simulated) = &self.0 {
            simulated.now_ms.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
            simulated.moved.notify_waiters();
        }
    }

    /// Steps a simulated clock, forward or back, as an operator or NTP does; the system clock ignores it.
    pub fn set_by_ms(&self, by_ms: i64) {
        if let ClockKind::RuntimeClock(runtime) = &self.0 {
            runtime.set_ms.fetch_add(by_ms, Ordering::SeqCst);
        }
        if let ClockKind::SimulatedClock(simulated) = &self.0 {
            simulated.set_ms.fetch_add(by_ms, Ordering::SeqCst);
            simulated.now_ms.fetch_add(by_ms, Ordering::SeqCst);
            simulated.moved.notify_waiters();
        }
    }

    /// Elapsed milliseconds since an arbitrary start: monotonic, unaffected by clock steps.
    pub fn steady_ms(&self) -> i64 {
        match &self.0 {
            #[allow(clippy::disallowed_methods)]
            ClockKind::System => {
                static START: LazyLock<Instant> = LazyLock::new(Instant::now);
                i64::try_from(START.elapsed().as_millis()).unwrap_or(i64::MAX)
            }
            ClockKind::SimulatedClock(simulated) => simulated.now_ms.load(Ordering::SeqCst) - simulated.set_ms.load(Ordering::SeqCst),
            ClockKind::RuntimeClock(runtime) => runtime.start_ms + runtime.elapsed_ms(),
        }
    }

    /// Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            #[allow(clippy::disallowed_methods)]
            ClockKind::System => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
            ClockKind::SimulatedClock(simulated) => simulated.now_ms.load(Ordering::SeqCst),
            ClockKind::RuntimeClock(runtime) => runtime.start_ms + runtime.elapsed_ms() + runtime.set_ms.load(Ordering::SeqCst),
        }
    }

    /// Unix seconds.
    pub fn now_s(&self) -> i64 {
        self.now_ms() / 1000
    }

    /// Waits until the wall clock shows that time, but at most for `at_most`, so that a clock step is noticed.
    pub async fn sleep_until_ms(&self, until_ms: i64, at_most: Duration) {
        match &self.0 {
            ClockKind::System | ClockKind::RuntimeClock(_) => {
                let wait_ms = u64::try_from(until_ms - self.now_ms()).unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(wait_ms).min(at_most)).await;
            }
            ClockKind::SimulatedClock(simulated) => {
                let moved = simulated.moved.notified();
                if self.now_ms() < until_ms {
                    moved.await;
                }
            }
        }
    }
}

/// The smallest difference between wall and monotonic clock that is a step, in milliseconds; less is drift that NTP slews.
const STEP_MIN_MS: i64 = 30_000;

/// Notices steps of the wall clock. A suspended machine looks the same: its monotonic clock stopped.
#[derive(Debug)]
pub struct StepWatch {
    /// Wall time minus monotonic time at the last check.
    offset_ms: i64,
}

impl StepWatch {
    /// Watches from now on.
    pub fn new(clock: &Clock) -> Self {
        Self { offset_ms: clock.now_ms() - clock.steady_ms() }
    }

    /// The step since the last check, in milliseconds; positive is forward.
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
    fn a_step_differs_from_elapsed_time() {
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
    async fn a_simulated_clock_wakes_sleepers_when_advanced() {
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
