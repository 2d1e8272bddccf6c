//! Verifies the queue in PostgreSQL, row by row, while nodes run.
//!
//! Invariant: all is read in one transaction, so what the nodes change meanwhile is no finding; nothing is changed.

use mail::QueueId;

use crate::content::DAMAGED;
use crate::engine::{Sql, values};
use crate::error::StoreError;
use crate::postgres::LoneSession;
use crate::verify::{Damage, LOOSE, Verified};

/// Contents whose rows are listed in one step.
const STEP_ROWS: i64 = 1000;

/// Reads the whole queue of a PostgreSQL, and compares each content with its size and CRC-32.
///
/// # Errors
/// The database cannot be read at all.
pub async fn verify_postgres(url: String, password: Option<String>) -> Result<Verified, StoreError> {
    tokio::task::spawn_blocking(move || {
        let lone = LoneSession::open(&url, password.as_deref())?;
        lone.sql().control("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        verify(lone.sql())
    })
    .await
    .map_err(|_| StoreError::Closed)?
}

fn verify(db: &dyn Sql) -> Result<Verified, StoreError> {
    let count = |table: &str| db.one::<i64>(&format!("SELECT count(*) FROM {table}"), &[]).map(i64::unsigned_abs);
    let mut verified = Verified { messages: count("message")?, recipients: count("recipient")?, ..Verified::default() };
    for (what, sql) in LOOSE {
        let ids = db.rows(sql, &[], |row| row.get::<i64>(0))?;
        verified.damage.extend(ids.into_iter().map(|id| Damage { id: QueueId(id).to_string(), what: what.to_owned() }));
    }
    let mut after = i64::MIN;
    loop {
        let ids = db.rows("SELECT id FROM content WHERE id > ? ORDER BY id LIMIT ?", values![after, STEP_ROWS], |row| row.get::<i64>(0))?;
        let Some(last) = ids.last() else { break };
        after = *last;
        for id in ids {
            let fault = check(db, id, &mut verified)?;
            verified.damage.extend(fault.map(|what| Damage { id: QueueId(id).to_string(), what }));
        }
    }
    verified.damage.sort();
    Ok(verified)
}

/// Compares a content with its row; returns what is wrong.
fn check(db: &dyn Sql, id: i64, verified: &mut Verified) -> Result<Option<String>, StoreError> {
    let row = db.row("SELECT size_bytes, crc32, data FROM content WHERE id = ?", values![id], |row| {
        Ok((row.get::<i64>(0)?.unsigned_abs(), row.get::<Option<u32>>(1)?, row.get::<Option<Vec<u8>>>(2)?))
    })?;
    let Some((expected, expected_crc, data)) = row else { return Ok(None) };
    let (mut crc, mut size) = (crc32fast::Hasher::new(), 0);
    match data {
        Some(octets) => {
            verified.contents_in_rows += 1;
            crc.update(&octets);
            size = octets.len() as u64;
        }
        None => {
            verified.contents_in_files += 1;
            for k in 0_i64.. {
                let sql = "SELECT data FROM content_piece WHERE content_id = ? AND k = ?";
                let Some(octets) = db.row(sql, values![id, k], |row| row.get::<Vec<u8>>(0))? else { break };
                crc.update(&octets);
                size += octets.len() as u64;
            }
        }
    }
    verified.without_crc += u64::from(expected_crc.is_none());
    Ok(match () {
        () if size != expected => Some(format!("its content has {size} octets instead of {expected}")),
        () if expected_crc.is_some_and(|expected| expected != crc.finalize()) => Some(format!("its content is damaged: {DAMAGED}")),
        () => {
            verified.content_bytes += size;
            None
        }
    })
}
