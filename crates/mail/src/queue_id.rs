//! The name of a message while it is ours: short, sortable by arrival, unique.
//!
//! 41 bits of milliseconds and 22 bits that count from a random start, in Crockford's base32.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LOW_BITS: u32 = 22;
const DIGITS: u32 = 13;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A message's queue id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub i64);

impl QueueId {
    /// The next id. `unix_ms` is the time now; `random` makes ids of two processes differ.
    pub fn next(unix_ms: i64, random: u32) -> Self {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed).wrapping_add(random);
        let low = i64::from(count & ((1 << LOW_BITS) - 1));
        Self(((unix_ms & ((1 << 41) - 1)) << LOW_BITS) | low)
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
        const ERROR: &str = "a queue id is 13 letters and digits, as `waypost queue list` shows them";
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
}
