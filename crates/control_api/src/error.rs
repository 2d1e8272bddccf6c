//! What the API says when it says no.
//!
//! Invariant: an error names what happened and, where there is something to do, what to do next.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::Problem;
use mail::Reply;
use mta::DirectoryError;
use store::StoreError;

use crate::api::Failure;

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// What happened and why.
    pub error: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), hint: None }
    }

    /// What was asked for cannot be understood.
    pub(crate) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// It contradicts what is there.
    pub(crate) fn conflict(error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }

    /// It is not there.
    pub(crate) fn missing(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// A fault of ours.
    pub(crate) fn internal(error: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What SMTP would have said.
    pub(crate) fn of_reply(reply: &Reply) -> Self {
        let code = reply.enhanced.map_or((0, 0), |code| (code.1, code.2));
        let status = match (reply.code, code) {
            (400..500, _) => StatusCode::SERVICE_UNAVAILABLE,
            (552, _) => StatusCode::PAYLOAD_TOO_LARGE,
            (_, (1, 7 | 8) | (7, _)) => StatusCode::FORBIDDEN,
            (_, (1 | 2, _)) => StatusCode::NOT_FOUND,
            (_, (5 | 6, _)) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::CONFLICT,
        };
        let enhanced = reply.enhanced.map(|code| format!(" {code}")).unwrap_or_default();
        Self::new(status, format!("{}{enhanced} {}", reply.code, reply.text()))
    }

    /// A problem of the directory, without the path of a cycle.
    pub(crate) fn of_problem(problem: &Problem) -> Self {
        let error = problem.to_string();
        match problem {
            Problem::Cycle { .. } => Self::conflict(error).hint("let one of them lead to a mailbox elsewhere"),
            Problem::TooDeep { .. } => Self::conflict(error).hint("let the alias lead to the final mailbox directly"),
            Problem::TooMany { .. } => Self::conflict(error).hint("a mailing list manager serves so many addresses better"),
            Problem::NotHosted { alias } => Self::conflict(error).hint(format!("host it first: waypost domain add {}", alias.domain())),
            Problem::Dangling { target, .. } => {
                Self::conflict(error).hint(format!("add that one first: waypost alias add {target} TARGET"))
            }
            Problem::Duplicate { .. } | Problem::DisabledTarget { .. } => Self::conflict(error),
            Problem::NoTarget { .. } | Problem::MisplacedDomain { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::NotFound(_) => Self::missing(text),
            StoreError::Exists(_) | StoreError::Conflict(_) => Self::conflict(text),
            StoreError::Full => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, text).hint("free some space on the disk of the data directory and try again")
            }
            StoreError::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, text).hint("try again when the server has started again"),
            StoreError::Io(_) | StoreError::Corrupt(_) | StoreError::InUse(_) | StoreError::DatabaseLost { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
                    .hint("look at the disk and the system's log (dmesg) before anything else")
            }
        }
    }
}

impl From<DirectoryError> for ApiError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Store(error) => error.into(),
            DirectoryError::File(text) => {
                Self::conflict(text).hint("mend the virtual file or its path; the aliases before it stay in force")
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::error!(error = self.error, "a request to the admin socket failed");
        }
        (self.status, Json(Failure { error: self.error, hint: self.hint })).into_response()
    }
}
