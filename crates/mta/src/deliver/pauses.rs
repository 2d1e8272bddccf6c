//! What gets no mail for now since a host asked for that, for operators: shown, and ended where somebody has mended the cause.
//!
//! Invariant: nothing else is tried sooner by it.

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
    /// Those that go on, the one that ends first before the others.
    pub fn list(&self) -> Vec<Pause> {
        self.breakers.pauses(self.clock.now_ms())
    }

    /// Ends those of a mailbox, a host or a provider. Returns how many there were.
    pub fn resume(&self, about: &str) -> usize {
        self.breakers.resume(about)
    }

    /// Looks for what is due.
    pub fn wake(&self) {
        self.wake.wake();
    }
}
