//! What outlives our process: the time, the letters, the other hosts' memory, the trace of the run.
//!
//! Invariant: everything that happens is in the trace, in order, so that two runs of a seed can be compared by its digest.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use events::{Event, EventSink};
use mta::Submitter;
use net::{Clock, SimulatedTcp};
use tokio::sync::mpsc;

use crate::dice::Dice;
use crate::ledger::{Ledger, Letter};
use crate::scenario::Scenario;

/// Unix time of the beginning of every world, in milliseconds.
pub const EPOCH_MS: i64 = 1_790_000_000_000;

/// The world of a run.
#[derive(Debug)]
pub struct World {
    /// What the seed made.
    pub scenario: Scenario,
    /// Our data directory.
    pub data: PathBuf,
    state: Mutex<WorldState>,
}

/// What changes in the world.
pub struct WorldState {
    /// The clock of the running process.
    pub clock: Clock,
    /// The seeded choices.
    pub dice: Dice,
    /// The accounts.
    pub ledger: Ledger,
    /// Where our process listens.
    pub doors: BTreeMap<SocketAddr, mpsc::Sender<SimulatedTcp>>,
    /// What takes mail of programs.
    pub submitter: Option<Arc<Submitter>>,
    /// When greylisting hosts saw a recipient of a letter first.
    pub seen: BTreeMap<(IpAddr, String), i64>,
    /// Open sessions, by host.
    pub sessions: BTreeMap<IpAddr, usize>,
    /// How our process dies at its next commit.
    pub armed: Option<store::CommitFate>,
    /// Commits that failed, or in which the process died.
    pub disk_failures: u64,
    digest: u64,
    shown: bool,
}

impl std::fmt::Debug for WorldState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WorldState")
    }
}

impl WorldState {
    /// The time since the beginning, in milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms() - EPOCH_MS
    }

    /// Adds a line to the trace.
    pub fn trace(&mut self, text: &str) {
        let now_ms = self.now_ms();
        // FNV-1a.
        for byte in now_ms.to_le_bytes().iter().chain(text.as_bytes()) {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.shown {
            println!("{:>12} {text}", now_ms);
        }
    }
}

impl World {
    /// The world of a scenario, with our data in `data`. `shown`: print the trace.
    pub fn new(scenario: Scenario, data: PathBuf, shown: bool) -> Arc<Self> {
        let state = WorldState {
            clock: Clock::simulated(EPOCH_MS),
            dice: Dice::new(scenario.seed, 2),
            ledger: Ledger::new(scenario.letters.iter().cloned().map(Letter::new).collect()),
            doors: BTreeMap::new(),
            submitter: None,
            seen: BTreeMap::new(),
            sessions: BTreeMap::new(),
            armed: None,
            disk_failures: 0,
            digest: 0xcbf2_9ce4_8422_2325,
            shown,
        };
        Arc::new(Self { scenario, data, state: Mutex::new(state) })
    }

    /// Begins the life of a process.
    pub fn begin(&self, clock: Clock) {
        let mut state = self.state();
        state.clock = clock;
        (state.doors, state.sessions) = (BTreeMap::new(), BTreeMap::new());
    }

    /// Ends the life of a process: its runtime, and all connections with it, are gone after this. Returns the time.
    pub fn end(&self) -> i64 {
        let mut state = self.state();
        let now_ms = state.now_ms();
        state.clock = Clock::simulated(EPOCH_MS + now_ms);
        (state.submitter, state.armed) = (None, None);
        state.ledger.process_died();
        now_ms
    }

    /// What changes.
    pub fn state(&self) -> MutexGuard<'_, WorldState> {
        self.state.lock().expect("no task of the simulation has panicked")
    }

    /// The time since the beginning, in milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.state().now_ms()
    }

    /// Whether faults still happen.
    pub fn is_chaos(&self) -> bool {
        self.now_ms() < self.scenario.chaos_ms
    }

    /// Adds a line to the trace.
    pub fn trace(&self, text: impl AsRef<str>) {
        self.state().trace(text.as_ref());
    }

    /// A choice while faults happen, in thousandths; false afterwards.
    pub fn mishap(&self, per_mille: i64) -> bool {
        self.is_chaos() && self.state().dice.chance(per_mille)
    }

    /// The digest of the trace.
    pub fn digest(&self) -> u64 {
        self.state().digest
    }
}

/// Puts our events in the trace.
pub struct TracedEvents(pub Arc<World>);

impl EventSink for TracedEvents {
    fn record(&self, event: &Arc<Event>) {
        self.0.trace(serde_json::to_string(&**event).unwrap_or_default());
    }
}
