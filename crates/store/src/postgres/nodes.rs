//! The nodes of a cluster, their duties and what they share, in the database.
//!
//! Invariant: every lease is the database's time, since the clocks of the nodes differ.

use crate::cluster::{ClusterChange, Duty, NodeValues};
use crate::engine::values;
use crate::error::StoreError;
use crate::tables;

use super::session::Session;

/// The channel of all notifications; what is sent is the name of a row of `news`.
pub(super) const CHANNEL: &str = "waypost";

/// A content whose message is still arriving after a day never comes.
const SWEEP: &str = "DELETE FROM content_piece p WHERE p.made < clock_timestamp() - interval '1 day' \
     AND NOT EXISTS (SELECT 1 FROM content c WHERE c.id = p.content_id)";

/// A node that is gone has no order that an authority validates.
const SWEEP_VALUES: &str = "DELETE FROM shared s WHERE substr(s.name, 1, length(CAST(?1 AS text))) = CAST(?1 AS text) \
     AND NOT EXISTS (SELECT 1 FROM node WHERE node.name = substr(s.name, length(CAST(?1 AS text)) + 1) AND node.lease_until > clock_timestamp())";

/// The condition that the owner of a claimed recipient is gone. `but` narrows down who counts as alive.
pub(super) fn is_abandoned(but: &str) -> String {
    format!("NOT EXISTS (SELECT 1 FROM node WHERE node.stay = recipient.owner >> 32 AND node.lease_until > clock_timestamp() {but})")
}

/// What tells the other nodes, to be sent with the commit: the row is locked until then, and every node needs it for its own commits.
pub(super) fn telling(news: &str) -> String {
    format!("UPDATE news SET n = n + 1 WHERE name = '{news}'; SELECT pg_notify('{CHANNEL}', '{news}'); ")
}

/// Applies a change.
pub(super) fn change(session: &Session, change: &ClusterChange) -> Result<u64, StoreError> {
    match change {
        ClusterChange::TakeDuty { duty, lease_ms } => take_duty(session, *duty, *lease_ms),
        ClusterChange::SetState { name, state } => {
            session.change("UPDATE node SET state = ? WHERE name = ?", values![state.as_str(), name])
        }
        ClusterChange::Leave => {
            // First: a heartbeat that comes after it must find a node that has left, not one whose lease was lost.
            session.stay.leave();
            end_lease(session)
        }
        ClusterChange::RemoveNode { name } => remove_node(session, name),
        ClusterChange::Sweep => Ok(session.change(SWEEP, &[])? + session.change(SWEEP_VALUES, values![NodeValues::CHALLENGES])?),
        ClusterChange::PutShared { name, value, now_ms } => {
            tables::put_shared(session, name, value, *now_ms)?;
            Ok(1)
        }
        ClusterChange::OfferShared { name, value, now_ms } => Ok(tables::offer_shared(session, name, value, *now_ms)?),
        ClusterChange::RemoveShared { name } => Ok(tables::remove_shared(session, name)?),
        ClusterChange::KeepByDuty { duty, name, value, taken, now_ms } => {
            // The row is locked until the commit, so no other node takes the duty in between.
            let is_ours = "UPDATE duty SET owner = owner WHERE name = ? AND owner = ?";
            if session.change(is_ours, values![duty.as_str(), session.stay.number()])? == 0 {
                return Ok(0);
            }
            tables::put_shared(session, name, value, *now_ms)?;
            taken.iter().try_for_each(|name| tables::remove_shared(session, name).map(drop)).map(|()| 1)
        }
    }
}

/// Ends the lease of this node.
pub(super) fn end_lease(session: &Session) -> Result<u64, StoreError> {
    session.change("UPDATE node SET lease_until = clock_timestamp() WHERE stay = ?", values![session.stay.number()])
}

fn remove_node(session: &Session, name: &str) -> Result<u64, StoreError> {
    for prefix in [NodeValues::CHALLENGES, NodeValues::ANSWERED, NodeValues::HOSTNAME] {
        tables::remove_shared(session, &format!("{prefix}{name}"))?;
    }
    session.change("DELETE FROM node WHERE name = ?", values![name])
}

/// One statement: of two nodes that want a duty at the same time, the second one waits for the row and then finds it taken.
fn take_duty(session: &Session, duty: Duty, lease_ms: i64) -> Result<u64, StoreError> {
    let sql = "INSERT INTO duty (name, owner, until) VALUES (?1, ?2, clock_timestamp() + CAST(?3 AS bigint) * interval '1 millisecond') \
               ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until \
               WHERE duty.owner = excluded.owner OR duty.until < clock_timestamp() \
               OR NOT EXISTS (SELECT 1 FROM node WHERE node.stay = duty.owner AND node.lease_until > clock_timestamp())";
    session.change(sql, values![duty.as_str(), session.stay.number(), lease_ms])
}
