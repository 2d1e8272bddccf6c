//! Rate-limits bounces to a return address, since one message causes few of them and many are an attack on its sender, and automatic answers
//! to an alias.
//!
//! Invariant: memory is bounded.

use mail::ForwardPath;
use net::Clock;
use parking_lot::Mutex;

use crate::settings::Forward;
use crate::support::limits::TokenBuckets;

/// Time in which a full allowance comes back, in milliseconds.
const WINDOW_MS: i64 = 3_600_000;

/// Maximum number of addresses counted at a time; with more, messages to others are refused until some have their allowance back.
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
    /// Counts a bounce; false if it exceeds the limit.
    pub fn may_take(&self, address: &ForwardPath, forward: &Forward, clock: &Clock) -> bool {
        self.count(address.to_string().to_lowercase(), forward.reports_per_sender, clock)
    }

    /// Counts a message under this name; false if it exceeds `most` within an hour of the steady clock.
    pub fn count(&self, address: String, most: u32, clock: &Clock) -> bool {
        self.0.lock().take(address, most, clock.steady_ms())
    }
}
