//! What is due, and the right to deliver it.
//!
//! A claim is a state and a lease: while it holds, `next_attempt_ms` is when the lease ends, so that what a dead node
//! held comes due by itself. Invariant: a record that cannot be read is set aside and never blocks its lane.

use mail::{Body, Domain, Mailbox, Notify, OriginalRecipient, QueueId, Ret, ReversePath};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::StoreError;
use crate::message::{Claimed, ClaimedRecipient, Flow, Message, NewRecipient, RecipientKey, TlsWish};

/// A lane with something in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneDue {
    /// The recipients' domain.
    pub lane: Domain,
    /// When its first recipient is due, Unix milliseconds.
    pub due_ms: i64,
}

/// Each lane, by a walk along the index.
const LANES: &str = "
WITH RECURSIVE l(lane) AS (
    SELECT min(lane) FROM recipient WHERE state < 2
    UNION ALL SELECT (SELECT min(lane) FROM recipient WHERE lane > l.lane AND state < 2) FROM l WHERE l.lane IS NOT NULL)
SELECT lane, (SELECT min(next_attempt_ms) FROM recipient r WHERE r.lane = l.lane AND r.state < 2), CAST(lane AS BLOB)
FROM l WHERE lane IS NOT NULL";

/// Every lane, with the time at which it is due. The cost grows with the number of lanes, not of messages.
pub(crate) fn lanes(db: &Connection) -> Result<Vec<LaneDue>, StoreError> {
    let mut statement = db.prepare_cached(LANES)?;
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

/// Sets the mail of unreadable lanes aside, which nobody would ever claim.
fn set_aside_lanes(db: &Connection) -> Result<(), StoreError> {
    let mut statement = db.prepare(LANES)?;
    let mut rows = statement.query([])?;
    let mut unreadable: Vec<(Vec<u8>, String)> = Vec::new();
    while let Some(row) = rows.next()? {
        if let Err(reason) = read_lane(row.get_ref(0)?) {
            unreadable.push((row.get(2)?, reason));
        }
    }
    for (lane, reason) in unreadable {
        let recipients =
            db.execute("UPDATE recipient SET state = 2, reason = ? WHERE state < 2 AND CAST(lane AS BLOB) = ?", params![reason, lane])?;
        tracing::error!(recipients, reason, "queue records are unreadable: their mail was set aside; `waypost queue list` shows it");
    }
    Ok(())
}

/// Claims up to `limit` recipients of a lane that are due at `now_ms`, until `lease_ms`.
pub(crate) fn claim(db: &Connection, lane: &Domain, now_ms: i64, lease_ms: i64, limit: u32) -> Result<Vec<Claimed>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT message_id, n, mailbox, known_as, notify, orcpt, attempts FROM recipient
         WHERE lane = ? AND state < 2 AND next_attempt_ms <= ? ORDER BY next_attempt_ms LIMIT ?",
    )?;
    let mut rows = statement.query(params![lane.as_str(), now_ms, limit])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        due.push((RecipientKey { message: QueueId(row.get(0)?), index: row.get(1)? }, read_recipient(row)));
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
    db.prepare_cached("UPDATE recipient SET state = 1, next_attempt_ms = ? WHERE message_id = ? AND n = ?")?.execute(params![
        lease_ms,
        key.message.0,
        key.index
    ])?;
    Ok(())
}

fn set_aside(db: &Connection, key: RecipientKey, reason: &str) -> Result<(), StoreError> {
    tracing::error!(id = %key.message, recipient = key.index, reason, "a queue record is unreadable and was set aside; `waypost queue list` shows it");
    db.execute("UPDATE recipient SET state = 2, reason = ? WHERE message_id = ? AND n = ?", params![reason, key.message.0, key.index])?;
    Ok(())
}

fn read_recipient(row: &Row<'_>) -> Result<ClaimedRecipient, String> {
    let text = |e: rusqlite::Error| e.to_string();
    let mailbox: String = row.get(2).map_err(text)?;
    let known_as: Option<String> = row.get(3).map_err(text)?;
    let notify: Option<String> = row.get(4).map_err(text)?;
    let orcpt: Option<String> = row.get(5).map_err(text)?;
    let parse = |address: &str| Mailbox::parse(address).map_err(|e| format!("{e}: {address:?}"));
    Ok(ClaimedRecipient {
        key: RecipientKey { message: QueueId(row.get(0).map_err(text)?), index: row.get(1).map_err(text)? },
        recipient: NewRecipient {
            mailbox: parse(&mailbox)?,
            known_as: known_as.as_deref().map(parse).transpose()?,
            notify: notify.map_or(Ok(Notify::default()), |n| Notify::parse(&n).ok_or(format!("notify {n:?}")))?,
            orcpt: orcpt
                .and_then(|o| o.split_once(';').map(|(kind, address)| OriginalRecipient { kind: kind.into(), address: address.into() })),
        },
        attempts: row.get(6).map_err(text)?,
    })
}

/// The outer error is the database's, the inner one says why the record is unreadable.
pub(crate) fn load_message(db: &Connection, id: QueueId) -> Result<Result<Message, String>, StoreError> {
    let read = db
        .prepare_cached(
            "SELECT flow, reverse_path, body_8bit, smtputf8, ret, envid, arrived_ms, expires_ms, delay_reported, prefix, rewritten_path, may_report, mendable, requiretls FROM message WHERE id = ?",
        )?
        .query_row([id.0], |row| Ok(read_message(id, row)))
        .optional()?;
    Ok(read.unwrap_or_else(|| Err("its message is missing".into())))
}

pub(crate) fn read_message(id: QueueId, row: &Row<'_>) -> Result<Message, String> {
    let text = |e: rusqlite::Error| e.to_string();
    let (flow, reverse): (String, String) = (row.get(0).map_err(text)?, row.get(1).map_err(text)?);
    let ret: Option<String> = row.get(4).map_err(text)?;
    let prefix: Vec<u8> = row.get(9).map_err(text)?;
    let rewritten: Option<String> = row.get(10).map_err(text)?;
    let path = |path: String| ReversePath::parse_bare(&path).map_err(|e| format!("{e}: {path:?}"));
    Ok(Message {
        id,
        flow: Flow::parse(&flow).ok_or(format!("flow {flow:?}"))?,
        reverse_path: path(reverse)?,
        rewritten_path: rewritten.map(path).transpose()?,
        may_report: row.get(11).map_err(text)?,
        mendable: row.get(12).map_err(text)?,
        body: if row.get(2).map_err(text)? { Body::EightBit } else { Body::SevenBit },
        smtputf8: row.get(3).map_err(text)?,
        ret: ret.map(|r| if r == "FULL" { Ret::Full } else { Ret::Headers }),
        envid: row.get(5).map_err(text)?,
        arrived_ms: row.get(6).map_err(text)?,
        expires_ms: row.get(7).map_err(text)?,
        delay_reported: row.get(8).map_err(text)?,
        tls: TlsWish::of_number(row.get(13).map_err(text)?),
        prefix: prefix.into(),
    })
}

/// After a start: nobody holds the claims of the process that was, so they are due now.
pub(crate) fn release_claims(db: &Connection, now_ms: i64) -> Result<u64, StoreError> {
    set_aside_lanes(db)?;
    Ok(db.execute("UPDATE recipient SET state = 0, next_attempt_ms = ? WHERE state = 1", [now_ms])? as u64)
}

/// Makes waiting recipients due now: those of a message, of a lane, or all. Returns how many.
pub(crate) fn retry(db: &Connection, id: Option<QueueId>, lane: Option<&Domain>, now_ms: i64) -> Result<u64, StoreError> {
    let retried = db.execute(
        "UPDATE recipient SET state = 0, next_attempt_ms = ?1 WHERE (state = 2 OR (state = 0 AND next_attempt_ms > ?1))
         AND (?2 IS NULL OR message_id = ?2) AND (?3 IS NULL OR lane = ?3)",
        params![now_ms, id.map(|i| i.0), lane.map(Domain::as_str)],
    )? as u64;
    if let Some(id) = id
        && retried == 0
        && !db.prepare("SELECT 1 FROM message WHERE id = ?")?.exists([id.0])?
    {
        return Err(StoreError::NotFound(format!("no message {id} is in the queue; `waypost queue list` shows what is")));
    }
    Ok(retried)
}
