//! Copies of a whole store: from one engine to another, and from PostgreSQL into a backup.
//!
//! Invariant: no server uses either side of a copy that goes on with the mail; a PostgreSQL that is backed up may be in use, since it is read in one transaction.

use std::path::{Path, PathBuf};

use crate::data_dir::DataDir;
use crate::error::StoreError;
use crate::handle::Store;
use crate::postgres::LoneSession;
use crate::sqlite;
use crate::transfer::{Copied, Side, refuse_live, transfer};

/// Where a store is.
#[derive(Clone)]
pub enum Place {
    /// A data directory with SQLite.
    Data(PathBuf),
    /// A PostgreSQL.
    Postgres {
        /// The address.
        url: String,
        /// The password, if the address has none.
        password: Option<String>,
    },
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Data(path) => write!(f, "{}", path.display()),
            // The address may have a password.
            Self::Postgres { .. } => f.write_str("a PostgreSQL"),
        }
    }
}

/// Copies everything from one store to another, which must be empty, and compares the copy row by row. Claimed mail is due at `now_ms` in the copy.
///
/// # Errors
/// A store cannot be opened, the target is not empty, or the copy differs.
pub async fn copy_store(from: &Place, to: &Place, now_ms: i64) -> Result<Copied, StoreError> {
    // Holds the lock of a source in a directory, and has its journal in the database.
    let _source = match from {
        Place::Data(data) => {
            let store = Store::open(data)?;
            store.move_journal().await?;
            Some(store)
        }
        Place::Postgres { .. } => None,
    };
    let (from, to) = (from.clone(), to.clone());
    tokio::task::spawn_blocking(move || match to {
        Place::Data(data) => {
            let directory = DataDir::take(&data)?;
            let db = sqlite::open_writer(&data)?;
            directory.mark()?;
            read_from(&from, &Side { db: &db, content: Some(&directory.content) }, now_ms, Nodes::Stopped)
        }
        Place::Postgres { url, password } => {
            let lone = LoneSession::open(&url, password.as_deref())?;
            refuse_live(lone.sql(), "target")?;
            read_from(&from, &Side { db: lone.sql(), content: None }, now_ms, Nodes::Stopped)
        }
    })
    .await
    .map_err(|_| StoreError::Closed)?
}

/// Copies a PostgreSQL into a new database of SQLite for a backup, with its large contents in a directory, which may have some of them already.
///
/// # Errors
/// As [`copy_store`].
pub async fn copy_for_backup(
    url: String,
    password: Option<String>,
    database: PathBuf,
    content: PathBuf,
    now_ms: i64,
) -> Result<Copied, StoreError> {
    tokio::task::spawn_blocking(move || {
        let db = sqlite::open_writer_of(&database)?;
        let copied = read_from(&Place::Postgres { url, password }, &Side { db: &db, content: Some(&content) }, now_ms, Nodes::MayRun)?;
        // A backup is one file.
        db.pragma_update(None, "journal_mode", "DELETE")?;
        Ok(copied)
    })
    .await
    .map_err(|_| StoreError::Closed)?
}

/// Whether nodes of a PostgreSQL may run while it is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nodes {
    /// For a backup.
    MayRun,
    /// For another store to go on with what waits.
    Stopped,
}

/// Reads the source in one transaction.
fn read_from(from: &Place, to: &Side<'_>, now_ms: i64, nodes: Nodes) -> Result<Copied, StoreError> {
    match from {
        Place::Data(data) => {
            let db = sqlite::open_reader(data)?;
            db.execute_batch("BEGIN")?;
            transfer(&Side { db: &db, content: Some(&content_of(data)) }, to, now_ms)
        }
        Place::Postgres { url, password } => {
            let lone = LoneSession::open(url, password.as_deref())?;
            lone.sql().control("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
            if nodes == Nodes::Stopped {
                refuse_live(lone.sql(), "source")?;
            }
            transfer(&Side { db: lone.sql(), content: None }, to, now_ms)
        }
    }
}

fn content_of(data: &Path) -> PathBuf {
    data.join("content")
}
