//! Explanations of messages, as values of the API.

use serde::{Deserialize, Serialize};

/// The message to explain; its content is the body of the request, empty if there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// The sender; empty or `<>` for the null reverse-path.
    pub from: String,
    /// The recipient.
    pub to: String,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The client's name in HELO or EHLO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
    /// The account that has logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

/// What would happen to a message. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExplanationView {
    /// `accepted`, `held`, `refused`, `report` (read, and not forwarded) or `dropped` (an automatic reply to a return address).
    pub decision: String,
    /// The reply that refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// Why it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The steps, in order.
    pub steps: Vec<ExplainStepView>,
    /// What would leave; if it is held, once it is released.
    pub deliveries: Vec<ExplainDeliveryView>,
    /// What was assumed, since the request did not say.
    pub assumptions: Vec<String>,
}

/// One step of an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExplainStepView {
    /// `connection`, `sender`, `recipient` or `content`.
    pub stage: String,
    /// Whether the message passes it.
    pub passed: bool,
    /// The outcome.
    pub outcome: String,
    /// How it came about.
    pub details: Vec<String>,
}

/// What would leave for one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExplainDeliveryView {
    /// The address that the next hop gets.
    pub target: String,
    /// The alias that leads there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// `own`, `forward` or `report`.
    pub flow: String,
    /// The reverse-path; empty if null.
    pub sender: String,
    /// The fields that are added on top.
    pub fields: Vec<String>,
    /// The signatures that are added.
    pub signatures: Vec<ExplainSignatureView>,
    /// What the next hop is.
    pub via: String,
    /// The hosts, in the order in which they are tried.
    pub hosts: Vec<ExplainHostView>,
    /// Why and until when it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// Why there is no next hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What the target probably does.
    pub prediction: String,
    /// Whether it probably accepts the message.
    pub likely: bool,
}

/// A signature that is added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExplainSignatureView {
    /// The signing domain (d=).
    pub domain: String,
    /// The selector (s=).
    pub selector: String,
}

/// A host of a next hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExplainHostView {
    /// Its name.
    pub name: String,
    /// The port.
    pub port: u16,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The TLS that it must offer.
    pub tls: String,
}
