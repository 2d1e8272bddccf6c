//! Events of each kind by hour, for pages. Changed in the transaction of the events themselves.
//!
//! Invariant: their cost for a page does not depend on the number of events.

use std::collections::HashMap;

use events::{Event, EventKind, Fact};
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::alias_use::{self, AliasTally};
use crate::row::Names;

/// Milliseconds of an hour.
pub(crate) const HOUR_MS: i64 = 3_600_000;

/// The number of events of one kind in a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Total {
    /// Start of the span.
    pub from_ms: i64,
    /// The kind.
    pub kind: EventKind,
    /// Whose mail it is about, if the event says it: own, forward, report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The number of events.
    pub count: u64,
}

/// The counts of one batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    totals: HashMap<(i64, EventKind, String), u64>,
    aliases: AliasTally,
}

impl Tally {
    /// Counts an event.
    pub fn add(&mut self, event: &Event) {
        let flow = event.get(Fact::Flow).unwrap_or_default();
        *self.totals.entry((event.at_ms.div_euclid(HOUR_MS), event.kind, flow.to_owned())).or_default() += 1;
        self.aliases.add(event);
    }

    /// Writes the counts.
    pub fn write(&self, db: &Connection, names: &Names) -> rusqlite::Result<()> {
        let mut total = db.prepare_cached(
            "INSERT INTO total (hour, kind, flow, n) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (hour, kind, flow) DO UPDATE SET n = n + excluded.n",
        )?;
        for ((hour, kind, flow), n) in &self.totals {
            total.execute(params![hour, names.kind_id(*kind), flow, i64::try_from(*n).unwrap_or(i64::MAX)])?;
        }
        self.aliases.write(db)
    }
}

/// Removes the counts of times before this one.
pub(crate) fn forget_before(db: &Connection, before_ms: i64) -> rusqlite::Result<()> {
    db.execute("DELETE FROM total WHERE hour < ?1", [before_ms.div_euclid(HOUR_MS)])?;
    alias_use::forget_before(db, before_ms)
}

/// Returns the numbers of events since a time, in spans of `step_ms` from then on, oldest first. Both are rounded to hours.
pub(crate) fn totals(db: &Connection, since_ms: i64, step_ms: i64) -> rusqlite::Result<Vec<Total>> {
    let names = Names::load(db)?;
    let (since, step) = (since_ms.div_euclid(HOUR_MS), (step_ms / HOUR_MS).max(1));
    let mut statement =
        db.prepare_cached("SELECT (hour - ?1) / ?2, kind, flow, sum(n) FROM total WHERE hour >= ?1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3")?;
    let rows = statement.query_map([since, step], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get(3)?)))?;
    let mut totals = Vec::new();
    for row in rows {
        let (span, kind, flow, n): (i64, i64, String, i64) = row?;
        if let Some(kind) = names.kind(kind) {
            let flow = if flow.is_empty() { None } else { Some(flow) };
            totals.push(Total { from_ms: (since + span * step) * HOUR_MS, kind, flow, count: u64::try_from(n).unwrap_or(0) });
        }
    }
    Ok(totals)
}
