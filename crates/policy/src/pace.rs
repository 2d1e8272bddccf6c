//! How fast mail goes to one mailbox of a provider that documents a limit: below the limit, evenly, before the provider complains.
//!
//! Invariant: within a minute and within a day, at most what the table says, whatever the order of calls; a wait is never more than a day.

use std::collections::HashMap;

/// The pace of a provider's mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PaceRule {
    provider: &'static str,
    /// Maximum messages in a minute: below the provider's, since other servers send to the mailbox too.
    per_minute: i64,
    /// Maximum messages in a day.
    per_day: i64,
    /// What operators read while mail waits.
    why: &'static str,
}

/// Gmail: 60 a minute, 3,600 an hour, 86,400 a day; beyond it the mailbox gets nothing for up to 24 hours (support.google.com/a/answer/1366776, read in November
/// 2026). Exchange Online: 3,600 an hour from all, 1,200 from one sender (learn.microsoft.com, "Exchange Online limits", read in November 2026); consumer
/// Outlook documents none and gets the same.
const RULES: [PaceRule; 2] = [
    PaceRule {
        provider: "gmail",
        per_minute: 45,
        per_day: 60_000,
        why: "it gets mail faster than 45 messages a minute; Gmail locks a mailbox beyond 60",
    },
    PaceRule {
        provider: "microsoft",
        per_minute: 45,
        per_day: 60_000,
        why: "it gets mail faster than 45 messages a minute; Microsoft refuses mail to a mailbox beyond 3,600 an hour",
    },
];

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// Maximum mailboxes counted; beyond it, those that are idle are dropped, and then the others go uncounted.
const MAILBOXES_MAX: usize = 10_000;

/// The messages of one mailbox.
#[derive(Debug, Clone, Copy, Default)]
struct Paced {
    minute: Window,
    day: Window,
    /// The last time given to a delivery that waits, Unix milliseconds.
    promised_ms: i64,
}

/// Messages since the start of a window.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    since_ms: i64,
    count: i64,
}

impl Window {
    /// The end of the window if it is full.
    fn full_until(&mut self, now_ms: i64, length_ms: i64, max: i64) -> Option<i64> {
        // A clock that was set back starts a new one.
        if !(0..length_ms).contains(&now_ms.saturating_sub(self.since_ms)) {
            *self = Self { since_ms: now_ms, count: 0 };
        }
        (self.count >= max).then(|| self.since_ms.saturating_add(length_ms))
    }
}

/// The counts of all mailboxes.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    mailboxes: HashMap<String, Paced>,
}

impl Paces {
    /// Counts a message to a mailbox of this provider; if there are too many, returns until when it waits, Unix milliseconds, and why. Deliveries that wait get
    /// times apart from each other.
    pub fn take(&mut self, provider: &str, mailbox: &str, now_ms: i64) -> Option<(i64, &'static str)> {
        let rule = RULES.iter().find(|rule| rule.provider == provider)?;
        if !self.mailboxes.contains_key(mailbox) && self.mailboxes.len() >= MAILBOXES_MAX {
            self.mailboxes.retain(|_, paced| now_ms.saturating_sub(paced.minute.since_ms) < DAY_MS && paced.day.count > rule.per_minute);
            if self.mailboxes.len() >= MAILBOXES_MAX {
                return None;
            }
        }
        let paced = self.mailboxes.entry(mailbox.to_owned()).or_default();
        let by_day = paced.day.full_until(now_ms, DAY_MS, rule.per_day);
        let Some(until_ms) = by_day.max(paced.minute.full_until(now_ms, MINUTE_MS, rule.per_minute)) else {
            (paced.minute.count, paced.day.count) = (paced.minute.count + 1, paced.day.count + 1);
            return None;
        };
        let apart_ms = MINUTE_MS / rule.per_minute;
        let next_ms = until_ms.max(paced.promised_ms.saturating_add(apart_ms)).min(now_ms.saturating_add(DAY_MS));
        paced.promised_ms = next_ms;
        Some((next_ms, rule.why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_gets_its_number_a_minute_and_the_rest_waits_apart() {
        let mut paces = Paces::default();
        let mut take = |now_ms| paces.take("gmail", "foo@gmail.com", now_ms).map(|(until_ms, _)| until_ms);
        assert!((0..45).all(|n| take(1_000_000 + n).is_none()));
        let waits: Vec<i64> = (0..3).map(|n| take(1_000_100 + n).unwrap()).collect();
        assert_eq!(waits, [1_060_000, 1_061_333, 1_062_666]);
        assert!(take(1_060_000).is_none(), "the next minute");
        assert!(paces.take("gmail", "bar@gmail.com", 1_000_100).is_none(), "another mailbox");
        assert!(paces.take("yahoo", "foo@yahoo.com", 1_000_100).is_none() && paces.mailboxes.len() == 2, "no documented limit");
    }

    #[test]
    fn a_day_has_a_maximum_and_a_clock_set_back_starts_anew() {
        let mut paces = Paces::default();
        let (mut sent, mut now_ms) = (0, 1_000_000);
        while now_ms < 1_000_000 + DAY_MS {
            sent += i64::from(paces.take("microsoft", "foo@outlook.com", now_ms).is_none());
            now_ms += 1_000;
        }
        assert_eq!(sent, 60_000);
        assert!(paces.take("microsoft", "foo@outlook.com", 0).is_none());
    }
}
