//! The SQLite engine: WAL, synchronous=FULL, one connection that writes.
//!
//! Invariant: only [`open_writer`] makes a connection that can change the database.

mod journal_salt;
mod schema;
mod sql;

use std::path::Path;

use rusqlite::Connection;

pub(crate) use journal_salt::{journal_salt, renew_journal_salt};
#[cfg(test)]
pub(crate) use schema::migrate;
pub(crate) use schema::{newest_schema, refuse_newer};

use crate::error::StoreError;

/// The file name of the database in the data directory.
pub(crate) const DATABASE: &str = "waypost.db";

/// Opens the writing connection, and migrates the schema.
pub(crate) fn open_writer(data: &Path) -> Result<Connection, StoreError> {
    open_writer_of(&data.join(DATABASE))
}

/// Opens the writing connection of a file, and migrates the schema.
pub(crate) fn open_writer_of(path: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open(path)?;
    db.pragma_update(None, "page_size", 8192)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // The checkpoint runs beside the writer (writer.rs), so that no commit waits for it.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    db.pragma_update(None, "cache_size", -8192)?;
    db.pragma_update(None, "foreign_keys", false)?;
    // A sandboxed server has no directory for temporary files; what is sorted is small.
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(128);
    schema::migrate(&db)?;
    Ok(db)
}

/// Opens a read-only connection.
pub(crate) fn open_reader(data: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open(data.join(DATABASE))?;
    db.pragma_update(None, "query_only", true)?;
    db.pragma_update(None, "cache_size", -1024)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(db)
}
