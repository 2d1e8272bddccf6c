//! What can go wrong with durable state.
//!
//! Invariant: an error means that nothing of the failed batch is on disk as far as anyone was told.

use rusqlite::ErrorCode;

/// An error of the store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full (452 4.3.1 to a client).
    #[error("the disk that holds the queue is full")]
    Full,
    /// The disk failed or is read-only (451 4.3.0 to a client).
    #[error("the queue's disk failed: {0}")]
    Io(String),
    /// A record or the database does not make sense.
    #[error("the queue holds something unreadable: {0}")]
    Corrupt(String),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// What was to be added is there already.
    #[error("{0}")]
    Exists(String),
    /// The store is shutting down.
    #[error("the store is shutting down")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(e: rusqlite::Error) -> Self {
        match e.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(e.to_string()),
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
