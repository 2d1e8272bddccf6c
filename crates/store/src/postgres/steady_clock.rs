//! The monotonic clock of a node: that of the process, or one that a simulation moves.
//!
//! Invariant: it never goes back, and nobody sets it.

use std::time::{Duration, Instant};

use crate::simulated_node::SimulatedNode;

/// A monotonic clock.
#[derive(Debug)]
pub(super) enum SteadyClock {
    /// That of the process, since then.
    Process(Instant),
    Simulated(SimulatedNode),
}

impl SteadyClock {
    /// The clock of the process.
    #[allow(clippy::disallowed_methods)] // a lease is counted by the process's own clock, which nobody sets
    pub fn process() -> Self {
        Self::Process(Instant::now())
    }

    /// The clock of a simulated node.
    pub fn simulated(node: &SimulatedNode) -> Self {
        Self::Simulated(node.clone())
    }

    /// Time since its start.
    pub fn elapsed(&self) -> Duration {
        match self {
            Self::Process(start) => start.elapsed(),
            Self::Simulated(node) => node.elapsed(),
        }
    }
}
