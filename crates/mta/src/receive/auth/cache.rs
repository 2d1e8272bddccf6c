//! Results of recent password checks: hashing a password for each message of a client would cost more than the rest of its session.
//!
//! Invariant: it keeps only codes under a key that lives as long as the process; a changed password, account or verifier has a different code;
//! memory is bounded.

use std::collections::HashMap;
use std::sync::Arc;

use directory::Account;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::support::limits::BoundedMap;

/// Retention of a right password, in milliseconds.
const RIGHT_MS: i64 = 3_600_000;

/// Retention of a wrong password, in milliseconds: a client with an old password repeats it for days, and is not guessing.
const WRONG_MS: i64 = 600_000;

/// Maximum number of codes, for right and for wrong passwords.
const CODES_MAX: usize = 20_000;

/// A password's code.
pub(crate) type Code = [u8; 32];

/// The codes and their results.
#[derive(Debug)]
pub(crate) struct PasswordCache {
    key: [u8; 32],
    right: Mutex<BoundedMap<Code, (String, i64)>>,
    wrong: Mutex<BoundedMap<Code, i64>>,
    /// Checks under way: a session with the same password waits for the result.
    checked: Mutex<HashMap<Code, Arc<tokio::sync::Mutex<()>>>>,
}

/// The right to check a password; sessions with the same password wait until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    of: &'a PasswordCache,
    code: Code,
    lock: Option<OwnedMutexGuard<()>>,
}

/// A cached result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CachedResult {
    /// Right: the name of the password.
    Right(String),
    /// No password of the account.
    Wrong,
    /// Unknown: it must be checked.
    Nothing,
}

impl PasswordCache {
    pub fn new() -> Self {
        let (right, wrong) = (Mutex::new(BoundedMap::new(CODES_MAX)), Mutex::new(BoundedMap::new(CODES_MAX)));
        Self { key: net::random_bytes(), right, wrong, checked: Mutex::default() }
    }

    /// The code of a login and a password, with the account as it is now.
    pub fn code(&self, login: &str, password: &str, account: Option<&Account>) -> Code {
        let verifiers = account.iter().flat_map(|a| &a.passwords).flat_map(|p| [p.name.as_bytes(), p.verifier.as_bytes()]);
        let pieces: Vec<&[u8]> = [&self.key, login.as_bytes(), password.as_bytes()].into_iter().chain(verifiers).collect();
        net::sha256(&pieces)
    }

    pub fn get(&self, code: &Code, now_ms: i64) -> CachedResult {
        if let Some((name, until_ms)) = self.right.lock().get(code)
            && now_ms < *until_ms
        {
            return CachedResult::Right(name.clone());
        }
        match self.wrong.lock().get(code) {
            Some(until_ms) if now_ms < *until_ms => CachedResult::Wrong,
            _ => CachedResult::Nothing,
        }
    }

    /// Waits for a check of the same password to end. Its result may be cached then.
    pub async fn wait_turn(&self, code: Code) -> Turn<'_> {
        let lock = self.checked.lock().entry(code).or_default().clone();
        Turn { of: self, code, lock: Some(lock.lock_owned().await) }
    }

    pub fn store_right(&self, code: Code, name: &str, now_ms: i64) {
        self.right.lock().insert_over_oldest(code, (name.to_owned(), now_ms + RIGHT_MS), |(_, until_ms)| *until_ms);
    }

    pub fn store_wrong(&self, code: Code, now_ms: i64) {
        self.wrong.lock().insert_over_oldest(code, now_ms + WRONG_MS, |until_ms| *until_ms);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut checked = self.of.checked.lock();
        self.lock = None;
        // No other session waits for it.
        if checked.get(&self.code).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            checked.remove(&self.code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use directory::Password;

    #[test]
    fn results_are_cached_until_password_or_account_change() {
        let cache = PasswordCache::new();
        let password = |verifier: &str| Password {
            name: "phone".into(),
            verifier: verifier.into(),
            scram_sha256: None,
            scram_sha1: None,
            sealed: None,
            made_ms: 0,
        };
        let mut account = Account::new("me@example.test".parse().unwrap(), [0; 16]);
        account.passwords.push(password("one"));
        let code = cache.code("me@example.test", "secret", Some(&account));
        assert_eq!(cache.get(&code, 0), CachedResult::Nothing);
        cache.store_right(code, "phone", 0);
        assert_eq!(cache.get(&code, RIGHT_MS - 1), CachedResult::Right("phone".into()));
        assert_eq!(cache.get(&code, RIGHT_MS), CachedResult::Nothing);
        assert_ne!(cache.code("me@example.test", "secre", Some(&account)), code);
        assert_ne!(cache.code("me@example.tes", "tsecret", Some(&account)), code);
        account.passwords = vec![password("two")];
        let changed = cache.code("me@example.test", "secret", Some(&account));
        assert_eq!(cache.get(&changed, 1), CachedResult::Nothing);
        cache.store_wrong(changed, 1);
        assert_eq!((cache.get(&changed, 2), cache.get(&changed, 1 + WRONG_MS)), (CachedResult::Wrong, CachedResult::Nothing));
    }

    #[tokio::test]
    async fn sessions_with_the_same_password_share_one_check() {
        let cache = Arc::new(PasswordCache::new());
        let turn = cache.wait_turn([1; 32]).await;
        let other = cache.clone();
        let waits = tokio::spawn(async move {
            let _turn = other.wait_turn([1; 32]).await;
            other.get(&[1; 32], 0)
        });
        drop(cache.wait_turn([2; 32]).await);
        tokio::task::yield_now().await;
        cache.store_right([1; 32], "phone", 0);
        drop(turn);
        assert_eq!(waits.await.unwrap(), CachedResult::Right("phone".into()));
        assert!(cache.checked.lock().is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let cache = PasswordCache::new();
        for n in 0..CODES_MAX * 2 {
            let mut code = [0; 32];
            code[..8].copy_from_slice(&n.to_le_bytes());
            cache.store_wrong(code, 0);
            cache.store_right(code, "first", 0);
        }
        assert!(cache.wrong.lock().iter().count() <= CODES_MAX && cache.right.lock().iter().count() <= CODES_MAX);
    }
}
