//! Watches the free space on the disk of the data directory: says so before new mail is refused for lack of it.
//!
//! Invariant: one log line and one event each time that the disk becomes nearly full.

use std::time::Duration;

use events::{Event, EventKind, Events};
use net::Clock;
use store::Store;
use tokio::task::JoinHandle;

/// Polling interval.
const POLL_EVERY: Duration = Duration::from_secs(60);

/// The task; it ends when this is dropped.
#[derive(Debug)]
pub struct DiskWatch(JoinHandle<()>);

impl Drop for DiskWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts watching.
pub fn start(store: Store, clock: Clock, events: Events) -> DiskWatch {
    DiskWatch(tokio::spawn(async move {
        let mut was_short = false;
        loop {
            let is_short = store.is_short_of_room();
            if is_short && !was_short {
                let (kind, next_step) = (EventKind::DiskLow, "free some space: otherwise new mail is refused with 452 soon");
                tracing::error!(next_step, "{}", kind.words());
                events.record_with(|| Event::new(kind, clock.now_ms()).fact(events::Fact::NextStep, next_step));
            }
            was_short = is_short;
            tokio::time::sleep(POLL_EVERY).await;
        }
    }))
}
