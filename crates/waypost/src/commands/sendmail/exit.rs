//! Exit codes of sendmail (sysexits.h), which tell its callers what to do with their mail.

use hyper::StatusCode;

/// The command line is invalid.
pub const USAGE: u8 = 64;
/// The message is invalid.
pub const DATA: u8 = 65;
/// A recipient does not exist.
pub const NO_USER: u8 = 67;
/// The message is refused for another reason.
pub const UNAVAILABLE: u8 = 69;
/// The caller should retry later.
pub const TEMPORARY: u8 = 75;
/// The user may not send this.
pub const NO_PERMISSION: u8 = 77;

/// Why a message was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendmailError {
    /// The exit code.
    pub code: u8,
    /// What happened, and why.
    pub what: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl SendmailError {
    /// An error without a hint.
    pub fn new(code: u8, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), hint: None }
    }

    /// A temporary error: the caller keeps the message and retries.
    pub fn later(error: &anyhow::Error) -> Self {
        let text = format!("{error:#}");
        let (what, hint) = text.split_once("\n  hint: ").map_or((text.as_str(), None), |(what, hint)| (what, Some(hint.to_owned())));
        Self { code: TEMPORARY, what: what.to_owned(), hint }
    }

    /// An error answer of the API.
    pub fn from_status(status: StatusCode, what: String, hint: Option<String>) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => NO_USER,
            StatusCode::FORBIDDEN => NO_PERMISSION,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST | StatusCode::LENGTH_REQUIRED => {
                DATA
            }
            StatusCode::CONFLICT => UNAVAILABLE,
            _ => TEMPORARY,
        };
        Self { code, what, hint }
    }
}
