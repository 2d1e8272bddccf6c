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

/// Stores a value if there is none. Returns the number of rows that were added.
pub(crate) fn offer_shared(db: &dyn Sql, name: &str, value: &[u8], now_ms: i64) -> Result<u64, StoreError> {
    let sql = "INSERT INTO shared (name, value, changed_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
    db.execute(sql, values![name, value, now_ms]).map(|rows| rows as u64)
}

/// Returns a value.
pub(crate) fn shared(db: &dyn Sql, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    db.row("SELECT value FROM shared WHERE name = ?", values![name], |row| row.get(0))
}
