//! Errors of the store.
//!
//! Invariant: an error means that nothing of the failed batch was acknowledged.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Free space below which SQLite cannot open a database, whatever error it returns, in octets.
const ROOM_TO_OPEN_BYTES: u64 = 256 * 1024;

/// An error of the store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full (452 4.3.1 to a client).
    #[error("the disk that holds the queue is full")]
    Full,
    /// The disk failed or is read-only (451 4.3.0 to a client).
    #[error("the queue's disk failed: {0}")]
    Io(String),
    /// The database server refuses an operation, which says nothing of its disk.
    #[error("the database refuses an operation: {0}")]
    Refused(String),
    /// A record or the database is unreadable.
    #[error("a record or the content of the queue is unreadable: {0}")]
    Corrupt(String),
    /// A newer version of Waypost has written the database.
    #[error("the database was written by a newer Waypost (schema {found}); this version supports schema {known}")]
    Newer {
        /// The schema of the database.
        found: usize,
        /// The newest schema of this version.
        known: usize,
    },
    /// The database server cannot be reached, refuses us, or did not answer: what it was asked to do may be done or not.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The settings of the store or of its server do not do.
    #[error("{0}")]
    Settings(String),
    /// The requested record does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The record to add exists already.
    #[error("{0}")]
    Exists(String),
    /// A record with this key exists already; neither that record nor the other operations of the batch are affected.
    #[error("the record exists already: {0}")]
    Conflict(String),
    /// Another process has the data directory open.
    #[error("another waypost process has {} open", .0.display())]
    InUse(PathBuf),
    /// The database is missing or empty, but other state of it exists.
    #[error("{} is missing or empty, and {evidence}", .database.display())]
    DatabaseLost {
        /// The database.
        database: PathBuf,
        /// What shows that there was a database.
        evidence: String,
    },
    /// The store is shutting down.
    #[error("the store is shutting down")]
    Closed,
}

impl StoreError {
    /// Returns what the operator can do about a data directory that cannot be opened; `None` if the error says it.
    pub fn remedy(&self, data: &Path) -> Option<String> {
        let data = data.display();
        Some(match self {
            Self::Full => format!("free some space on the disk that holds {data}, then try again; nothing acknowledged is lost"),
            Self::Io(_) => {
                format!("check that the disk works (dmesg), and that {data} and everything in it belong to the user of the server")
            }
            Self::Corrupt(_) => format!(
                "keep a copy of {data}; restore waypost.db from a backup, or repair it: sqlite3 waypost.db .recover | sqlite3 new.db, then put new.db in its place"
            ),
            Self::InUse(_) => "stop the other one first (systemctl stop waypost): only one server can run on a data directory".to_owned(),
            Self::DatabaseLost { .. } => format!(
                "restore waypost.db from a backup, and waypost.db-wal with it if there is one; to start over without the mail, accounts and keys \
                 that were in it, move the directory away: mv {data} {data}.old"
            ),
            Self::Newer { .. } => format!(
                "use the newer version again; to go back for good, restore the backup that was made before the upgrade into an empty directory, and keep \
                 {data} until its mail is delivered (docs/upgrade.md)"
            ),
            Self::Unavailable(_) | Self::Refused(_) => return self.shared_remedy(),
            Self::Settings(_) | Self::NotFound(_) | Self::Exists(_) | Self::Conflict(_) | Self::Closed => return None,
        })
    }

    /// Returns what the operator can do about a PostgreSQL; `None` if the error says it.
    pub fn shared_remedy(&self) -> Option<String> {
        let text = match self {
            Self::Full => "free some space on the disks of the database server, for its tables and its log; nothing acknowledged is lost",
            Self::Newer { .. } => {
                "do this with the newer version: an older one serves a schema that is newer by one step, and makes no copy of it \
                 (docs/upgrade.md)"
            }
            Self::Unavailable(_) => {
                "check the address (store.url), that the database server runs and accepts this user (psql with the same address), and that it is no standby"
            }
            Self::Corrupt(_) => {
                "the log of the database server says more; restore the database from its backup, or from one of `waypost backup`"
            }
            Self::Refused(_) => {
                "check that the role owns the database, that no other program uses it, and that a pooler in between pools sessions; the log of the \
                 database server says more"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// Returns the error of a content file: a missing or changed one is damaged; any other error may be temporary (no descriptors, a read error), so the
    /// message waits.
    pub(crate) fn of_content_file(message: mail::QueueId, error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::Other => {
                Self::Corrupt(format!("the content file of message {message}: {error}"))
            }
            _ => error.into(),
        }
    }

    /// Turns an I/O error on a full disk into [`StoreError::Full`]: SQLite says "disk I/O error" if it has no room for its shared memory.
    pub(crate) fn or_full(self, data: &Path) -> Self {
        let has_no_room = || nix::sys::statvfs::statvfs(data).is_ok_and(|s| s.blocks_available() * s.fragment_size() < ROOM_TO_OPEN_BYTES);
        if matches!(self, Self::Io(_)) && has_no_room() { Self::Full } else { self }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(e: rusqlite::Error) -> Self {
        match e.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(e.to_string()),
            Some(ErrorCode::ConstraintViolation) => Self::Conflict(e.to_string()),
            _ => Self::Io(e.to_string()),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(e: std::io::Error) -> Self {
        match e.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(e.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_or_changed_content_file_is_damage() {
        let of = |error| StoreError::of_content_file(mail::QueueId(1), error);
        assert!(matches!(of(std::io::ErrorKind::NotFound.into()), StoreError::Corrupt(_)));
        assert!(matches!(of(std::io::Error::other("it is of another size")), StoreError::Corrupt(_)));
        for passing in [nix::errno::Errno::EMFILE, nix::errno::Errno::EIO] {
            assert!(matches!(of(passing.into()), StoreError::Io(_)), "{passing}");
        }
    }
}
