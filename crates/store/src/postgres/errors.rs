//! What errors of the database mean for the store.
//!
//! Invariant: an error that says nothing of the transaction's end is [`StoreError::Unavailable`].

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::error::StoreError;

/// Why a server that answers takes no mail.
pub(super) const READ_ONLY: &str = "the database is read-only: it is a standby, or default_transaction_read_only is on";

/// Returns what an error means.
pub(super) fn of_postgres(error: &Error) -> StoreError {
    let Some(said) = error.as_db_error() else {
        let text = with_sources(error);
        let read_only = text.contains("does not allow writes");
        return StoreError::Unavailable(if read_only { format!("{READ_ONLY} ({text})") } else { text });
    };
    let text = match said.detail() {
        Some(detail) => format!("{} ({detail})", said.message()),
        None => said.message().to_owned(),
    };
    match said.code() {
        &SqlState::UNIQUE_VIOLATION => StoreError::Conflict(text),
        &SqlState::DISK_FULL => StoreError::Full,
        &SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::Unavailable(format!("the database is read-only: {text}")),
        &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            StoreError::Unavailable(format!("the database refuses the login: {text}"))
        }
        &SqlState::INSUFFICIENT_PRIVILEGE => StoreError::Unavailable(format!("the database does not let this role do that: {text}")),
        &SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT | &SqlState::PROTOCOL_VIOLATION => StoreError::Unavailable(
            format!("{text}: connections are mixed up, as by a pooler that pools transactions; have it pool sessions"),
        ),
        code if code.code().starts_with("08") || code.code().starts_with("57P") || code.code().starts_with("53") => {
            StoreError::Unavailable(text)
        }
        &SqlState::INVALID_CATALOG_NAME => StoreError::Unavailable(text),
        // A table has changed under a prepared statement; those of a new connection fit.
        &SqlState::FEATURE_NOT_SUPPORTED if said.routine() == Some("RevalidateCachedQuery") => StoreError::Unavailable(text),
        &SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED => StoreError::Corrupt(text),
        code => StoreError::Refused(format!("{text} (SQLSTATE {})", code.code())),
    }
}

/// Whether the transaction lost against another one and can be run again: nothing of it was committed.
pub(super) fn is_collision(error: &Error) -> bool {
    let collisions = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::LOCK_NOT_AVAILABLE];
    error.code().is_some_and(|code| collisions.contains(code))
}

fn with_sources(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}
