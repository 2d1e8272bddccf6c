//! The values of the API that are about single messages: those of programs on this machine, and Gmail's that confirm an address.

use serde::{Deserialize, Serialize};

/// The envelope of a message, on a line of its own before the message itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Envelope {
    /// The sender; none for the user itself, empty for the null reverse-path.
    pub sender: Option<String>,
    /// The recipients.
    pub recipients: Vec<String>,
    /// Whether those in To, Cc and Bcc are meant too.
    pub recipients_in_header: bool,
    /// The user's name for people, where it is another than the system's.
    pub full_name: Option<String>,
    /// When a report is wanted: `never`, or a list of `success`, `failure`, `delay`.
    pub notify: Option<String>,
    /// How much of the message a report returns: `full` or `hdrs`.
    pub ret: Option<String>,
    /// The sender's own name for the message.
    pub envid: Option<String>,
}

/// What Gmail has sent to have an address confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmationView {
    /// The address.
    pub address: String,
    /// The number to type in.
    pub code: Option<String>,
    /// The link to follow instead.
    pub link: Option<String>,
    /// When it came.
    pub at_ms: i64,
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its queue id.
    pub id: String,
    /// How many recipients it has.
    pub recipients: usize,
}
