//! Rate-limits failed logins, and remembers the networks from which each account was used.
//!
//! RFC 4954 s.4, RFC 4422 s.6. Invariant: clients in a network from which the account was used before are never refused, however many others
//! guess; memory is bounded; unknown and existing names are treated alike.

use std::net::IpAddr;

use parking_lot::Mutex;

use crate::support::limits::{BoundedMap, TokenBuckets};
use crate::support::networks::{KNOWN_MS, neighbourhood, network};

/// Time in which a full allowance refills, in milliseconds.
const WINDOW_MS: i64 = 600_000;

/// Maximum number of clients, and of accounts, counted at a time; beyond it, others are refused.
const COUNTED_MAX: usize = 100_000;

/// Maximum number of known pairs of account and network.
const KNOWN_MAX: usize = 200_000;

/// Maximum failed logins within ten minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowances {
    /// From one IPv4 address or one IPv6 /64, for all accounts together.
    pub per_client: u32,
    /// For one account, from all unknown networks together.
    pub per_account: u32,
}

/// Whether the account was used from the client's network before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It was.
    Known,
    /// It was not, or too long ago.
    Stranger,
}

/// What was known of the network that a login came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginNetwork {
    /// The account was used from there before.
    Known,
    /// It was used before, but not from there.
    New,
    /// It was never used before.
    First,
}

impl LoginNetwork {
    /// Returns the value of the fact `new` of a login.
    pub fn news(self) -> Option<&'static str> {
        match self {
            Self::Known => None,
            Self::New => Some("yes"),
            Self::First => Some("first"),
        }
    }
}

/// The counts.
#[derive(Debug)]
pub(crate) struct LoginThrottle(Mutex<ThrottleState>);

#[derive(Debug)]
struct ThrottleState {
    /// When each account was last used from each of its networks.
    known: BoundedMap<(String, IpAddr), i64>,
    clients: TokenBuckets<IpAddr>,
    accounts: TokenBuckets<String>,
}

impl Default for LoginThrottle {
    fn default() -> Self {
        let (clients, accounts) = (TokenBuckets::new(COUNTED_MAX, WINDOW_MS), TokenBuckets::new(COUNTED_MAX, WINDOW_MS));
        Self(Mutex::new(ThrottleState { known: BoundedMap::new(KNOWN_MAX), clients, accounts }))
    }
}

impl LoginThrottle {
    /// Loads the known networks of an earlier process: login, network, time in Unix milliseconds.
    pub fn remember(&self, known: impl IntoIterator<Item = (String, IpAddr, i64)>) {
        let mut state = self.0.lock();
        for (login, network, at_ms) in known {
            state.known.insert_over_oldest((login, network), at_ms, |at_ms| *at_ms);
        }
    }

    /// Returns whether the account was used from the client's network.
    pub fn standing(&self, login: &str, client: IpAddr, now_ms: i64) -> Standing {
        let state = self.0.lock();
        match state.known.get(&(login.to_owned(), neighbourhood(client))) {
            Some(at_ms) if now_ms - at_ms < KNOWN_MS => Standing::Known,
            _ => Standing::Stranger,
        }
    }

    /// Counts an attempt as failed until it succeeds. `None` if there were too many already.
    pub fn enter(&self, login: &str, client: IpAddr, allowances: Allowances, now_ms: i64) -> Option<Standing> {
        let standing = self.standing(login, client, now_ms);
        if standing == Standing::Known {
            return Some(standing);
        }
        let mut state = self.0.lock();
        let by_client = state.clients.take(network(client), allowances.per_client, now_ms);
        // A client over its own limit does not use up the account's.
        let by_both = by_client && state.accounts.take(login.to_owned(), allowances.per_account, now_ms);
        by_both.then_some(standing)
    }

    /// Uncounts an attempt that was not a guess.
    pub fn excuse(&self, login: &str, client: IpAddr) {
        let mut state = self.0.lock();
        state.clients.give_back(&network(client));
        state.accounts.give_back(&login.to_owned());
    }

    /// Records a successful login. Returns what was known of the client's network before.
    pub fn succeeded(&self, login: &str, client: IpAddr, now_ms: i64) -> LoginNetwork {
        self.excuse(login, client);
        let mut state = self.0.lock();
        if state.known.insert_over_oldest((login.to_owned(), neighbourhood(client)), now_ms, |at_ms| *at_ms).is_some() {
            return LoginNetwork::Known;
        }
        let of_account = state.known.iter().filter(|((known, _), _)| known == login).take(2).count();
        if of_account > 1 { LoginNetwork::New } else { LoginNetwork::First }
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
    fn failures_are_limited_for_each_client() {
        let throttle = LoginThrottle::default();
        let enter = |login: &str, client: &str, now_ms| throttle.enter(login, ip(client), ALLOWANCES, now_ms).is_some();
        assert!((0..3).all(|n| enter(&format!("a{n}"), "192.0.2.1", 0)));
        assert!(!enter("b", "192.0.2.1", 0) && enter("b", "192.0.2.2", 0));
        assert!(enter("b", "192.0.2.1", WINDOW_MS / 3) && !enter("b", "192.0.2.1", WINDOW_MS / 3), "tokens refill one by one");
        assert!((0..3).all(|n| enter("v6", &format!("2001:db8::{n}"), 0)));
        assert!(!enter("v6", "2001:db8::ffff", 0) && enter("v6", "2001:db8:0:1::1", 0), "a /64 is one client");
    }

    #[test]
    fn failures_are_limited_for_each_account() {
        let throttle = LoginThrottle::default();
        let enter = |n: u8| throttle.enter("me", IpAddr::from([192, 0, 2, n]), ALLOWANCES, 0).is_some();
        assert!((0..5).all(enter));
        assert!(!(6..50).any(enter));
        assert!(throttle.enter("you", ip("192.0.2.200"), ALLOWANCES, 0).is_some());
    }

    #[test]
    fn known_networks_are_never_refused() {
        let throttle = LoginThrottle::default();
        assert_eq!(throttle.succeeded("me", ip("198.51.100.1"), 0), LoginNetwork::First);
        assert_eq!(throttle.succeeded("me", ip("198.51.7.7"), 1), LoginNetwork::Known);
        for n in 0..100 {
            throttle.enter("me", IpAddr::from([192, 0, 2, n]), ALLOWANCES, 1);
            throttle.enter("you", ip("198.51.100.9"), ALLOWANCES, 1);
        }
        assert_eq!(throttle.enter("me", ip("198.51.100.9"), ALLOWANCES, 1), Some(Standing::Known));
        assert_eq!(throttle.enter("you", ip("198.51.100.9"), ALLOWANCES, 1), None);
        assert_eq!(throttle.enter("me", ip("203.0.113.1"), ALLOWANCES, 1), None);
        assert_eq!(throttle.standing("me", ip("198.51.100.9"), KNOWN_MS + 1), Standing::Stranger);
        let next = LoginThrottle::default();
        next.remember([("me".to_owned(), neighbourhood(ip("198.51.0.1")), 5)]);
        assert_eq!(next.standing("me", ip("198.51.200.1"), 6), Standing::Known);
    }

    #[test]
    fn the_first_network_of_an_account_is_no_new_one() {
        let throttle = LoginThrottle::default();
        assert_eq!(throttle.succeeded("me", ip("198.51.7.7"), 0), LoginNetwork::First);
        assert_eq!(throttle.succeeded("you", ip("198.51.7.7"), 1), LoginNetwork::First);
        assert_eq!(throttle.succeeded("you", ip("192.0.2.7"), 2), LoginNetwork::New);
        assert_eq!(throttle.succeeded("you", ip("192.0.2.7"), 3), LoginNetwork::Known);
    }

    #[test]
    fn successful_logins_are_not_counted() {
        let throttle = LoginThrottle::default();
        for n in 0..100 {
            assert!(throttle.enter("me", IpAddr::from([192, 0, 2, n]), ALLOWANCES, 0).is_some());
            throttle.excuse("me", IpAddr::from([192, 0, 2, n]));
        }
    }
}
