//! The values of the API that are about mail from programs on this machine.

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

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its queue id.
    pub id: String,
    /// How many recipients it has.
    pub recipients: usize,
}
