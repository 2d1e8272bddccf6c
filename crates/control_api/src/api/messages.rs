//! Single messages, as values of the API: submissions of local programs, and confirmations by Gmail.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The envelope of a message, on one line before the message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Envelope {
    /// The sender; `None` for the user's own address, empty for the null reverse-path.
    pub sender: Option<String>,
    /// The recipients.
    pub recipients: Vec<String>,
    /// Whether to add the recipients in To, Cc and Bcc.
    pub recipients_in_header: bool,
    /// The full name of the user; default: that of the system.
    pub full_name: Option<String>,
    /// When to send a DSN: `never`, or a list of `success`, `failure`, `delay`.
    pub notify: Option<String>,
    /// What a DSN returns of the message: `full` or `hdrs`.
    pub ret: Option<String>,
    /// The envelope ID.
    pub envid: Option<String>,
}

/// A message by which Gmail asks to confirm an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfirmationView {
    /// The address.
    pub address: String,
    /// The code to enter.
    pub code: Option<String>,
    /// The link to open instead.
    pub link: Option<String>,
    /// Its time of arrival.
    pub at_ms: i64,
}

/// A message that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Taken {
    /// Its queue ID.
    pub id: String,
    /// The number of its recipients.
    pub recipients: usize,
}
