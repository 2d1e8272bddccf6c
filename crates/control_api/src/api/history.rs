//! The history, as values of the API.
//!
//! Invariant: an event has the same form as `events::Event` in JSON.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Selects events or messages of the history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// A queue ID, a Message-ID, an address, a domain, a host, an IP address or network, a login, or words of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clue: Option<String>,
    /// Names of kinds, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<String>,
    /// The name of a group of kinds: session, message, delivery, login, change or server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Only kinds that need at least this attention: info, warning or error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// Only events of this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// Only events before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// Maximum items, 1 to 1000; default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// For `follow`: first the events after this one, by its `id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
}

/// An event. A field that does not apply is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct HistoryEvent {
    /// Its number, which rises from event to event.
    pub id: i64,
    /// When.
    pub at_ms: i64,
    /// What happened: a name of the list of events.
    pub kind: String,
    /// The message that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<String>,
    /// Its Message-ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The reverse-path; empty for a null reverse-path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The recipients, as the sender knows them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// The mailbox behind the alias; for owners only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The address of the client or host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The name of the client or host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The account, or who made a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The reply of the host (for owners only), or ours that refused something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Further facts: name and value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<[String; 2]>,
}

/// One page of events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPage {
    /// The events. There may be fewer than `limit`, even if there is a next page.
    pub items: Vec<HistoryEvent>,
    /// The cursor of the next page; null on the last page.
    pub next_cursor: Option<String>,
    /// The server's time.
    pub now_ms: i64,
}

/// A message of the history, or an event that belongs to none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct FoundMessage {
    /// The queue ID; null if there was no message.
    pub queue_id: Option<String>,
    /// The first event about it.
    pub at_ms: i64,
    /// The last event about it.
    pub last_ms: i64,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// The reverse-path; empty for a null reverse-path.
    pub from: Option<String>,
    /// The recipients, as the sender knows them.
    pub to: Vec<String>,
    /// The result so far, the worst of all recipients: a name of the list of events.
    pub result: String,
    /// The reply that belongs to the result; that of a target's host for owners only.
    pub reply: Option<String>,
    /// The reason of the result.
    pub reason: Option<String>,
    /// The number of events about it.
    pub events: usize,
}

/// One page of messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundPage {
    /// The messages. There may be fewer than `limit`, even if there is a next page.
    pub items: Vec<FoundMessage>,
    /// The cursor of the next page; null on the last page.
    pub next_cursor: Option<String>,
    /// The server's time.
    pub now_ms: i64,
}

/// Selects totals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct TotalsQuery {
    /// From this time on, rounded down to an hour; default: the last 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// `hour` or `day`; default `hour`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// The number of events of one kind in an hour or a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryTotal {
    /// The start of the hour or day.
    pub from_ms: i64,
    /// The kind.
    pub kind: String,
    /// Whose mail: own, forward, report; null if the event does not say it.
    pub flow: Option<String>,
    /// The number of events.
    pub count: u64,
}

/// The numbers of events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryTotals {
    /// Oldest first.
    pub items: Vec<HistoryTotal>,
    /// The server's time.
    pub now_ms: i64,
}

/// Selects aliases.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AliasUseQuery {
    /// Up to 100 aliases, separated by commas.
    pub sources: String,
}

/// Numbers of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AliasCounts {
    /// Accepted.
    pub accepted: u64,
    /// Refused, since the first one that was accepted.
    pub refused: u64,
}

/// A sender, and when a message of it was accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AliasSender {
    /// The reverse-path; empty for a null reverse-path.
    pub from: String,
    /// When.
    pub at_ms: i64,
}

/// How an alias is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AliasUseView {
    /// The alias.
    pub alias: String,
    /// Since midnight, UTC.
    pub today: AliasCounts,
    /// In the last 7 days.
    pub week: AliasCounts,
    /// In the last 30 days.
    pub month: AliasCounts,
    /// The first message; null if none was accepted.
    pub first: Option<AliasSender>,
    /// The last message.
    pub last: Option<AliasSender>,
}

/// How some aliases are used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AliasUses {
    /// In the order of the request. Aliases that the actor may not know are left out.
    pub items: Vec<AliasUseView>,
    /// Always null.
    pub next_cursor: Option<String>,
}
