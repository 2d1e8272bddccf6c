//! Challenges of passkeys: made without a record, and used up once.
//!
//! W3C Web Authentication Level 2 s.13.4.3. Invariants: a challenge is for one purpose, ends after ten minutes and with the process, and logs in once; a
//! flood of visitors costs no memory.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use net::{hmac_sha256, random_bytes};
use parking_lot::Mutex;

/// How long a challenge can be answered, in milliseconds.
const CHALLENGE_MS: i64 = 600_000;

/// Octets of its end, of its random part and of its code.
const END_BYTES: usize = 8;
const RANDOM_BYTES: usize = 16;
const CODE_BYTES: usize = 32;

/// Makes challenges, and knows those that were used.
#[derive(Debug)]
pub(crate) struct Challenges {
    key: [u8; 32],
    /// Until when each used one could be answered.
    used: Mutex<HashMap<Vec<u8>, i64>>,
}

impl Default for Challenges {
    fn default() -> Self {
        Self { key: random_bytes(), used: Mutex::default() }
    }
}

impl Challenges {
    /// Makes a challenge for a purpose.
    pub fn make(&self, purpose: &str, now_ms: i64) -> String {
        let (end, random) = ((now_ms + CHALLENGE_MS).to_be_bytes(), random_bytes::<RANDOM_BYTES>());
        URL_SAFE_NO_PAD.encode([&end[..], &random, &self.code(purpose, &end, &random)].concat())
    }

    fn code(&self, purpose: &str, end: &[u8], random: &[u8]) -> Vec<u8> {
        hmac_sha256(&self.key, &[end, random, purpose.as_bytes()])
    }

    /// Returns the challenge if it was made for this purpose and can still be answered.
    pub fn check(&self, purpose: &str, text: &str, now_ms: i64) -> Option<Challenge> {
        let octets = URL_SAFE_NO_PAD.decode(text).ok().filter(|octets| octets.len() == END_BYTES + RANDOM_BYTES + CODE_BYTES)?;
        let (end, rest) = octets.split_first_chunk::<END_BYTES>()?;
        let (random, code) = rest.split_first_chunk::<RANDOM_BYTES>()?;
        let until_ms = i64::from_be_bytes(*end);
        // Hashes, so that the time of the comparison says nothing about the code.
        let is_ours = net::sha256(&[code]) == net::sha256(&[&self.code(purpose, end, random)]);
        let is_open = is_ours && now_ms < until_ms && !self.used.lock().contains_key(random.as_slice());
        is_open.then(|| Challenge { random: random.to_vec(), until_ms })
    }

    /// Uses up a challenge. Returns whether it was not used before.
    pub fn use_up(&self, challenge: Challenge, now_ms: i64) -> bool {
        let mut used = self.used.lock();
        used.retain(|_, until_ms| now_ms < *until_ms);
        used.insert(challenge.random, challenge.until_ms).is_none()
    }
}

/// A challenge that can be answered.
#[derive(Debug)]
pub(crate) struct Challenge {
    random: Vec<u8>,
    until_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_for_one_purpose_one_use_and_ten_minutes() {
        let challenges = Challenges::default();
        let text = challenges.make("login", 0);
        assert!(challenges.check("login", &text, CHALLENGE_MS - 1).is_some());
        for (purpose, text, now_ms) in [
            ("login", text.as_str(), CHALLENGE_MS),
            ("second me", &text, 0),
            ("login", "", 0),
            ("login", "AAAA", 0),
            ("login", text.get(1..).unwrap(), 0),
        ] {
            assert!(challenges.check(purpose, text, now_ms).is_none(), "{purpose} {text}");
        }
        assert!(Challenges::default().check("login", &text, 0).is_none(), "of another process");
        let (first, second) = (challenges.check("login", &text, 0).unwrap(), challenges.check("login", &text, 0).unwrap());
        assert!(challenges.use_up(first, 0) && !challenges.use_up(second, 0));
        assert!(challenges.check("login", &text, 0).is_none());
        let other = challenges.check("login", &challenges.make("login", CHALLENGE_MS), CHALLENGE_MS).unwrap();
        assert!(challenges.use_up(other, CHALLENGE_MS));
        assert_eq!(challenges.used.lock().len(), 1, "what has ended is forgotten");
    }
}
