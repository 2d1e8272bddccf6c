//! The queue, held mail and failures, as values of the API.
//!
//! Invariant: times are Unix milliseconds, sizes octets.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Selects a part of the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub struct QueueQuery {
    /// Maximum messages, 1 to 1000; default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Only messages after this queue ID, the `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only messages with this text in an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A message in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueuedMessage {
    /// The queue ID.
    pub id: String,
    /// `own`, `forward` or `report`.
    pub flow: String,
    /// The reverse-path; empty for a DSN.
    pub from: String,
    /// The size.
    pub size_bytes: u64,
    /// When it arrived.
    pub arrived_ms: i64,
    /// When it expires.
    pub expires_ms: i64,
    /// The author of a held message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The subject of a held message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its recipients.
    pub recipients: Vec<QueuedRecipient>,
}

/// A recipient in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueuedRecipient {
    /// Its position in the message, from 0.
    pub index: u32,
    /// The target.
    pub to: String,
    /// The alias, if there is one.
    pub via: Option<String>,
    /// `waiting`, `claimed` or `set aside`.
    pub state: String,
    /// Number of attempts.
    pub attempts: u32,
    /// The next attempt.
    pub next_attempt_ms: i64,
    /// The last error.
    pub reason: Option<String>,
}

/// The size of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// Messages.
    pub messages: u64,
    /// Recipients.
    pub recipients: u64,
    /// Recipients set aside, because their record cannot be read.
    pub set_aside: u64,
    /// Recipients whose message is held.
    pub held: u64,
    /// The size of all held messages, in octets.
    pub held_bytes: u64,
}

/// What waits, by lane and by age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueLanes {
    /// The 20 largest lanes, by size; then, if there are more, the sum of all others.
    pub lanes: Vec<QueueLane>,
    /// All of it by age, the youngest first.
    pub ages: Vec<QueueAge>,
}

/// What waits in one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueLane {
    /// The recipients' domain; null is the sum of all other lanes.
    pub lane: Option<String>,
    /// Recipients that wait or are being delivered.
    pub recipients: u64,
    /// Age of the oldest message, in milliseconds.
    pub oldest_ms: i64,
}

/// What waits, of one age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueAge {
    /// Maximum age: 1m, 10m, 1h, 4h, 1d; or older.
    pub age: String,
    /// Recipients of this age.
    pub recipients: u64,
}

/// Selects what to retry now: exactly one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// One message.
    pub id: Option<String>,
    /// Everything to one domain.
    pub domain: Option<String>,
    /// Everything.
    pub all: bool,
}

/// A mailbox, host or provider whose deliveries are paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PauseView {
    /// What is paused: the mailbox, our address, the host.
    pub kind: String,
    /// Whether it is a single mailbox.
    pub is_mailbox: bool,
    /// The mailbox or host; for rate limits of a host or provider, also what it counts.
    pub about: String,
    /// The end of the pause.
    pub until_ms: i64,
    /// The reason.
    pub why: String,
    /// The name for `queue resume`.
    pub resume: String,
}

/// A pause to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The mailbox, host or provider.
    pub about: String,
}

/// A number of recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Count {
    /// The number.
    pub recipients: u64,
}

/// Selects what to drop of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub struct DropQuery {
    /// Only the recipient at this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<u32>,
}

/// How a held message is released.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Release {
    /// Whether to wrap it in a message of this server.
    pub wrapped: bool,
}

/// A delivery that failed without a DSN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedView {
    /// The queue ID.
    pub id: String,
    /// The time.
    pub at_ms: i64,
    /// The reverse-path; empty for a DSN.
    pub from: String,
    /// The recipient that the sender named.
    pub to: String,
    /// The target.
    pub target: String,
    /// The enhanced code.
    pub status: String,
    /// The reason.
    pub reason: String,
}
