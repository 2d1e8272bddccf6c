//! Logins whose password was right, and that wait for their second step.
//!
//! Invariant: a login waits ten minutes at most, and memory is bounded.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use super::Admitted;

/// Maximum time for the second step, in milliseconds.
const WAIT_MS: i64 = 600_000;

/// Maximum logins that wait; a further one replaces the oldest.
const WAITING_MAX: usize = 1000;

/// The logins that wait, by the hash of their cookie.
#[derive(Debug, Default)]
pub(crate) struct PendingCodes(Mutex<HashMap<[u8; 32], (Admitted, i64)>>);

impl PendingCodes {
    /// Lets a login wait; returns the value of its cookie.
    pub fn put(&self, admitted: Admitted, now_ms: i64) -> String {
        let token = URL_SAFE_NO_PAD.encode(net::random_bytes::<32>());
        let mut waiting = self.0.lock();
        waiting.retain(|_, (_, until_ms)| now_ms < *until_ms);
        if waiting.len() >= WAITING_MAX
            && let Some(oldest) = waiting.iter().min_by_key(|(_, (_, until_ms))| *until_ms).map(|(key, _)| *key)
        {
            waiting.remove(&oldest);
        }
        waiting.insert(net::sha256(&[token.as_bytes()]), (admitted, now_ms + WAIT_MS));
        token
    }

    /// Returns the login of a cookie.
    pub fn get(&self, token: &str, now_ms: i64) -> Option<Admitted> {
        let waiting = self.0.lock();
        waiting.get(&net::sha256(&[token.as_bytes()])).filter(|(_, until_ms)| now_ms < *until_ms).map(|(admitted, _)| admitted.clone())
    }

    /// Removes the login of a cookie.
    pub fn remove(&self, token: &str) {
        self.0.lock().remove(&net::sha256(&[token.as_bytes()]));
    }
}

#[cfg(test)]
mod tests {
    use mta::LoginNetwork;

    use super::*;

    #[test]
    fn a_login_waits_ten_minutes_and_few_wait() {
        let pending = PendingCodes::default();
        let admitted =
            Admitted { login: "me@x.test".into(), password: None, how: "password", network: LoginNetwork::Known, next: "/".into() };
        let token = pending.put(admitted.clone(), 0);
        assert!(pending.get(&token, WAIT_MS - 1).is_some() && pending.get(&token, WAIT_MS).is_none() && pending.get("x", 0).is_none());
        for n in 1..=WAITING_MAX {
            pending.put(admitted.clone(), i64::try_from(n).unwrap());
        }
        assert!(pending.0.lock().len() <= WAITING_MAX && pending.get(&token, 1).is_none());
    }
}
