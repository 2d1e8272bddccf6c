//! Shifts the times of queued mail when the wall clock is set, so that a step neither ages mail nor makes it wait for the clock to catch up.
//!
//! RFC 5321 s.4.5.4.1. While the process runs, the monotonic clock distinguishes a step from elapsed time. Between two runs nothing does: a
//! downtime of more than a day does not age mail, since no delivery was attempted in it. Invariant: no mail waits longer than the schedule
//! allows from now.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use net::{Clock, StepWatch};
use store::{ClockStep, StoreError};
use tokio::sync::Mutex;

use crate::context::Shared;
use crate::deliver::outbound::Outbound;
use crate::support::state_file::StateFile;

/// The file in the data directory that says when a server last ran, in Unix milliseconds.
const FILE: &str = "clock.json";

/// Interval between checks of the clock, besides those at each query of the queue.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// Interval between writes of the file, in milliseconds.
const WRITE_EVERY_MS: i64 = 600_000;

/// Minimum downtime that is corrected, in milliseconds.
const GAP_MIN_MS: i64 = 86_400_000;

/// Time after a step in which nothing expires, since jobs in memory have times of the old clock, in milliseconds.
const NO_EXPIRY_MS: i64 = 2 * 3_600_000;

/// The state of the clock.
#[derive(Debug)]
pub(crate) struct ClockSteps {
    watch: Mutex<StepWatch>,
    file: StateFile,
    /// When the previous run was last seen, in Unix milliseconds.
    last_seen_ms: Option<i64>,
    /// Until when nothing expires, by the monotonic clock.
    no_expiry_until_ms: AtomicI64,
}

impl ClockSteps {
    /// Starts watching.
    pub fn open(data: &Path, clock: &Clock) -> Self {
        let (file, state) = StateFile::open(data.join(FILE));
        Self { watch: Mutex::new(StepWatch::new(clock)), file, last_seen_ms: state.as_i64(), no_expiry_until_ms: AtomicI64::new(i64::MIN) }
    }

    /// Returns when a message in memory expires, in Unix milliseconds; its stored time may be by the clock before a step.
    pub fn expires_ms(&self, clock: &Clock, expires_ms: i64) -> i64 {
        let is_paused = clock.steady_ms() < self.no_expiry_until_ms.load(Ordering::SeqCst);
        if is_paused { expires_ms.max(clock.now_ms().saturating_add(NO_EXPIRY_MS)) } else { expires_ms }
    }

    /// Stores the current time as that of the last run.
    pub async fn write(&self, clock: &Clock) {
        self.file.write(|| clock.now_ms().to_string()).await;
    }
}

/// At the start: shifts the stored times if the clock was set between the runs.
pub(crate) async fn start(outbound: &Outbound) -> Result<(), StoreError> {
    let Shared { settings, store, clock, .. } = outbound.shared();
    let now_ms = clock.now_ms();
    let gap_ms = outbound.clock_steps.last_seen_ms.map_or(0, |last_ms| now_ms - last_ms);
    let gap_ms = if gap_ms.abs() >= GAP_MIN_MS { gap_ms } else { 0 };
    if gap_ms != 0 {
        tracing::warn!(
            seconds = gap_ms / 1000,
            "the server was down for a long time, or the clock was set: that time does not age queued mail"
        );
    }
    // Mail that became due during the downtime is due now; mail deferred by a clock that was ahead is not.
    let latest_ms = now_ms + settings.load().schedule.longest_wait_ms();
    let rescheduled = store.step_clock(ClockStep { ages_by_ms: gap_ms, waits_by_ms: gap_ms.min(0), latest_ms }).await?;
    if rescheduled > 0 {
        tracing::warn!(recipients = rescheduled, "queued mail was scheduled by a clock that was ahead; it is rescheduled");
    }
    outbound.clock_steps.write(clock).await;
    Ok(())
}

/// Watches the clock until shutdown.
pub(crate) async fn run(outbound: Arc<Outbound>) {
    let clock = &outbound.shared().clock;
    let mut written_ms = clock.steady_ms();
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        check(&outbound).await;
        if clock.steady_ms() - written_ms >= WRITE_EVERY_MS {
            written_ms = clock.steady_ms();
            outbound.clock_steps.write(clock).await;
        }
    }
}

/// Shifts all times if the clock was set. Call before comparing times of the queue with now.
pub(crate) async fn check(outbound: &Outbound) {
    let Shared { settings, store, clock, .. } = outbound.shared();
    let steps = &outbound.clock_steps;
    let mut watch = steps.watch.lock().await;
    let Some(by_ms) = watch.look(clock) else { return };
    tracing::warn!(seconds = by_ms / 1000, "the clock was set: shifting the times of queued mail");
    steps.no_expiry_until_ms.store(clock.steady_ms().saturating_add(NO_EXPIRY_MS), Ordering::SeqCst);
    outbound.breakers().step_clock(by_ms);
    let latest_ms = clock.now_ms() + settings.load().schedule.longest_wait_ms();
    if let Err(error) = store.step_clock(ClockStep { ages_by_ms: by_ms, waits_by_ms: by_ms, latest_ms }).await {
        tracing::error!(%error, "cannot shift the times of queued mail; the next start shifts them");
    }
    steps.write(clock).await;
    outbound.outbox.wake.wake();
}
