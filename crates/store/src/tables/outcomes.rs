//! Failures without a DSN, held mail, and the senders of SRS tokens.
//!
//! Invariant: each table is bounded, by number or by age, and losing a row never loses queued mail.

use mail::{Mailbox, QueueId};

use crate::engine::{Row, Sql, values};
use crate::error::StoreError;
use crate::message::{FailedDelivery, ListFilter, NoticeMark, Unnoticed};
use crate::recipient_state::{IS_HELD, RecipientState};

/// Maximum failures kept; the oldest go first.
const FAILED_MAX: i64 = 10_000;

/// Stores a failure.
pub(crate) fn insert_failed(db: &dyn Sql, failed: &FailedDelivery) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO failed (message_id, at_ms, reverse_path, known_as, mailbox, status, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
        values![failed.message.0, failed.at_ms, failed.from, failed.to, failed.target, failed.status, failed.reason],
    )?;
    db.execute("DELETE FROM failed WHERE n <= (SELECT max(n) FROM failed) - ?", values![FAILED_MAX])?;
    Ok(())
}

/// Returns the failures before this number, or all, with their numbers; the newest first.
pub(crate) fn list_failed(db: &dyn Sql, before: Option<i64>, limit: u32) -> Result<Vec<(i64, FailedDelivery)>, StoreError> {
    let sql =
        "SELECT n, message_id, at_ms, reverse_path, known_as, mailbox, status, reason FROM failed WHERE n < ? ORDER BY n DESC LIMIT ?";
    db.rows(sql, values![before.unwrap_or(i64::MAX), limit], |row| {
        let failed = FailedDelivery {
            message: QueueId(row.get("message_id")?),
            at_ms: row.get("at_ms")?,
            from: row.get("reverse_path")?,
            to: row.get("known_as")?,
            target: row.get("mailbox")?,
            status: row.get("status")?,
            reason: row.get("reason")?,
        };
        Ok((row.get("n")?, failed))
    })
}

/// Returns the failures and held messages since the last notice, at most `limit` of each, and their numbers.
pub(crate) fn unnoticed(db: &dyn Sql, limit: u32) -> Result<Unnoticed, StoreError> {
    let missing = || StoreError::Corrupt("the table notice has no row".into());
    let (failed_n, held_id, at_ms) = db
        .row("SELECT failed_n, held_id, at_ms FROM notice", &[], |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get(2)?)))?
        .ok_or_else(missing)?;
    let counts = |row: &dyn Row| Ok((row.get::<i64>(0)?, row.get::<Option<i64>>(1)?));
    let (failed_count, last_failed) =
        db.row("SELECT count(*), max(n) FROM failed WHERE n > ?", values![failed_n], counts)?.unwrap_or_default();
    let held = format!("SELECT count(DISTINCT message_id), max(message_id) FROM recipient WHERE {IS_HELD} AND message_id > ?");
    let (held_count, last_held) = db.row(&held, values![held_id], counts)?.unwrap_or_default();
    let failed_limit = limit.min(u32::try_from(failed_count).unwrap_or(u32::MAX));
    let filter = ListFilter { after: Some(QueueId(held_id)), limit, held: Some(true), ..ListFilter::default() };
    Ok(Unnoticed {
        last_told_ms: at_ms,
        failed_count: u64::try_from(failed_count).unwrap_or(0),
        failed: list_failed(db, None, failed_limit)?.into_iter().map(|(_, failed)| failed).collect(),
        held_count: u64::try_from(held_count).unwrap_or(0),
        held: super::list(db, &filter)?.messages,
        up_to: NoticeMark { failed_n: last_failed.unwrap_or(failed_n), held: last_held.unwrap_or(held_id) },
    })
}

/// Stores the last failure and held message of a notice.
pub(crate) fn set_noticed(db: &dyn Sql, up_to: NoticeMark, now_ms: i64) -> Result<(), StoreError> {
    db.execute("UPDATE notice SET failed_n = ?, held_id = ?, at_ms = ?", values![up_to.failed_n, up_to.held, now_ms])?;
    Ok(())
}

/// Releases a held message: it is due now, and given up at `expires_ms` at the earliest.
pub(crate) fn release(db: &dyn Sql, id: QueueId, now_ms: i64, expires_ms: i64) -> Result<(), StoreError> {
    let released = db.execute(
        &format!("UPDATE recipient SET state = ?, next_attempt_ms = ?, reason = NULL WHERE message_id = ? AND {IS_HELD}"),
        values![RecipientState::Waiting, now_ms, id.0],
    )?;
    if released == 0 {
        return Err(StoreError::NotFound(format!("no message {id} is held; `waypost held list` shows what is")));
    }
    db.execute("UPDATE message SET expires_ms = ?1 WHERE id = ?2 AND expires_ms < ?1", values![expires_ms, id.0])?;
    Ok(())
}

/// Maximum held messages that one step removes.
const EXPIRED_AT_ONCE: u32 = 500;

/// Removes expired held messages, at most [`EXPIRED_AT_ONCE`]. Returns their number, and the content files that no message names any more.
pub(crate) fn expire_held(db: &dyn Sql, now_ms: i64) -> Result<(u64, Vec<QueueId>), StoreError> {
    let sql = format!("SELECT DISTINCT message_id FROM recipient WHERE {IS_HELD} AND next_attempt_ms <= ? LIMIT ?");
    let due: Vec<QueueId> = db.rows(&sql, values![now_ms, EXPIRED_AT_ONCE], |row| row.get(0).map(QueueId))?;
    let mut files = Vec::new();
    for id in &due {
        files.extend(super::drop_message(db, *id, None)?);
    }
    Ok((due.len() as u64, files))
}

/// Stores the sender of a token.
pub(crate) fn insert_srs_sender(db: &dyn Sql, token: &str, sender: &str, now_ms: i64) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO srs_sender (token, sender, made_ms) VALUES (?, ?, ?) ON CONFLICT (token) DO UPDATE SET made_ms = excluded.made_ms",
        values![token, sender, now_ms],
    )?;
    db.execute("DELETE FROM srs_sender WHERE made_ms < ?", values![now_ms - (mail::srs::VALID_DAYS + 2) * 86_400_000])?;
    Ok(())
}

/// Returns the sender of a token, ignoring case, which hosts on the way may change.
pub(crate) fn srs_sender(db: &dyn Sql, token: &str) -> Result<Option<Mailbox>, StoreError> {
    let read = |row: &dyn Row| row.get::<String>(0);
    let mut found = db.row("SELECT sender FROM srs_sender WHERE token = ?", values![token], read)?;
    if found.is_none() {
        // Tokens of earlier versions were in base64. This reads the whole table, which covers three weeks; only a return address with our
        // signature gets here.
        found = db.row("SELECT sender FROM srs_sender WHERE lower(token) = lower(?)", values![token], read)?;
    }
    Ok(found.and_then(|sender| Mailbox::parse(&sender).ok()))
}
