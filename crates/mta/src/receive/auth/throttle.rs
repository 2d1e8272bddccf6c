//! How many wrong passwords are listened to, and from where an account's owner is known to come.
//!
//! RFC 4954 s.4, RFC 4422 s.6. Invariant: who stands in a network from which the account was used before is never turned away, however many
//! strangers guess; memory is bounded; a name that does not exist is treated as one that does.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::support::networks::{KNOWN_MS, neighbourhood, network};

/// Failures are forgiven at such a pace that the whole allowance is back after this time, in milliseconds.
const WINDOW_MS: i64 = 600_000;

/// Keys that are counted at a time, of each kind; while there are more, none beyond is listened to.
const COUNTED_MAX: usize = 100_000;

/// Pairs of account and network that are known at a time.
const KNOWN_MAX: usize = 200_000;

/// How many failures there may be within ten minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowances {
    /// From one IPv4 address or one IPv6 /64, whomever it tries.
    pub per_client: u32,
    /// For one account, of all clients that it was never used from.
    pub per_account: u32,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The account was used from this network before.
    Known,
    /// It was not.
    Stranger,
}

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Guard(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: HashMap<(String, IpAddr), i64>,
    clients: Counts<IpAddr>,
    accounts: Counts<String>,
}

impl Guard {
    /// Takes over what a process before has learned: login, neighbourhood, when.
    pub fn remember(&self, known: impl IntoIterator<Item = (String, IpAddr, i64)>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.extend(known.into_iter().map(|(login, network, at_ms)| ((login, network), at_ms)));
    }

    /// Whether the account was used from there.
    pub fn standing(&self, login: &str, client: IpAddr, now_ms: i64) -> Standing {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.known.get(&(login.to_owned(), neighbourhood(client))) {
            Some(at_ms) if now_ms - at_ms < KNOWN_MS => Standing::Known,
            _ => Standing::Stranger,
        }
    }

    /// Before an attempt: counts it as failed until it has succeeded; `None` where there were too many already.
    pub fn enter(&self, login: &str, client: IpAddr, allowances: Allowances, now_ms: i64) -> Option<Standing> {
        let standing = self.standing(login, client, now_ms);
        if standing == Standing::Known {
            return Some(standing);
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let by_client = state.clients.take(network(client), allowances.per_client, now_ms);
        // What its client may not try any more does not use up what the account may.
        let by_both = by_client && state.accounts.take(login.to_owned(), allowances.per_account, now_ms);
        by_both.then_some(standing)
    }

    /// The attempt was no guess after all.
    pub fn excuse(&self, login: &str, client: IpAddr) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.clients.give_back(&network(client));
        state.accounts.give_back(&login.to_owned());
    }

    /// The attempt succeeded: the client is known from now on. True where it was not before.
    pub fn succeeded(&self, login: &str, client: IpAddr, now_ms: i64) -> bool {
        self.excuse(login, client);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.known.len() >= KNOWN_MAX {
            state.known.retain(|_, at_ms| now_ms - *at_ms < KNOWN_MS / 2);
        }
        let place = (login.to_owned(), neighbourhood(client));
        let is_new = !state.known.contains_key(&place);
        if state.known.len() < KNOWN_MAX || !is_new {
            state.known.insert(place, now_ms);
        }
        is_new
    }
}

/// Attempts that are counted, in thousandths, and when they were counted last.
#[derive(Debug)]
struct Counts<K>(HashMap<K, (i64, i64)>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Counts<K> {
    /// Counts one more; false where `most` are counted already.
    fn take(&mut self, key: K, most: u32, now_ms: i64) -> bool {
        let most = i64::from(most) * 1000;
        let left = |count: i64, at_ms: i64| (count - (now_ms - at_ms).max(0).saturating_mul(most) / WINDOW_MS).max(0);
        if self.0.len() >= COUNTED_MAX {
            self.0.retain(|_, (count, at_ms)| left(*count, *at_ms) > 0);
        }
        if self.0.len() >= COUNTED_MAX && !self.0.contains_key(&key) {
            return false;
        }
        let entry = self.0.entry(key).or_insert((0, now_ms));
        *entry = (left(entry.0, entry.1), now_ms);
        let is_one_more = entry.0 + 1000 <= most;
        if is_one_more {
            entry.0 += 1000;
        }
        is_one_more
    }

    fn give_back(&mut self, key: &K) {
        if let Some(entry) = self.0.get_mut(key) {
            entry.0 = (entry.0 - 1000).max(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCES: Allowances = Allowances { per_client: 3, per_account: 5 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_guesses_a_few_times() {
        let guard = Guard::default();
        let enter = |login: &str, client: &str, now_ms| guard.enter(login, ip(client), ALLOWANCES, now_ms).is_some();
        assert!((0..3).all(|n| enter(&format!("a{n}"), "192.0.2.1", 0)));
        assert!(!enter("b", "192.0.2.1", 0) && enter("b", "192.0.2.2", 0));
        assert!(enter("b", "192.0.2.1", WINDOW_MS / 3) && !enter("b", "192.0.2.1", WINDOW_MS / 3), "forgiven one by one");
        assert!((0..3).all(|n| enter("v6", &format!("2001:db8::{n}"), 0)));
        assert!(!enter("v6", "2001:db8::ffff", 0) && enter("v6", "2001:db8:0:1::1", 0), "a /64 is one client");
    }

    #[test]
    fn many_clients_guess_at_one_account_a_few_times() {
        let guard = Guard::default();
        let enter = |n: u8| guard.enter("me", IpAddr::from([192, 0, 2, n]), ALLOWANCES, 0).is_some();
        assert!((0..5).all(enter));
        assert!(!(6..50).any(enter));
        assert!(guard.enter("you", ip("192.0.2.200"), ALLOWANCES, 0).is_some());
    }

    #[test]
    fn who_is_known_is_never_turned_away() {
        let guard = Guard::default();
        assert!(guard.succeeded("me", ip("198.51.100.1"), 0) && !guard.succeeded("me", ip("198.51.7.7"), 1));
        for n in 0..100 {
            guard.enter("me", IpAddr::from([192, 0, 2, n]), ALLOWANCES, 1);
            guard.enter("you", ip("198.51.100.9"), ALLOWANCES, 1);
        }
        assert_eq!(guard.enter("me", ip("198.51.100.9"), ALLOWANCES, 1), Some(Standing::Known));
        assert_eq!(guard.enter("you", ip("198.51.100.9"), ALLOWANCES, 1), None);
        assert_eq!(guard.enter("me", ip("203.0.113.1"), ALLOWANCES, 1), None);
        assert_eq!(guard.standing("me", ip("198.51.100.9"), KNOWN_MS + 1), Standing::Stranger);
        let next = Guard::default();
        next.remember([("me".to_owned(), neighbourhood(ip("198.51.0.1")), 5)]);
        assert_eq!(next.standing("me", ip("198.51.200.1"), 6), Standing::Known);
    }

    #[test]
    fn a_right_password_costs_nothing() {
        let guard = Guard::default();
        for n in 0..100 {
            assert!(guard.enter("me", IpAddr::from([192, 0, 2, n]), ALLOWANCES, 0).is_some());
            guard.excuse("me", IpAddr::from([192, 0, 2, n]));
        }
    }
}
