//! The table of small values that every node of a cluster needs: secrets, certificates, tokens.
//!
//! Invariant: a name is in one row at most.

use crate::engine::{Sql, values};
use crate::error::StoreError;

/// Stores a value, in place of the one before it.
pub(crate) fn put_shared(db: &dyn Sql, name: &str, value: &[u8], now_ms: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO shared (name, value, changed_ms) VALUES (?, ?, ?) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_ms = excluded.changed_ms";
    db.execute(sql, values![name, value, now_ms]).map(drop)
}

/// Stores a value unless the name has one; returns the number of rows stored.
pub(crate) fn offer_shared(db: &dyn Sql, name: &str, value: &[u8], now_ms: i64) -> Result<u64, StoreError> {
    let sql = "INSERT INTO shared (name, value, changed_ms) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING";
    let stored = db.execute(sql, values![name, value, now_ms])?;
    Ok(u64::try_from(stored).unwrap_or(u64::MAX))
}

/// Removes a value.
pub(crate) fn remove_shared(db: &dyn Sql, name: &str) -> Result<u64, StoreError> {
    let removed = db.execute("DELETE FROM shared WHERE name = ?", values![name])?;
    Ok(u64::try_from(removed).unwrap_or(u64::MAX))
}

/// Returns the values whose names begin with `prefix` and that were stored since then, Unix milliseconds, by name.
pub(crate) fn shared_list(db: &dyn Sql, prefix: &str, since_ms: i64) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let sql = "SELECT name, value FROM shared WHERE substr(name, 1, CAST(? AS integer)) = ? AND changed_ms >= ? ORDER BY name";
    let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
    db.rows(sql, values![length, prefix, since_ms], |row| Ok((row.get("name")?, row.get("value")?)))
}

/// Returns a value.
pub(crate) fn shared(db: &dyn Sql, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    db.row("SELECT value FROM shared WHERE name = ?", values![name], |row| row.get(0))
}
