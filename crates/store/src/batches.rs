//! Counts the writer's transactions, for metrics.
//!
//! Invariant: counting touches atomic numbers only, and nothing is decided by them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Sizes that are told apart: at most 1, 2, 4 ... 512 operations, and more.
const SIZES: usize = 11;

/// Transactions since the store was opened.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct BatchCounts {
    /// Committed transactions, each with one sync.
    pub committed: u64,
    /// Failed transactions.
    pub failed: u64,
    /// Total duration of both, in microseconds.
    pub total_us: u64,
    /// Operations in committed transactions.
    pub operations: u64,
    /// Committed transactions by size: at most 1 operation, 2, 4 ... 512; the last one is larger.
    pub sizes: Vec<u64>,
}

/// The counters behind [`BatchCounts`].
#[derive(Debug, Default)]
pub(crate) struct Batches {
    failed: AtomicU64,
    total_us: AtomicU64,
    operations: AtomicU64,
    sizes: [AtomicU64; SIZES],
}

impl Batches {
    /// Counts a transaction.
    pub fn count(&self, operations: usize, took: Duration, is_committed: bool) {
        self.total_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if !is_committed {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.operations.fetch_add(u64::try_from(operations).unwrap_or(u64::MAX), Ordering::Relaxed);
        let size = usize::try_from(operations.next_power_of_two().trailing_zeros()).unwrap_or(SIZES);
        if let Some(cell) = self.sizes.get(size.min(SIZES - 1)) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the numbers.
    pub fn read(&self) -> BatchCounts {
        let sizes: Vec<u64> = self.sizes.iter().map(|cell| cell.load(Ordering::Relaxed)).collect();
        BatchCounts {
            committed: sizes.iter().sum(),
            failed: self.failed.load(Ordering::Relaxed),
            total_us: self.total_us.load(Ordering::Relaxed),
            operations: self.operations.load(Ordering::Relaxed),
            sizes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_two() {
        let batches = Batches::default();
        for operations in [1, 2, 3, 4, 5, 512, 513, 100_000] {
            batches.count(operations, Duration::from_micros(10), true);
        }
        batches.count(7, Duration::from_micros(20), false);
        let counts = batches.read();
        assert_eq!(counts.sizes, [1, 1, 2, 1, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!((counts.committed, counts.failed, counts.total_us, counts.operations), (8, 1, 100, 101_040));
    }
}
