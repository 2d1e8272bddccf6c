//! Which messages the targets have taken lately: a sender that did not hear our 250 comes again, and the target is not to get a second copy.
//!
//! RFC 1047 (duplicate messages). Invariant: bounded memory, and two messages have one fingerprint only where they agree in every octet of their
//! body and in what identifies them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use mail::{Fields, header_len};
use store::NewMessage;

/// Fingerprints that are remembered; the oldest go first.
const REMEMBERED_MAX: usize = 100_000;

/// A sender that comes again does so within this time, in milliseconds.
const REMEMBERED_MS: i64 = 4 * 3_600_000;

/// What identifies a message to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// That of a message; none where it has no Message-ID, since nothing tells it from the next then.
    pub fn of(content: &[u8], new: &NewMessage) -> Option<Self> {
        let id = Fields::find_first(content, "Message-ID")?;
        let field = |name| Fields::find_first(content, name).map(|f| f.value).unwrap_or_default();
        let recipient = &new.recipients.first()?.recipient_key();
        let sender = new.message.reverse_path.to_bare();
        let body = content.get(header_len(content)..).unwrap_or_default();
        let digest = net::sha256(&[id.value, field("Date"), field("From"), sender.as_bytes(), recipient.as_bytes(), body]);
        digest.first_chunk::<16>().map(|half| Self(*half))
    }
}

/// What was taken lately.
#[derive(Debug, Default)]
pub(crate) struct Taken(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    at_ms: HashMap<Fingerprint, i64>,
    order: VecDeque<Fingerprint>,
}

impl Taken {
    /// Remembers that a target has the message.
    pub fn remember(&self, fingerprint: Fingerprint, now_ms: i64) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.at_ms.insert(fingerprint, now_ms).is_none() {
            remembered.order.push_back(fingerprint);
        }
        while remembered.order.len() > REMEMBERED_MAX {
            let Some(oldest) = remembered.order.pop_front() else { return };
            remembered.at_ms.remove(&oldest);
        }
    }

    /// Whether a target has it.
    pub fn has(&self, fingerprint: Fingerprint, now_ms: i64) -> bool {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.at_ms.get(&fingerprint).is_some_and(|at_ms| now_ms - at_ms < REMEMBERED_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_remembered_for_a_while() {
        let taken = Taken::default();
        let print = |n: u8| Fingerprint([n; 16]);
        taken.remember(print(1), 0);
        assert!(taken.has(print(1), REMEMBERED_MS - 1));
        assert!(!taken.has(print(1), REMEMBERED_MS));
        assert!(!taken.has(print(2), 0));
    }

    #[test]
    fn memory_is_bounded() {
        let taken = Taken::default();
        for n in 0..u32::try_from(REMEMBERED_MAX).unwrap() + 5 {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            taken.remember(Fingerprint(bytes), 0);
        }
        assert_eq!(taken.0.lock().unwrap().at_ms.len(), REMEMBERED_MAX);
        assert!(!taken.has(Fingerprint([0; 16]), 0));
    }
}
