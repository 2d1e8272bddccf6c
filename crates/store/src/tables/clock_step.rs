//! Moves times in the queue after the wall clock was set.
//!
//! Invariant: afterwards no recipient waits longer than the caller allows, and no claim in use has ended.

use super::claim::with_lanes;
use crate::engine::{Sql, values};
use crate::error::StoreError;
use crate::message::ClockStep;
use crate::recipient_state::{IS_ACTIVE, IS_HELD, IS_WAITING};

/// Moves arrivals, ends of lifetimes, leases and waits. Returns the number of recipients that would have waited too long.
pub(crate) fn step_clock(db: &dyn Sql, step: ClockStep) -> Result<u64, StoreError> {
    if !db.has_own_clock() {
        // Other nodes have written these times, by clocks of their own.
        return Ok(0);
    }
    let ClockStep { ages_by_ms, waits_by_ms, latest_ms } = step;
    if ages_by_ms != 0 {
        db.execute("UPDATE message SET arrived_ms = arrived_ms + ?1, expires_ms = expires_ms + ?1", values![ages_by_ms])?;
        db.execute(&format!("UPDATE recipient SET next_attempt_ms = next_attempt_ms + ?1 WHERE {IS_HELD}"), values![ages_by_ms])?;
    }
    if waits_by_ms != 0 {
        db.execute(&format!("UPDATE recipient SET next_attempt_ms = next_attempt_ms + ?1 WHERE {IS_ACTIVE}"), values![waits_by_ms])?;
    }
    // By the index: the cost grows with the lanes, and with the recipients that wait too long.
    let reined = db.execute(
        &format!(
            "{} UPDATE recipient SET next_attempt_ms = ?1
             WHERE lane IN (SELECT lane FROM l WHERE lane IS NOT NULL) AND {IS_ACTIVE} AND next_attempt_ms > ?1 AND {IS_WAITING}",
            with_lanes()
        ),
        values![latest_ms],
    )?;
    Ok(reined as u64)
}
