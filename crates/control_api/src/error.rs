//! Errors of the API, as RFC 9457 problems.
//!
//! Invariant: an error says what failed and, if there is one, the remedy.

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use directory::Problem;
use mail::Reply;
use mta::DirectoryError;
use store::StoreError;

use crate::api::Failure;

/// The media type of error responses (RFC 9457 s.6.1).
pub(crate) const PROBLEM: &str = "application/problem+json";

/// An error response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// What failed, and why.
    pub error: String,
    /// The remedy.
    pub hint: Option<String>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), hint: None }
    }

    /// The request is invalid.
    pub(crate) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// The request contradicts the present state.
    pub(crate) fn conflict(error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }

    /// The object does not exist.
    pub(crate) fn missing(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// The server failed.
    pub(crate) fn internal(error: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Converts an SMTP reply.
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

    /// Converts a problem of the directory, without the path of a cycle.
    pub(crate) fn of_problem(problem: &Problem) -> Self {
        let error = problem.to_string();
        match problem {
            Problem::Cycle { .. } => Self::conflict(error).hint("change one of them to lead to a mailbox elsewhere"),
            Problem::TooDeep { .. } => Self::conflict(error).hint("change the alias to lead to the final mailbox directly"),
            Problem::TooMany { .. } => Self::conflict(error).hint("use a mailing list manager for this number of addresses"),
            Problem::NotHosted { alias } => {
                Self::conflict(error).hint(format!("add the domain first: waypost domain add {}", alias.domain()))
            }
            Problem::Dangling { target, .. } => {
                Self::conflict(error).hint(format!("add that alias first: waypost alias add {target} TARGET"))
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
                Self::new(StatusCode::INSUFFICIENT_STORAGE, text).hint("free space on the disk of the data directory, then try again")
            }
            StoreError::Unavailable(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
                .hint("check that the database server runs and can be reached; nothing acknowledged is lost"),
            StoreError::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, text).hint("try again after the server has restarted"),
            StoreError::Settings(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, text),
            StoreError::Refused(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
                .hint("the log of the database server says more; nothing acknowledged is lost"),
            StoreError::Io(_)
            | StoreError::Corrupt(_)
            | StoreError::InUse(_)
            | StoreError::Newer { .. }
            | StoreError::DatabaseLost { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, text).hint("first check the disk and the kernel log (dmesg)")
            }
        }
    }
}

impl From<DirectoryError> for ApiError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Store(error) => error.into(),
            DirectoryError::File(text) => {
                Self::conflict(text).hint("correct the virtual file or its path; until then the old aliases stay in effect")
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::error!(error = self.error, "request to the API failed");
        }
        let failure = Failure {
            kind: "about:blank".into(),
            title: self.status.canonical_reason().unwrap_or("Error").into(),
            status: self.status.as_u16(),
            detail: self.error,
            hint: self.hint,
        };
        let mut response = (self.status, Json(failure)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        response
    }
}
