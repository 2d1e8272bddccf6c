//! Due recipients, and their claims.
//!
//! A claim is a state and a lease: `next_attempt_ms` is then the end of the lease, so that claims of a dead process come
//! due by themselves. Invariant: an unreadable record is set aside and never blocks its lane.

use mail::{Body, Domain, Mailbox, Notify, OriginalRecipient, QueueId, Ret, ReversePath};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use crate::error::StoreError;
use crate::message::{Claimed, ClaimedRecipient, Flow, Message, NewRecipient, RecipientKey};
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

/// Returns a query of each lane, when it is due, and its octets.
fn select_lanes() -> String {
    let due = format!("SELECT min(next_attempt_ms) FROM recipient r WHERE r.lane = l.lane AND {IS_ACTIVE}");
    format!("{} SELECT lane, ({due}), CAST(lane AS BLOB) FROM l WHERE lane IS NOT NULL", with_lanes())
}

/// The columns of a [`Message`] without its id, which [`read_message`] reads by name.
pub(super) const MESSAGE_COLUMNS: &str = "flow, reverse_path, body_8bit, smtputf8, ret, envid, arrived_ms, expires_ms, delay_reported, prefix, \
     rewritten_path, may_report, mendable, requiretls";

/// Returns every lane, with the time at which it is due. The cost grows with the number of lanes, not of messages.
pub(crate) fn lanes(db: &Connection) -> Result<Vec<LaneDue>, StoreError> {
    let mut statement = db.prepare_cached(&select_lanes())?;
    let mut rows = statement.query([])?;
    let mut lanes = Vec::new();
    while let Some(row) = rows.next()? {
        match read_lane(row.get_ref(0)?) {
            Ok(lane) => lanes.push(LaneDue { lane, due_ms: row.get(1)? }),
            Err(error) => tracing::error!(error, "a lane in the queue is unreadable; its mail is set aside at the next start"),
        }
    }
    Ok(lanes)
}

fn read_lane(value: ValueRef<'_>) -> Result<Domain, String> {
    let text = value.as_str().map_err(|e| format!("its lane: {e}"))?;
    Domain::parse(text).map_err(|e| format!("its lane {text:?}: {e}"))
}

/// Sets aside the mail of unreadable lanes, which would never be claimed.
fn set_aside_lanes(db: &Connection) -> Result<(), StoreError> {
    let mut statement = db.prepare(&select_lanes())?;
    let mut rows = statement.query([])?;
    let mut unreadable: Vec<(Vec<u8>, String)> = Vec::new();
    while let Some(row) = rows.next()? {
        if let Err(reason) = read_lane(row.get_ref(0)?) {
            unreadable.push((row.get(2)?, reason));
        }
    }
    for (lane, reason) in unreadable {
        let recipients = db.execute(
            &format!("UPDATE recipient SET state = ?, reason = ? WHERE {IS_ACTIVE} AND CAST(lane AS BLOB) = ?"),
            params![RecipientState::SetAside, reason, lane],
        )?;
        tracing::error!(recipients, reason, "queue records are unreadable: their mail was set aside; `waypost queue list` shows it");
    }
    Ok(())
}

/// Claims up to `limit` recipients of a lane that are due at `now_ms`, until `lease_ms`.
pub(crate) fn claim(db: &Connection, lane: &Domain, now_ms: i64, lease_ms: i64, limit: u32) -> Result<Vec<Claimed>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT message_id, n, mailbox, known_as, notify, orcpt, attempts FROM recipient
         WHERE lane = ? AND {IS_ACTIVE} AND next_attempt_ms <= ? ORDER BY next_attempt_ms LIMIT ?",
    ))?;
    let mut rows = statement.query(params![lane.as_str(), now_ms, limit])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        let key = RecipientKey { message: QueueId(row.get("message_id")?), index: row.get("n")? };
        due.push((key, read_recipient(key, row)));
    }
    drop(rows);
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
                Ok(message) => claimed.push(Claimed { message, content: None, recipients: vec![recipient] }),
                Err(reason) => {
                    set_aside(db, key, &reason)?;
                    continue;
                }
            }
        }
        mark_claimed(db, key, lease_ms)?;
    }
    Ok(claimed)
}

fn mark_claimed(db: &Connection, key: RecipientKey, lease_ms: i64) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE recipient SET state = ?, next_attempt_ms = ? WHERE message_id = ? AND n = ?")?.execute(params![
        RecipientState::Claimed,
        lease_ms,
        key.message.0,
        key.index
    ])?;
    Ok(())
}

fn set_aside(db: &Connection, key: RecipientKey, reason: &str) -> Result<(), StoreError> {
    tracing::error!(id = %key.message, recipient = key.index, reason, "a queue record is unreadable and was set aside; `waypost queue list` shows it");
    let sql = "UPDATE recipient SET state = ?, reason = ? WHERE message_id = ? AND n = ?";
    db.execute(sql, params![RecipientState::SetAside, reason, key.message.0, key.index])?;
    Ok(())
}

fn read_recipient(key: RecipientKey, row: &Row<'_>) -> Result<ClaimedRecipient, String> {
    let text = |e: rusqlite::Error| e.to_string();
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
pub(crate) fn load_message(db: &Connection, id: QueueId) -> Result<Result<Message, String>, StoreError> {
    let read = db
        .prepare_cached(&format!("SELECT {MESSAGE_COLUMNS} FROM message WHERE id = ?"))?
        .query_row([id.0], |row| Ok(read_message(id, row)))
        .optional()?;
    Ok(read.unwrap_or_else(|| Err("its message is missing".into())))
}

pub(crate) fn read_message(id: QueueId, row: &Row<'_>) -> Result<Message, String> {
    let text = |e: rusqlite::Error| e.to_string();
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
pub(crate) fn release_claims(db: &Connection, now_ms: i64) -> Result<u64, StoreError> {
    set_aside_lanes(db)?;
    let sql = format!("UPDATE recipient SET state = ?, next_attempt_ms = ? WHERE {IS_CLAIMED}");
    Ok(db.execute(&sql, params![RecipientState::Waiting, now_ms])? as u64)
}

/// The condition of recipients that [`retry`] makes due: set aside, or waiting for a later attempt.
fn may_retry() -> String {
    format!("({IS_SET_ASIDE} OR ({IS_WAITING} AND next_attempt_ms > :now_ms))")
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
pub(crate) fn end_of_retry_step(db: &Connection, after: QueueId) -> Result<Option<QueueId>, StoreError> {
    let ids = "SELECT message_id FROM recipient WHERE message_id > ? ORDER BY message_id LIMIT ?";
    let mut statement = db.prepare_cached(&format!("SELECT max(message_id) FROM ({ids})"))?;
    let last: Option<i64> = statement.query_row(params![after.0, RETRY_STEP], |row| row.get(0))?;
    Ok(last.map(QueueId))
}

/// Makes waiting recipients due now. Returns their number.
pub(crate) fn retry(db: &Connection, scope: &RetryScope, now_ms: i64) -> Result<u64, StoreError> {
    let update = format!("UPDATE recipient SET state = {}, next_attempt_ms = :now_ms WHERE {}", RecipientState::Waiting, may_retry());
    // A statement for each case: a condition on an absent parameter would keep SQLite from using an index.
    let retried = match scope {
        RetryScope::Message(id) => {
            db.execute(&format!("{update} AND message_id = :id"), named_params! { ":now_ms": now_ms, ":id": id.0 })?
        }
        RetryScope::Lane(lane) => retry_lane(db, lane, now_ms)?,
        RetryScope::Range { after, until } => {
            let values = named_params! { ":now_ms": now_ms, ":after": after.0, ":until": until.0 };
            db.execute(&format!("{update} AND message_id > :after AND message_id <= :until"), values)?
        }
    };
    if let RetryScope::Message(id) = scope
        && retried == 0
        && !db.prepare("SELECT 1 FROM message WHERE id = ?")?.exists([id.0])?
    {
        return Err(StoreError::NotFound(format!("no message {id} is in the queue; `waypost queue list` shows what is")));
    }
    Ok(retried as u64)
}

/// Makes the waiting recipients of a lane due by its index, and those set aside by theirs.
fn retry_lane(db: &Connection, lane: &Domain, now_ms: i64) -> Result<usize, StoreError> {
    let update = format!("UPDATE recipient SET state = {}, next_attempt_ms = :now_ms WHERE lane = :lane", RecipientState::Waiting);
    let values = named_params! { ":now_ms": now_ms, ":lane": lane.as_str() };
    let waiting = db.execute(&format!("{update} AND {IS_ACTIVE} AND {IS_WAITING} AND next_attempt_ms > :now_ms"), values)?;
    Ok(waiting + db.execute(&format!("{update} AND {IS_SET_ASIDE}"), values)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retrying_a_message_or_a_lane_reads_by_an_index() {
        let db = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&db).unwrap();
        let plan = |condition: &str| -> String {
            let sql = format!("EXPLAIN QUERY PLAN UPDATE recipient SET reason = '' WHERE {condition}");
            db.query_row(&sql, [], |row| row.get("detail")).unwrap()
        };
        for condition in [
            format!("{} AND message_id = 1", may_retry().replace(":now_ms", "7")),
            format!("{} AND message_id > 1 AND message_id <= 9", may_retry().replace(":now_ms", "7")),
            format!("lane = 'x.test' AND {IS_ACTIVE} AND {IS_WAITING} AND next_attempt_ms > 7"),
            format!("lane = 'x.test' AND {IS_SET_ASIDE}"),
        ] {
            assert!(plan(&condition).starts_with("SEARCH recipient USING"), "{condition}: {}", plan(&condition));
        }
        assert_eq!(plan("lane = 'x.test'"), "SCAN recipient");
    }
}
