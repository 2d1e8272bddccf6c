//! How many messages of a kind an address takes within an hour: reports for a return address, since one message makes few of them and many are an attack
//! on its sender; automatic answers for an alias.
//!
//! Invariant: bounded memory; an address is counted for an hour from its first report on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mail::ForwardPath;
use net::Clock;

use crate::settings::Forward;

/// An address is counted for so long, in milliseconds.
const WINDOW_MS: i64 = 3_600_000;

/// Addresses that are counted at a time; with more, none beyond is taken until some are forgotten.
const COUNTED_MAX: usize = 100_000;

/// The counts: how many, and since when.
#[derive(Debug, Default)]
pub(crate) struct Returns(Mutex<HashMap<String, (u32, i64)>>);

impl Returns {
    /// Counts one more report; false where it is one too many.
    pub fn may_take(&self, address: &ForwardPath, forward: &Forward, clock: &Clock) -> bool {
        self.count(address.to_string().to_lowercase(), forward.reports_per_sender, clock)
    }

    /// Counts one more under this name; false where it is one too many. An hour is one that goes by, whatever the wall clock is set to.
    pub fn count(&self, address: String, most: u32, clock: &Clock) -> bool {
        self.count_at(address, most, clock.steady_ms())
    }

    fn count_at(&self, address: String, most: u32, now_ms: i64) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= COUNTED_MAX {
            counts.retain(|_, (_, since_ms)| now_ms - *since_ms < WINDOW_MS);
        }
        if counts.len() >= COUNTED_MAX && !counts.contains_key(&address) {
            return false;
        }
        let (count, since_ms) = counts.entry(address).or_insert((0, now_ms));
        if now_ms - *since_ms >= WINDOW_MS {
            (*count, *since_ms) = (0, now_ms);
        }
        *count = count.saturating_add(1);
        *count <= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_so_many_reports() {
        let returns = Returns::default();
        let count = |address: &str, now_ms| returns.count_at(address.into(), 2, now_ms);
        assert!(count("a", 0) && count("a", 1) && !count("a", 2));
        assert!(count("b", 2));
        assert!(!count("a", WINDOW_MS - 1) && count("a", WINDOW_MS));
    }
}
