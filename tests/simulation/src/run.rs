//! One run: the lives of our process on one world, one after the other.
//!
//! A life has a runtime of its own, on this thread, whose time is paused: it moves on when every task waits. Its end drops the runtime, and with it
//! everything that was not committed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mta::Server;
use net::Clock;
use store::{CommitFate, Store};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::audit::audit;
use crate::client;
use crate::disk::Disk;
use crate::scenario::{End, HOUR_MS, MINUTE_MS, Scenario};
use crate::server;
use crate::world::{EPOCH_MS, World};

/// The interval between audits, at most, in milliseconds.
const AUDIT_EVERY_MS: i64 = 30 * MINUTE_MS;

/// The time in which the queue must be empty once everything works, in milliseconds.
const DRAINED_WITHIN_MS: i64 = 30 * HOUR_MS;

/// The wait for a commit at which the process dies, in milliseconds; then it is killed.
const DIES_WITHIN_MS: i64 = HOUR_MS;

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// Broken invariants.
    pub broken: Vec<String>,
    /// The digest of the trace.
    pub digest: u64,
    /// Simulated time, in milliseconds.
    pub simulated_ms: i64,
    /// Processes.
    pub lives: u32,
    /// Counts, in words.
    pub summary: String,
}

/// What can be broken on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sabotage {
    /// Each process starts with the queue that its predecessor started with.
    pub old_queue: bool,
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LifeEnd {
    /// The run is over.
    Over,
    /// The planned end came.
    Planned,
    /// The process could not start.
    NotStarted,
}

/// Runs a seed.
pub fn run(seed: u64, shown: bool, sabotage: Sabotage) -> Result<Outcome> {
    net::simulate(seed);
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let directory = tempfile::Builder::new().prefix("waypost-simulation-").tempdir_in(place)?;
    let (data, old) = (directory.path().join("data"), directory.path().join("old"));
    let world = World::new(Scenario::new(seed), data.clone(), shown);
    let mut ends = world.scenario.ends.clone().into_iter();
    let (mut planned, mut at_ms, mut died_ms, mut lives) = (ends.next(), 0, None, 0);
    loop {
        lives += 1;
        if sabotage.old_queue {
            swap(&data, &old)?;
        }
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let left = runtime.block_on(async {
            let left = Life { world: world.clone(), planned, died_ms, at_ms }.live(lives == 1).await;
            (left, world.end())
        });
        drop(runtime);
        let (left, now_ms) = (left.0?, left.1);
        world.trace(format!("life {lives} ends: {left:?} {planned:?}"));
        if left == LifeEnd::Over || lives > 100 {
            break;
        }
        if left == LifeEnd::Planned {
            planned = ends.next();
        }
        died_ms = Some(now_ms);
        at_ms = now_ms + world.state().dice.between(1_000, 20 * MINUTE_MS);
    }
    let mut state = world.state();
    let mut broken = std::mem::take(&mut state.ledger.broken);
    if mta::bugs_caught() > 0 {
        broken.push(format!("{} panics were caught", mta::bugs_caught()));
    }
    let (summary, simulated_ms) = (state.ledger.summary(), state.now_ms());
    drop(state);
    Ok(Outcome { broken, digest: world.digest(), simulated_ms, lives, summary })
}

/// Keeps a copy of the data directory, and puts the copy of the last time in its place.
fn swap(data: &Path, old: &Path) -> Result<()> {
    if !data.is_dir() {
        return Ok(());
    }
    let copy = |from: &Path, to: &Path| -> Result<()> {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    };
    if old.is_dir() {
        std::fs::remove_dir_all(data)?;
        copy(old, data)
    } else {
        copy(data, old)
    }
}

struct Life {
    world: Arc<World>,
    planned: Option<(i64, End)>,
    died_ms: Option<i64>,
    at_ms: i64,
}

impl Life {
    async fn live(self, is_first: bool) -> Result<LifeEnd> {
        let Self { world, died_ms, .. } = &self;
        let clock = Clock::of_runtime(EPOCH_MS + self.at_ms);
        world.begin(clock.clone());
        let dead = Arc::new(Notify::new());
        let store =
            Store::open_simulated(&world.data, Arc::new(Disk::new(world.clone(), dead.clone()))).context("the store cannot be opened")?;
        while is_first && server::populate(&world.scenario, &store).await.is_err() {}
        audit(world, &store, *died_ms).await?;
        let server = match server::start(world, &store, &clock).await {
            Ok(server) => server,
            Err(error) => {
                world.trace(format!("not started: {error:#}"));
                return Ok(LifeEnd::NotStarted);
            }
        };
        let submitter = server.submitter(Arc::new(|name: &str| name == "root"));
        world.state().submitter = Some(Arc::new(submitter));
        let letters = world.state().ledger.len();
        for n in 0..letters {
            tokio::spawn(client::send(world.clone(), n));
        }
        self.wait(&store, server, &dead).await
    }

    /// Audits at intervals, until the planned end or the end of the run.
    async fn wait(&self, store: &Store, server: Server, dead: &Notify) -> Result<LifeEnd> {
        let world = &self.world;
        let mut dies_by_ms = i64::MAX;
        loop {
            let now_ms = world.now_ms();
            let audit_ms = now_ms + world.state().dice.between(1_000, AUDIT_EVERY_MS);
            let end_ms = self.planned.map_or(i64::MAX, |(at_ms, _)| at_ms);
            let wake_ms = audit_ms.min(if end_ms > now_ms { end_ms } else { i64::MAX }).min(dies_by_ms);
            tokio::select! {
                biased;
                () = dead.notified() => return Ok(LifeEnd::Planned),
                () = sleep(Duration::from_millis(u64::try_from(wake_ms - now_ms).unwrap_or(1))) => {}
            }
            let now_ms = world.now_ms();
            if now_ms >= dies_by_ms {
                return Ok(LifeEnd::Planned);
            }
            if let Some((at_ms, end)) = self.planned.filter(|(at_ms, _)| *at_ms <= now_ms && dies_by_ms == i64::MAX) {
                world.trace(format!("the process ends: {end:?}, planned for {at_ms}"));
                match end {
                    End::Stopped => {
                        server.shut_down().await;
                        return Ok(LifeEnd::Planned);
                    }
                    End::Killed => return Ok(LifeEnd::Planned),
                    End::BeforeCommit => world.state().armed = Some(CommitFate::DiesBefore),
                    End::AfterCommit => world.state().armed = Some(CommitFate::DiesAfter),
                }
                dies_by_ms = now_ms + DIES_WITHIN_MS;
                continue;
            }
            let queued = tokio::select! {
                biased;
                // A process that has died answers no audit.
                () = dead.notified() => return Ok(LifeEnd::Planned),
                queued = audit(world, store, None) => queued?,
            };
            let mut state = world.state();
            let is_over = now_ms >= world.scenario.chaos_ms && state.ledger.all_answered() && queued == 0;
            if now_ms > world.scenario.chaos_ms + DRAINED_WITHIN_MS && !is_over {
                let text = format!("{queued} recipients are queued {DRAINED_WITHIN_MS} ms after everything works again");
                state.ledger.broken.push(text);
            }
            if is_over || !state.ledger.broken.is_empty() {
                return Ok(LifeEnd::Over);
            }
        }
    }
}
