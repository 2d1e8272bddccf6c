//! What outlives a delivery: the list of failures that nobody was told of, mail that is held, and the senders that a token
//! stands for.
//!
//! Invariant: each of them is bounded, by number or by age, and losing one of them never loses mail that waits.

use mail::{Mailbox, QueueId};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::StoreError;
use crate::message::{FailedDelivery, ListFilter, Unnoticed};
use crate::recipient_state::{IS_HELD, RecipientState};

/// So many failures are remembered; the oldest go first.
const FAILED_MAX: i64 = 10_000;

/// Remembers a failure.
pub(crate) fn insert_failed(db: &Connection, failed: &FailedDelivery) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO failed (message_id, at_ms, reverse_path, known_as, mailbox, status, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![failed.message.0, failed.at_ms, failed.from, failed.to, failed.target, failed.status, failed.reason])?;
    db.prepare_cached("DELETE FROM failed WHERE n <= (SELECT max(n) FROM failed) - ?")?.execute([FAILED_MAX])?;
    Ok(())
}

/// The failures, the newest first.
pub(crate) fn list_failed(db: &Connection, limit: u32) -> Result<Vec<FailedDelivery>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT message_id, at_ms, reverse_path, known_as, mailbox, status, reason FROM failed ORDER BY n DESC LIMIT ?")?;
    let rows = statement.query_map([limit], |row| {
        Ok(FailedDelivery {
            message: QueueId(row.get(0)?),
            at_ms: row.get(1)?,
            from: row.get(2)?,
            to: row.get(3)?,
            target: row.get(4)?,
            status: row.get(5)?,
            reason: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What nobody was told of yet: failures and held messages, at most `limit` of each, and how many there are.
pub(crate) fn unnoticed(db: &Connection, limit: u32) -> Result<Unnoticed, StoreError> {
    let (failed_n, held_id, at_ms): (i64, i64, i64) =
        db.query_row("SELECT failed_n, held_id, at_ms FROM notice", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let (failed_count, last_failed): (i64, Option<i64>) =
        db.query_row("SELECT count(*), max(n) FROM failed WHERE n > ?", [failed_n], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (held_count, last_held): (i64, Option<i64>) = db.query_row(
        &format!("SELECT count(DISTINCT message_id), max(message_id) FROM recipient WHERE {IS_HELD} AND message_id > ?"),
        [held_id],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let failed_limit = limit.min(u32::try_from(failed_count).unwrap_or(u32::MAX));
    let filter = ListFilter { after: Some(QueueId(held_id)), limit, held: Some(true), ..ListFilter::default() };
    Ok(Unnoticed {
        last_told_ms: at_ms,
        failed_count: u64::try_from(failed_count).unwrap_or(0),
        failed: list_failed(db, failed_limit)?,
        held_count: u64::try_from(held_count).unwrap_or(0),
        held: super::list(db, &filter)?.messages,
        up_to: (last_failed.unwrap_or(failed_n), last_held.unwrap_or(held_id)),
    })
}

/// Remembers up to where somebody was told.
pub(crate) fn set_noticed(db: &Connection, up_to: (i64, i64), now_ms: i64) -> Result<(), StoreError> {
    db.execute("UPDATE notice SET failed_n = ?, held_id = ?, at_ms = ?", params![up_to.0, up_to.1, now_ms])?;
    Ok(())
}

/// Lets a held message go: it is due now, and given up at `expires_ms` at the latest. Its prefix is replaced where one is given.
pub(crate) fn release(db: &Connection, id: QueueId, now_ms: i64, expires_ms: i64) -> Result<(), StoreError> {
    let released = db.execute(
        &format!("UPDATE recipient SET state = ?, next_attempt_ms = ?, reason = NULL WHERE message_id = ? AND {IS_HELD}"),
        params![RecipientState::Waiting, now_ms, id.0],
    )?;
    if released == 0 {
        return Err(StoreError::NotFound(format!("no message {id} is held; `waypost held list` shows what is")));
    }
    db.execute("UPDATE message SET expires_ms = max(expires_ms, ?) WHERE id = ?", params![expires_ms, id.0])?;
    Ok(())
}

/// Held messages that one step removes.
const EXPIRED_AT_ONCE: u32 = 500;

/// Removes held messages whose time is up, at most [`EXPIRED_AT_ONCE`]. Returns how many, and the content files that nothing names any more.
pub(crate) fn expire_held(db: &Connection, now_ms: i64) -> Result<(u64, Vec<QueueId>), StoreError> {
    let mut statement =
        db.prepare_cached(&format!("SELECT DISTINCT message_id FROM recipient WHERE {IS_HELD} AND next_attempt_ms <= ? LIMIT ?"))?;
    let due: Vec<QueueId> =
        statement.query_map(params![now_ms, EXPIRED_AT_ONCE], |row| row.get(0).map(QueueId))?.collect::<Result<_, _>>()?;
    let mut files = Vec::new();
    for id in &due {
        files.extend(super::drop_message(db, *id, None)?);
    }
    Ok((due.len() as u64, files))
}

/// Remembers the sender that a token stands for.
pub(crate) fn insert_srs_sender(db: &Connection, token: &str, sender: &str, now_ms: i64) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO srs_sender (token, sender, made_ms) VALUES (?, ?, ?) ON CONFLICT (token) DO UPDATE SET made_ms = excluded.made_ms",
    )?
    .execute(params![token, sender, now_ms])?;
    db.prepare_cached("DELETE FROM srs_sender WHERE made_ms < ?")?.execute([now_ms - (mail::srs::VALID_DAYS + 2) * 86_400_000])?;
    Ok(())
}

/// The sender that a token stands for, whatever its case: hosts on the way may change it.
pub(crate) fn srs_sender(db: &Connection, token: &str) -> Result<Option<Mailbox>, StoreError> {
    let mut found: Option<String> =
        db.prepare_cached("SELECT sender FROM srs_sender WHERE token = ?")?.query_row([token], |row| row.get(0)).optional()?;
    if found.is_none() {
        // Tokens of earlier versions were in base64. This reads the whole table, of three weeks; only an address that we signed leads here.
        found = db
            .prepare_cached("SELECT sender FROM srs_sender WHERE token = ? COLLATE NOCASE")?
            .query_row([token], |row| row.get(0))
            .optional()?;
    }
    Ok(found.and_then(|sender| Mailbox::parse(&sender).ok()))
}
