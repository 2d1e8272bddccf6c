//! How fast mail goes to one mailbox of a provider that documents a limit: below the limit, evenly, before the provider complains.
//!
//! Invariant: within any minute, hour and day at most what the rule allows, whatever the order of calls; a wait is never more than a day.

use std::collections::HashMap;

/// The pace of a provider's mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PaceRule {
    provider: &'static str,
    /// Messages that go at once to a mailbox that got nothing for a while.
    burst: i64,
    /// Time between two messages beyond the burst, in milliseconds.
    apart_ms: i64,
    /// What operators read while mail waits.
    why: &'static str,
}

impl PaceRule {
    /// The part of one of several nodes; rounded so that the sum of the bursts is more by less than one for each.
    fn part(self, nodes: u32) -> Self {
        let nodes = i64::from(nodes.max(1));
        Self { burst: (self.burst + nodes - 1) / nodes, apart_ms: self.apart_ms * nodes, ..self }
    }
}

/// Both below what the providers document, since other servers send to the mailbox too; docs/remote-replies.md has the figures and their sources.
const RULES: [PaceRule; 2] = [
    // At most 55 a minute, 2,415 an hour, 57,615 a day; documented: 60, 3,600, 86,400.
    PaceRule {
        provider: "gmail",
        burst: 15,
        apart_ms: 1_500,
        why: "it gets mail faster than 40 messages a minute; Gmail locks a mailbox beyond 60",
    },
    // At most 1,157 an hour; documented: 3,600, and 1,200 of them from one sender, which all our forwards may be.
    PaceRule {
        provider: "microsoft",
        burst: 15,
        apart_ms: 3_150,
        why: "it gets mail faster than 19 messages a minute; Microsoft refuses mail to a mailbox beyond 1,200 an hour from one sender",
    },
];

const DAY_MS: i64 = 86_400_000;

/// Maximum mailboxes counted; beyond it, those whose burst is whole again are dropped, and then the others go uncounted.
const MAILBOXES_MAX: usize = 10_000;

/// The pace of one mailbox.
#[derive(Debug, Clone, Copy)]
struct Paced {
    /// When its burst is whole again, Unix milliseconds: each message puts it off by `apart_ms`.
    whole_ms: i64,
    /// The last time given to a delivery that waits, Unix milliseconds.
    promised_ms: i64,
}

/// The pace of all mailboxes.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    mailboxes: HashMap<String, Paced>,
}

impl Paces {
    /// Counts a message to a mailbox of this provider, to which `nodes` of a cluster deliver, each a part of the pace; if it comes too soon, returns until when it waits, Unix milliseconds, and why. Deliveries that wait get
    /// times apart from each other.
    pub fn take(&mut self, provider: &str, mailbox: &str, nodes: u32, now_ms: i64) -> Option<(i64, &'static str)> {
        let rule = RULES.iter().find(|rule| rule.provider == provider)?.part(nodes);
        if !self.mailboxes.contains_key(mailbox) && self.mailboxes.len() >= MAILBOXES_MAX {
            self.mailboxes.retain(|_, paced| paced.whole_ms > now_ms);
            if self.mailboxes.len() >= MAILBOXES_MAX {
                return None;
            }
        }
        let paced = self.mailboxes.entry(mailbox.to_owned()).or_insert(Paced { whole_ms: now_ms, promised_ms: now_ms });
        let credit_ms = rule.burst * rule.apart_ms;
        // A clock that was set back starts anew.
        if paced.whole_ms.saturating_sub(now_ms) > credit_ms {
            *paced = Paced { whole_ms: now_ms, promised_ms: now_ms };
        }
        let next_ms = paced.whole_ms.max(now_ms).saturating_add(rule.apart_ms);
        let early_ms = next_ms.saturating_sub(now_ms).saturating_sub(credit_ms);
        if early_ms <= 0 {
            paced.whole_ms = next_ms;
            return None;
        }
        let free_ms = now_ms.saturating_add(early_ms);
        paced.promised_ms = free_ms.max(paced.promised_ms.saturating_add(rule.apart_ms)).min(now_ms.saturating_add(DAY_MS));
        Some((paced.promised_ms, rule.why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    #[test]
    fn a_mailbox_gets_a_burst_and_the_rest_waits_apart() {
        let mut paces = Paces::default();
        let mut take = |now_ms| paces.take("gmail", "foo@gmail.com", 1, now_ms).map(|(until_ms, _)| until_ms);
        assert!((0..15).all(|_| take(1_000_000).is_none()));
        let waits: Vec<i64> = (0..3).map(|_| take(1_000_000).unwrap()).collect();
        assert_eq!(waits, [1_001_500, 1_003_000, 1_004_500]);
        assert!(waits.iter().all(|until_ms| take(*until_ms).is_none()), "each goes at its time");
        assert!(paces.take("gmail", "bar@gmail.com", 1, 1_000_100).is_none(), "another mailbox");
        assert!(paces.take("yahoo", "foo@yahoo.com", 1, 1_000_100).is_none() && paces.mailboxes.len() == 2, "no documented limit");
    }

    /// The most messages within any time of this length.
    fn most_within(sent: &[i64], length_ms: i64) -> usize {
        (0..sent.len()).map(|n| sent[n..].partition_point(|at_ms| *at_ms < sent[n] + length_ms)).max().unwrap_or(0)
    }

    #[test]
    fn no_minute_hour_or_day_has_more_than_the_provider_documents() {
        // (provider, the most we send in a minute, an hour, a day), each below the documented one.
        for (provider, a_minute, an_hour, a_day) in [("gmail", 55, 2_415, 57_615), ("microsoft", 35, 1_158, 27_444)] {
            let mut paces = Paces::default();
            let (mut sent, mut now_ms, mut dice) = (Vec::new(), 1_000_000, 7_u64);
            while now_ms < 1_000_000 + 2 * DAY_MS {
                if paces.take(provider, "foo@bar.test", 1, now_ms).is_none() {
                    sent.push(now_ms);
                }
                // Mostly as fast as it goes, and now and then nothing for a while.
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                now_ms += if dice >> 52 == 0 { 90_000 } else { 250 };
            }
            let most = [MINUTE_MS, 60 * MINUTE_MS, DAY_MS].map(|length_ms| most_within(&sent, length_ms));
            assert!(most[0] <= a_minute && most[1] <= an_hour && most[2] <= a_day, "{provider}: {most:?}");
            assert!(most[0] > a_minute - 3 && most[1] > an_hour * 9 / 10, "{provider}: no slower than need be: {most:?}");
        }
    }

    #[test]
    fn nodes_together_are_as_fast_as_one() {
        for nodes in [1, 2, 3] {
            let mut each: Vec<Paces> = (0..nodes).map(|_| Paces::default()).collect();
            let mut sent = 0;
            for now_ms in (1_000_000..1_000_000 + 60 * MINUTE_MS).step_by(250) {
                sent +=
                    each.iter_mut().filter_map(|paces| paces.take("gmail", "foo@gmail.com", nodes, now_ms).is_none().then_some(())).count();
            }
            assert!((2_400..=2_415).contains(&sent), "{nodes}: {sent}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_starts_anew() {
        let mut paces = Paces::default();
        assert!((0..16).map(|_| paces.take("microsoft", "foo@outlook.com", 1, 9_000_000)).any(|wait| wait.is_some()));
        assert!(paces.take("microsoft", "foo@outlook.com", 1, 1_000).is_none());
    }

    #[test]
    fn the_number_of_mailboxes_is_limited() {
        let mut paces = Paces::default();
        for n in 0..MAILBOXES_MAX + 10 {
            paces.take("gmail", &format!("u{n}@gmail.com"), 1, 1_000_000);
        }
        assert_eq!(paces.mailboxes.len(), MAILBOXES_MAX);
        paces.take("gmail", "later@gmail.com", 1, 1_100_000);
        assert_eq!(paces.mailboxes.len(), 1, "idle ones make room");
    }
}
