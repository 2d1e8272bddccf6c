//! Messages that were accepted recently: a sender that missed our 250 retries, and the target must not get a second copy.
//!
//! RFC 1047 (duplicate messages). Invariant: memory is bounded, and two messages have the same fingerprint only if their bodies and
//! identifying fields are identical.

use std::collections::HashSet;
use std::sync::Arc;

use mail::{Fields, header_len};
use parking_lot::{Mutex, MutexGuard};
use store::NewMessage;

use crate::support::limits::BoundedMap;

/// Maximum fingerprints; the oldest are dropped first.
const FINGERPRINTS_MAX: usize = 100_000;

/// Retention, in milliseconds: a sender retries within this time.
const RETENTION_MS: i64 = 4 * 3_600_000;

/// What identifies a message to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Returns that of a message; `None` without a Message-ID, since a different message might then look the same.
    pub fn of(content: &[u8], new: &NewMessage) -> Option<Self> {
        let id = Fields::find_first(content, "Message-ID")?;
        let field = |name| Fields::find_first(content, name).map(|f| f.value).unwrap_or_default();
        let recipient = &new.recipients.first()?.recipient_key();
        let sender = new.message.reverse_path.to_bare();
        let body = content.get(header_len(content)..).unwrap_or_default();
        let body = net::process_digest(body);
        let digest = net::sha256(&[id.value, field("Date"), field("From"), sender.as_bytes(), recipient.as_bytes(), &body]);
        digest.first_chunk::<16>().map(|half| Self(*half))
    }
}

/// Messages that a target has accepted, or that are on our disk. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct DedupCache(Arc<Mutex<DedupState>>);

#[derive(Debug)]
struct DedupState {
    /// When each was accepted, in Unix milliseconds.
    at_ms: BoundedMap<Fingerprint, i64>,
    under_way: HashSet<Fingerprint>,
}

impl Default for DedupState {
    fn default() -> Self {
        Self { at_ms: BoundedMap::new(FINGERPRINTS_MAX), under_way: HashSet::new() }
    }
}

/// The result of [`DedupCache::begin`].
#[derive(Debug)]
pub(crate) enum DedupResult {
    /// It is new.
    New(DedupMark),
    /// The same message is being delivered.
    UnderWay,
    /// It was accepted or queued.
    Accepted,
}

/// Marks a message as being delivered, until dropped.
#[derive(Debug)]
pub(crate) struct DedupMark {
    cache: DedupCache,
    fingerprint: Fingerprint,
}

impl DedupMark {
    /// Remembers that the target accepted it.
    pub fn remember(&self, now_ms: i64) {
        self.cache.remember(self.fingerprint, now_ms);
    }
}

impl Drop for DedupMark {
    fn drop(&mut self) {
        self.cache.lock().under_way.remove(&self.fingerprint);
    }
}

impl DedupCache {
    fn lock(&self) -> MutexGuard<'_, DedupState> {
        self.0.lock()
    }

    /// Marks a message that is about to be sent.
    pub fn begin(&self, fingerprint: Fingerprint, now_ms: i64) -> DedupResult {
        let mut state = self.lock();
        if state.at_ms.get(&fingerprint).is_some_and(|at_ms| now_ms - at_ms < RETENTION_MS) {
            return DedupResult::Accepted;
        }
        if !state.under_way.insert(fingerprint) {
            return DedupResult::UnderWay;
        }
        drop(state);
        DedupResult::New(DedupMark { cache: self.clone(), fingerprint })
    }

    /// Remembers that the message was accepted or queued.
    pub fn remember(&self, fingerprint: Fingerprint, now_ms: i64) {
        self.lock().at_ms.insert_over_oldest(fingerprint, now_ms, |at_ms| *at_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(n: u8) -> Fingerprint {
        Fingerprint([n; 16])
    }

    fn is_accepted(cache: &DedupCache, fingerprint: Fingerprint, now_ms: i64) -> bool {
        matches!(cache.begin(fingerprint, now_ms), DedupResult::Accepted)
    }

    #[test]
    fn accepted_messages_are_remembered_for_a_while() {
        let cache = DedupCache::default();
        cache.remember(print(1), 0);
        assert!(is_accepted(&cache, print(1), RETENTION_MS - 1));
        assert!(!is_accepted(&cache, print(1), RETENTION_MS));
        assert!(!is_accepted(&cache, print(2), 0));
    }

    #[test]
    fn a_message_is_delivered_by_one_session_at_a_time() {
        let cache = DedupCache::default();
        let DedupResult::New(mark) = cache.begin(print(1), 0) else { panic!("it is new") };
        assert!(matches!(cache.begin(print(1), 0), DedupResult::UnderWay));
        drop(mark);
        let DedupResult::New(mark) = cache.begin(print(1), 0) else { panic!("the first delivery has ended") };
        mark.remember(0);
        drop(mark);
        assert!(is_accepted(&cache, print(1), 0));
    }
}
