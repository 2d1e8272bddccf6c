//! The list and totals of the queue for the operator.
//!
//! Invariant: a step of a page costs the same, whatever the length of the queue; an unreadable record is shown, not hidden.

use mail::{Body, QueueId, ReversePath};

use super::claim::{MESSAGE_COLUMNS, read_message};
use crate::engine::{Sql, Value, values};
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

/// Selects the ids of the next step, after `?1` and at most `?2`.
const ANY_IDS: &str = "SELECT id FROM message WHERE id > ?1 ORDER BY id LIMIT ?2";

/// Selects the ids of the next step of held messages, by their index.
fn held_ids() -> String {
    format!("SELECT DISTINCT message_id AS id FROM recipient WHERE {IS_HELD} AND message_id > ?1 ORDER BY message_id LIMIT ?2")
}

/// Selects the messages of a step that the filter wants.
fn select_step(ids: &str, position: &str) -> String {
    format!(
        "SELECT {MESSAGE_COLUMNS}, m.id AS message_id, length(m.prefix) + coalesce(c.size_bytes, 0) AS whole_size
         FROM message m LEFT JOIN content c ON c.id = m.content_id
         WHERE m.id IN ({ids}) AND (CAST(?3 AS BIGINT) IS NULL OR m.id = ?3)
           AND (CAST(?4 AS TEXT) IS NULL OR {position}(m.reverse_path, ?4) > 0
                OR EXISTS (SELECT 1 FROM recipient r WHERE r.message_id = m.id
                           AND ({position}(r.mailbox, ?4) > 0 OR {position}(r.known_as, ?4) > 0)))
           AND (CAST(?5 AS BOOLEAN) IS NULL OR ?5 = EXISTS (SELECT 1 FROM recipient r WHERE r.message_id = m.id AND {IS_HELD}))
         ORDER BY m.id LIMIT ?6",
    )
}

/// Returns a part of a page of the queue, in the order of arrival. Its cost does not depend on the length of the queue.
pub(crate) fn list(db: &dyn Sql, filter: &ListFilter) -> Result<ListStep, StoreError> {
    let after = filter.only.map_or(filter.after.map_or(i64::MIN, |id| id.0), |only| only.0 - 1);
    let step = if filter.only.is_some() { 1 } else { STEP };
    let ids = if filter.held == Some(true) { held_ids() } else { ANY_IDS.to_owned() };
    let only = filter.only.map(|id| id.0);
    let values: &[Value<'_>] = values![after, step, only, filter.address, filter.held, filter.limit];
    let mut messages = db.rows(&select_step(&ids, db.position()), values, |row| {
        let id = QueueId(row.get("message_id")?);
        let message = read_message(id, row).unwrap_or_else(|_| unreadable(id));
        let size: i64 = row.get("whole_size")?;
        Ok(ListedMessage { message, size_bytes: u64::try_from(size).unwrap_or(0), recipients: Vec::new() })
    })?;
    for listed in &mut messages {
        listed.recipients = recipients(db, listed.message.id)?;
    }
    let is_full = u32::try_from(messages.len()).is_ok_and(|found| found >= filter.limit);
    if is_full || filter.only.is_some() {
        return Ok(ListStep { messages, behind: None });
    }
    let last_of_step = format!("SELECT max(id), count(*) FROM ({ids}) AS step");
    let (last, looked) =
        db.row(&last_of_step, values![after, step], |row| Ok((row.get::<Option<i64>>(0)?, row.get::<i64>(1)?)))?.unwrap_or_default();
    Ok(ListStep { messages, behind: last.map(QueueId).filter(|_| looked == i64::from(step)) })
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

fn recipients(db: &dyn Sql, id: QueueId) -> Result<Vec<ListedRecipient>, StoreError> {
    let sql = "SELECT n, mailbox, known_as, state, attempts, next_attempt_ms, reason FROM recipient WHERE message_id = ? ORDER BY n";
    db.rows(sql, values![id.0], |row| {
        Ok(ListedRecipient {
            index: row.get("n")?,
            mailbox: shown(row.named("mailbox")?).unwrap_or_default(),
            known_as: shown(row.named("known_as")?),
            state: row.get("state").unwrap_or(RecipientState::SetAside),
            attempts: row.get("attempts")?,
            next_attempt_ms: row.get("next_attempt_ms")?,
            reason: shown(row.named("reason")?),
        })
    })
}

/// Returns a value as text, with U+FFFD for octets that are not UTF-8.
fn shown(value: Value<'_>) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some(text.to_owned()),
        Value::Blob(octets) => Some(String::from_utf8_lossy(octets).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::Real(number) => Some(number.to_string()),
    }
}

/// Returns the totals, which the schema keeps or counts.
pub(crate) fn totals(db: &dyn Sql) -> Result<QueueTotals, StoreError> {
    let totals = db.row("SELECT messages, recipients, set_aside, held, held_bytes FROM total", &[], |row| {
        let count = |column: usize| row.get::<i64>(column).map(|n| u64::try_from(n).unwrap_or(0));
        Ok(QueueTotals { messages: count(0)?, recipients: count(1)?, set_aside: count(2)?, held: count(3)?, held_bytes: count(4)? })
    })?;
    totals.ok_or_else(|| StoreError::Corrupt("the table total has no row".into()))
}
