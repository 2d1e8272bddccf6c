//! What was told, what waits for the digest, and how many notices went out within the hour.
//!
//! Invariant: the same is told once within its time; beyond [`HOURLY_MAX`] notices an hour, and for all that is not urgent, there is one digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::notice::{DAY_MS, Notice, NoticeKind};

/// Maximum notices sent at once within an hour.
const HOURLY_MAX: usize = 10;

const HOUR_MS: i64 = 3_600_000;

/// Maximum entries of a digest, and of what was told; beyond, the oldest are dropped.
const DIGEST_MAX: usize = 100;
const TOLD_MAX: usize = 2_000;

/// An entry of the digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct DigestEntry {
    at_ms: i64,
    key: String,
    subject: String,
    text: String,
    times: u32,
    /// Whether the postmaster has a letter about it.
    has_letter: bool,
}

/// The ledger, which is kept in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// Until when each key is not told again, Unix milliseconds.
    told: BTreeMap<String, i64>,
    digest: Vec<DigestEntry>,
    /// When the last digest was sent, Unix milliseconds; 0 before the first start.
    digest_ms: i64,
    /// When notices were sent within the last hour.
    sent_ms: Vec<i64>,
}

impl Ledger {
    /// Takes a notice; returns it if it is to be sent now.
    pub fn take(&mut self, notice: Notice, now_ms: i64) -> Option<Notice> {
        if let Some(until_ms) = self.told.get(&notice.key)
            // A time in the far future comes from a clock that was wrong.
            && (0..=notice.quiet_ms).contains(&until_ms.saturating_sub(now_ms))
        {
            if let Some(entry) = self.digest.iter_mut().find(|entry| entry.key == notice.key) {
                entry.times = entry.times.saturating_add(1);
            }
            return None;
        }
        self.told.retain(|_, until_ms| *until_ms > now_ms);
        if self.told.len() < TOLD_MAX {
            self.told.insert(notice.key.clone(), now_ms.saturating_add(notice.quiet_ms));
        }
        self.sent_ms.retain(|at_ms| (0..HOUR_MS).contains(&now_ms.saturating_sub(*at_ms)));
        if notice.is_urgent && self.sent_ms.len() < HOURLY_MAX {
            self.sent_ms.push(now_ms);
            return Some(notice);
        }
        let Notice { key, subject, text, has_letter, .. } = notice;
        if self.digest.len() >= DIGEST_MAX {
            self.digest.remove(0);
        }
        self.digest.push(DigestEntry { at_ms: now_ms, key, subject, text, times: 1, has_letter });
        None
    }

    /// Returns the digest when it is due.
    pub fn digest(&mut self, every_s: u32, now_ms: i64) -> Option<Notice> {
        if self.digest_ms == 0 || self.digest_ms > now_ms {
            self.digest_ms = now_ms;
        }
        if now_ms - self.digest_ms < i64::from(every_s) * 1000 || self.digest.is_empty() {
            return None;
        }
        self.digest_ms = now_ms;
        let entries = std::mem::take(&mut self.digest);
        let subject = match entries.as_slice() {
            [only] => only.subject.clone(),
            several => format!("{} notices of the last day", several.len()),
        };
        let has_letter = entries.iter().all(|entry| entry.has_letter);
        let text: String = entries.iter().map(shown).collect::<Vec<_>>().join("\n");
        let digest = Notice::urgent(NoticeKind::Digest, &now_ms.to_string(), &subject, &text);
        Some(Notice { has_letter, quiet_ms: DAY_MS, ..digest })
    }
}

fn shown(entry: &DigestEntry) -> String {
    let times = if entry.times > 1 { format!(" ({} times)", entry.times) } else { String::new() };
    let indented: String = entry.text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect();
    format!("{}  {}{times}\n{indented}", mail::rfc5322_date(entry.at_ms / 1000), entry.subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urgent(about: &str) -> Notice {
        Notice::urgent(NoticeKind::Paused, about, about, "text")
    }

    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn the_same_is_told_once_a_day() {
        let mut ledger = Ledger::default();
        assert!(ledger.take(urgent("a"), NOW).is_some());
        assert!(ledger.take(urgent("a"), NOW + DAY_MS - 1).is_none());
        assert!(ledger.take(urgent("b"), NOW).is_some());
        assert!(ledger.take(urgent("a"), NOW + DAY_MS + 1).is_some());
        let mut wrong_clock = Ledger { told: BTreeMap::from([("paused a".into(), NOW + 400 * DAY_MS)]), ..Ledger::default() };
        assert!(wrong_clock.take(urgent("a"), NOW).is_some());
    }

    #[test]
    fn notices_beyond_the_hourly_limit_wait_for_the_digest() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.digest(86_400, NOW), None);
        let sent = (0..30).filter(|n| ledger.take(urgent(&n.to_string()), NOW + n).is_some()).count();
        assert_eq!(sent, HOURLY_MAX);
        assert_eq!(ledger.digest(86_400, NOW + DAY_MS - 1), None);
        let digest = ledger.digest(86_400, NOW + DAY_MS).unwrap();
        assert_eq!(digest.subject, "20 notices of the last day");
        assert_eq!(ledger.digest(86_400, NOW + 2 * DAY_MS), None, "there is nothing to tell");
    }

    #[test]
    fn the_digest_counts_repetitions_and_survives_a_restart() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.digest(1, NOW), None);
        let drift = || Notice::daily(NoticeKind::Dns, "mx", "the record mx has changed", "why\n");
        assert!(ledger.take(drift(), NOW).is_none() && ledger.take(drift(), NOW + 1).is_none());
        let text = serde_json::to_string(&ledger).unwrap();
        let mut ledger: Ledger = serde_json::from_str(&text).unwrap();
        let digest = ledger.digest(1, NOW + 2000).unwrap();
        assert_eq!(digest.subject, "the record mx has changed");
        assert!(digest.text.contains("the record mx has changed (2 times)\n  why\n"), "{}", digest.text);
    }
}
