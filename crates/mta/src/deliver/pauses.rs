//! Paused mailboxes, hosts and providers, for operators: list, and resume after the cause is fixed.
//!
//! Invariant: resuming one retries nothing else sooner.

use std::sync::Arc;

use net::Clock;
use policy::Pause;

use crate::deliver::breakers::Breakers;
use crate::support::wake::Wake;

/// The pauses of a running server.
#[derive(Debug, Clone)]
pub struct Pauses {
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) clock: Clock,
    pub(crate) wake: Wake,
}

impl Pauses {
    /// The pauses in force, by their end.
    pub fn list(&self) -> Vec<Pause> {
        self.breakers.pauses(self.clock.now_ms())
    }

    /// Ends the pauses of a mailbox, a host or a provider. Returns their number.
    pub fn resume(&self, about: &str) -> usize {
        self.breakers.resume(about)
    }

    /// Wakes the dispatcher, which queries the store for due mail.
    pub fn wake(&self) {
        self.wake.wake();
    }
}
