//! Due recipients, and their claims.
//!
//! A claim is a state and a lease: `next_attempt_ms` is then the end of the lease, so that claims of a dead process come
//! due by themselves. Invariant: an unreadable record is set aside and never blocks its lane.

use mail::{Body, Domain, Mailbox, Notify, OriginalRecipient, QueueId, Ret, ReversePath};

use crate::engine::{FromValue, Row, Sql, Value, values};
use crate::error::StoreError;
use crate::message::{Claimed, ClaimedRecipient, Flow, Lease, Message, NewRecipient, RecipientKey};
use crate::recipient_state::{IS_ACTIVE, IS_CLAIMED, IS_SET_ASIDE, IS_WAITING, RecipientState};

/// A lane with recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneDue {
    /// The recipients' domain.
    pub lane: Domain,
    /// When its first recipient is due, Unix milliseconds.
    pub due_ms: i64,
}

/// Returns a common table `l` of all lanes, by a walk along the index.
pub(super) fn with_lanes() -> String {
    format!(
        "WITH RECURSIVE l(lane) AS (
            SELECT min(lane) FROM recipient WHERE {IS_ACTIVE}
            UNION ALL SELECT (SELECT min(lane) FROM recipient WHERE lane > l.lane AND {IS_ACTIVE}) FROM l WHERE l.lane IS NOT NULL)"
    )
}

/// Returns a query of each lane, and when it is due.
fn select_lanes() -> String {
    let due = format!("SELECT min(next_attempt_ms) FROM recipient r WHERE r.lane = l.lane AND {IS_ACTIVE}");
    format!("{} SELECT lane, ({due}) FROM l WHERE lane IS NOT NULL", with_lanes())
}

/// The columns of a [`Message`] without its id, which [`read_message`] reads by name.
pub(super) const MESSAGE_COLUMNS: &str = "flow, reverse_path, body_8bit, smtputf8, ret, envid, arrived_ms, expires_ms, delay_reported, prefix, \
     rewritten_path, may_report, mendable, requiretls";

/// Returns every lane, with the time at which it is due. The cost grows with the number of lanes, not of messages.
pub(crate) fn lanes(db: &dyn Sql) -> Result<Vec<LaneDue>, StoreError> {
    let mut lanes = Vec::new();
    db.query(&select_lanes(), &[], &mut |row| {
        match read_lane(row.at(0)?) {
            Ok(lane) => lanes.push(LaneDue { lane, due_ms: row.get(1)? }),
            Err(error) => tracing::error!(error, "a lane in the queue is unreadable; its mail is set aside at the next start"),
        }
        Ok(())
    })?;
    Ok(lanes)
}

fn read_lane(value: Value<'_>) -> Result<Domain, String> {
    let text = String::from_value(value).map_err(|e| format!("its lane: {e}"))?;
    Domain::parse(&text).map_err(|e| format!("its lane {text:?}: {e}"))
}

/// Sets aside the mail of unreadable lanes, which would never be claimed.
fn set_aside_lanes(db: &dyn Sql) -> Result<(), StoreError> {
    let mut recipients = 0;
    let unreadable = db.rows(&select_lanes(), &[], |row| {
        let lane = row.at(0)?;
        let octets = if let Value::Blob(octets) = lane { Some(octets.to_vec()) } else { None };
        Ok(read_lane(lane).err().map(|reason| (octets, String::from_value(lane).ok(), reason)))
    })?;
    for (octets, text, reason) in unreadable.into_iter().flatten() {
        let update = format!("UPDATE recipient SET state = {}, reason = ?1 WHERE {IS_ACTIVE}", RecipientState::SetAside);
        recipients += match (octets, text) {
            // A text that is not UTF-8, which only SQLite lets in.
            (Some(octets), _) => db.execute(&format!("{update} AND CAST(lane AS BLOB) = ?2"), values![reason, octets])?,
            (None, lane) => db.execute(&format!("{update} AND lane = ?2"), values![reason, lane])?,
        };
        tracing::error!(recipients, reason, "queue records are unreadable: their mail was set aside; `waypost queue list` shows it");
    }
    Ok(())
}

/// Claims up to `limit` recipients of a lane that are due at `now_ms`, until `lease_ms`, one after the other.
pub(crate) fn claim_each(db: &dyn Sql, lane: &Domain, now_ms: i64, lease_ms: i64, limit: u32) -> Result<Vec<Claimed>, StoreError> {
    let sql = format!(
        "SELECT message_id, n, mailbox, known_as, notify, orcpt, attempts FROM recipient
         WHERE lane = ? AND {IS_ACTIVE} AND next_attempt_ms <= ? ORDER BY next_attempt_ms LIMIT ?",
    );
    let due = db.rows(&sql, values![lane.as_str(), now_ms, limit], |row| {
        let key = RecipientKey { message: QueueId(row.get("message_id")?), index: row.get("n")? };
        Ok((key, read_recipient(key, row)))
    })?;
    let mut claimed: Vec<Claimed> = Vec::new();
    for (key, read) in due {
        let recipient = match read {
            Ok(recipient) => recipient,
            Err(reason) => {
                set_aside(db, key, &reason)?;
                continue;
            }
        };
        if let Some(same) = claimed.iter_mut().find(|c| c.message.id == key.message) {
            same.recipients.push(recipient);
        } else {
            match load_message(db, key.message)? {
                Ok(message) => claimed.push(Claimed { message, content: None, recipients: vec![recipient], lease: Lease::default() }),
                Err(reason) => {
                    set_aside(db, key, &reason)?;
                    continue;
                }
            }
        }
        let sql = "UPDATE recipient SET state = ?, next_attempt_ms = ? WHERE message_id = ? AND n = ?";
        db.execute(sql, values![RecipientState::Claimed, lease_ms, key.message.0, key.index])?;
    }
    Ok(claimed)
}

pub(crate) fn set_aside(db: &dyn Sql, key: RecipientKey, reason: &str) -> Result<(), StoreError> {
    tracing::error!(id = %key.message, recipient = key.index, reason, "a queue record is unreadable and was set aside; `waypost queue list` shows it");
    let sql = "UPDATE recipient SET state = ?, reason = ? WHERE message_id = ? AND n = ?";
    db.execute(sql, values![RecipientState::SetAside, reason, key.message.0, key.index])?;
    Ok(())
}

pub(crate) fn read_recipient(key: RecipientKey, row: &dyn Row) -> Result<ClaimedRecipient, String> {
    let text = |e: StoreError| e.to_string();
    let mailbox: String = row.get("mailbox").map_err(text)?;
    let known_as: Option<String> = row.get("known_as").map_err(text)?;
    let notify: Option<String> = row.get("notify").map_err(text)?;
    let orcpt: Option<String> = row.get("orcpt").map_err(text)?;
    let parse = |address: &str| Mailbox::parse(address).map_err(|e| format!("{e}: {address:?}"));
    Ok(ClaimedRecipient {
        key,
        recipient: NewRecipient {
            mailbox: parse(&mailbox)?,
            known_as: known_as.as_deref().map(parse).transpose()?,
            notify: notify.map_or(Ok(Notify::default()), |n| Notify::parse(&n).ok_or(format!("notify {n:?}")))?,
            orcpt: orcpt
                .and_then(|o| o.split_once(';').map(|(kind, address)| OriginalRecipient { kind: kind.into(), address: address.into() })),
        },
        attempts: row.get("attempts").map_err(text)?,
    })
}

/// Reads a message. The inner error says why its record is unreadable.
pub(crate) fn load_message(db: &dyn Sql, id: QueueId) -> Result<Result<Message, String>, StoreError> {
    let sql = format!("SELECT {MESSAGE_COLUMNS} FROM message WHERE id = ?");
    let read = db.row(&sql, values![id.0], |row| Ok(read_message(id, row)))?;
    Ok(read.unwrap_or_else(|| Err("its message is missing".into())))
}

pub(crate) fn read_message(id: QueueId, row: &dyn Row) -> Result<Message, String> {
    let text = |e: StoreError| e.to_string();
    let (flow, reverse): (String, String) = (row.get("flow").map_err(text)?, row.get("reverse_path").map_err(text)?);
    let ret: Option<String> = row.get("ret").map_err(text)?;
    let prefix: Vec<u8> = row.get("prefix").map_err(text)?;
    let rewritten: Option<String> = row.get("rewritten_path").map_err(text)?;
    let path = |path: String| ReversePath::parse_bare(&path).map_err(|e| format!("{e}: {path:?}"));
    Ok(Message {
        id,
        flow: Flow::parse(&flow).ok_or(format!("flow {flow:?}"))?,
        reverse_path: path(reverse)?,
        rewritten_path: rewritten.map(path).transpose()?,
        may_report: row.get("may_report").map_err(text)?,
        mendable: row.get("mendable").map_err(text)?,
        body: if row.get("body_8bit").map_err(text)? { Body::EightBit } else { Body::SevenBit },
        smtputf8: row.get("smtputf8").map_err(text)?,
        ret: ret.map(|r| if r == "FULL" { Ret::Full } else { Ret::Headers }),
        envid: row.get("envid").map_err(text)?,
        arrived_ms: row.get("arrived_ms").map_err(text)?,
        expires_ms: row.get("expires_ms").map_err(text)?,
        delay_reported: row.get("delay_reported").map_err(text)?,
        tls: row.get("requiretls").map_err(text)?,
        prefix: prefix.into(),
    })
}

/// Makes the claims of the previous process due now.
pub(crate) fn release_claims(db: &dyn Sql, now_ms: i64) -> Result<u64, StoreError> {
    set_aside_lanes(db)?;
    let is_abandoned = db.is_abandoned();
    let sql =
        format!("UPDATE recipient SET state = {}, next_attempt_ms = ? WHERE {IS_CLAIMED} AND {is_abandoned}", RecipientState::Waiting);
    Ok(db.execute(&sql, values![now_ms])? as u64)
}

/// The condition of recipients that [`retry`] makes due: set aside, or waiting for a later attempt.
fn may_retry() -> String {
    format!("({IS_SET_ASIDE} OR ({IS_WAITING} AND next_attempt_ms > ?1))")
}

/// The recipients that a retry makes due.
#[derive(Debug)]
pub(crate) enum RetryScope {
    /// Those of a message.
    Message(QueueId),
    /// Those of a lane.
    Lane(Domain),
    /// Those of the messages after `after`, up to and including `until`.
    Range { after: QueueId, until: QueueId },
}

/// Recipients per step of a retry of all.
const RETRY_STEP: u32 = 5000;

/// Returns the last message of the step after a message; `None` at the end of the queue.
pub(crate) fn end_of_retry_step(db: &dyn Sql, after: QueueId) -> Result<Option<QueueId>, StoreError> {
    let ids = "SELECT message_id FROM recipient WHERE message_id > ? ORDER BY message_id LIMIT ?";
    let last: Option<i64> = db.one(&format!("SELECT max(message_id) FROM ({ids}) AS step"), values![after.0, RETRY_STEP])?;
    Ok(last.map(QueueId))
}

/// Makes waiting recipients due now. Returns their number.
pub(crate) fn retry(db: &dyn Sql, scope: &RetryScope, now_ms: i64) -> Result<u64, StoreError> {
    let update = format!("UPDATE recipient SET state = {}, next_attempt_ms = ?1 WHERE {}", RecipientState::Waiting, may_retry());
    // A statement for each case: a condition on an absent parameter would keep SQLite from using an index.
    let retried = match scope {
        RetryScope::Message(id) => db.execute(&format!("{update} AND message_id = ?2"), values![now_ms, id.0])?,
        RetryScope::Lane(lane) => retry_lane(db, lane, now_ms)?,
        RetryScope::Range { after, until } => {
            db.execute(&format!("{update} AND message_id > ?2 AND message_id <= ?3"), values![now_ms, after.0, until.0])?
        }
    };
    if let RetryScope::Message(id) = scope
        && retried == 0
        && !db.exists("SELECT 1 FROM message WHERE id = ?", values![id.0])?
    {
        return Err(StoreError::NotFound(format!("no message {id} is in the queue; `waypost queue list` shows what is")));
    }
    Ok(retried as u64)
}

/// Makes the waiting recipients of a lane due by its index, and those set aside by theirs.
fn retry_lane(db: &dyn Sql, lane: &Domain, now_ms: i64) -> Result<usize, StoreError> {
    let update = format!("UPDATE recipient SET state = {}, next_attempt_ms = ?1 WHERE lane = ?2", RecipientState::Waiting);
    let make_due = |condition: &str| db.execute(&format!("{update} AND {condition}"), values![now_ms, lane.as_str()]);
    Ok(make_due(&format!("{IS_ACTIVE} AND {IS_WAITING} AND next_attempt_ms > ?1"))? + make_due(IS_SET_ASIDE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retrying_a_message_or_a_lane_reads_by_an_index() {
        let db = crate::test_engines::sqlite_database();
        let plan = |condition: &str| -> String {
            let sql = format!("EXPLAIN QUERY PLAN UPDATE recipient SET reason = '' WHERE {condition}");
            db.query_row(&sql, [], |row| row.get("detail")).unwrap()
        };
        for condition in [
            format!("{} AND message_id = 1", may_retry().replace("?1", "7")),
            format!("{} AND message_id > 1 AND message_id <= 9", may_retry().replace("?1", "7")),
            format!("lane = 'x.test' AND {IS_ACTIVE} AND {IS_WAITING} AND next_attempt_ms > 7"),
            format!("lane = 'x.test' AND {IS_SET_ASIDE}"),
        ] {
            assert!(plan(&condition).starts_with("SEARCH recipient USING"), "{condition}: {}", plan(&condition));
        }
        assert_eq!(plan("lane = 'x.test'"), "SCAN recipient");
    }
}
