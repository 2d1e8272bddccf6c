//! TLS reports: how many sessions with a domain's mail hosts met its policy, and why the others failed.
//!
//! RFC 8460 s.4.1, RFC 8460 s.4.3, RFC 8460 s.4.4. Invariant: a written report is read back unchanged.

mod mail;
mod read;
mod result_type;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use mail::MEDIA_TYPE;
pub use read::{REPORT_MAX_BYTES, TlsReadError, from_json};
pub use result_type::{PolicyType, ResultType};

use read::{bounded, count, text, texts};

/// A report by one sender about one policy domain, for one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsReport {
    /// The reporter's name, for people.
    pub organization: String,
    /// Start of its day, Unix seconds.
    pub begin_unix_s: i64,
    /// End of its day, Unix seconds.
    pub end_unix_s: i64,
    /// Contact, usually an address.
    pub contact: String,
    /// Unique among the sender's reports.
    pub id: String,
    /// The policies.
    pub policies: Vec<PolicyResult>,
}

/// A policy, and the results of its sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyResult {
    /// The policy.
    pub policy: Policy,
    /// Number of sessions.
    #[serde(default)]
    pub summary: Summary,
    /// The failures.
    #[serde(rename = "failure-details", default, deserialize_with = "bounded", skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailureDetails>,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Policy {
    /// Its type.
    #[serde(rename = "policy-type")]
    pub kind: PolicyType,
    /// Its lines: TLSA records, or the lines of an MTA-STS policy.
    #[serde(rename = "policy-string", default, deserialize_with = "texts", skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Its domain.
    #[serde(rename = "policy-domain", default, deserialize_with = "text")]
    pub domain: String,
    /// Its mail host patterns.
    #[serde(rename = "mx-host", default, deserialize_with = "texts", skip_serializing_if = "Vec::is_empty")]
    pub mx_hosts: Vec<String>,
}

/// Numbers of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Sessions that met the policy.
    #[serde(rename = "total-successful-session-count", default, deserialize_with = "count")]
    pub successful: u64,
    /// Sessions that did not.
    #[serde(rename = "total-failure-session-count", default, deserialize_with = "count")]
    pub failed: u64,
}

/// Sessions with the same failure.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct FailureDetails {
    /// The type of the failure.
    #[serde(rename = "result-type")]
    pub result: ResultType,
    /// The sender's address.
    #[serde(rename = "sending-mta-ip", default, deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub sending_ip: String,
    /// The mail host's name.
    #[serde(rename = "receiving-mx-hostname", default, deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub mx_host: String,
    /// The mail host's EHLO name.
    #[serde(rename = "receiving-mx-helo", default, deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub mx_hello: String,
    /// The mail host's address.
    #[serde(rename = "receiving-ip", default, deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub receiving_ip: String,
    /// Number of sessions.
    #[serde(rename = "failed-session-count", default, deserialize_with = "count")]
    pub sessions: u64,
    /// A URI with more information.
    #[serde(rename = "additional-information", default, deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub information: String,
    /// The error, of a library or the peer.
    #[serde(rename = "failure-reason-code", default, deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl TlsReport {
    /// The report as JSON.
    pub fn to_json(&self) -> String {
        let document = serde_json::json!({
            "organization-name": self.organization,
            "date-range": { "start-datetime": date(self.begin_unix_s), "end-datetime": date(self.end_unix_s) },
            "contact-info": self.contact,
            "report-id": self.id,
            "policies": self.policies,
        });
        document.to_string()
    }
}

fn date(unix_s: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix_s).ok().and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_report_is_read_back() {
        let policy = Policy {
            kind: PolicyType::Sts,
            lines: vec!["version: STSv1".into(), "mode: enforce".into()],
            domain: "far.test".into(),
            mx_hosts: vec!["*.far.test".into()],
        };
        let failure = FailureDetails {
            result: ResultType::CertificateHostMismatch,
            mx_host: "mx.far.test".into(),
            sessions: 3,
            reason: "\"quoted\"\r\n\u{e4}".into(),
            ..FailureDetails::default()
        };
        let report = TlsReport {
            organization: "mx.example.test".into(),
            begin_unix_s: 1_795_478_400,
            end_unix_s: 1_795_564_800,
            contact: "postmaster@example.test".into(),
            id: "1@example.test".into(),
            policies: vec![PolicyResult { policy, summary: Summary { successful: 7, failed: 3 }, failures: vec![failure] }],
        };
        let text = report.to_json();
        assert!(text.contains("\"start-datetime\":\"2026-11-24T00:00:00Z\""), "{text}");
        assert!(text.contains("\"result-type\":\"certificate-host-mismatch\"") && !text.contains("sending-mta-ip"), "{text}");
        assert_eq!(from_json(text.as_bytes()).unwrap(), report);
    }
}
