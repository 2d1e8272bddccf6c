//! Adds messages to the queue, settles their attempts, and removes them.
//!
//! Invariant: content is removed with the last message that names it, in the same transaction; a file is removed only
//! after that commit.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mail::{Body, QueueId, Ret};
use rusqlite::{Connection, OptionalExtension, params};

use crate::content::{Content, DAMAGED, ROW_MAX_BYTES};
use crate::error::StoreError;
use crate::message::{Disposition, NewMessage, NewRecipient, Settlement};
use crate::recipient_state::{IS_CLAIMED, RecipientState};

/// Adds messages. `lease_ms` is the end of the claim of claimed ones.
pub(crate) fn enqueue(db: &Connection, messages: &[NewMessage], lease_ms: i64) -> Result<(), StoreError> {
    let mut stored = HashSet::new();
    for new in messages {
        if stored.insert(new.content.id) {
            let data = new.content.file.is_none().then(|| new.content.front().as_ref());
            db.prepare_cached("INSERT INTO content (id, size_bytes, data, crc32) VALUES (?, ?, ?, ?)")?.execute(params![
                new.content.id.0,
                signed(new.content.size_bytes()),
                data,
                new.content.crc(),
            ])?;
        }
        insert_message(db, new)?;
        let message = &new.message;
        for (n, recipient) in new.recipients.iter().enumerate() {
            let (state, at) = match (&new.held, new.claimed) {
                (Some(_), _) => (RecipientState::Held, message.expires_ms),
                (None, true) => (RecipientState::Claimed, lease_ms),
                (None, false) => (RecipientState::Waiting, message.arrived_ms),
            };
            insert_recipient(db, message.id, n, recipient, (state, at), new.held.as_deref())?;
        }
    }
    Ok(())
}

fn insert_message(db: &Connection, new: &NewMessage) -> Result<(), StoreError> {
    let m = &new.message;
    db.prepare_cached(
        "INSERT INTO message (id, content_id, flow, reverse_path, body_8bit, smtputf8, ret, envid, arrived_ms, expires_ms, prefix, rewritten_path, may_report, mendable, requiretls)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        m.id.0,
        new.content.id.0,
        m.flow.as_str(),
        m.reverse_path.to_bare(),
        m.body == Body::EightBit,
        m.smtputf8,
        m.ret.map(|ret| if ret == Ret::Full { "FULL" } else { "HDRS" }),
        m.envid,
        m.arrived_ms,
        m.expires_ms,
        m.prefix.as_ref(),
        m.rewritten_path.as_ref().map(mail::ReversePath::to_bare),
        m.may_report,
        m.mendable,
        m.tls,
    ])?;
    Ok(())
}

fn insert_recipient(
    db: &Connection,
    message: QueueId,
    n: usize,
    recipient: &NewRecipient,
    (state, at_ms): (RecipientState, i64),
    reason: Option<&str>,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO recipient (message_id, n, lane, mailbox, known_as, notify, orcpt, state, next_attempt_ms, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        message.0,
        i64::try_from(n).unwrap_or(i64::MAX),
        recipient.mailbox.domain.as_str(),
        recipient.mailbox.to_string(),
        recipient.known_as.as_ref().map(ToString::to_string),
        recipient.notify.to_parameter(),
        recipient.orcpt.as_ref().map(|o| format!("{};{}", o.kind, o.address)),
        state,
        at_ms,
        reason,
    ])?;
    Ok(())
}

/// Applies the end of an attempt. Returns the content files that no message names any more.
pub(crate) fn settle(db: &Connection, settlement: &Settlement, lease_ms: i64) -> Result<Vec<QueueId>, StoreError> {
    let mut touched = HashSet::new();
    for (key, disposition) in &settlement.recipients {
        match disposition {
            Disposition::Done => {
                db.prepare_cached("DELETE FROM recipient WHERE message_id = ? AND n = ?")?.execute(params![key.message.0, key.index])?;
                touched.insert(key.message);
            }
            Disposition::Deferred { next_attempt_ms, status, reason, counts } => {
                db.prepare_cached(
                    "UPDATE recipient SET state = ?, next_attempt_ms = ?, status = ?, reason = ?, attempts = attempts + ? WHERE message_id = ? AND n = ?",
                )?
                .execute(params![RecipientState::Waiting, next_attempt_ms, status.to_string(), reason, i64::from(*counts), key.message.0, key.index])?;
            }
            Disposition::SetAside { reason } => {
                db.prepare_cached("UPDATE recipient SET state = ?, reason = ? WHERE message_id = ? AND n = ?")?.execute(params![
                    RecipientState::SetAside,
                    reason,
                    key.message.0,
                    key.index
                ])?;
            }
        }
    }
    for id in &settlement.delay_reported {
        db.prepare_cached("UPDATE message SET delay_reported = 1 WHERE id = ?")?.execute([id.0])?;
    }
    enqueue(db, &settlement.follow, lease_ms)?;
    settlement.failed.iter().try_for_each(|failed| super::outcomes::insert_failed(db, failed))?;
    let mut files = Vec::new();
    for id in touched {
        files.extend(remove_if_done(db, id)?);
    }
    Ok(files)
}

/// Removes a message without recipients. Returns the id of its content if that is a file and no message names it any more.
fn remove_if_done(db: &Connection, id: QueueId) -> Result<Option<QueueId>, StoreError> {
    let waiting = db.prepare_cached("SELECT 1 FROM recipient WHERE message_id = ? LIMIT 1")?.exists([id.0])?;
    if waiting {
        return Ok(None);
    }
    let content: Option<i64> =
        db.prepare_cached("DELETE FROM message WHERE id = ? RETURNING content_id")?.query_row([id.0], |row| row.get(0)).optional()?;
    let Some(content) = content else { return Ok(None) };
    if db.prepare_cached("SELECT 1 FROM message WHERE content_id = ? LIMIT 1")?.exists([content])? {
        return Ok(None);
    }
    let in_file: Option<bool> = db
        .prepare_cached("DELETE FROM content WHERE id = ? RETURNING size_bytes > ?")?
        .query_row(params![content, signed(ROW_MAX_BYTES as u64)], |row| row.get(0))
        .optional()?;
    Ok((in_file == Some(true)).then_some(QueueId(content)))
}

/// Removes a message, or one recipient of it, unless it is being delivered. Returns the content files that no message names any more.
pub(crate) fn drop_message(db: &Connection, id: QueueId, index: Option<u32>) -> Result<Vec<QueueId>, StoreError> {
    let claimed = format!("SELECT 1 FROM recipient WHERE message_id = ?1 AND (?2 IS NULL OR n = ?2) AND {IS_CLAIMED}");
    if db.prepare(&claimed)?.exists(params![id.0, index])? {
        return Err(StoreError::Exists(format!("message {id} is being delivered right now; try again in a moment")));
    }
    let removed = db.execute("DELETE FROM recipient WHERE message_id = ?1 AND (?2 IS NULL OR n = ?2)", params![id.0, index])?;
    let known = index.is_none() && db.prepare("SELECT 1 FROM message WHERE id = ?")?.exists([id.0])?;
    if removed == 0 && !known {
        return Err(StoreError::NotFound(format!("no message {id} is in the queue; `waypost queue list` shows what is")));
    }
    Ok(remove_if_done(db, id)?.into_iter().collect())
}

/// A row of content: id, size in octets, the octets if they are in the row, and the CRC-32 if there is one.
type ContentRow = (i64, i64, Option<Vec<u8>>, Option<u32>);

/// Reads a message's content.
pub(crate) fn load_content(db: &Connection, directory: &Path, message: QueueId) -> Result<Content, StoreError> {
    let row: Option<ContentRow> = db
        .prepare_cached("SELECT c.id, c.size_bytes, c.data, c.crc32 FROM message m JOIN content c ON c.id = m.content_id WHERE m.id = ?")?
        .query_row([message.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((id, size, data, crc)) = row else {
        return Err(StoreError::Corrupt(format!("message {message} has no content")));
    };
    let id = QueueId(id);
    match data {
        Some(data) if signed(data.len() as u64) == size && crc.is_none_or(|crc| crc == crc32fast::hash(&data)) => {
            Ok(Content::memory(id, Bytes::from(data)))
        }
        Some(data) if signed(data.len() as u64) == size => Err(StoreError::Corrupt(format!("the content of message {message}: {DAMAGED}"))),
        Some(_) => Err(StoreError::Corrupt(format!("the content of message {message} does not have its recorded size"))),
        None => {
            let path = directory.join(id.to_string());
            let size = u64::try_from(size).unwrap_or(0);
            let front = read_front(&path, size).map_err(|error| StoreError::of_content_file(message, error))?;
            Ok(Content::in_file(id, (size, crc), front, path))
        }
    }
}

fn read_front(path: &PathBuf, size: u64) -> std::io::Result<Bytes> {
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
pub(crate) fn has_any(db: &Connection, messages: &[NewMessage]) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM message WHERE id = ?1 UNION ALL SELECT 1 FROM content WHERE id = ?2 LIMIT 1";
    let mut statement = db.prepare_cached(sql)?;
    for new in messages {
        if statement.exists([new.message.id.0, new.content.id.0])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the highest id of a message or a content; 0 if there is none.
pub(crate) fn highest_id(db: &Connection) -> Result<QueueId, StoreError> {
    let highest = "SELECT max(coalesce((SELECT max(id) FROM message), 0), coalesce((SELECT max(id) FROM content), 0))";
    Ok(QueueId(db.query_row(highest, [], |row| row.get(0))?))
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
