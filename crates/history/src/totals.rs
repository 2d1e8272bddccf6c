//! The counts that pages show: events of each kind by hour, and the use of each alias. They are changed in the transaction of the events themselves.
//!
//! Invariant: their cost for a page does not depend on the number of events.

use std::collections::HashMap;

use events::{Event, EventKind, Fact};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use crate::row::Names;

/// Milliseconds of an hour.
pub(crate) const HOUR_MS: i64 = 3_600_000;

/// The flow of mail for aliases (`Fact::Flow`).
const FORWARD: &str = "forward";

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

/// How an alias was used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AliasUse {
    /// Messages accepted for it, held ones included.
    pub accepted: u64,
    /// Messages and recipients refused after the first accepted message.
    pub refused: u64,
    /// The first accepted message.
    pub first_ms: i64,
    /// Its reverse-path; empty for a null reverse-path.
    pub first_from: String,
    /// The last accepted message.
    pub last_ms: i64,
    /// Its reverse-path.
    pub last_from: String,
}

/// The counts of one batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    totals: HashMap<(i64, EventKind, String), u64>,
    uses: HashMap<String, AliasUse>,
}

impl Tally {
    /// Counts an event.
    pub fn add(&mut self, event: &Event) {
        let flow = event.get(Fact::Flow).unwrap_or_default();
        *self.totals.entry((event.at_ms.div_euclid(HOUR_MS), event.kind, flow.to_owned())).or_default() += 1;
        let is_accepted =
            matches!(event.kind, EventKind::MessageAccepted | EventKind::MessageHandedOver | EventKind::MessageHeld) && flow == FORWARD;
        let is_refused = matches!(event.kind, EventKind::MessageRefused | EventKind::RecipientRefused);
        if !is_accepted && !is_refused {
            return;
        }
        let from = event.from.clone().unwrap_or_default();
        for alias in &event.to {
            let used = self.uses.entry(alias.to_lowercase()).or_default();
            if is_refused {
                used.refused += 1;
                continue;
            }
            if used.accepted == 0 {
                (used.first_ms, used.first_from) = (event.at_ms, from.clone());
            }
            used.accepted += 1;
            (used.last_ms, used.last_from) = (event.at_ms, from.clone());
        }
    }

    /// Writes the counts. An address that was only refused gets no row, since anybody can invent such addresses.
    pub fn write(&self, db: &Connection, names: &Names) -> rusqlite::Result<()> {
        let mut total = db.prepare_cached(
            "INSERT INTO total (hour, kind, flow, n) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (hour, kind, flow) DO UPDATE SET n = n + excluded.n",
        )?;
        for ((hour, kind, flow), n) in &self.totals {
            total.execute(params![hour, names.kind_id(*kind), flow, *n as i64])?;
        }
        let mut accepted = db.prepare_cached(
            "INSERT INTO alias_use (alias, accepted, refused, first_ms, first_from, last_ms, last_from) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (alias) DO UPDATE SET accepted = accepted + excluded.accepted, refused = refused + excluded.refused, \
             last_ms = excluded.last_ms, last_from = excluded.last_from",
        )?;
        let mut refused = db.prepare_cached("UPDATE alias_use SET refused = refused + ?2 WHERE alias = ?1")?;
        for (alias, used) in &self.uses {
            if used.accepted == 0 {
                refused.execute(params![alias, used.refused as i64])?;
                continue;
            }
            accepted.execute(params![
                alias,
                used.accepted as i64,
                used.refused as i64,
                used.first_ms,
                used.first_from,
                used.last_ms,
                used.last_from
            ])?;
        }
        Ok(())
    }
}

/// Removes the counts of times before this one.
pub(crate) fn forget_before(db: &Connection, before_ms: i64) -> rusqlite::Result<()> {
    db.execute("DELETE FROM total WHERE hour < ?1", [before_ms.div_euclid(HOUR_MS)])?;
    db.execute("DELETE FROM alias_use WHERE last_ms < ?1", [before_ms])?;
    Ok(())
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
            totals.push(Total { from_ms: (since + span * step) * HOUR_MS, kind, flow, count: n.max(0) as u64 });
        }
    }
    Ok(totals)
}

const USE_COLUMNS: &str = "accepted, refused, first_ms, first_from, last_ms, last_from, alias";

fn read_use(row: &rusqlite::Row<'_>) -> rusqlite::Result<AliasUse> {
    let count = |column| row.get::<_, i64>(column).map(|n| n.max(0) as u64);
    Ok(AliasUse {
        accepted: count(0)?,
        refused: count(1)?,
        first_ms: row.get(2)?,
        first_from: row.get(3)?,
        last_ms: row.get(4)?,
        last_from: row.get(5)?,
    })
}

/// Returns how an alias was used; `None` if no message was accepted for it.
pub(crate) fn alias_use(db: &Connection, alias: &str) -> rusqlite::Result<Option<AliasUse>> {
    let sql = format!("SELECT {USE_COLUMNS} FROM alias_use WHERE alias = ?1");
    db.query_row(&sql, [alias.to_lowercase()], read_use).optional()
}

/// Returns how all aliases were used, by alias in lower case.
pub(crate) fn alias_uses(db: &Connection) -> rusqlite::Result<HashMap<String, AliasUse>> {
    let mut statement = db.prepare(&format!("SELECT {USE_COLUMNS} FROM alias_use"))?;
    statement.query_map([], |row| Ok((row.get(6)?, read_use(row)?)))?.collect()
}
