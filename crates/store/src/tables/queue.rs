//! Adds messages to the queue, settles their attempts, and removes them.
//!
//! Invariant: content is removed with the last message that names it, in the same transaction; a file is removed only
//! after that commit.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;
use mail::{Body, QueueId, Ret};

use crate::content::{Content, DAMAGED, LocalFile, ROW_MAX_BYTES};
use crate::engine::{Sql, values};
use crate::error::StoreError;
use crate::message::{Disposition, NewMessage, NewRecipient, Settlement};
use crate::recipient_state::{IS_CLAIMED, RecipientState};

/// The state of a message's recipients when it is committed, and when they are due, or the lease or the time of a held one ends.
pub(crate) fn first_state(new: &NewMessage, lease_ms: i64) -> (RecipientState, i64) {
    match (&new.held, new.claimed) {
        (Some(_), _) => (RecipientState::Held, new.message.expires_ms),
        (None, true) => (RecipientState::Claimed, lease_ms),
        (None, false) => (RecipientState::Waiting, new.message.arrived_ms),
    }
}

/// Adds messages, row by row. `lease_ms` is the end of the claim of claimed ones.
pub(crate) fn enqueue_each(db: &dyn Sql, messages: &[NewMessage], lease_ms: i64) -> Result<(), StoreError> {
    let mut stored = HashSet::new();
    for new in messages {
        if stored.insert(new.content.id) {
            let data = new.content.file.is_none().then(|| new.content.front().as_ref());
            db.execute(
                "INSERT INTO content (id, size_bytes, data, crc32) VALUES (?, ?, ?, ?)",
                values![new.content.id.0, signed(new.content.size_bytes()), data, new.content.crc()],
            )?;
        }
        insert_message(db, new)?;
        let (state, at) = first_state(new, lease_ms);
        for (n, recipient) in new.recipients.iter().enumerate() {
            insert_recipient(db, new.message.id, n, recipient, (state, at), new.held.as_deref())?;
        }
    }
    Ok(())
}

/// The word of RET in its column.
pub(crate) fn ret_word(ret: Ret) -> &'static str {
    if ret == Ret::Full { "FULL" } else { "HDRS" }
}

fn insert_message(db: &dyn Sql, new: &NewMessage) -> Result<(), StoreError> {
    let m = &new.message;
    db.execute(
        "INSERT INTO message (id, content_id, flow, reverse_path, body_8bit, smtputf8, ret, envid, arrived_ms, expires_ms, prefix, rewritten_path, may_report, mendable, requiretls)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values![
            m.id.0,
            new.content.id.0,
            m.flow.as_str(),
            m.reverse_path.to_bare(),
            m.body == Body::EightBit,
            m.smtputf8,
            m.ret.map(ret_word),
            m.envid,
            m.arrived_ms,
            m.expires_ms,
            m.prefix.as_ref(),
            m.rewritten_path.as_ref().map(mail::ReversePath::to_bare),
            m.may_report,
            m.mendable,
            m.tls,
        ],
    )?;
    Ok(())
}

fn insert_recipient(
    db: &dyn Sql,
    message: QueueId,
    n: usize,
    recipient: &NewRecipient,
    (state, at_ms): (RecipientState, i64),
    reason: Option<&str>,
) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO recipient (message_id, n, lane, mailbox, known_as, notify, orcpt, state, next_attempt_ms, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values![
            message.0,
            i64::try_from(n).unwrap_or(i64::MAX),
            recipient.mailbox.domain.as_str(),
            recipient.mailbox.to_string(),
            recipient.known_as.as_ref().map(ToString::to_string),
            recipient.notify.to_parameter(),
            orcpt_text(recipient),
            state,
            at_ms,
            reason,
        ],
    )?;
    Ok(())
}

/// ORCPT in its column.
pub(crate) fn orcpt_text(recipient: &NewRecipient) -> Option<String> {
    recipient.orcpt.as_ref().map(|o| format!("{};{}", o.kind, o.address))
}

/// Applies the end of an attempt, row by row. Returns the content files that no message names any more.
pub(crate) fn settle(db: &dyn Sql, settlement: &Settlement, lease_ms: i64) -> Result<Vec<QueueId>, StoreError> {
    let mut touched = HashSet::new();
    for (key, disposition) in &settlement.recipients {
        match disposition {
            Disposition::Done => {
                db.execute("DELETE FROM recipient WHERE message_id = ? AND n = ?", values![key.message.0, key.index])?;
                touched.insert(key.message);
            }
            Disposition::Deferred { next_attempt_ms, status, reason, counts } => {
                db.execute(
                    "UPDATE recipient SET state = ?, next_attempt_ms = ?, status = ?, reason = ?, attempts = attempts + ? WHERE message_id = ? AND n = ?",
                    values![
                        RecipientState::Waiting,
                        next_attempt_ms,
                        status.to_string(),
                        reason,
                        i64::from(*counts),
                        key.message.0,
                        key.index
                    ],
                )?;
            }
            Disposition::SetAside { reason } => {
                db.execute(
                    "UPDATE recipient SET state = ?, reason = ? WHERE message_id = ? AND n = ?",
                    values![RecipientState::SetAside, reason, key.message.0, key.index],
                )?;
            }
        }
    }
    settle_rest(db, settlement, lease_ms)?;
    let mut files = Vec::new();
    for id in touched {
        files.extend(remove_if_done(db, id)?);
    }
    Ok(files)
}

/// Applies what an attempt ends with besides the results of its recipients: DSNs, and the failures without one.
pub(crate) fn settle_rest(db: &dyn Sql, settlement: &Settlement, lease_ms: i64) -> Result<(), StoreError> {
    for id in &settlement.delay_reported {
        db.execute("UPDATE message SET delay_reported = TRUE WHERE id = ?", values![id.0])?;
    }
    db.enqueue(&settlement.follow, lease_ms)?;
    settlement.failed.iter().try_for_each(|failed| super::outcomes::insert_failed(db, failed))
}

/// Removes a message without recipients. Returns the id of its content if that is a file and no message names it any more.
fn remove_if_done(db: &dyn Sql, id: QueueId) -> Result<Option<QueueId>, StoreError> {
    if db.exists("SELECT 1 FROM recipient WHERE message_id = ? LIMIT 1", values![id.0])? {
        return Ok(None);
    }
    let content = db.row("DELETE FROM message WHERE id = ? RETURNING content_id", values![id.0], |row| row.get::<i64>(0))?;
    let Some(content) = content else { return Ok(None) };
    if db.exists("SELECT 1 FROM message WHERE content_id = ? LIMIT 1", values![content])? {
        return Ok(None);
    }
    let size = db.row("DELETE FROM content WHERE id = ? RETURNING size_bytes", values![content], |row| row.get::<i64>(0))?;
    Ok(size.is_some_and(|size| size > signed(ROW_MAX_BYTES as u64)).then_some(QueueId(content)))
}

/// Removes a message, or one recipient of it, unless it is being delivered. Returns the content files that no message names any more.
pub(crate) fn drop_message(db: &dyn Sql, id: QueueId, index: Option<u32>) -> Result<Vec<QueueId>, StoreError> {
    let of_message = "message_id = ?1 AND (CAST(?2 AS BIGINT) IS NULL OR n = ?2)";
    if db.exists(&format!("SELECT 1 FROM recipient WHERE {of_message} AND {IS_CLAIMED}"), values![id.0, index])? {
        return Err(StoreError::Exists(format!("message {id} is being delivered right now; try again in a moment")));
    }
    let removed = db.execute(&format!("DELETE FROM recipient WHERE {of_message}"), values![id.0, index])?;
    let known = index.is_none() && db.exists("SELECT 1 FROM message WHERE id = ?", values![id.0])?;
    if removed == 0 && !known {
        return Err(StoreError::NotFound(format!("no message {id} is in the queue; `waypost queue list` shows what is")));
    }
    Ok(remove_if_done(db, id)?.into_iter().collect())
}

/// A row of content.
pub(crate) struct ContentRow {
    pub id: QueueId,
    pub size_bytes: u64,
    /// The octets, if they are in the row.
    data: Option<Vec<u8>>,
    /// The CRC-32 of the whole content, if there is one.
    pub crc: Option<u32>,
}

/// The row of a message's content.
pub(crate) const SELECT_CONTENT: &str =
    "SELECT c.id, c.size_bytes, c.data, c.crc32 FROM message m JOIN content c ON c.id = m.content_id WHERE m.id = ?";

/// Reads the row of a message's content.
pub(crate) fn content_row(db: &dyn Sql, message: QueueId) -> Result<ContentRow, StoreError> {
    let row = db.row(SELECT_CONTENT, values![message.0], |row| {
        let size_bytes = u64::try_from(row.get::<i64>(1)?).unwrap_or(0);
        Ok(ContentRow { id: QueueId(row.get(0)?), size_bytes, data: row.get(2)?, crc: row.get(3)? })
    })?;
    row.ok_or_else(|| StoreError::Corrupt(format!("message {message} has no content")))
}

impl ContentRow {
    /// Returns the content if it is in the row.
    pub fn in_memory(&mut self, message: QueueId) -> Result<Option<Content>, StoreError> {
        match self.data.take() {
            Some(data) if data.len() as u64 == self.size_bytes && self.crc.is_none_or(|crc| crc == crc32fast::hash(&data)) => {
                Ok(Some(Content::memory(self.id, Bytes::from(data))))
            }
            Some(data) if data.len() as u64 == self.size_bytes => {
                Err(StoreError::Corrupt(format!("the content of message {message}: {DAMAGED}")))
            }
            Some(_) => Err(StoreError::Corrupt(format!("the content of message {message} does not have its recorded size"))),
            None => Ok(None),
        }
    }
}

/// Reads a message's content, from its row or its file.
pub(crate) fn load_content(db: &dyn Sql, directory: &Path, message: QueueId) -> Result<Content, StoreError> {
    let mut row = content_row(db, message)?;
    if let Some(content) = row.in_memory(message)? {
        return Ok(content);
    }
    let path = directory.join(row.id.to_string());
    let front = read_front(&path, row.size_bytes).map_err(|error| StoreError::of_content_file(message, error))?;
    Ok(Content::in_file(row.id, (row.size_bytes, row.crc), front, LocalFile::kept(path)))
}

fn read_front(path: &Path, size: u64) -> std::io::Result<Bytes> {
    use std::io::Read;
    let file = std::fs::File::open(path)?;
    if file.metadata()?.len() != size {
        return Err(std::io::Error::other("it does not have its recorded size"));
    }
    let mut front = Vec::with_capacity(ROW_MAX_BYTES);
    file.take(ROW_MAX_BYTES as u64).read_to_end(&mut front)?;
    Ok(front.into())
}

/// Returns whether one of these messages or contents is there already.
pub(crate) fn has_any(db: &dyn Sql, messages: &[NewMessage]) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM message WHERE id = ?1 UNION ALL SELECT 1 FROM content WHERE id = ?2 LIMIT 1";
    for new in messages {
        if db.exists(sql, values![new.message.id.0, new.content.id.0])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the highest id of a message or a content; 0 if there is none.
pub(crate) fn highest_id(db: &dyn Sql) -> Result<QueueId, StoreError> {
    let message: Option<i64> = db.one("SELECT max(id) FROM message", &[])?;
    let content: Option<i64> = db.one("SELECT max(id) FROM content", &[])?;
    Ok(QueueId(message.max(content).unwrap_or(0)))
}

pub(crate) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
