//! The nodes of a cluster, their duties and what they share, in the database.
//!
//! Invariant: every lease is the database's time, since the clocks of the nodes differ.

use crate::cluster::{ClusterChange, Duty};
use crate::engine::values;
use crate::error::StoreError;
use crate::tables;

use super::session::Session;

/// The channel of all notifications; what is sent is the name of a row of `news`.
pub(super) const CHANNEL: &str = "waypost";

/// A content whose message is still arriving after a day never comes.
const SWEEP: &str = "DELETE FROM content_piece p WHERE p.made < clock_timestamp() - interval '1 day' \
     AND NOT EXISTS (SELECT 1 FROM content c WHERE c.id = p.content_id)";

/// The condition that the owner of a claimed recipient is gone. `but` narrows down who counts as alive.
pub(super) fn is_abandoned(but: &str) -> String {
    format!("NOT EXISTS (SELECT 1 FROM node WHERE node.stay = recipient.owner >> 32 AND node.lease_until > clock_timestamp() {but})")
}

/// Tells the other nodes, at the commit.
pub(super) fn tell(session: &Session, news: &str) -> Result<(), StoreError> {
    session.change("UPDATE news SET n = n + 1 WHERE name = ?", values![news])?;
    session.ask("SELECT CAST(pg_notify(?, ?) AS text)", values![CHANNEL, news]).map(drop)
}

/// Applies a change.
pub(super) fn change(session: &Session, change: &ClusterChange) -> Result<u64, StoreError> {
    match change {
        ClusterChange::TakeDuty { duty, lease_ms } => take_duty(session, *duty, *lease_ms),
        ClusterChange::SetState { name, state } => {
            session.change("UPDATE node SET state = ? WHERE name = ?", values![state.as_str(), name])
        }
        ClusterChange::RemoveNode { name } => session.change("DELETE FROM node WHERE name = ?", values![name]),
        ClusterChange::SweepPieces => session.change(SWEEP, &[]),
        ClusterChange::PutShared { name, value, now_ms } => {
            tables::put_shared(session, name, value, *now_ms)?;
            tell(session, "shared")?;
            Ok(1)
        }
        ClusterChange::OfferShared { name, value, now_ms } => {
            let offered = tables::offer_shared(session, name, value, *now_ms)?;
            if offered > 0 {
                tell(session, "shared")?;
            }
            Ok(offered)
        }
        ClusterChange::RemoveShared { name } => {
            let removed = tables::remove_shared(session, name)?;
            tell(session, "shared")?;
            Ok(removed)
        }
    }
}

/// One statement: of two nodes that want a duty at the same time, the second one waits for the row and then finds it taken.
fn take_duty(session: &Session, duty: Duty, lease_ms: i64) -> Result<u64, StoreError> {
    let sql = "INSERT INTO duty (name, owner, until) VALUES (?1, ?2, clock_timestamp() + CAST(?3 AS bigint) * interval '1 millisecond') \
               ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until \
               WHERE duty.owner = excluded.owner OR duty.until < clock_timestamp() \
               OR NOT EXISTS (SELECT 1 FROM node WHERE node.stay = duty.owner AND node.lease_until > clock_timestamp())";
    session.change(sql, values![duty.as_str(), session.stay.number(), lease_ms])
}
