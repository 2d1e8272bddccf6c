//! A limit for events that strangers can cause at will: refused connections, senders, recipients and logins.
//!
//! Beyond it they are counted in the totals, but not listed. Invariant: a flood of refusals takes at most [`SHARE`] of the space, so that it never pushes
//! out what happened to messages.

use events::{Event, EventKind, Group};

use crate::part::Bounds;

/// The share of the space: its divisor.
const SHARE: u64 = 4;

/// Minimum events that are listed in a day, whatever the space.
const DAILY_MIN: u64 = 2000;

const DAY_MS: i64 = 86_400_000;

/// Lets a day's share pass at once, and as many again over each day.
#[derive(Debug, Default)]
pub(crate) struct FloodGate {
    /// Events that have passed, less those that the time since then has made up for; in events times milliseconds of a day.
    used: i64,
    last_ms: i64,
}

impl FloodGate {
    /// Whether an event is listed.
    pub fn lets(&mut self, event: &Event, bounds: Bounds, event_bytes: u64) -> bool {
        if event.kind.group() != Group::Session && event.kind != EventKind::LoginRefused {
            return true;
        }
        let daily = (bounds.max_bytes / SHARE / event_bytes.max(1) / u64::from(bounds.days.max(1))).max(DAILY_MIN);
        let daily = i64::try_from(daily).unwrap_or(i64::MAX / DAY_MS);
        let since_ms = (event.at_ms - self.last_ms).clamp(0, DAY_MS);
        self.last_ms = event.at_ms;
        self.used = self.used.saturating_sub(since_ms.saturating_mul(daily)).max(0);
        if self.used.saturating_add(DAY_MS) > daily.saturating_mul(DAY_MS) {
            return false;
        }
        self.used += DAY_MS;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_bounded_for_each_day_and_messages_are_not() {
        // 250 MB of 1000 octets over 25 days, of which a quarter: 2500 a day.
        let bounds = Bounds { days: 25, max_bytes: 250_000_000 };
        let mut gate = FloodGate::default();
        let mut passed =
            |kind: EventKind, at_ms: i64, n: usize| (0..n).filter(|_| gate.lets(&Event::new(kind, at_ms), bounds, 1000)).count();
        let start = 1_800_000_000_000;
        assert_eq!(passed(EventKind::RecipientRefused, start, 10_000), 2500);
        assert_eq!(passed(EventKind::LoginRefused, start, 10), 0);
        assert_eq!(passed(EventKind::MessageRefused, start, 10), 10);
        assert_eq!(passed(EventKind::RecipientRefused, start + DAY_MS / 2, 10_000), 1250);
        assert_eq!(passed(EventKind::RecipientRefused, start + 9 * DAY_MS, 10_000), 2500);
    }
}
