//! Counts DNS lookups, for metrics.
//!
//! Invariant: counting touches atomic numbers only, and nothing is decided by them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Lookups since the start of the process, cached ones included.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LookupCounts {
    /// Lookups with an answer, which may be that nothing exists.
    pub answered: u64,
    /// Lookups without one: no server answered, or its answer cannot be used.
    pub failed: u64,
    /// Total duration of both, in milliseconds.
    pub total_ms: u64,
}

/// The counters behind [`LookupCounts`].
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    answered: AtomicU64,
    failed: AtomicU64,
    total_ms: AtomicU64,
}

impl Lookups {
    /// Counts a lookup.
    pub fn count(&self, took_ms: i64, is_answered: bool) {
        let counter = if is_answered { &self.answered } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        self.total_ms.fetch_add(u64::try_from(took_ms).unwrap_or_default(), Ordering::Relaxed);
    }

    /// Returns the numbers.
    pub fn read(&self) -> LookupCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LookupCounts { answered: read(&self.answered), failed: read(&self.failed), total_ms: read(&self.total_ms) }
    }
}
