//! The queue ID of a message: short, sortable by arrival, unique.
//!
//! 41 bits of milliseconds and 22 bits that count from a random start, in Crockford's base32; if several nodes share a queue, the last 8 of the 22 are the
//! number of the node. Invariant: within a process each ID is greater than the
//! one before, for any number in a millisecond and any step of the clock.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LOW_BITS: u32 = 22;
const DIGITS: u32 = 13;

/// Maximum time, in Unix milliseconds: in the year 2039.
const TIME_MAX_MS: i64 = (1 << 41) - 1;

/// The last ID made.
static LAST: AtomicI64 = AtomicI64::new(0);

/// The start of the counter of each millisecond in this process; in the lower half of the range, so that there is room to count.
static START: OnceLock<u32> = OnceLock::new();

/// The number of this process among those that share a queue, and whether there are others; set once at the start.
static NODE: AtomicI64 = AtomicI64::new(NO_NODE);

/// No other process makes IDs for this queue.
const NO_NODE: i64 = -1;

/// The low bits that have the number of the node, if there are several: each counts in the bits above.
const NODE_BITS: u32 = 8;

/// A queue ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub i64);

impl QueueId {
    /// Makes the next ID. `unix_ms` is the current time; the first `random` makes the IDs of two processes differ.
    pub fn next(unix_ms: i64, random: u32) -> Self {
        let start = *START.get_or_init(|| random & ((1 << (LOW_BITS - 1)) - 1));
        let fresh = (unix_ms.clamp(0, TIME_MAX_MS) << LOW_BITS) | i64::from(start);
        let node = NODE.load(Ordering::Relaxed);
        let after = |last: i64| match node {
            NO_NODE => fresh.max(last.saturating_add(1)),
            node => ((fresh >> NODE_BITS).max((last >> NODE_BITS).saturating_add(1)) << NODE_BITS) | node,
        };
        let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last))).unwrap_or_else(|last| last);
        Self(after(last))
    }

    /// Gives every later ID of this process the number of its node: the IDs of two nodes are never equal.
    pub fn of_node(number: u8) {
        NODE.store(i64::from(number), Ordering::Relaxed);
    }

    /// Returns the lowest ID that can be made at this time or later.
    pub fn first_of(unix_ms: i64) -> Self {
        Self(unix_ms.clamp(0, TIME_MAX_MS) << LOW_BITS)
    }

    /// Returns when it was made, in Unix milliseconds; later than that if the clock was set back.
    pub fn made_ms(self) -> i64 {
        self.0 >> LOW_BITS
    }

    /// Makes every later ID greater than this one, the highest in use: a clock that was set back must not repeat an ID.
    /// An ID that no clock can have made, as in a damaged record, is ignored.
    pub fn start_above(highest: Self) {
        if highest.0 >> LOW_BITS < TIME_MAX_MS {
            LAST.fetch_max(highest.0, Ordering::Relaxed);
        }
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for digit in (0..DIGITS).rev() {
            let index = usize::try_from((self.0 >> (digit * 5)) & 31).unwrap_or_default();
            let letter = ALPHABET.get(index).copied().unwrap_or(b'0');
            write!(f, "{}", char::from(letter))?;
        }
        Ok(())
    }
}

impl FromStr for QueueId {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ERROR: &str = "a queue ID is 13 letters and digits, as `waypost queue list` shows them";
        if text.len() != DIGITS as usize {
            return Err(ERROR);
        }
        let mut value: i64 = 0;
        for b in text.bytes() {
            let digit = ALPHABET.iter().position(|a| *a == b.to_ascii_lowercase()).ok_or(ERROR)?;
            value = value.checked_mul(32).and_then(|v| v.checked_add(i64::try_from(digit).ok()?)).ok_or(ERROR)?;
        }
        Ok(Self(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_sortable_and_round_trip() {
        let a = QueueId::next(1_800_000_000_000, 7);
        let b = QueueId::next(1_800_000_000_001, 7);
        assert!(a < b && a.to_string() < b.to_string());
        assert_eq!(a.to_string().parse::<QueueId>().unwrap(), a);
        assert!("short".parse::<QueueId>().is_err());
        assert!("zzzzzzzzzzzzz".parse::<QueueId>().is_err());
    }

    #[test]
    fn ids_differ_within_a_millisecond_and_after_clock_steps() {
        let made: Vec<QueueId> = (0..10_000u32)
            .map(|n| QueueId::next(1_800_000_100_000 - i64::from(n % 7) * 86_400_000, n.wrapping_mul(2_654_435_761)))
            .collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        let highest = QueueId(made[9_999].0 + 5_000_000_000);
        QueueId::start_above(highest);
        assert!(QueueId::next(1_800_000_000_000, 1) > highest);
        // In the same test, since the number is the process's.
        QueueId::of_node(7);
        let made: Vec<QueueId> = (0..10_000).map(|n| QueueId::next(1_800_000_000_000 + n % 5, 1)).collect();
        assert!(made[0] > highest && made.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(made.iter().all(|id| id.0 & 0xff == 7), "the low bits are the node's, so no other node makes the same ID");
        NODE.store(NO_NODE, Ordering::Relaxed);
    }
}
