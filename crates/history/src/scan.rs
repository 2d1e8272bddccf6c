//! Reads events of the parts in their order, with the index if the filter has a clue or kinds.
//!
//! Invariant: a scan looks at no more than [`SCANNED_MAX`] events; then it says where it stopped, so that the next page goes on from there.

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::{Connection, ToSql};

use crate::clue::kinds_expression;
use crate::error::HistoryError;
use crate::filter::Filter;
use crate::part::{DISORDER_MS, Part, parts};
use crate::recorded::Recorded;
use crate::row::{self, Names};

/// Maximum events that one scan reads.
const SCANNED_MAX: usize = 50_000;

/// The order of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Newest first, with numbers below this one.
    Newest { before: i64 },
    /// Oldest first, with numbers above this one.
    Oldest { after: i64 },
}

/// One scan.
struct Scan<'f> {
    filter: &'f Filter,
    /// The query of the index; `None` if all events are read.
    expression: Option<String>,
    order: Order,
    /// How many more events may be read.
    room: usize,
}

/// Reads one file.
pub(crate) struct Scanner<'a> {
    db: &'a Connection,
    names: Names,
    /// Newest first.
    parts: Vec<Part>,
}

impl<'a> Scanner<'a> {
    /// Prepares to read. The caller holds a transaction, so that no part disappears.
    pub fn new(db: &'a Connection) -> Result<Self, HistoryError> {
        Ok(Self { db, names: Names::load(db)?, parts: parts(db)? })
    }

    /// Gives each selected event to `visit` until it breaks. Returns the number of the last event read, if there may be more.
    pub fn scan(
        &self,
        filter: &Filter,
        order: Order,
        visit: &mut dyn FnMut(Recorded) -> ControlFlow<()>,
    ) -> Result<Option<i64>, HistoryError> {
        let mut scan = Scan { filter, expression: expression(filter), order, room: SCANNED_MAX };
        let is_in_time = |part: &&Part| {
            filter.since_ms.is_none_or(|since| part.last_ms >= since) && filter.until_ms.is_none_or(|until| part.first_ms < until)
        };
        let mut selected: Vec<&Part> = self.parts.iter().filter(is_in_time).collect();
        if matches!(order, Order::Oldest { .. }) {
            selected.reverse();
        }
        for part in selected {
            if let Some(stopped) = self.scan_part(part, &mut scan, visit)? {
                return Ok(Some(stopped));
            }
        }
        Ok(None)
    }

    fn scan_part(
        &self,
        part: &Part,
        scan: &mut Scan<'_>,
        visit: &mut dyn FnMut(Recorded) -> ControlFlow<()>,
    ) -> Result<Option<i64>, HistoryError> {
        let filter = scan.filter;
        let (mut low, mut high) = (part.first_id, part.last_id + 1);
        let direction = match scan.order {
            Order::Newest { before } => {
                high = high.min(before);
                "DESC"
            }
            Order::Oldest { after } => {
                low = low.max(after.saturating_add(1));
                "ASC"
            }
        };
        if let Some(since) = filter.since_ms.filter(|since| *since > part.first_ms) {
            low = low.max(part.first_since(self.db, since - DISORDER_MS)?);
        }
        if let Some(until) = filter.until_ms.filter(|until| *until <= part.last_ms) {
            high = high.min(part.first_since(self.db, until.saturating_add(DISORDER_MS))?);
        }
        if low >= high {
            return Ok(None);
        }
        let (n, columns) = (part.n, row::COLUMNS);
        let from = match &scan.expression {
            Some(_) => format!(
                "clue_{n}(?3) AS clue CROSS JOIN event_{n} ON id = clue.rowid WHERE clue.rowid >= ?1 AND clue.rowid < ?2 ORDER BY clue.rowid"
            ),
            None => format!("event_{n} WHERE id >= ?1 AND id < ?2 ORDER BY id"),
        };
        let mut statement = self.db.prepare(&format!("SELECT {columns} FROM {from} {direction}"))?;
        let mut values: Vec<&dyn ToSql> = vec![&low, &high];
        values.extend(scan.expression.as_ref().map(|text| text as &dyn ToSql));
        let mut rows = statement.query(values.as_slice())?;
        while let Some(found) = rows.next()? {
            let (id, event) = row::read(found, &self.names)?;
            scan.room = scan.room.saturating_sub(1);
            let wanted = event.filter(|event| filter.matches(event));
            let is_done = wanted.is_some_and(|event| visit(Recorded { id, event: Arc::new(event) }).is_break());
            if is_done || scan.room == 0 {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

/// Returns the query of the index; `None` if all events are read.
fn expression(filter: &Filter) -> Option<String> {
    let clue = filter.clue.as_ref().map(|clue| format!("({})", clue.expression()));
    let kinds = Some(&filter.kinds).filter(|kinds| !kinds.is_empty()).map(|kinds| {
        let names = kinds.iter().map(|kind| kind.name());
        format!("({})", kinds_expression(names))
    });
    match (clue, kinds) {
        (Some(clue), Some(kinds)) => Some(format!("{clue} AND {kinds}")),
        (clue, kinds) => clue.or(kinds),
    }
}
