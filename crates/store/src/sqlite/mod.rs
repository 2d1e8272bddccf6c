//! The SQLite engine: WAL, synchronous=FULL, one connection that writes.
//!
//! Invariant: every function here runs in a transaction of its caller, so that a batch is on disk as a whole or not at all.

mod accounts;
mod api_token;
mod claim;
mod clock_step;
mod daily;
mod directory;
mod door;
mod journal;
mod list;
mod load;
mod logins;
mod outcomes;
mod queue;
mod reports;
mod schema;

use std::path::Path;

use rusqlite::Connection;

pub use accounts::AccountChange;
pub(crate) use api_token::{api_tokens, change_tokens};
pub use claim::LaneDue;
pub(crate) use claim::{RetryScope, claim, end_of_retry_step, lanes, release_claims, retry};
pub(crate) use clock_step::step_clock;
pub(crate) use daily::{change_daily, count_daily, daily_counts, daily_reports_due};
pub use directory::DirectoryChange;
pub(crate) use directory::{change_directory, load_directory, load_directory_beside_aliases};
pub(crate) use door::{change_door, one_time_link, page_sessions, passkey, passkeys, second_step};
pub(crate) use journal::{journal_salt, renew_journal_salt};
pub(crate) use list::{list, totals};
pub(crate) use load::load;
pub use load::{LaneLoad, QueueLoad};
pub use logins::{KnownRecipient, LoginUse};
pub(crate) use logins::{known_recipients, logins, record_logins, record_recipients};
pub(crate) use outcomes::{expire_held, insert_srs_sender, list_failed, release, set_noticed, srs_sender, unnoticed};
pub(crate) use queue::{drop_message, enqueue, has_any, highest_id, load_content, settle};
pub(crate) use reports::{keep_report, list_reports, report};
#[cfg(test)]
pub(crate) use schema::migrate;
pub(crate) use schema::{newest_schema, refuse_newer};

use crate::error::StoreError;

/// The file name of the database in the data directory.
pub(crate) const DATABASE: &str = "waypost.db";

/// Opens the writing connection, and migrates the schema.
pub(crate) fn open_writer(data: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open(data.join(DATABASE))?;
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
    db.set_prepared_statement_cache_capacity(64);
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
