//! When a deferred message is tried again, and when it is given up.
//!
//! RFC 5321 s.4.5.4.1: at least 30 minutes between attempts in the long run, sooner at first, four to five days in all.
//! Invariant: the wait grows, and jitter keeps what failed together from coming back together.

/// The retry schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Waits after the 1st, 2nd, ... attempt in seconds; the last one repeats.
    pub waits_s: Vec<u32>,
    /// Jitter either way, in per cent of the wait.
    pub jitter_percent: u32,
    /// A message older than this, in seconds, is given up.
    pub lifetime_s: u32,
    /// A delay is reported once a message is older than this, in seconds; `None` reports none.
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

    /// When a message that arrived then is given up, Unix milliseconds.
    pub fn expires_ms(&self, arrived_ms: i64) -> i64 {
        arrived_ms.saturating_add(i64::from(self.lifetime_s) * 1000)
    }

    /// Whether a message that still waits is old enough for a report of its delay.
    pub fn is_delay_due(&self, arrived_ms: i64, now_ms: i64) -> bool {
        self.delay_report_s.is_some_and(|s| now_ms - arrived_ms >= i64::from(s) * 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_within_their_jitter() {
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
    fn five_days_and_no_longer() {
        let schedule = Schedule { delay_report_s: Some(14_400), ..Schedule::default() };
        assert_eq!(schedule.expires_ms(1000), 1000 + 5 * 86_400_000);
        assert!(!schedule.is_delay_due(0, 14_399_999));
        assert!(schedule.is_delay_due(0, 14_400_000));
    }
}
