//! What the breakers keep over a restart: pauses, invalid targets, and the ways that hosts accept.
//!
//! Invariant: a pause ends when it would have ended; whatever the memory says, none is longer than a day, and at most as many are taken as are kept.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{BREAKERS_MAX, Breaker, BreakerState, Breakers, FORGET_MS};
use crate::meaning::ReplyScope;

/// The words of the scopes.
const SCOPES: [(ReplyScope, &str); 5] = [
    (ReplyScope::Target, "target"),
    (ReplyScope::Ip, "ip"),
    (ReplyScope::SpfDomain, "spf"),
    (ReplyScope::DkimDomain, "dkim"),
    (ReplyScope::MxHost, "host"),
];

/// The memory, for a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BreakerMemory {
    breakers: Vec<KeptBreaker>,
    /// Targets, how often they were invalid in a row, and when last, Unix milliseconds.
    invalid: Vec<(String, u32, i64)>,
    /// Hosts, and until when, Unix milliseconds.
    ipv4_only: Vec<(String, i64)>,
    tls_only: Vec<(String, i64)>,
    data_only: Vec<(String, i64)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptBreaker {
    scope: String,
    about: String,
    /// End of the pause, Unix milliseconds; a breaker whose pause is over starts with a probe.
    until_ms: i64,
    pause_ms: i64,
    growing: bool,
    why: String,
}

impl Breakers {
    /// What outlives a restart, in a stable order.
    pub fn memory(&self) -> BreakerMemory {
        let kept = |((scope, about), breaker): (&(ReplyScope, String), &Breaker)| KeptBreaker {
            scope: SCOPES.iter().find(|(known, _)| known == scope).map_or("", |(_, word)| word).to_owned(),
            about: about.clone(),
            until_ms: if let BreakerState::Open { until_ms } = breaker.state { until_ms } else { breaker.touched_ms },
            pause_ms: breaker.pause_ms,
            growing: breaker.growing,
            why: breaker.why.clone(),
        };
        let mut breakers: Vec<KeptBreaker> = self.open.iter().map(kept).collect();
        breakers.sort_by(|a, b| (&a.scope, &a.about).cmp(&(&b.scope, &b.about)));
        let mut invalid: Vec<_> = self.invalid.iter().map(|(target, (times, at_ms))| (target.clone(), *times, *at_ms)).collect();
        invalid.sort();
        BreakerMemory {
            breakers,
            invalid,
            ipv4_only: listed(&self.ipv4_only),
            tls_only: listed(&self.tls_only),
            data_only: listed(&self.data_only),
        }
    }

    /// The breakers of a memory.
    pub fn remembering(memory: BreakerMemory, now_ms: i64) -> Self {
        let latest_ms = now_ms.saturating_add(FORGET_MS);
        let is_recent = |at_ms: i64| now_ms < at_ms.saturating_add(FORGET_MS);
        let mut breakers = Self::default();
        for kept in memory.breakers.into_iter().filter(|kept| is_recent(kept.until_ms)).take(BREAKERS_MAX) {
            let Some((scope, _)) = SCOPES.iter().find(|(_, word)| *word == kept.scope) else { continue };
            breakers.openings += 1;
            let breaker = Breaker {
                opening: breakers.openings,
                state: BreakerState::Open { until_ms: kept.until_ms.min(latest_ms) },
                pause_ms: kept.pause_ms.clamp(0, FORGET_MS),
                growing: kept.growing,
                why: kept.why,
                touched_ms: now_ms,
            };
            breakers.open.insert((*scope, kept.about), breaker);
        }
        let invalid = memory.invalid.into_iter().filter(|(.., at_ms)| is_recent(*at_ms)).take(BREAKERS_MAX);
        breakers.invalid = invalid.map(|(target, times, at_ms)| (target, (times, at_ms.min(now_ms)))).collect();
        let ways = |list: Vec<(String, i64)>| -> HashMap<String, i64> {
            list.into_iter()
                .filter(|(_, until_ms)| now_ms < *until_ms)
                .take(BREAKERS_MAX)
                .map(|(host, until_ms)| (host, until_ms.min(latest_ms)))
                .collect()
        };
        breakers.ipv4_only = ways(memory.ipv4_only);
        breakers.tls_only = ways(memory.tls_only);
        breakers.data_only = ways(memory.data_only);
        breakers
    }
}

fn listed(ways: &HashMap<String, i64>) -> Vec<(String, i64)> {
    let mut list: Vec<(String, i64)> = ways.iter().map(|(host, until_ms)| (host.clone(), *until_ms)).collect();
    list.sort();
    list
}

#[cfg(test)]
mod tests {
    use mail::{Domain, Reply};

    use super::*;
    use crate::{Admission, BreakerKeys, classify_reply};

    #[test]
    fn a_pause_outlives_a_restart_and_ends_when_it_would_have_ended() {
        let (mut breakers, now_ms) = (Breakers::default(), 1_000_000);
        let keys = || BreakerKeys::of_target("full@far.test");
        let Admission::Open(pass) = breakers.check(keys(), now_ms) else { panic!("it is closed") };
        let meaning = classify_reply(None, &Reply::new(452, (4, 2, 2), "over quota"));
        let until_ms = breakers.on_reply(pass, &meaning, now_ms).until_ms.unwrap();
        breakers.learn_data_only(&Domain::parse("mx.far.test").unwrap(), now_ms);
        let mut restored = Breakers::remembering(breakers.memory(), now_ms + 1_000);
        assert_eq!(restored.memory(), breakers.memory());
        assert_eq!(restored.closed_for(&keys(), now_ms + 1_000).map(|(until_ms, _)| until_ms), Some(until_ms));
        assert!(restored.is_data_only(&Domain::parse("mx.far.test").unwrap(), now_ms + 1_000));
        assert!(matches!(restored.check(keys(), until_ms), Admission::Probe(_)), "then one delivery tries");
        let later = Breakers::remembering(breakers.memory(), until_ms + FORGET_MS);
        assert!(later.is_empty() && later.memory() == BreakerMemory::default());
    }

    #[test]
    fn a_memory_cannot_pause_for_longer_than_a_day() {
        let kept = |scope: &str| KeptBreaker {
            scope: scope.into(),
            about: "x".into(),
            until_ms: i64::MAX,
            pause_ms: i64::MAX,
            growing: true,
            why: "x".into(),
        };
        let memory = BreakerMemory { breakers: vec![kept("host"), kept("nothing")], ..BreakerMemory::default() };
        let breakers = Breakers::remembering(memory, 0);
        assert_eq!(breakers.pauses(0).iter().map(|pause| pause.until_ms).collect::<Vec<_>>(), [FORGET_MS]);
    }
}
