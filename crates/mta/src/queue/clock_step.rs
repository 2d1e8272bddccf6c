//! The wall clock was set while mail waits: its times are moved along, so that a step ages nothing and makes nothing wait until the clock catches up.
//!
//! RFC 5321 s.4.5.4.1. While the process runs, the monotonic clock tells a step from time that goes by. While it does not, nothing does: the time from
//! one run to the next ages no mail where it is longer than a day, since nothing was tried in it. Invariant: nothing waits longer than the schedule
//! allows from now.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use net::{Clock, StepWatch};
use store::{ClockStep, StoreError};
use tokio::sync::Mutex;

use crate::queue::dispatch::Dispatch;
use crate::support::state_file::KeptFile;

/// In the data directory: when a server last ran, Unix milliseconds.
const FILE: &str = "clock.json";

/// The clock is looked at this often, beside each look into the queue.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The file is written this often, in milliseconds.
const WRITE_EVERY_MS: i64 = 600_000;

/// From one run to the next, less than this goes by without a word, in milliseconds.
const GAP_MIN_MS: i64 = 86_400_000;

/// What is in memory when the clock is set knows the old time; for this long after a step nothing is given up for its age, in milliseconds.
const NOTHING_AGES_MS: i64 = 2 * 3_600_000;

/// What is known of the clock.
#[derive(Debug)]
pub(crate) struct ClockSteps {
    watch: Mutex<StepWatch>,
    file: KeptFile,
    /// When the run before was last seen, Unix milliseconds.
    last_seen_ms: Option<i64>,
    /// Until when, by the monotonic clock, nothing is given up for its age.
    nothing_ages_until_ms: AtomicI64,
}

impl ClockSteps {
    /// Watches from now on.
    pub fn open(data: &Path, clock: &Clock) -> Self {
        let (file, held) = KeptFile::open(data.join(FILE));
        Self {
            watch: Mutex::new(StepWatch::new(clock)),
            file,
            last_seen_ms: held.as_i64(),
            nothing_ages_until_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// When a message that was read before, perhaps by another clock, is given up, Unix milliseconds.
    pub fn expires_ms(&self, clock: &Clock, expires_ms: i64) -> i64 {
        let nothing_ages = clock.steady_ms() < self.nothing_ages_until_ms.load(Ordering::SeqCst);
        if nothing_ages { expires_ms.max(clock.now_ms().saturating_add(NOTHING_AGES_MS)) } else { expires_ms }
    }

    /// Writes down that a server runs now.
    pub async fn write(&self, clock: &Clock) {
        self.file.write(|| clock.now_ms().to_string()).await;
    }
}

/// Before anything is tried: what the clock of the run before has written down is moved along, where it was another one.
pub(crate) async fn start(dispatch: &Dispatch) -> Result<(), StoreError> {
    let world = dispatch.world();
    let now_ms = world.clock.now_ms();
    let gap_ms = world.clock_steps.last_seen_ms.map_or(0, |last_ms| now_ms - last_ms);
    let gap_ms = if gap_ms.abs() >= GAP_MIN_MS { gap_ms } else { 0 };
    if gap_ms != 0 {
        tracing::warn!(seconds = gap_ms / 1000, "the server did not run for long, or the clock was set: that time ages no mail");
    }
    // What came due meanwhile is due now; what a clock that was ahead has put off is not.
    let latest_ms = now_ms + world.settings.load().schedule.longest_wait_ms();
    let reined = world.store.step_clock(ClockStep { ages_by_ms: gap_ms, waits_by_ms: gap_ms.min(0), latest_ms }).await?;
    if reined > 0 {
        tracing::warn!(
            recipients = reined,
            "mail waited for a time far ahead, of a clock that was wrong; it is tried as the schedule says"
        );
    }
    world.clock_steps.write(&world.clock).await;
    Ok(())
}

/// Looks at the clock until the server ends.
pub(crate) async fn run(dispatch: Dispatch) {
    let world = dispatch.world().clone();
    let mut written_ms = world.clock.steady_ms();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        notice(&dispatch).await;
        if world.clock.steady_ms() - written_ms >= WRITE_EVERY_MS {
            written_ms = world.clock.steady_ms();
            world.clock_steps.write(&world.clock).await;
        }
    }
}

/// Moves everything along where the clock was set. Whoever compares times of the queue with now calls it before.
pub(crate) async fn notice(dispatch: &Dispatch) {
    let world = dispatch.world();
    let steps = &world.clock_steps;
    let mut watch = steps.watch.lock().await;
    let Some(by_ms) = watch.look(&world.clock) else { return };
    tracing::warn!(seconds = by_ms / 1000, "the clock was set: the times of mail that waits are moved along");
    steps.nothing_ages_until_ms.store(world.clock.steady_ms().saturating_add(NOTHING_AGES_MS), Ordering::SeqCst);
    dispatch.step_clock(by_ms);
    let latest_ms = world.clock.now_ms() + world.settings.load().schedule.longest_wait_ms();
    if let Err(error) = world.store.step_clock(ClockStep { ages_by_ms: by_ms, waits_by_ms: by_ms, latest_ms }).await {
        tracing::error!(%error, "the times of mail that waits could not be moved; a restart moves them");
    }
    steps.write(&world.clock).await;
    dispatch.wake();
}
