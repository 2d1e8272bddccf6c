//! The wall clock was set: times in the queue are moved along.
//!
//! Invariant: afterwards nothing waits longer than the caller allows, and no claim that is in use has ended.

use rusqlite::{Connection, params};

use crate::error::StoreError;
use crate::message::ClockStep;

/// Moves arrivals, ends of lifetimes, leases and waits; returns how many recipients wait.
pub(crate) fn step_clock(db: &Connection, step: ClockStep) -> Result<u64, StoreError> {
    let ClockStep { ages_by_ms, waits_by_ms, latest_ms } = step;
    if ages_by_ms != 0 {
        db.execute("UPDATE message SET arrived_ms = arrived_ms + ?1, expires_ms = expires_ms + ?1", [ages_by_ms])?;
        db.execute("UPDATE recipient SET next_attempt_ms = next_attempt_ms + ?1 WHERE state = 3", [ages_by_ms])?;
    }
    if waits_by_ms != 0 {
        db.execute("UPDATE recipient SET next_attempt_ms = next_attempt_ms + ?1 WHERE state < 2", [waits_by_ms])?;
    }
    // By the index: its cost grows with the lanes, and with what waits too long.
    let reined = db.execute(
        "WITH RECURSIVE l(lane) AS (
            SELECT min(lane) FROM recipient WHERE state < 2
            UNION ALL SELECT (SELECT min(lane) FROM recipient WHERE lane > l.lane AND state < 2) FROM l WHERE l.lane IS NOT NULL)
         UPDATE recipient SET next_attempt_ms = ?1
         WHERE lane IN (SELECT lane FROM l WHERE lane IS NOT NULL) AND state < 2 AND next_attempt_ms > ?1 AND state = 0",
        params![latest_ms],
    )?;
    Ok(reined as u64)
}
