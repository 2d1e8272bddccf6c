//! Keeps the circuit breakers over a restart, in a file.
//!
//! Invariant: the file is written when they have changed, at most once in ten seconds, and at the end; a damaged one is ignored.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use net::Clock;
use parking_lot::Mutex;
use policy::BreakerMemory;

use crate::deliver::outbound::Outbound;
use crate::support::state_file::StateFile;

const FILE: &str = "breakers.json";

/// Minimum time between two versions.
const WRITE_EVERY: Duration = Duration::from_secs(10);

/// The file, and what it contains.
#[derive(Debug, Default)]
pub(crate) struct BreakerFile {
    file: StateFile,
    written: Mutex<BreakerMemory>,
}

impl BreakerFile {
    /// Reads the file. Blocks: called at the start.
    pub fn open(data: &Path, clock: &Clock) -> (Self, policy::Breakers) {
        let (file, state) = StateFile::open(data.join(FILE));
        let memory: BreakerMemory = serde_json::from_value(state).unwrap_or_default();
        let breakers = policy::Breakers::remembering(memory, clock.now_ms());
        (Self { file, written: Mutex::default() }, breakers)
    }

    /// Writes this memory, if it is another than the last.
    pub async fn write(&self, memory: BreakerMemory) {
        if *self.written.lock() == memory {
            return;
        }
        self.file.write(|| serde_json::to_string(&memory).unwrap_or_default()).await;
        *self.written.lock() = memory;
    }
}

/// Writes the file until shutdown.
pub(crate) async fn run(outbound: Arc<Outbound>) {
    loop {
        tokio::time::sleep(WRITE_EVERY).await;
        outbound.breakers().write().await;
    }
}
