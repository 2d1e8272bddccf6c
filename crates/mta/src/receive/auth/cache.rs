//! Passwords that were checked lately: hashing one again for every message of a client would cost more than all the rest of its session.
//!
//! Invariant: what is kept is a code under a key that lives as long as the process; a changed password, account or verifier is another code; memory
//! is bounded.

use std::collections::HashMap;
use std::sync::Arc;

use directory::Account;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::support::limits::BoundedMap;

/// A right password is remembered for so long, in milliseconds.
const RIGHT_MS: i64 = 3_600_000;

/// A wrong one is: a client that was not told of a change tries the old one for days, and is no guesser.
const WRONG_MS: i64 = 600_000;

/// Codes that are kept at a time, right and wrong each.
const KEPT_MAX: usize = 20_000;

/// A password's code.
pub(crate) type Code = [u8; 32];

/// The codes, and what came of them.
#[derive(Debug)]
pub(crate) struct Remembered {
    key: [u8; 32],
    right: Mutex<BoundedMap<Code, (String, i64)>>,
    wrong: Mutex<BoundedMap<Code, i64>>,
    /// What is being checked: who comes with the same waits for the answer instead of asking again.
    checked: Mutex<HashMap<Code, Arc<tokio::sync::Mutex<()>>>>,
}

/// The right to check a password; all others who come with the same one wait until it is given back.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    of: &'a Remembered,
    code: Code,
    lock: Option<OwnedMutexGuard<()>>,
}

/// What is known of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is the password of this name.
    Right(String),
    /// It is none of the account's.
    Wrong,
    /// It must be checked.
    Nothing,
}

impl Remembered {
    pub fn new() -> Self {
        let (right, wrong) = (Mutex::new(BoundedMap::new(KEPT_MAX)), Mutex::new(BoundedMap::new(KEPT_MAX)));
        Self { key: net::random_bytes(), right, wrong, checked: Mutex::default() }
    }

    /// The code of a login and a password, as the account is now.
    pub fn code(&self, login: &str, password: &str, account: Option<&Account>) -> Code {
        let verifiers = account.iter().flat_map(|a| &a.passwords).flat_map(|p| [p.name.as_bytes(), p.verifier.as_bytes()]);
        let pieces: Vec<&[u8]> = [&self.key, login.as_bytes(), password.as_bytes()].into_iter().chain(verifiers).collect();
        net::sha256(&pieces)
    }

    pub fn look(&self, code: &Code, now_ms: i64) -> Known {
        if let Some((name, until_ms)) = self.right.lock().get(code)
            && now_ms < *until_ms
        {
            return Known::Right(name.clone());
        }
        match self.wrong.lock().get(code) {
            Some(until_ms) if now_ms < *until_ms => Known::Wrong,
            _ => Known::Nothing,
        }
    }

    /// Waits until nobody else checks the same. Then it may be known already.
    pub async fn turn(&self, code: Code) -> Turn<'_> {
        let lock = self.checked.lock().entry(code).or_default().clone();
        Turn { of: self, code, lock: Some(lock.lock_owned().await) }
    }

    pub fn is_right(&self, code: Code, name: &str, now_ms: i64) {
        self.right.lock().insert_over_oldest(code, (name.to_owned(), now_ms + RIGHT_MS), |(_, until_ms)| *until_ms);
    }

    pub fn is_wrong(&self, code: Code, now_ms: i64) {
        self.wrong.lock().insert_over_oldest(code, now_ms + WRONG_MS, |until_ms| *until_ms);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut checked = self.of.checked.lock();
        self.lock = None;
        // Nobody waits for it any more.
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
    fn what_was_checked_is_remembered_until_something_changes() {
        let remembered = Remembered::new();
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
        let code = remembered.code("me@example.test", "secret", Some(&account));
        assert_eq!(remembered.look(&code, 0), Known::Nothing);
        remembered.is_right(code, "phone", 0);
        assert_eq!(remembered.look(&code, RIGHT_MS - 1), Known::Right("phone".into()));
        assert_eq!(remembered.look(&code, RIGHT_MS), Known::Nothing);
        assert_ne!(remembered.code("me@example.test", "secre", Some(&account)), code);
        assert_ne!(remembered.code("me@example.tes", "tsecret", Some(&account)), code);
        account.passwords = vec![password("two")];
        let changed = remembered.code("me@example.test", "secret", Some(&account));
        assert_eq!(remembered.look(&changed, 1), Known::Nothing);
        remembered.is_wrong(changed, 1);
        assert_eq!((remembered.look(&changed, 2), remembered.look(&changed, 1 + WRONG_MS)), (Known::Wrong, Known::Nothing));
    }

    #[tokio::test]
    async fn who_comes_with_the_same_waits_for_the_answer() {
        let remembered = Arc::new(Remembered::new());
        let turn = remembered.turn([1; 32]).await;
        let other = remembered.clone();
        let waits = tokio::spawn(async move {
            let _turn = other.turn([1; 32]).await;
            other.look(&[1; 32], 0)
        });
        drop(remembered.turn([2; 32]).await);
        tokio::task::yield_now().await;
        remembered.is_right([1; 32], "phone", 0);
        drop(turn);
        assert_eq!(waits.await.unwrap(), Known::Right("phone".into()));
        assert!(remembered.checked.lock().is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let remembered = Remembered::new();
        for n in 0..KEPT_MAX * 2 {
            let mut code = [0; 32];
            code[..8].copy_from_slice(&n.to_le_bytes());
            remembered.is_wrong(code, 0);
            remembered.is_right(code, "first", 0);
        }
        assert!(remembered.wrong.lock().iter().count() <= KEPT_MAX && remembered.right.lock().iter().count() <= KEPT_MAX);
    }
}
