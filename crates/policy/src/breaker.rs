//! Breakers: what a host has asked us to stop is stopped, tried by one delivery when the pause is over, and taken up slowly.
//!
//! What a pause is about stands in the reply's meaning (RFC 3463 has no word for it). Invariants: a pause is never shorter than
//! the row says; within one circuit there is at most one delivery on trial; a circuit belongs to the host that spoke, or to the
//! provider that runs it, so that no host can stop the mail to another.

use std::collections::HashMap;

use mail::Domain;

use crate::meaning::{Meaning, Reaction, ReplyScope, Severity};
use crate::replies::provider_of;

/// Breakers and counts kept at a time; beyond that the one that ends first is forgotten.
pub const BREAKERS_MAX: usize = 10_000;

/// A pause that grows does not grow beyond this, in milliseconds.
pub(crate) const PAUSE_MAX_MS: i64 = 4 * 3_600_000;

/// A trial whose end nobody tells counts as over after this, in milliseconds: longer than any delivery.
const TRIAL_MAX_MS: i64 = 2 * 3_600_000;

/// Who meets a trial under way, or a limit, comes again after this, in milliseconds.
const ASK_AGAIN_MS: i64 = 15_000;

/// So many at once after a trial that succeeded; each further success doubles it.
const FIRST_LIMIT: u32 = 1;

/// A success at this limit ends the circuit.
const LAST_LIMIT: u32 = 16;

/// What is remembered of a circuit or a count after its last use, in milliseconds.
const FORGET_MS: i64 = 24 * 3_600_000;

/// What a delivery touches, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BreakerKeys(Vec<Key>);

type Key = (ReplyScope, String);

impl BreakerKeys {
    /// The keys of one target mailbox.
    pub fn of_target(target: &str) -> Self {
        Self(vec![(ReplyScope::Target, target.to_ascii_lowercase())])
    }

    /// The keys of a connection to this host from this address, for mail of these domains. What a large provider counts, it counts
    /// over all its hosts. The owner's own mail has keys of its own: what a host says of mail that strangers sent does not stop it, and it is
    /// tried by a probe of its own once it was refused itself.
    pub fn of_host(host: &Domain, ip: &str, spf: &Domain, dkim: Option<&Domain>, is_own: bool) -> Self {
        let flow = if is_own { "own " } else { "" };
        let at = format!("{flow}{}", place(host));
        let mut keys = vec![
            (ReplyScope::MxHost, format!("{flow}{host}").to_ascii_lowercase()),
            (ReplyScope::Ip, format!("{at} {ip}")),
            (ReplyScope::SpfDomain, format!("{at} {spf}").to_ascii_lowercase()),
        ];
        keys.extend(dkim.map(|dkim| (ReplyScope::DkimDomain, format!("{at} {dkim}").to_ascii_lowercase())));
        Self(keys)
    }
}

/// Cause, and next step where only a person can do something.
fn why(meaning: &Meaning) -> String {
    if meaning.severity == Severity::Critical { meaning.advice() } else { meaning.cause.to_owned() }
}

/// Who counts what this host is sent.
fn place(host: &Domain) -> String {
    provider_of(host).map_or_else(|| host.as_str().to_ascii_lowercase(), str::to_owned)
}

/// Whether a delivery may go.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may. How it ended is told with the pass.
    Open(Pass),
    /// It may, and much depends on it.
    Probe(Pass),
    /// Not before then.
    Wait {
        /// Unix milliseconds.
        until_ms: i64,
        /// Why, for people.
        why: String,
    },
}

/// That a delivery was let through; given back once, with its outcome.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Pass {
    keys: BreakerKeys,
    /// The circuits that counted it in, and which opening of theirs.
    counted: Vec<(Key, u64)>,
}

/// What came of a reply.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BreakerChange {
    /// Until when a circuit of the delivery is paused now, Unix milliseconds.
    pub until_ms: Option<i64>,
    /// How many times in a row the target was called invalid, once that is often enough to tell its owner.
    pub invalid_times: Option<u32>,
}

/// Something that gets nothing for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Of what kind it is.
    pub scope: ReplyScope,
    /// The mailbox or the host; for what a host counts, the host or its provider and, after a blank, what it counts.
    pub about: String,
    /// Until when, Unix milliseconds.
    pub until_ms: i64,
    /// Why, for people.
    pub why: String,
}

#[derive(Debug)]
struct Breaker {
    /// Which opening this is: what was let through before it says nothing about it.
    opening: u64,
    state: BreakerState,
    pause_ms: i64,
    growing: bool,
    why: String,
    touched_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    Paused { until_ms: i64 },
    OnTrial { since_ms: i64 },
    Returning { limit: u32, under_way: u32 },
}

/// All circuits.
#[derive(Debug, Default)]
pub struct Breakers {
    open: HashMap<Key, Breaker>,
    /// Targets that were called invalid: how often in a row, and when last.
    invalid: HashMap<String, (u32, i64)>,
    /// Hosts that want it another way, and until when, Unix milliseconds.
    ipv4_only: HashMap<String, i64>,
    tls_only: HashMap<String, i64>,
    /// Hosts, one by one, that offer CHUNKING and do not know BDAT, and until when that is believed.
    data_only: HashMap<String, i64>,
    openings: u64,
}

impl Breakers {
    /// Whether a delivery with these keys may go.
    pub fn check(&mut self, keys: BreakerKeys, now_ms: i64) -> Admission {
        if let Some((until_ms, why)) = self.closed_for(&keys, now_ms) {
            return Admission::Wait { until_ms, why };
        }
        let (mut counted, mut on_trial) = (Vec::new(), false);
        for key in &keys.0 {
            let Some(breaker) = self.open.get_mut(key) else { continue };
            on_trial |= breaker.enter(now_ms);
            counted.push((key.clone(), breaker.opening));
        }
        let pass = Pass { keys, counted };
        if on_trial { Admission::Probe(pass) } else { Admission::Open(pass) }
    }

    /// Until when a delivery with these keys has to wait, and why; `None` where it may go. Nothing is counted.
    pub fn closed_for(&self, keys: &BreakerKeys, now_ms: i64) -> Option<(i64, String)> {
        let waits = keys.0.iter().filter_map(|key| self.open.get(key).map(|breaker| (key, breaker)));
        let waits = waits.filter_map(|(key, breaker)| Some((breaker.wait(now_ms)?, format!("{} is paused: {}", key.0, breaker.why))));
        waits.max_by_key(|(until_ms, _)| *until_ms)
    }

    /// A delivery was refused with this meaning.
    pub fn on_reply(&mut self, pass: Pass, meaning: &Meaning, now_ms: i64) -> BreakerChange {
        let mut told = BreakerChange::default();
        for key in &pass.keys.0 {
            let opening = pass.counted.iter().find(|(counted, _)| counted == key).map(|(_, opening)| *opening);
            let pause = meaning.reaction.pause().filter(|_| meaning.scopes.contains(&key.0));
            if let Some((at_least_s, growing)) = pause {
                let wait = (i64::from(at_least_s) * 1000, growing);
                let until_ms = self.refuse(key, opening, wait, &why(meaning), now_ms);
                told.until_ms = told.until_ms.max(Some(until_ms));
            } else if let Some(breaker) = opening.and_then(|opening| self.current(key, opening)) {
                // Another trouble than the one that opened it: refused for good, the host at least listens; otherwise it waits on.
                let wait_ms = if meaning.waits { breaker.pause_ms } else { 0 };
                breaker.leave(wait_ms, now_ms);
            }
            if key.0 == ReplyScope::Target {
                self.count_invalid(&key.1, &meaning.reaction, now_ms, &mut told);
            }
        }
        self.bound(now_ms);
        told
    }

    /// A delivery succeeded.
    pub fn on_success(&mut self, pass: Pass, now_ms: i64) {
        for (key, opening) in &pass.counted {
            if self.current(key, *opening).is_some_and(|breaker| breaker.succeed(now_ms)) {
                self.open.remove(key);
            }
        }
        for (scope, name) in &pass.keys.0 {
            if *scope == ReplyScope::Target {
                self.invalid.remove(name);
            }
        }
    }

    /// A delivery ended without a word of the host about it: another may be tried in its place.
    pub fn on_nothing(&mut self, pass: Pass, now_ms: i64) {
        for (key, opening) in &pass.counted {
            if let Some(breaker) = self.current(key, *opening) {
                breaker.leave(ASK_AGAIN_MS, now_ms);
            }
        }
    }

    /// The host wants it another way from now on, where the meaning says so.
    pub fn learn_way(&mut self, host: &Domain, meaning: &Meaning, now_ms: i64) {
        let ways = match meaning.reaction {
            Reaction::ForceIpv4 => &mut self.ipv4_only,
            Reaction::ForceTls => &mut self.tls_only,
            _ => return,
        };
        ways.retain(|_, until_ms| now_ms < *until_ms);
        if ways.len() < BREAKERS_MAX {
            ways.insert(place(host), now_ms.saturating_add(FORGET_MS));
        }
    }

    /// Whether the host is to be reached over IPv4 only.
    pub fn is_ipv4_only(&self, host: &Domain, now_ms: i64) -> bool {
        self.ipv4_only.get(&place(host)).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// Whether the host is to get nothing without TLS.
    pub fn is_tls_only(&self, host: &Domain, now_ms: i64) -> bool {
        self.tls_only.get(&place(host)).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// The host offers CHUNKING and does not know BDAT.
    pub fn learn_data_only(&mut self, host: &Domain, now_ms: i64) {
        self.data_only.retain(|_, until_ms| now_ms < *until_ms);
        if self.data_only.len() < BREAKERS_MAX {
            self.data_only.insert(host.as_str().to_ascii_lowercase(), now_ms.saturating_add(FORGET_MS));
        }
    }

    /// Whether the host is to get its messages by DATA, whatever it offers.
    pub fn is_data_only(&self, host: &Domain, now_ms: i64) -> bool {
        self.data_only.get(&host.as_str().to_ascii_lowercase()).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// The wall clock was set: a pause ends after the time that it was to last, not at an hour of the old clock.
    pub fn step_clock(&mut self, by_ms: i64) {
        for breaker in self.open.values_mut() {
            breaker.touched_ms = breaker.touched_ms.saturating_add(by_ms);
            match &mut breaker.state {
                BreakerState::Paused { until_ms: at_ms } | BreakerState::OnTrial { since_ms: at_ms } => {
                    *at_ms = at_ms.saturating_add(by_ms)
                }
                BreakerState::Returning { .. } => {}
            }
        }
        let ways = self.ipv4_only.values_mut().chain(self.tls_only.values_mut()).chain(self.data_only.values_mut());
        ways.chain(self.invalid.values_mut().map(|(_, touched_ms)| touched_ms)).for_each(|at_ms| *at_ms = at_ms.saturating_add(by_ms));
    }

    /// An operator wants everything tried now.
    pub fn lift(&mut self) {
        self.open.clear();
        self.ipv4_only.clear();
        self.tls_only.clear();
        self.data_only.clear();
    }

    /// What gets nothing now, the pause that ends first before the others.
    pub fn pauses(&self, now_ms: i64) -> Vec<Pause> {
        let pause = |(key, breaker): (&Key, &Breaker)| {
            let until_ms = breaker.wait(now_ms)?;
            Some(Pause { scope: key.0, about: key.1.clone(), until_ms, why: breaker.why.clone() })
        };
        let mut pauses: Vec<Pause> = self.open.iter().filter_map(pause).collect();
        pauses.sort_by(|a, b| (a.until_ms, &a.about).cmp(&(b.until_ms, &b.about)));
        pauses
    }

    /// An operator wants the pauses of one mailbox, host or provider ended. Returns how many there were.
    pub fn resume(&mut self, about: &str) -> usize {
        let (about, before) = (about.to_ascii_lowercase(), self.open.len());
        self.open.retain(|(_, name), _| *name != about && name.split(' ').next() != Some(about.as_str()));
        before - self.open.len()
    }

    /// How many circuits are not closed.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether all circuits are closed.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn current(&mut self, key: &Key, opening: u64) -> Option<&mut Breaker> {
        self.open.get_mut(key).filter(|breaker| breaker.opening == opening)
    }

    /// Opens the circuit, or opens it again. Returns until when.
    fn refuse(&mut self, key: &Key, opening: Option<u64>, (at_least_ms, growing): (i64, bool), why: &str, now_ms: i64) -> i64 {
        self.openings += 1;
        let next = self.openings;
        let breaker = self.open.entry(key.clone()).or_insert_with(|| Breaker {
            opening: next,
            state: BreakerState::Paused { until_ms: now_ms },
            pause_ms: 0,
            growing,
            why: String::new(),
            touched_ms: now_ms,
        });
        let is_trial = opening == Some(breaker.opening);
        let pause_ms = if is_trial && breaker.growing {
            breaker.pause_ms.saturating_mul(2).min(PAUSE_MAX_MS.max(at_least_ms)).max(at_least_ms)
        } else {
            breaker.pause_ms.max(at_least_ms)
        };
        // What was under way when it opened changes nothing but the least that has to be waited.
        let before_ms = match breaker.state {
            BreakerState::Paused { until_ms } if !is_trial => until_ms,
            _ => now_ms,
        };
        let wait_ms = if is_trial || before_ms <= now_ms { pause_ms } else { at_least_ms };
        let until_ms = before_ms.max(now_ms.saturating_add(wait_ms));
        *breaker = Breaker {
            opening: next,
            state: BreakerState::Paused { until_ms },
            pause_ms,
            growing: growing || breaker.growing,
            why: why.to_owned(),
            touched_ms: now_ms,
        };
        until_ms
    }

    fn count_invalid(&mut self, target: &str, reaction: &Reaction, now_ms: i64, told: &mut BreakerChange) {
        let Reaction::InvalidTarget { after } = reaction else { return };
        let (times, touched_ms) = self.invalid.entry(target.to_owned()).or_default();
        (*times, *touched_ms) = (times.saturating_add(1), now_ms);
        told.invalid_times = Some(*times).filter(|times| times >= after);
    }

    /// Forgets what is old, and where that is not enough what ends first.
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

impl Breaker {
    /// Until when a delivery has to wait for this circuit.
    fn wait(&self, now_ms: i64) -> Option<i64> {
        match self.state {
            BreakerState::Paused { until_ms } => Some(until_ms).filter(|until_ms| now_ms < *until_ms),
            BreakerState::OnTrial { since_ms } => {
                (now_ms < since_ms.saturating_add(TRIAL_MAX_MS)).then(|| now_ms.saturating_add(ASK_AGAIN_MS))
            }
            BreakerState::Returning { limit, under_way } => {
                let is_full = under_way >= limit && now_ms < self.touched_ms.saturating_add(TRIAL_MAX_MS);
                is_full.then(|| now_ms.saturating_add(ASK_AGAIN_MS))
            }
        }
    }

    /// Lets a delivery through for which `wait` had nothing to say; true where it is the one on trial.
    fn enter(&mut self, now_ms: i64) -> bool {
        let is_stale = now_ms >= self.touched_ms.saturating_add(TRIAL_MAX_MS);
        self.touched_ms = now_ms;
        match &mut self.state {
            BreakerState::Returning { under_way, .. } => {
                *under_way = if is_stale { 1 } else { under_way.saturating_add(1) };
                false
            }
            state => {
                *state = BreakerState::OnTrial { since_ms: now_ms };
                true
            }
        }
    }

    /// True where the circuit is closed by this.
    fn succeed(&mut self, now_ms: i64) -> bool {
        self.touched_ms = now_ms;
        match &mut self.state {
            BreakerState::Paused { .. } => false,
            BreakerState::OnTrial { .. } => {
                self.state = BreakerState::Returning { limit: FIRST_LIMIT, under_way: 0 };
                false
            }
            BreakerState::Returning { limit, .. } if *limit >= LAST_LIMIT => true,
            BreakerState::Returning { limit, under_way } => {
                *limit = limit.saturating_mul(2);
                *under_way = under_way.saturating_sub(1);
                false
            }
        }
    }

    /// A delivery ended that says nothing; the next trial is in `wait_ms`.
    fn leave(&mut self, wait_ms: i64, now_ms: i64) {
        self.touched_ms = now_ms;
        match &mut self.state {
            BreakerState::Paused { .. } => {}
            BreakerState::OnTrial { .. } => self.state = BreakerState::Paused { until_ms: now_ms.saturating_add(wait_ms) },
            BreakerState::Returning { under_way, .. } => *under_way = under_way.saturating_sub(1),
        }
    }

    fn ends_ms(&self) -> i64 {
        let base_ms = if let BreakerState::Paused { until_ms } = self.state { until_ms } else { self.touched_ms };
        base_ms.saturating_add(FORGET_MS)
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
