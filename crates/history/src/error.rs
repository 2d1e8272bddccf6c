//! Errors of the history.
//!
//! Invariant: no error of the history stops or delays mail.

use rusqlite::ErrorCode;

/// Why the history cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// SQLite failed.
    #[error("the history cannot be used: {0}")]
    Database(#[from] rusqlite::Error),
    /// It is a database of something else, or of a later version.
    #[error("the file is not a history of this version")]
    Foreign,
    /// A reader found damage.
    #[error("the file is damaged")]
    FoundDamaged,
    /// The file or its directory cannot be used.
    #[error("the history cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// The query's thread ended before it answered.
    #[error("the query was cut off; try again")]
    Interrupted,
}

impl HistoryError {
    /// Whether the file cannot be used again: it is moved aside, and a new one begins.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Foreign | Self::FoundDamaged => true,
            Self::Database(error) => error.sqlite_error_code().is_some_and(is_damage),
            Self::Io(_) | Self::Interrupted => false,
        }
    }
}

fn is_damage(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
}
