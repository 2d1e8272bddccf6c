//! How sendmail ends: the codes of sysexits.h, by which its callers decide what to do with their mail.

use hyper::StatusCode;

/// The command line makes no sense.
pub const USAGE: u8 = 64;
/// The message cannot be taken as it is.
pub const DATA: u8 = 65;
/// A recipient does not exist.
pub const NO_USER: u8 = 67;
/// It is refused for another reason.
pub const UNAVAILABLE: u8 = 69;
/// It may be taken later: the caller keeps it.
pub const TEMPORARY: u8 = 75;
/// The user may not do so.
pub const NO_PERMISSION: u8 = 77;

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The exit code.
    pub code: u8,
    /// What happened, and why.
    pub what: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Refused {
    /// For this reason.
    pub fn new(code: u8, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), hint: None }
    }

    /// Nothing is lost: the caller has it, and can come back.
    pub fn later(error: &anyhow::Error) -> Self {
        let text = format!("{error:#}");
        let (what, hint) = text.split_once("\n  hint: ").map_or((text.as_str(), None), |(what, hint)| (what, Some(hint.to_owned())));
        Self { code: TEMPORARY, what: what.to_owned(), hint }
    }

    /// What the API answered.
    pub fn answered(status: StatusCode, what: String, hint: Option<String>) -> Self {
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
