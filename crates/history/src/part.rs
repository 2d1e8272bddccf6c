//! The parts of the history: events by time, so that the oldest are dropped as a whole instead of one by one.
//!
//! Invariant: numbers of events rise by one from event to event over all parts; within a part, times fall back by at most [`DISORDER_MS`].

use rusqlite::{Connection, OptionalExtension};

/// Maximum by which an event may be older than one recorded before it, in the same part.
pub(crate) const DISORDER_MS: i64 = 60_000;

/// Maximum events of a part: bounds the time to drop it.
const EVENTS_MAX: i64 = 1 << 18;

/// Parts that hold the time to keep: what is kept beyond it is at most one of these.
const PARTS_BY_TIME: i64 = 15;

/// Parts that hold the octets to keep.
const PARTS_BY_SIZE: i64 = 10;

/// Minimum events of a part.
const EVENTS_MIN: i64 = 4096;

/// A part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its number: that of its tables.
    pub n: i64,
    /// Its first event.
    pub first_id: i64,
    /// Its last event; one less than the first if there is none.
    pub last_id: i64,
    /// The time of its oldest event.
    pub first_ms: i64,
    /// The time of its newest event.
    pub last_ms: i64,
}

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub days: u32,
    pub max_bytes: u64,
}

impl Bounds {
    /// The time that events are kept.
    pub fn keep_ms(self) -> i64 {
        i64::from(self.days) * 86_400_000
    }

    /// Whether the events of this time begin a new part. `event_bytes` is the mean size of an event.
    pub fn ends(self, part: &Part, at_ms: i64, event_bytes: u64) -> bool {
        let by_size = i64::try_from(self.max_bytes / event_bytes.max(1)).unwrap_or(i64::MAX) / PARTS_BY_SIZE;
        let most = by_size.clamp(EVENTS_MIN, EVENTS_MAX);
        let span_ms = (self.keep_ms() / PARTS_BY_TIME).max(1);
        part.events() >= most || at_ms - part.first_ms >= span_ms || at_ms < part.last_ms - DISORDER_MS
    }
}

impl Part {
    /// The number of its events.
    pub fn events(&self) -> i64 {
        self.last_id - self.first_id + 1
    }

    /// Adds events up to this one.
    pub fn extend(&mut self, last_id: i64, at_ms: i64) {
        if self.events() == 0 {
            (self.first_ms, self.last_ms) = (at_ms, at_ms);
        }
        self.last_id = last_id;
        self.first_ms = self.first_ms.min(at_ms);
        self.last_ms = self.last_ms.max(at_ms);
    }

    /// Writes its row.
    pub fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut statement =
            db.prepare_cached("INSERT OR REPLACE INTO part (n, first_id, last_id, first_ms, last_ms) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        statement.execute([self.n, self.first_id, self.last_id, self.first_ms, self.last_ms]).map(drop)
    }

    /// Returns the number of the first event that is not older than this time, up to [`DISORDER_MS`].
    pub fn first_since(&self, db: &Connection, at_ms: i64) -> rusqlite::Result<i64> {
        let mut statement = db.prepare(&format!("SELECT at_ms FROM event_{} WHERE id = ?1", self.n))?;
        let (mut low, mut high) = (self.first_id, self.last_id + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let found: Option<i64> = statement.query_row([middle], |row| row.get(0)).optional()?;
            if found.is_some_and(|found| found < at_ms) { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}

/// Returns all parts, newest first.
pub(crate) fn parts(db: &Connection) -> rusqlite::Result<Vec<Part>> {
    let mut statement = db.prepare("SELECT n, first_id, last_id, first_ms, last_ms FROM part ORDER BY n DESC")?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Part { n: row.get(0)?, first_id: row.get(1)?, last_id: row.get(2)?, first_ms: row.get(3)?, last_ms: row.get(4)? })
    };
    statement.query_map([], read)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_by_time_number_size_and_a_clock_that_was_set_back() {
        let bounds = Bounds { days: 30, max_bytes: 1 << 30 };
        let part = Part { n: 1, first_id: 1, last_id: 10_000, first_ms: 1_000_000_000_000, last_ms: 1_000_000_010_000 };
        assert!(!bounds.ends(&part, part.last_ms, 300));
        assert!(!bounds.ends(&part, part.last_ms - DISORDER_MS, 300));
        assert!(bounds.ends(&part, part.last_ms - DISORDER_MS - 1, 300));
        assert!(bounds.ends(&part, part.first_ms + 2 * 86_400_000, 300));
        assert!(bounds.ends(&Part { last_id: EVENTS_MAX, ..part.clone() }, part.last_ms, 100));
        assert!(Bounds { days: 30, max_bytes: 10 << 20 }.ends(&part, part.last_ms, 300));
        assert!(!Bounds { days: 30, max_bytes: 1 }.ends(&Part { last_id: 100, ..part.clone() }, part.last_ms, 300));
    }
}
