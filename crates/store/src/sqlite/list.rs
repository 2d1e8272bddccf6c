//! The queue as people look at it.
//!
//! Invariant: a page costs the same however long the queue is; an unreadable record is shown, not hidden.

use mail::{Body, QueueId, ReversePath};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::claim::read_message;
use crate::error::StoreError;
use crate::message::{Flow, ListFilter, ListedMessage, ListedRecipient, Message, QueueTotals, TlsWish};

/// One page of the queue, in the order of arrival.
pub(crate) fn list(db: &Connection, filter: &ListFilter) -> Result<Vec<ListedMessage>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT m.flow, m.reverse_path, m.body_8bit, m.smtputf8, m.ret, m.envid, m.arrived_ms, m.expires_ms, m.delay_reported, m.prefix, m.rewritten_path, m.may_report, m.mendable, m.requiretls, m.id,
                length(m.prefix) + coalesce(c.size_bytes, 0)
         FROM message m LEFT JOIN content c ON c.id = m.content_id
         WHERE m.id > ?1 AND (?2 IS NULL OR m.id = ?2)
           AND (?3 IS NULL OR instr(m.reverse_path, ?3) > 0
                OR EXISTS (SELECT 1 FROM recipient r WHERE r.message_id = m.id AND (instr(r.mailbox, ?3) > 0 OR instr(r.known_as, ?3) > 0)))
           AND (?5 IS NULL OR ?5 = EXISTS (SELECT 1 FROM recipient r WHERE r.message_id = m.id AND r.state = 3))
         ORDER BY m.id LIMIT ?4",
    )?;
    let mut rows = statement.query(params![
        filter.after.map_or(i64::MIN, |id| id.0),
        filter.only.map(|id| id.0),
        filter.address,
        filter.limit,
        filter.held
    ])?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next()? {
        let id = QueueId(row.get(14)?);
        let message = read_message(id, row).unwrap_or_else(|_| unreadable(id));
        let size: i64 = row.get(15)?;
        listed.push(ListedMessage { message, size_bytes: u64::try_from(size).unwrap_or(0), recipients: recipients(db, id)? });
    }
    Ok(listed)
}

fn unreadable(id: QueueId) -> Message {
    Message {
        id,
        flow: Flow::Forward,
        reverse_path: ReversePath::Null,
        body: Body::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        tls: TlsWish::AsPublished,
        arrived_ms: 0,
        expires_ms: 0,
        rewritten_path: None,
        may_report: true,
        mendable: false,
        delay_reported: false,
        prefix: bytes::Bytes::new(),
    }
}

fn recipients(db: &Connection, id: QueueId) -> Result<Vec<ListedRecipient>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT n, mailbox, known_as, state, attempts, next_attempt_ms, reason FROM recipient WHERE message_id = ? ORDER BY n",
    )?;
    let rows = statement.query_map([id.0], |row| {
        Ok(ListedRecipient {
            index: row.get(0)?,
            mailbox: shown(row.get_ref(1)?).unwrap_or_default(),
            known_as: shown(row.get_ref(2)?),
            state: match row.get::<_, i64>(3)? {
                0 => "waiting",
                1 => "claimed",
                3 => "held",
                _ => "set aside",
            },
            attempts: row.get(4)?,
            next_attempt_ms: row.get(5)?,
            reason: shown(row.get_ref(6)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A text as well as it can be read.
fn shown(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
    }
}

/// How much there is.
pub(crate) fn totals(db: &Connection) -> Result<QueueTotals, StoreError> {
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|n| u64::try_from(n).unwrap_or(0));
    Ok(QueueTotals {
        messages: count("SELECT count(*) FROM message")?,
        recipients: count("SELECT count(*) FROM recipient")?,
        set_aside: count("SELECT count(*) FROM recipient WHERE state = 2")?,
        held: count("SELECT count(*) FROM recipient WHERE state = 3")?,
        held_bytes: count(
            "SELECT coalesce(sum(c.size_bytes), 0) FROM content c WHERE c.id IN
             (SELECT m.content_id FROM message m JOIN recipient r ON r.message_id = m.id WHERE r.state = 3)",
        )?,
    })
}
