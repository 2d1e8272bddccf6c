//! The list and totals of the queue for the operator.
//!
//! Invariant: a step of a page costs the same, whatever the length of the queue; an unreadable record is shown, not hidden.

use mail::{Body, QueueId, ReversePath};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, named_params};

use super::claim::{MESSAGE_COLUMNS, read_message};
use crate::error::StoreError;
use crate::message::{Flow, ListFilter, ListedMessage, ListedRecipient, Message, QueueTotals, TlsWish};
use crate::recipient_state::{IS_HELD, RecipientState};

/// Maximum messages that one step reads; other queries run between the steps.
const STEP: u32 = 2000;

/// A part of a page.
pub(crate) struct ListStep {
    pub messages: Vec<ListedMessage>,
    /// The message after which the next step starts; `None` at the end of the queue.
    pub behind: Option<QueueId>,
}

/// Selects the ids of the next step.
const ANY_IDS: &str = "SELECT id FROM message WHERE id > :after ORDER BY id LIMIT :step";

/// Selects the ids of the next step of held messages, by their index.
fn held_ids() -> String {
    format!("SELECT DISTINCT message_id AS id FROM recipient WHERE {IS_HELD} AND message_id > :after ORDER BY message_id LIMIT :step")
}

/// Returns a part of a page of the queue, in the order of arrival. Its cost does not depend on the length of the queue.
pub(crate) fn list(db: &Connection, filter: &ListFilter) -> Result<ListStep, StoreError> {
    let after = filter.only.map_or(filter.after.map_or(i64::MIN, |id| id.0), |only| only.0 - 1);
    let step = if filter.only.is_some() { 1 } else { STEP };
    let ids = if filter.held == Some(true) { held_ids() } else { ANY_IDS.to_owned() };
    let mut statement = db.prepare_cached(&format!(
        "SELECT {MESSAGE_COLUMNS}, m.id AS message_id, length(m.prefix) + coalesce(c.size_bytes, 0) AS whole_size
         FROM message m LEFT JOIN content c ON c.id = m.content_id
         WHERE m.id IN ({ids}) AND (:only IS NULL OR m.id = :only)
           AND (:address IS NULL OR instr(m.reverse_path, :address) > 0
                OR EXISTS (SELECT 1 FROM recipient r WHERE r.message_id = m.id AND (instr(r.mailbox, :address) > 0 OR instr(r.known_as, :address) > 0)))
           AND (:held IS NULL OR :held = EXISTS (SELECT 1 FROM recipient r WHERE r.message_id = m.id AND {IS_HELD}))
         ORDER BY m.id LIMIT :limit",
    ))?;
    let mut rows = statement.query(named_params! {
        ":after": after,
        ":step": step,
        ":only": filter.only.map(|id| id.0),
        ":address": filter.address,
        ":held": filter.held,
        ":limit": filter.limit,
    })?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next()? {
        let id = QueueId(row.get("message_id")?);
        let message = read_message(id, row).unwrap_or_else(|_| unreadable(id));
        let size: i64 = row.get("whole_size")?;
        messages.push(ListedMessage { message, size_bytes: u64::try_from(size).unwrap_or(0), recipients: recipients(db, id)? });
    }
    let is_full = u32::try_from(messages.len()).is_ok_and(|found| found >= filter.limit);
    if is_full || filter.only.is_some() {
        return Ok(ListStep { messages, behind: None });
    }
    let (last, looked): (Option<i64>, u32) = db
        .prepare_cached(&format!("SELECT max(id), count(*) FROM ({ids})"))?
        .query_row(named_params! { ":after": after, ":step": step }, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(ListStep { messages, behind: last.map(QueueId).filter(|_| looked == step) })
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
            index: row.get("n")?,
            mailbox: shown(row.get_ref("mailbox")?).unwrap_or_default(),
            known_as: shown(row.get_ref("known_as")?),
            state: row.get("state").unwrap_or(RecipientState::SetAside),
            attempts: row.get("attempts")?,
            next_attempt_ms: row.get("next_attempt_ms")?,
            reason: shown(row.get_ref("reason")?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns a value as text, with U+FFFD for octets that are not UTF-8.
fn shown(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
    }
}

/// Returns the totals, which the triggers of the schema keep.
pub(crate) fn totals(db: &Connection) -> Result<QueueTotals, StoreError> {
    let mut statement = db.prepare_cached("SELECT messages, recipients, set_aside, held, held_bytes FROM total")?;
    let totals = statement.query_row([], |row| {
        let count = |column| row.get::<_, i64>(column).map(|n| u64::try_from(n).unwrap_or(0));
        Ok(QueueTotals { messages: count(0)?, recipients: count(1)?, set_aside: count(2)?, held: count(3)?, held_bytes: count(4)? })
    })?;
    Ok(totals)
}
