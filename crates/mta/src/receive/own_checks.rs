//! The names by which the server's own checks mark their sessions, so that history, page and metrics leave their refusals out.
//!
//! Invariant: a name is random, known only to who may use the operator's socket, and ends after a few minutes; only what is refused before any content
//! is left out, so a client that learns a name can hide no mail.

use std::sync::{Arc, Mutex, PoisonError};

use net::{Clock, random_bytes};

/// How long a name marks sessions, in milliseconds: the longest check and a little more.
const NAME_MS: i64 = 150_000;

/// Maximum names at a time; a further one replaces the oldest.
const NAMES: usize = 8;

/// The names in force. Clones share them.
#[derive(Debug, Clone)]
pub struct OwnChecks {
    clock: Clock,
    names: Arc<Mutex<Vec<CheckName>>>,
}

#[derive(Debug)]
struct CheckName {
    hello: String,
    ends_ms: i64,
}

impl OwnChecks {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, names: Arc::default() }
    }

    /// Returns a name for EHLO that marks the sessions of a check for some minutes.
    pub fn open(&self) -> String {
        let now_ms = self.clock.now_ms();
        let hello = format!("trial-{:032x}.invalid", u128::from_be_bytes(random_bytes()));
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|name| name.ends_ms > now_ms);
        if names.len() >= NAMES {
            names.remove(0);
        }
        names.push(CheckName { hello: hello.clone(), ends_ms: now_ms.saturating_add(NAME_MS) });
        hello
    }

    /// Whether a client with this EHLO is a check of ours.
    pub(crate) fn is_own(&self, hello: &str) -> bool {
        let now_ms = self.clock.now_ms();
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().any(|name| name.ends_ms > now_ms && name.hello == hello)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_marks_a_check_until_it_ends_and_no_other_name_does() {
        let clock = Clock::simulated(1_000);
        let checks = OwnChecks::new(clock.clone());
        let hello = checks.open();
        assert!(checks.is_own(&hello) && checks.clone().is_own(&hello));
        assert!(!checks.is_own("trial.invalid") && !checks.is_own(&format!("{hello}x")) && checks.open() != hello);
        clock.advance(std::time::Duration::from_millis(NAME_MS.unsigned_abs()));
        assert!(!checks.is_own(&hello), "it has ended");
    }

    #[test]
    fn a_further_name_replaces_the_oldest() {
        let checks = OwnChecks::new(Clock::simulated(0));
        let names: Vec<String> = (0..=NAMES).map(|_| checks.open()).collect();
        assert_eq!(names.iter().map(|name| checks.is_own(name)).collect::<Vec<_>>(), [vec![false], vec![true; NAMES]].concat());
    }
}
