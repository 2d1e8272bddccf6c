//! One event: when, what, about which message, between which parties, with which reply.
//!
//! Invariant: `target` is the only field that names the mailbox behind an alias, besides `reply`, in which a host may name it: both are for the owner only.

use std::net::IpAddr;

use mail::QueueId;
use serde::{Deserialize, Serialize};

use crate::{EventKind, Fact};

/// One event. A field that does not apply is `None` or empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// What happened.
    pub kind: EventKind,
    /// The message that it is about.
    #[serde(skip_serializing_if = "Option::is_none", default, with = "queue_id")]
    pub queue_id: Option<QueueId>,
    /// Its Message-ID, without angle brackets.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message_id: Option<String>,
    /// The reverse-path; empty for a null reverse-path.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// The recipients, as the sender knows them: aliases, or addresses elsewhere.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub to: Vec<String>,
    /// The mailbox behind the alias. For the owner only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
    /// The client's address; for a delivery, that of the host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client: Option<IpAddr>,
    /// The remote host: the client's HELO, or the host that we connected to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    /// The login of the account, or the owner who made a change.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub login: Option<String>,
    /// The reply: the remote host's own, or ours that refused something.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply: Option<String>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Further facts, in order.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub facts: Vec<(Fact, String)>,
}

impl Event {
    /// Returns an event about nothing yet.
    pub fn new(kind: EventKind, at_ms: i64) -> Self {
        Self {
            at_ms,
            kind,
            queue_id: None,
            message_id: None,
            from: None,
            to: Vec::new(),
            target: None,
            client: None,
            host: None,
            login: None,
            reply: None,
            reason: None,
            facts: Vec::new(),
        }
    }

    /// Sets the message.
    #[must_use]
    pub fn of_message(mut self, id: QueueId) -> Self {
        self.queue_id = Some(id);
        self
    }

    /// Sets the Message-ID.
    #[must_use]
    pub fn message_id(mut self, id: Option<impl Into<String>>) -> Self {
        self.message_id = id.map(Into::into);
        self
    }

    /// Sets the reverse-path.
    #[must_use]
    pub fn from(mut self, from: impl Into<String>) -> Self {
        self.from = Some(from.into());
        self
    }

    /// Adds a recipient.
    #[must_use]
    pub fn to(mut self, to: impl Into<String>) -> Self {
        self.to.push(to.into());
        self
    }

    /// Sets the mailbox behind the alias.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Sets the client's address.
    #[must_use]
    pub fn client(mut self, client: IpAddr) -> Self {
        self.client = Some(client);
        self
    }

    /// Sets the remote host.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Sets the login.
    #[must_use]
    pub fn login(mut self, login: Option<impl Into<String>>) -> Self {
        self.login = login.map(Into::into);
        self
    }

    /// Sets the reply.
    #[must_use]
    pub fn reply(mut self, reply: impl ToString) -> Self {
        self.reply = Some(reply.to_string());
        self
    }

    /// Sets the reason.
    #[must_use]
    pub fn reason(mut self, reason: Option<impl Into<String>>) -> Self {
        self.reason = reason.map(Into::into);
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, fact: Fact, value: impl ToString) -> Self {
        self.facts.push((fact, value.to_string()));
        self
    }

    /// Adds a fact if there is one.
    #[must_use]
    pub fn maybe(self, fact: Fact, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.fact(fact, value),
            None => self,
        }
    }

    /// Returns a fact.
    pub fn get(&self, fact: Fact) -> Option<&str> {
        self.facts.iter().find(|(name, _)| *name == fact).map(|(_, value)| value.as_str())
    }
}

/// A queue ID as its text.
mod queue_id {
    use mail::QueueId;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(id: &Option<QueueId>, serializer: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => serializer.collect_str(id),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<QueueId>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| text.parse().map_err(de::Error::custom)).transpose()
    }
}
