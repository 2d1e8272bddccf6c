//! The DNS records that the server needs, and their state, as values of the API.
//!
//! Invariant: a value can be pasted into a provider's form unchanged.

use serde::{Deserialize, Serialize};

/// Selects the records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DnsQuery {
    /// Only what this domain needs, and the server as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// A planned record and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DnsRecordView {
    /// The hosted domain that it is for; `None` for the server as a whole.
    pub domain: Option<String>,
    /// The probable zone.
    pub zone: String,
    /// Its owner name, with the final dot.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub record_type: String,
    /// Its data; the text of a TXT record without quotes.
    pub value: String,
    /// Its TTL, in seconds.
    pub ttl_s: u32,
    /// Its purpose: `mx`, `spf`, `dkim` ...
    pub kind: String,
    /// `required`, `recommended` or `optional`.
    pub severity: String,
    /// `needed now`, `better` or `for mail programs`.
    pub urgency: String,
    /// Why it is needed.
    pub why: String,
    /// The record as a line of a zone file; empty if its value is not known yet, such as an address of this server.
    pub line: String,
    /// `ok`, `missing`, `differs`, `extra`, `propagating` or `unknown` at the last comparison; `None` before the first.
    pub state: Option<String>,
    /// What DNS has instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// What is wrong with it, if something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// The plan, compared with DNS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DnsView {
    /// When DNS was last asked; `None` before the first time.
    pub checked_ms: Option<i64>,
    /// The records, in the order in which to publish them.
    pub records: Vec<DnsRecordView>,
    /// All of them as the text of a zone file.
    pub zone_file: String,
    /// The addresses of this server, for the PTR records that its hoster sets.
    pub addresses: Vec<String>,
}
