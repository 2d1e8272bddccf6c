//! The file of the history: its tables, how it is opened, and what happens to one that cannot be read.
//!
//! Invariant: a file that is damaged, or not a history, is never written to; it is moved aside as a whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::HistoryError;

/// The file name in the data directory.
pub(crate) const FILE: &str = "history.db";

/// Marks the file as a history: "WpHi".
const APPLICATION_ID: i32 = 0x5770_4869;

/// Version of the tables below.
const VERSION: i32 = 1;

/// Pages of the write-ahead log that are moved into the database at once.
const CHECKPOINT_PAGES: i64 = 4096;

/// Memory for pages of the connection that writes, in KiB: a full batch with its index, so that none of its pages is written twice. It is given back
/// when the server is quiet.
const WRITER_CACHE_KIB: i64 = 8192;

/// Segments of the index that are merged at once: fewer merges while mail comes, a little more to read for each query.
const INDEX_MERGE: u32 = 8;

/// Memory for pages of a connection that reads, in KiB.
const READER_CACHE_KIB: i64 = 4096;

/// Maximum wait for another connection. Only the checkpoint and the recovery of the log block.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The punctuation of ASCII: part of a token (tokens.rs).
const TOKEN_CHARACTERS: &str = "!\"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~";

const TABLES: &str = "
CREATE TABLE part (                      -- events are in parts by time: a part is dropped as a whole
    n INTEGER PRIMARY KEY,
    first_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL
);
CREATE TABLE kind_name (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE fact_name (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE total (
    hour INTEGER NOT NULL,               -- hours since 1970
    kind INTEGER NOT NULL,
    flow TEXT NOT NULL,                  -- '' if the event has none
    n INTEGER NOT NULL,
    PRIMARY KEY (hour, kind, flow)
) WITHOUT ROWID;
CREATE TABLE alias_use (
    alias TEXT PRIMARY KEY,              -- in lower case
    first_ms INTEGER NOT NULL,
    first_from TEXT NOT NULL,
    last_ms INTEGER NOT NULL,
    last_from TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE alias_day (
    alias TEXT NOT NULL,
    day INTEGER NOT NULL,                -- days since 1970
    accepted INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    PRIMARY KEY (alias, day)
) WITHOUT ROWID;
";

/// Opens the connection that writes; makes the file if there is none.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, HistoryError> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    let is_new = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? == 0;
    if is_new {
        db.pragma_update(None, "page_size", 4096)?;
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    } else {
        check(&db)?;
    }
    db.pragma_update(None, "journal_mode", "WAL")?;
    // A crash of the machine may lose the last seconds, which the history is allowed to.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    db.pragma_update(None, "journal_size_limit", CHECKPOINT_PAGES * 4096)?;
    db.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // A sandboxed server has no directory for temporary files.
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.set_prepared_statement_cache_capacity(32);
    if is_new {
        db.execute_batch(&format!("BEGIN; {TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"))?;
    }
    Ok(db)
}

/// Opens a connection that only reads; `None` if there is no file.
pub(crate) fn open_reader(path: &Path) -> Result<Option<Connection>, HistoryError> {
    if !path.try_exists()? {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "query_only", true)?;
    db.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    check(&db)?;
    Ok(Some(db))
}

/// Copies the history of a data directory to a file that does not exist yet, beside a running server. Returns whether there is one.
///
/// # Errors
/// The history is damaged, or the disk fails.
pub fn copy_history(data: &Path, to: &Path) -> Result<bool, HistoryError> {
    let Some(db) = open_reader(&data.join(FILE))? else { return Ok(false) };
    db.pragma_update(None, "query_only", false)?;
    db.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
    fs::File::open(to)?.sync_all()?;
    Ok(true)
}

/// Refuses a database of something else, or of a later version.
fn check(db: &Connection) -> Result<(), HistoryError> {
    let number = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    if number("application_id")? != APPLICATION_ID || number("user_version")? != VERSION {
        return Err(HistoryError::Foreign);
    }
    Ok(())
}

/// Makes the tables of a part.
pub(crate) fn create_part(db: &Connection, n: i64) -> rusqlite::Result<()> {
    let characters = TOKEN_CHARACTERS.replace('"', "\"\"");
    db.execute_batch(&format!(
        "CREATE TABLE event_{n} (
             id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind INTEGER NOT NULL, queue_id INTEGER, message_id TEXT, sender TEXT, recipients TEXT,
             target TEXT, client TEXT, host TEXT, login TEXT, reply TEXT, reason TEXT, facts BLOB
         );
         CREATE VIRTUAL TABLE clue_{n} USING fts5 (
             tokens, content = '', detail = none, columnsize = 0, tokenize = \"ascii tokenchars '{characters}'\"
         );
         INSERT INTO clue_{n} (clue_{n}, rank) VALUES ('automerge', {INDEX_MERGE});"
    ))
}

/// Drops the tables of a part.
pub(crate) fn drop_part(db: &Connection, n: i64) -> rusqlite::Result<()> {
    let transaction = db.unchecked_transaction()?;
    transaction.execute_batch(&format!("DROP TABLE clue_{n}; DROP TABLE event_{n}; DELETE FROM part WHERE n = {n};"))?;
    transaction.commit()
}

/// Moves the file aside, with its log. Returns the new path.
pub(crate) fn move_aside(path: &Path, now_ms: i64) -> std::io::Result<PathBuf> {
    let named = |path: &Path, more: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(more);
        PathBuf::from(name)
    };
    let aside = named(path, &format!(".damaged-{}", now_ms / 1000));
    fs::rename(path, &aside)?;
    for more in ["-wal", "-shm"] {
        match fs::rename(named(path, more), named(&aside, more)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_opens_again_and_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        assert!(open_reader(&path).unwrap().is_none());
        let db = open_writer(&path).unwrap();
        create_part(&db, 1).unwrap();
        assert!(open_reader(&path).unwrap().is_some());
        drop(db);
        open_writer(&path).unwrap();

        let foreign = dir.path().join("foreign.db");
        Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE cake (x); INSERT INTO cake VALUES (1)").unwrap();
        assert!(open_writer(&foreign).unwrap_err().is_damage());
        assert!(open_reader(&foreign).unwrap_err().is_damage());
        let later = dir.path().join("later.db");
        open_writer(&later).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
        assert!(matches!(open_writer(&later), Err(HistoryError::Foreign)));
        fs::write(&path, b"not a database at all, but long enough to look like one to a hasty reader").unwrap();
        let _ = fs::remove_file(dir.path().join("history.db-wal"));
        assert!(open_writer(&path).unwrap_err().is_damage());
        let aside = move_aside(&path, 1_700_000_000_123).unwrap();
        assert!(aside.ends_with("history.db.damaged-1700000000") && !path.exists());
    }
}
