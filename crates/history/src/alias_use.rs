//! How aliases are used: counts by day, first and last sender. Changed in the transaction of the events themselves.
//!
//! Invariant: an address that was only refused gets no row, since anybody can invent such addresses.

use std::collections::{BTreeMap, HashMap};

use events::{Event, EventKind, Fact};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

const DAY_MS: i64 = 86_400_000;

/// The flow of mail for aliases (`Fact::Flow`).
const FORWARD: &str = "forward";

/// Numbers of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct UseCount {
    /// Accepted, held ones included.
    pub accepted: u64,
    /// Refused, since the first one that was accepted.
    pub refused: u64,
}

/// A message for an alias.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sighting {
    /// The reverse-path; empty for a null reverse-path.
    pub from: String,
    /// When it was accepted.
    pub at_ms: i64,
}

/// How an alias was used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AliasUse {
    /// Since midnight, UTC.
    pub today: UseCount,
    /// In the last 7 days, today included.
    pub week: UseCount,
    /// In the last 30 days.
    pub month: UseCount,
    /// The first accepted message, as long as the alias is used.
    pub first: Sighting,
    /// The last accepted message.
    pub last: Sighting,
}

/// The use of aliases in one batch.
#[derive(Debug, Default)]
pub(crate) struct AliasTally {
    days: BTreeMap<(String, i64), UseCount>,
    seen: HashMap<String, (Sighting, Sighting)>,
}

impl AliasTally {
    /// Counts an event.
    pub fn add(&mut self, event: &Event) {
        use EventKind::*;
        let is_accepted = matches!(event.kind, MessageAccepted | MessageHandedOver | MessageHeld) && event.get(Fact::Flow) == Some(FORWARD);
        let is_refused = matches!(event.kind, MessageRefused | RecipientRefused);
        if !is_accepted && !is_refused {
            return;
        }
        for alias in event.to.iter().map(|alias| alias.to_lowercase()) {
            if is_accepted {
                let seen = Sighting { from: event.from.clone().unwrap_or_default(), at_ms: event.at_ms };
                self.seen.entry(alias.clone()).and_modify(|(_, last)| *last = seen.clone()).or_insert_with(|| (seen.clone(), seen));
            }
            let count = self.days.entry((alias, event.at_ms.div_euclid(DAY_MS))).or_default();
            *(if is_accepted { &mut count.accepted } else { &mut count.refused }) += 1;
        }
    }

    /// Writes the counts.
    pub fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut seen = db.prepare_cached(
            "INSERT INTO alias_use (alias, first_ms, first_from, last_ms, last_from) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (alias) DO UPDATE SET last_ms = excluded.last_ms, last_from = excluded.last_from",
        )?;
        for (alias, (first, last)) in &self.seen {
            seen.execute(params![alias, first.at_ms, first.from, last.at_ms, last.from])?;
        }
        let mut known = db.prepare_cached("SELECT 1 FROM alias_use WHERE alias = ?1")?;
        let mut count = db.prepare_cached(
            "INSERT INTO alias_day (alias, day, accepted, refused) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (alias, day) DO UPDATE SET accepted = accepted + excluded.accepted, refused = refused + excluded.refused",
        )?;
        for ((alias, day), UseCount { accepted, refused }) in &self.days {
            if *accepted > 0 || known.exists([alias])? {
                count.execute(params![alias, day, signed(*accepted), signed(*refused)])?;
            }
        }
        Ok(())
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Removes the counts of times before this one.
pub(crate) fn forget_before(db: &Connection, before_ms: i64) -> rusqlite::Result<()> {
    db.execute("DELETE FROM alias_day WHERE day < ?1", [before_ms.div_euclid(DAY_MS)])?;
    db.execute("DELETE FROM alias_use WHERE last_ms < ?1", [before_ms])?;
    Ok(())
}

/// Returns how an alias was used; `None` if no message was accepted for it.
pub(crate) fn alias_use(db: &Connection, alias: &str, now_ms: i64) -> rusqlite::Result<Option<AliasUse>> {
    let alias = alias.to_lowercase();
    let mut statement = db.prepare_cached("SELECT first_ms, first_from, last_ms, last_from FROM alias_use WHERE alias = ?1")?;
    let found = statement.query_row([&alias], |row| {
        let first = Sighting { at_ms: row.get(0)?, from: row.get(1)? };
        let last = Sighting { at_ms: row.get(2)?, from: row.get(3)? };
        Ok(AliasUse { first, last, ..AliasUse::default() })
    });
    let Some(mut used) = found.optional()? else { return Ok(None) };
    let today = now_ms.div_euclid(DAY_MS);
    let mut statement = db.prepare_cached("SELECT day, accepted, refused FROM alias_day WHERE alias = ?1 AND day > ?2")?;
    let mut rows = statement.query(params![alias, today - 30])?;
    while let Some(row) = rows.next()? {
        let (day, accepted, refused): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let spans = [(0, &mut used.today), (6, &mut used.week), (29, &mut used.month)];
        for (_, count) in spans.into_iter().filter(|(days, _)| today - day <= *days) {
            count.accepted += u64::try_from(accepted).unwrap_or(0);
            count.refused += u64::try_from(refused).unwrap_or(0);
        }
    }
    Ok(Some(used))
}
