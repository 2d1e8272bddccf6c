//! When a deferred message is retried, and when it is given up.
//!
//! RFC 5321 s.4.5.4.1: at least 30 minutes between attempts in the long run, sooner at first, four to five days in all.
//! Invariant: the wait grows, and jitter keeps what failed together from coming back together.

use crate::breaker::PAUSE_MAX_MS;
use crate::meaning::Reaction;
use crate::trouble::Trouble;

/// Maximum immediate retries of one message for hosts that ask for a new connection.
const RECONNECTS_MAX: u32 = 3;

/// The retry schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Waits after the 1st, 2nd, ... attempt in seconds; the last one is repeated.
    pub waits_s: Vec<u32>,
    /// Jitter in both directions, in per cent of the wait.
    pub jitter_percent: u32,
    /// Maximum age of a message in the queue, in seconds.
    pub lifetime_s: u32,
    /// Age in seconds after which a DSN reports the delay; `None` for no such DSN.
    pub delay_report_s: Option<u32>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            waits_s: vec![60, 300, 900, 1_800, 3_600, 3_600, 7_200, 7_200, 14_400],
            jitter_percent: 10,
            lifetime_s: 5 * 86_400,
            delay_report_s: None,
        }
    }
}

impl Schedule {
    /// The time of the next attempt, Unix milliseconds. `attempts` counts the one that just failed; `random` is any number.
    pub fn next_attempt_ms(&self, now_ms: i64, attempts: u32, random: u32) -> i64 {
        let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX).min(self.waits_s.len().saturating_sub(1));
        let wait_ms = i64::from(self.waits_s.get(index).copied().unwrap_or(1_800)) * 1000;
        let span_ms = wait_ms * i64::from(self.jitter_percent.min(100)) / 100;
        let jitter_ms = if span_ms == 0 { 0 } else { i64::from(random) % (2 * span_ms + 1) - span_ms };
        now_ms.saturating_add(wait_ms + jitter_ms)
    }

    /// The same after this trouble: the waits of the reply's row override the schedule.
    pub fn next_attempt_after_ms(&self, trouble: &Trouble, now_ms: i64, attempts: u32, random: u32) -> i64 {
        let not_before_ms = trouble.not_before_ms.unwrap_or(now_ms);
        if !trouble.was_attempted() {
            return not_before_ms;
        }
        let next_ms = match trouble.meaning.as_ref().map(|meaning| &meaning.reaction) {
            Some(Reaction::Retry { waits_s }) if !waits_s.is_empty() => {
                Self { waits_s: waits_s.clone(), ..self.clone() }.next_attempt_ms(now_ms, attempts, random)
            }
            Some(Reaction::Reconnect) if attempts <= RECONNECTS_MAX => now_ms,
            _ => self.next_attempt_ms(now_ms, attempts, random),
        };
        next_ms.max(not_before_ms)
    }

    /// The longest wait for an attempt, in milliseconds: the longest wait with its jitter, or the longest pause.
    pub fn longest_wait_ms(&self) -> i64 {
        let wait_ms = i64::from(self.waits_s.iter().copied().max().unwrap_or_default()) * 1000;
        (wait_ms + wait_ms * i64::from(self.jitter_percent.min(100)) / 100).max(PAUSE_MAX_MS)
    }

    /// When a message is given up, Unix milliseconds, by the time of its arrival.
    pub fn expires_ms(&self, arrived_ms: i64) -> i64 {
        arrived_ms.saturating_add(i64::from(self.lifetime_s) * 1000)
    }

    /// Whether a message that still waits is old enough for a DSN about the delay.
    pub fn is_delay_due(&self, arrived_ms: i64, now_ms: i64) -> bool {
        self.delay_report_s.is_some_and(|s| now_ms - arrived_ms >= i64::from(s) * 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_within_jitter() {
        let schedule = Schedule::default();
        for random in [0, 1, 77, u32::MAX] {
            let mut last = 0;
            for attempt in 1..30 {
                let wait = schedule.next_attempt_ms(0, attempt, random);
                let plain = i64::from(schedule.waits_s[(attempt as usize - 1).min(8)]) * 1000;
                assert!((wait - plain).abs() <= plain / 10, "{attempt} {random} {wait}");
                assert!(wait * 5 > last * 4);
                last = wait;
            }
        }
    }

    #[test]
    fn the_waits_of_a_row_override_the_schedule() {
        let schedule = Schedule { jitter_percent: 0, ..Schedule::default() };
        let host = mail::Domain::parse("mx.example.net").unwrap();
        let after = |said: &str, attempts| {
            let reply = crate::parse_pasted_reply(said).unwrap();
            let trouble = crate::Trouble::from_reply(&host, &reply, crate::Scope::Recipient);
            schedule.next_attempt_after_ms(&trouble, 0, attempts, 0) / 1000
        };
        assert_eq!([after("451 later", 1), after("421 4.7.26 x - gsmtp", 1), after("421 4.7.26 x - gsmtp", 9)], [60, 1_800, 14_400]);
        let full = "421 too many messages in this connection";
        assert_eq!([after(full, 1), after(full, 3), after(full, 4)], [0, 0, 1_800]);
        let held = Trouble::paused(crate::Scope::Host, 77, "a pause");
        assert_eq!(schedule.next_attempt_after_ms(&held, 5, 1, 0), 77);
        let paused = Trouble { not_before_ms: Some(600_000), ..Trouble::dns("slow") };
        assert_eq!(schedule.next_attempt_after_ms(&paused, 0, 1, 0), 600_000);
    }

    #[test]
    fn messages_expire_after_five_days() {
        let schedule = Schedule { delay_report_s: Some(14_400), ..Schedule::default() };
        assert_eq!(schedule.expires_ms(1000), 1000 + 5 * 86_400_000);
        assert!(!schedule.is_delay_due(0, 14_399_999));
        assert!(schedule.is_delay_due(0, 14_400_000));
    }
}
