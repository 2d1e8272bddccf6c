//! The flow of the last hour, minute by minute, for `waypost top` and the owner's page.
//!
//! Invariant: adding touches atomic numbers only. At the turn of a minute two threads may disagree, which loses a few of the counts of that minute; the
//! counters are exact.

use std::array;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use events::EventKind;

/// Minutes that are kept.
const MINUTES: usize = 60;

/// What is counted by minute.
pub(crate) const FLOW_NAMES: [&str; 5] = ["accepted", "delivered", "deferred", "failed", "refused"];

/// What has happened in each of the last 60 minutes, the oldest first; the last one is not over yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourOfFlow {
    /// The name of each row, and its minutes.
    pub rows: Vec<(&'static str, Vec<u64>)>,
}

#[derive(Debug)]
struct Minute {
    /// Minutes since 1970.
    number: AtomicI64,
    counts: [AtomicU64; FLOW_NAMES.len()],
}

/// The last hour.
#[derive(Debug)]
pub(crate) struct Minutes([Minute; MINUTES]);

impl Default for Minutes {
    fn default() -> Self {
        Self(array::from_fn(|_| Minute { number: AtomicI64::new(i64::MIN), counts: array::from_fn(|_| AtomicU64::new(0)) }))
    }
}

impl Minutes {
    /// Counts an event, if it is part of the flow.
    pub fn count(&self, kind: EventKind, at_ms: i64) {
        let row = match kind {
            EventKind::MessageAccepted
            | EventKind::MessageHandedOver
            | EventKind::MessageHeld
            | EventKind::ReportStored
            | EventKind::AutoReplyDropped => 0,
            EventKind::Delivered | EventKind::DeliveredLate => 1,
            EventKind::Deferred => 2,
            EventKind::Failed => 3,
            EventKind::ConnectionRefused | EventKind::SenderRefused | EventKind::RecipientRefused | EventKind::MessageRefused => 4,
            _ => return,
        };
        let number = at_ms.div_euclid(60_000);
        let Some(minute) = self.slot(number) else { return };
        if minute.number.swap(number, Ordering::AcqRel) != number {
            minute.counts.iter().for_each(|count| count.store(0, Ordering::Release));
        }
        if let Some(count) = minute.counts.get(row) {
            count.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn slot(&self, number: i64) -> Option<&Minute> {
        self.0.get(usize::try_from(number.rem_euclid(i64::try_from(MINUTES).ok()?)).ok()?)
    }

    /// Returns the last hour.
    pub fn read(&self, now_ms: i64) -> HourOfFlow {
        let last = now_ms.div_euclid(60_000);
        let numbers = || (last - 59)..=last;
        let of = |row: usize, number: i64| {
            let minute = self.slot(number).filter(|minute| minute.number.load(Ordering::Acquire) == number);
            minute.and_then(|minute| minute.counts.get(row)).map_or(0, |count| count.load(Ordering::Acquire))
        };
        let rows = FLOW_NAMES.iter().enumerate().map(|(row, name)| (*name, numbers().map(|number| of(row, number)).collect()));
        HourOfFlow { rows: rows.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_by_minute() {
        let minutes = Minutes::default();
        let start_ms = 1_800_000_000_000;
        for (kind, minute) in [
            (EventKind::MessageAccepted, 0),
            (EventKind::MessageHandedOver, 1),
            (EventKind::Delivered, 1),
            (EventKind::RecipientRefused, 59),
            (EventKind::Started, 59),
            (EventKind::MessageAccepted, 60),
        ] {
            minutes.count(kind, start_ms + minute * 60_000 + 1);
        }
        let hour = minutes.read(start_ms + 60 * 60_000 + 30_000);
        let row = |name: &str| hour.rows.iter().find(|(known, _)| *known == name).unwrap().1.clone();
        assert_eq!(row("accepted").len(), 60);
        // The minute 0 has been replaced by the minute 60.
        assert_eq!((row("accepted")[0], row("accepted")[59]), (1, 1));
        assert_eq!((row("delivered")[0], row("refused")[58]), (1, 1));
        assert_eq!(row("deferred").iter().sum::<u64>(), 0);
        assert!(minutes.read(start_ms + 7_200_000 * 10).rows.iter().all(|(_, row)| row.iter().sum::<u64>() == 0));
    }
}
