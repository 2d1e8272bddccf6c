//! The numbers of Today: what was forwarded, sent, refused and failed, by hour and over days.
//!
//! Invariant: a recipient counts once, when a host accepts it, or when it is refused or fails.

use events::EventKind;
use serde::Deserialize;

use crate::components::Bar;

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// Hours of the chart.
const HOURS: i64 = 24;

/// The number of events of one kind in an hour or a day, as the history counts them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct DayTotal {
    /// The start of the hour or day.
    pub from_ms: i64,
    /// The name of the kind.
    pub kind: String,
    /// Whose mail it is: `own`, `forward`, ...; if the event says it.
    #[serde(default)]
    pub flow: Option<String>,
    /// The number.
    pub count: u64,
}

impl DayTotal {
    /// Returns the place of its kind among forwarded, own, refused, failed.
    fn place(&self) -> Option<usize> {
        match EventKind::of_name(&self.kind)?.name() {
            "delivered" | "delivered-late" => match self.flow.as_deref() {
                Some("own") => Some(1),
                Some("forward") | None => Some(0),
                Some(_) => None,
            },
            "sender-refused" | "recipient-refused" | "message-refused" | "content-deferred" => Some(2),
            "failed" => Some(3),
            _ => None,
        }
    }
}

/// The numbers of a span of days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FlowCounts {
    /// Recipients of mail for aliases.
    pub forwarded: u64,
    /// Recipients of mail of accounts.
    pub own: u64,
    /// Refused senders, recipients and messages.
    pub refused: u64,
    /// Recipients that failed.
    pub failed: u64,
}

impl FlowCounts {
    /// Returns them in the order of the chart.
    pub fn all(&self) -> [u64; 4] {
        [self.forwarded, self.own, self.refused, self.failed]
    }
}

/// Adds up what happened since a time.
pub(crate) fn counts(totals: &[DayTotal], since_ms: i64) -> FlowCounts {
    let mut sums = [0_u64; 4];
    for total in totals.iter().filter(|total| total.from_ms >= since_ms) {
        if let Some(sum) = total.place().and_then(|place| sums.get_mut(place)) {
            *sum += total.count;
        }
    }
    let [forwarded, own, refused, failed] = sums;
    FlowCounts { forwarded, own, refused, failed }
}

/// Returns the bars of the last 24 hours, the present one last. Labels are hours in UTC.
pub(crate) fn by_hour(totals: &[DayTotal], now_ms: i64) -> Vec<Bar> {
    let this_hour = now_ms.div_euclid(HOUR_MS);
    (0..HOURS)
        .map(|n| {
            let hour = this_hour - (HOURS - 1) + n;
            let mut bar = Bar { label: format!("{:02}:00", hour.rem_euclid(24)), counts: [0; 4] };
            for total in totals.iter().filter(|total| total.from_ms.div_euclid(HOUR_MS) == hour) {
                if let Some(count) = total.place().and_then(|place| bar.counts.get_mut(place)) {
                    *count += total.count;
                }
            }
            bar
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(hour: i64, kind: &str, flow: Option<&str>, count: u64) -> DayTotal {
        DayTotal { from_ms: hour * HOUR_MS, kind: kind.into(), flow: flow.map(str::to_owned), count }
    }

    #[test]
    fn hours_are_in_order_and_each_outcome_in_its_place() {
        let totals = [
            total(100, "delivered", Some("forward"), 5),
            total(100, "delivered", Some("own"), 2),
            total(100, "delivered", Some("report"), 9),
            total(99, "recipient-refused", None, 3),
            total(77, "failed", Some("forward"), 1),
            total(76, "failed", Some("forward"), 1),
            total(100, "message-accepted", Some("forward"), 7),
        ];
        let bars = by_hour(&totals, 100 * HOUR_MS + 5);
        assert_eq!(bars.len(), 24);
        assert_eq!(bars[23], Bar { label: "04:00".into(), counts: [5, 2, 0, 0] });
        assert_eq!(bars[22].counts, [0, 0, 3, 0]);
        assert_eq!(bars[0].counts, [0, 0, 0, 1]);
        assert_eq!(counts(&totals, 99 * HOUR_MS), FlowCounts { forwarded: 5, own: 2, refused: 3, failed: 0 });
    }
}
