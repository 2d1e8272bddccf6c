//! Circuit breakers: they stop what a host asked us to stop, send a probe when the pause is over, and then resume slowly.
//!
//! The reply's meaning says what a pause is about (RFC 3463 has no code for it). Invariants: a pause is never shorter than the row says;
//! a half-open breaker has at most one probe; a breaker belongs to the host that sent the reply, or to its provider, so that no host can
//! stop the mail to another.

mod memory;
mod one;

use std::collections::HashMap;

use mail::Domain;

use crate::meaning::{Meaning, PauseRule, Reaction, ReplyScope, Severity};
use crate::pace::Paces;
use crate::replies::provider_of;

use one::{Breaker, BreakerState};

pub use memory::BreakerMemory;

/// Maximum breakers and counts kept; above it, those that end first are dropped.
pub const BREAKERS_MAX: usize = 10_000;

/// Maximum of a growing pause, in milliseconds.
pub(crate) const PAUSE_MAX_MS: i64 = 4 * 3_600_000;

/// A probe without an outcome counts as over after this, in milliseconds: longer than any delivery.
const PROBE_MAX_MS: i64 = 2 * 3_600_000;

/// Wait of a delivery that meets a probe under way, or a limit, in milliseconds.
const ASK_AGAIN_MS: i64 = 15_000;

/// Maximum concurrent deliveries after a successful probe; each further success doubles it.
const FIRST_LIMIT: u32 = 1;

/// A success at this limit closes the breaker.
const LAST_LIMIT: u32 = 16;

/// Retention of a breaker or a count after its last use, in milliseconds.
const FORGET_MS: i64 = 24 * 3_600_000;

/// The breakers that a delivery depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BreakerKeys(Vec<Key>);

type Key = (ReplyScope, String);

impl BreakerKeys {
    /// The key of one target mailbox.
    pub fn of_target(target: &str) -> Self {
        Self(vec![(ReplyScope::Target, target.to_ascii_lowercase())])
    }

    /// The keys of a connection to this host from this address, for mail of these domains. A large provider counts over all its hosts.
    /// Mail of accounts has separate keys: what a host says about forwarded mail does not stop it, and once refused it gets a probe of
    /// its own.
    pub fn of_host(host: &Domain, ip: &str, spf: &Domain, dkim: Option<&Domain>, is_own: bool) -> Self {
        let flow = if is_own { "own " } else { "" };
        let at = format!("{flow}{}", counted_at(host));
        let named = |scope, parts: [&str; 3]| (scope, parts.concat());
        let mut keys = Vec::with_capacity(4);
        keys.push(named(ReplyScope::MxHost, [flow, host.as_str(), ""]));
        keys.push(named(ReplyScope::Ip, [&at, " ", ip]));
        keys.push(named(ReplyScope::SpfDomain, [&at, " ", spf.as_str()]));
        keys.extend(dkim.map(|dkim| named(ReplyScope::DkimDomain, [&at, " ", dkim.as_str()])));
        keys.iter_mut().for_each(|(_, key)| key.make_ascii_lowercase());
        Self(keys)
    }
}

/// The cause, and the next step if only the operator can help.
fn why(meaning: &Meaning) -> String {
    if meaning.severity == Severity::Critical { meaning.advice() } else { meaning.cause.to_owned() }
}

/// The host, or the provider that counts over all its hosts.
fn counted_at(host: &Domain) -> String {
    provider_of(host).map_or_else(|| host.as_str().to_ascii_lowercase(), str::to_owned)
}

/// Whether a delivery may start.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may; its outcome is reported with the pass.
    Open(Pass),
    /// It may, as the probe of a half-open breaker.
    Probe(Pass),
    /// Not before this time.
    Wait {
        /// Unix milliseconds.
        until_ms: i64,
        /// The reason, for people.
        why: String,
    },
}

/// Permission for one delivery; given back exactly once, with its outcome.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Pass {
    keys: BreakerKeys,
    /// The breakers that count it, and which opening of theirs.
    counted: Vec<(Key, u64)>,
}

/// The effect of a reply on the breakers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BreakerChange {
    /// End of the pause of a breaker of this delivery, Unix milliseconds.
    pub until_ms: Option<i64>,
    /// How many times in a row the target was invalid, once that is often enough for a warning.
    pub invalid_times: Option<u32>,
    /// The breakers that it opened, which were closed before: what kind of thing, and which.
    pub opened: Vec<(ReplyScope, String)>,
}

/// A mailbox, host or identity that is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What kind of thing is paused.
    pub scope: ReplyScope,
    /// The mailbox or the host; for an identity of ours, the host or its provider, a space, and the identity.
    pub about: String,
    /// End of the pause, Unix milliseconds.
    pub until_ms: i64,
    /// The reason, for people.
    pub why: String,
}

/// All breakers that are not closed.
#[derive(Debug, Default)]
pub struct Breakers {
    open: HashMap<Key, Breaker>,
    /// Invalid targets: how often in a row, and when last.
    invalid: HashMap<String, (u32, i64)>,
    /// Hosts that accept IPv4 or TLS only, and until when, Unix milliseconds.
    ipv4_only: HashMap<String, i64>,
    tls_only: HashMap<String, i64>,
    /// Hosts that offer CHUNKING but do not know BDAT, and until when, Unix milliseconds.
    data_only: HashMap<String, i64>,
    paces: Paces,
    openings: u64,
}

impl Breakers {
    /// Decides whether a delivery with these keys may start.
    pub fn check(&mut self, keys: BreakerKeys, now_ms: i64) -> Admission {
        if let Some((until_ms, why)) = self.closed_for(&keys, now_ms) {
            return Admission::Wait { until_ms, why };
        }
        let (mut counted, mut is_probe) = (Vec::new(), false);
        for key in &keys.0 {
            let Some(breaker) = self.open.get_mut(key) else { continue };
            is_probe |= breaker.enter(now_ms);
            counted.push((key.clone(), breaker.opening));
        }
        let pass = Pass { keys, counted };
        if is_probe { Admission::Probe(pass) } else { Admission::Open(pass) }
    }

    /// Decides whether a delivery to this mailbox at this host may start: by its breaker, and by the pace of the host's provider, which `nodes` share.
    pub fn check_target(&mut self, host: &Domain, target: &str, nodes: u32, now_ms: i64) -> Admission {
        let admission = self.check(BreakerKeys::of_target(target), now_ms);
        let (Some(provider), Admission::Open(_) | Admission::Probe(_)) = (provider_of(host), &admission) else { return admission };
        match (self.paces.take(provider, &target.to_ascii_lowercase(), nodes, now_ms), admission) {
            (Some((until_ms, why)), Admission::Open(pass) | Admission::Probe(pass)) => {
                self.on_nothing(pass, now_ms);
                Admission::Wait { until_ms, why: format!("{} is paused: {why}", ReplyScope::Target) }
            }
            (_, admission) => admission,
        }
    }

    /// Until when a delivery with these keys has to wait, and the reason; `None` if it may start. Counts nothing.
    pub fn closed_for(&self, keys: &BreakerKeys, now_ms: i64) -> Option<(i64, String)> {
        let waits = keys.0.iter().filter_map(|key| self.open.get(key).map(|breaker| (key, breaker)));
        let waits = waits.filter_map(|(key, breaker)| Some((breaker.wait(now_ms)?, format!("{} is paused: {}", key.0, breaker.why))));
        waits.max_by_key(|(until_ms, _)| *until_ms)
    }

    /// Records that a delivery was refused with this meaning.
    pub fn on_reply(&mut self, pass: Pass, meaning: &Meaning, now_ms: i64) -> BreakerChange {
        let mut change = BreakerChange::default();
        for key in &pass.keys.0 {
            let opening = pass.counted.iter().find(|(counted, _)| counted == key).map(|(_, opening)| *opening);
            let pause = meaning.reaction.pause().filter(|_| meaning.scopes.contains(&key.0));
            if let Some(rule) = pause {
                if !self.open.contains_key(key) {
                    change.opened.push(key.clone());
                }
                let until_ms = self.refuse(key, opening, rule, &why(meaning), now_ms);
                change.until_ms = change.until_ms.max(Some(until_ms));
            } else if let Some(breaker) = opening.and_then(|opening| self.current(key, opening)) {
                // Another reason than the one that opened it: after a permanent refusal the host at least answers; otherwise it waits on.
                let wait_ms = if meaning.waits { breaker.pause_ms } else { 0 };
                breaker.leave(wait_ms, now_ms);
            }
            if key.0 == ReplyScope::Target {
                self.count_invalid(&key.1, &meaning.reaction, now_ms, &mut change);
            }
        }
        self.bound(now_ms);
        change
    }

    /// Records that a delivery succeeded. Returns the breakers whose pause it ended: what kind of thing, and which.
    pub fn on_success(&mut self, pass: Pass, now_ms: i64) -> Vec<(ReplyScope, String)> {
        let mut resumed = Vec::new();
        for (key, opening) in &pass.counted {
            let Some(breaker) = self.current(key, *opening) else { continue };
            if matches!(breaker.state, BreakerState::HalfOpen { .. }) {
                resumed.push(key.clone());
            }
            if breaker.succeed(now_ms) {
                self.open.remove(key);
            }
        }
        for (scope, name) in &pass.keys.0 {
            if *scope == ReplyScope::Target {
                self.invalid.remove(name);
            }
        }
        resumed
    }

    /// Records that a delivery ended without a reply about it: another may take its place.
    pub fn on_nothing(&mut self, pass: Pass, now_ms: i64) {
        for (key, opening) in &pass.counted {
            if let Some(breaker) = self.current(key, *opening) {
                breaker.leave(ASK_AGAIN_MS, now_ms);
            }
        }
    }

    /// Remembers that the host accepts IPv4 or TLS only, if the meaning says so.
    pub fn learn_way(&mut self, host: &Domain, meaning: &Meaning, now_ms: i64) {
        let ways = match meaning.reaction {
            Reaction::ForceIpv4 => &mut self.ipv4_only,
            Reaction::ForceTls => &mut self.tls_only,
            _ => return,
        };
        ways.retain(|_, until_ms| now_ms < *until_ms);
        if ways.len() < BREAKERS_MAX {
            ways.insert(counted_at(host), now_ms.saturating_add(FORGET_MS));
        }
    }

    /// Whether the host accepts IPv4 only.
    pub fn is_ipv4_only(&self, host: &Domain, now_ms: i64) -> bool {
        self.ipv4_only.get(&counted_at(host)).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// Whether the host accepts TLS only.
    pub fn is_tls_only(&self, host: &Domain, now_ms: i64) -> bool {
        self.tls_only.get(&counted_at(host)).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// Remembers that the host offers CHUNKING but does not know BDAT.
    pub fn learn_data_only(&mut self, host: &Domain, now_ms: i64) {
        self.data_only.retain(|_, until_ms| now_ms < *until_ms);
        if self.data_only.len() < BREAKERS_MAX {
            self.data_only.insert(host.as_str().to_ascii_lowercase(), now_ms.saturating_add(FORGET_MS));
        }
    }

    /// Whether the host gets messages by DATA, whatever it offers.
    pub fn is_data_only(&self, host: &Domain, now_ms: i64) -> bool {
        self.data_only.get(&host.as_str().to_ascii_lowercase()).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// Adapts to a step of the wall clock: a pause keeps its length.
    pub fn step_clock(&mut self, by_ms: i64) {
        for breaker in self.open.values_mut() {
            breaker.touched_ms = breaker.touched_ms.saturating_add(by_ms);
            match &mut breaker.state {
                BreakerState::Open { until_ms: at_ms } | BreakerState::HalfOpen { since_ms: at_ms } => *at_ms = at_ms.saturating_add(by_ms),
                BreakerState::Resuming { .. } => {}
            }
        }
        let ways = self.ipv4_only.values_mut().chain(self.tls_only.values_mut()).chain(self.data_only.values_mut());
        ways.chain(self.invalid.values_mut().map(|(_, touched_ms)| touched_ms)).for_each(|at_ms| *at_ms = at_ms.saturating_add(by_ms));
    }

    /// Closes all breakers, for an operator who wants every delivery tried now.
    pub fn lift(&mut self) {
        self.open.clear();
        self.ipv4_only.clear();
        self.tls_only.clear();
        self.data_only.clear();
    }

    /// What is paused, by end of the pause.
    pub fn pauses(&self, now_ms: i64) -> Vec<Pause> {
        let pause = |(key, breaker): (&Key, &Breaker)| {
            let until_ms = breaker.wait(now_ms)?;
            Some(Pause { scope: key.0, about: key.1.clone(), until_ms, why: breaker.why.clone() })
        };
        let mut pauses: Vec<Pause> = self.open.iter().filter_map(pause).collect();
        pauses.sort_by(|a, b| (a.until_ms, &a.about).cmp(&(b.until_ms, &b.about)));
        pauses
    }

    /// Ends the pauses of one mailbox, host or provider. Returns how many there were.
    pub fn resume(&mut self, about: &str) -> usize {
        let (about, before) = (about.to_ascii_lowercase(), self.open.len());
        self.open.retain(|(_, name), _| *name != about && name.split(' ').next() != Some(about.as_str()));
        before - self.open.len()
    }

    /// The number of breakers that are not closed.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether all breakers are closed.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn current(&mut self, key: &Key, opening: u64) -> Option<&mut Breaker> {
        self.open.get_mut(key).filter(|breaker| breaker.opening == opening)
    }

    /// Opens the breaker, or opens it again. Returns the end of the pause.
    fn refuse(&mut self, key: &Key, opening: Option<u64>, rule: PauseRule, why: &str, now_ms: i64) -> i64 {
        let at_least_ms = i64::from(rule.at_least_s) * 1000;
        self.openings += 1;
        let next = self.openings;
        let breaker = self.open.entry(key.clone()).or_insert_with(|| Breaker {
            opening: next,
            state: BreakerState::Open { until_ms: now_ms },
            pause_ms: 0,
            growing: rule.growing,
            why: String::new(),
            touched_ms: now_ms,
        });
        let is_probe = opening == Some(breaker.opening);
        let pause_ms = if is_probe && breaker.growing {
            breaker.pause_ms.saturating_mul(2).min(PAUSE_MAX_MS.max(at_least_ms)).max(at_least_ms)
        } else {
            breaker.pause_ms.max(at_least_ms)
        };
        // A delivery that started before it opened can only extend the minimum.
        let before_ms = match breaker.state {
            BreakerState::Open { until_ms } if !is_probe => until_ms,
            _ => now_ms,
        };
        let wait_ms = if is_probe || before_ms <= now_ms { pause_ms } else { at_least_ms };
        let until_ms = before_ms.max(now_ms.saturating_add(wait_ms));
        *breaker = Breaker {
            opening: next,
            state: BreakerState::Open { until_ms },
            pause_ms,
            growing: rule.growing || breaker.growing,
            why: why.to_owned(),
            touched_ms: now_ms,
        };
        until_ms
    }

    fn count_invalid(&mut self, target: &str, reaction: &Reaction, now_ms: i64, change: &mut BreakerChange) {
        let Reaction::InvalidTarget { after } = reaction else { return };
        let (times, touched_ms) = self.invalid.entry(target.to_owned()).or_default();
        (*times, *touched_ms) = (times.saturating_add(1), now_ms);
        change.invalid_times = Some(*times).filter(|times| times >= after);
    }

    /// Drops what is old, and if that is not enough, what ends first.
    fn bound(&mut self, now_ms: i64) {
        if self.open.len() > BREAKERS_MAX {
            self.open.retain(|_, breaker| now_ms < breaker.ends_ms());
        }
        while self.open.len() > BREAKERS_MAX {
            let Some(first) = self.open.iter().min_by_key(|(_, c)| c.ends_ms()).map(|(key, _)| key.clone()) else { break };
            self.open.remove(&first);
        }
        if self.invalid.len() > BREAKERS_MAX {
            self.invalid.retain(|_, (_, touched_ms)| now_ms < touched_ms.saturating_add(FORGET_MS));
        }
        if self.invalid.len() > BREAKERS_MAX {
            self.invalid.clear();
        }
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
