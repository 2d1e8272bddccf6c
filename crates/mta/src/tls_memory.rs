//! Which hosts offer TLS: one that suddenly does not is perhaps not the one that answers.
//!
//! RFC 7435 s.3, RFC 3207 s.6. Invariant: a host that really gave TLS up gets its mail after a day; memory is bounded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mail::Domain;

/// A host is remembered for so long after it last offered TLS, in milliseconds.
const KEPT_MS: i64 = 30 * 86_400_000;

/// Mail for it waits so long for TLS to come back, in milliseconds.
const HOLD_MS: i64 = 86_400_000;

/// Hosts that are remembered.
const KEPT_MAX: usize = 20_000;

#[derive(Debug, Clone, Copy)]
struct Seen {
    offered_ms: i64,
    /// Since when it does not any more.
    missing_ms: Option<i64>,
}

/// The memory.
#[derive(Debug, Default)]
pub(crate) struct TlsMemory(Mutex<HashMap<Domain, Seen>>);

impl TlsMemory {
    /// A connection to the host runs over TLS.
    pub fn offered(&self, host: &Domain, now_ms: i64) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= KEPT_MAX && !hosts.contains_key(host) {
            hosts.retain(|_, seen| now_ms - seen.offered_ms < KEPT_MS);
            if hosts.len() >= KEPT_MAX {
                return;
            }
        }
        hosts.insert(host.clone(), Seen { offered_ms: now_ms, missing_ms: None });
    }

    /// Whether the host is expected to offer it.
    pub fn expects(&self, host: &Domain, now_ms: i64) -> bool {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_held = |seen: &Seen| seen.missing_ms.is_none_or(|missing_ms| now_ms - missing_ms < HOLD_MS);
        hosts.get(host).is_some_and(|seen| now_ms - seen.offered_ms < KEPT_MS && is_held(seen))
    }

    /// It does not. Returns for how long mail for it is still held back, in milliseconds.
    pub fn missing(&self, host: &Domain, now_ms: i64) -> i64 {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = hosts.get_mut(host) else { return 0 };
        let since_ms = *seen.missing_ms.get_or_insert(now_ms);
        (since_ms + HOLD_MS - now_ms).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_waited_for_a_day_and_no_longer() {
        let (memory, host): (_, Domain) = (TlsMemory::default(), "mx.far.test".parse().unwrap());
        assert!(!memory.expects(&host, 0));
        assert_eq!(memory.missing(&host, 0), 0);
        memory.offered(&host, 0);
        assert!(memory.expects(&host, KEPT_MS - 1) && !memory.expects(&host, KEPT_MS));
        assert_eq!(memory.missing(&host, 1000), HOLD_MS);
        assert_eq!(memory.missing(&host, 2000), HOLD_MS - 1000);
        assert!(memory.expects(&host, HOLD_MS + 999) && !memory.expects(&host, HOLD_MS + 1000));
        memory.offered(&host, HOLD_MS + 2000);
        assert!(memory.expects(&host, HOLD_MS + 3000));
    }

    #[test]
    fn memory_is_bounded() {
        let memory = TlsMemory::default();
        for n in 0..KEPT_MAX + 10 {
            memory.offered(&format!("h{n}.test").parse().unwrap(), 0);
        }
        assert_eq!(memory.0.lock().unwrap().len(), KEPT_MAX);
        memory.offered(&"new.test".parse().unwrap(), KEPT_MS);
        assert!(memory.expects(&"new.test".parse().unwrap(), KEPT_MS));
    }
}
