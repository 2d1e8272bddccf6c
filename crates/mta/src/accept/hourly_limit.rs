//! Rate-limits bounces to a return address, since many bounces are an attack on the sender, and automatic replies to an alias.
//!
//! Invariant: memory is bounded.

use mail::ForwardPath;
use net::Clock;
use parking_lot::Mutex;

use crate::support::limits::TokenBuckets;

/// Time in which a used-up limit refills, in milliseconds.
const WINDOW_MS: i64 = 3_600_000;

/// Maximum number of addresses counted at a time; above it, messages to other addresses are refused until some limits have refilled.
const COUNTED_MAX: usize = 100_000;

/// The counts, by address.
#[derive(Debug)]
pub(crate) struct HourlyLimit(Mutex<TokenBuckets<String>>);

impl Default for HourlyLimit {
    fn default() -> Self {
        Self(Mutex::new(TokenBuckets::new(COUNTED_MAX, WINDOW_MS)))
    }
}

impl HourlyLimit {
    /// Counts a bounce; false if it exceeds `most` within an hour.
    pub fn may_take(&self, address: &ForwardPath, most: u32, clock: &Clock) -> bool {
        self.count(address.to_string().to_lowercase(), most, clock)
    }

    /// Counts a message under this name; false if it exceeds `most` within an hour by the monotonic clock.
    pub fn count(&self, address: String, most: u32, clock: &Clock) -> bool {
        self.0.lock().take(address, most, clock.steady_ms())
    }
}
