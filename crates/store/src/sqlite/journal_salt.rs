//! The salt of the journal: which of its batches are not in these tables yet.
//!
//! Invariant: it changes in the transaction that takes over everything the journal has.

use rusqlite::{Connection, OptionalExtension};

use crate::error::StoreError;

/// Returns the salt of the batches that the tables do not have yet.
pub(crate) fn journal_salt(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("SELECT salt FROM journal", [], |row| row.get(0))?)
}

/// Makes all batches with this salt void, and returns the salt of the next ones.
///
/// # Errors
/// [`StoreError::Corrupt`] if the database has another one: it was replaced, and does not belong to the journal.
pub(crate) fn renew_journal_salt(db: &Connection, salt: i64) -> Result<i64, StoreError> {
    let sql = "UPDATE journal SET salt = random() WHERE salt = ? RETURNING salt";
    let renewed = db.prepare_cached(sql)?.query_row([salt], |row| row.get(0)).optional()?;
    renewed.ok_or_else(|| StoreError::Corrupt("the database was replaced while its journal was open".into()))
}
