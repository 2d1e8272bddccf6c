//! What gets no mail for now since a host asked for that, for operators: shown, and ended where somebody has mended the cause.
//!
//! Invariant: nothing else is tried sooner by it.

use policy::Pause;

use crate::queue::dispatch::Dispatch;

/// The pauses of a running server.
#[derive(Debug, Clone)]
pub struct Pauses(pub(crate) Dispatch);

impl Pauses {
    /// Those that go on, the one that ends first before the others.
    pub fn list(&self) -> Vec<Pause> {
        let world = self.0.world();
        world.breakers.pauses(world.clock.now_ms())
    }

    /// Ends those of a mailbox, a host or a provider. Returns how many there were.
    pub fn resume(&self, about: &str) -> usize {
        self.0.world().breakers.resume(about)
    }

    /// Looks for what is due.
    pub fn wake(&self) {
        self.0.wake();
    }
}
