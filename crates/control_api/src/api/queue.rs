//! The queue, what is held and what failed, as values of the API.
//!
//! Invariant: times are Unix milliseconds, sizes octets.

use serde::{Deserialize, Serialize};

/// Which part of the queue to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueQuery {
    /// At most this many messages; 100 where it is not given, 1000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only messages after this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Only messages with this text in an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// One page of the queue, in the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePage {
    /// The server's time.
    pub now_ms: i64,
    /// The messages.
    pub messages: Vec<QueuedMessage>,
    /// Where the next page begins (`after`); `None` on the last page.
    pub next: Option<String>,
}

/// A message in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedMessage {
    /// The queue id.
    pub id: String,
    /// `own`, `forward` or `report`.
    pub flow: String,
    /// The reverse-path; empty for a report.
    pub from: String,
    /// The size.
    pub size_bytes: u64,
    /// When it arrived.
    pub arrived_ms: i64,
    /// When it is given up.
    pub expires_ms: i64,
    /// Who wrote it, of a held message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What it is about, of a held message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its recipients.
    pub recipients: Vec<QueuedRecipient>,
}

/// A recipient in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedRecipient {
    /// Its place in the message, from 0.
    pub index: u32,
    /// Where the message goes.
    pub to: String,
    /// The alias through which it goes.
    pub via: Option<String>,
    /// `waiting`, `claimed` or `set aside`.
    pub state: String,
    /// Attempts made.
    pub attempts: u32,
    /// When it is tried next.
    pub next_attempt_ms: i64,
    /// The last trouble.
    pub reason: Option<String>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Messages.
    pub messages: u64,
    /// Recipients.
    pub recipients: u64,
    /// Recipients set aside, because their record is unreadable.
    pub set_aside: u64,
    /// Recipients whose message is held.
    pub held: u64,
    /// What held messages take, in octets.
    pub held_bytes: u64,
}

/// What to try again at once; exactly one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// One message.
    pub id: Option<String>,
    /// Everything to one domain.
    pub domain: Option<String>,
    /// Everything.
    pub all: bool,
}

/// Something that gets nothing for now, since a host asked for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseView {
    /// What kind of thing it is, in words: the mailbox, our address, the host.
    pub kind: String,
    /// Whether it is a single mailbox.
    pub is_mailbox: bool,
    /// The mailbox or host; for what a host or provider counts, that and what it counts.
    pub about: String,
    /// Until when.
    pub until_ms: i64,
    /// Why.
    pub why: String,
    /// What ends it: the name for `queue resume`.
    pub resume: String,
}

/// A pause to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The mailbox, host or provider.
    pub about: String,
}

/// How many recipients something concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The number.
    pub recipients: u64,
}

/// What to drop of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DropQuery {
    /// Only the recipient at this place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<u32>,
}

/// How a held message is released.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Release {
    /// Within a message of this server, instead of as it came.
    pub wrapped: bool,
}

/// A delivery that failed for good, and of which the sender was not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedView {
    /// The message's id.
    pub id: String,
    /// When.
    pub at_ms: i64,
    /// The reverse-path; empty for a report.
    pub from: String,
    /// The address that the sender wrote to.
    pub to: String,
    /// Where the message went.
    pub target: String,
    /// The enhanced code.
    pub status: String,
    /// What was said.
    pub reason: String,
}
