//! DMARC reports and TLS reports by other servers, as values of the API.
//!
//! Invariant: texts of strangers contain no control characters; times in reports are Unix seconds, as in the reports themselves.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Selects the reports of a summary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub struct SummaryQuery {
    /// Reports of the last days; default 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// Only this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// A summary of reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportsSummary {
    /// The number of days.
    pub days: u32,
    /// Whether there are more reports than the maximum.
    pub is_cut: bool,
    /// The domains.
    pub domains: Vec<DomainReports>,
}

/// The summary of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DomainReports {
    /// The domain.
    pub domain: String,
    /// Number of DMARC reports.
    pub reports: u64,
    /// Number of TLS reports.
    pub tls_reports: u64,
    /// The policy (p=) in the last report; empty without one.
    pub policy: String,
    /// Messages by class.
    pub messages: MessagesByClass,
    /// The same for each reporting organization.
    pub organisations: Vec<OrganisationView>,
    /// Sources of mail that fails and is not a forward, the largest first.
    pub failing: Vec<FailingSource>,
    /// Number of further sources.
    pub failing_left_out: u64,
    /// Messages in rows beyond the maximum, which were not stored.
    pub messages_left_out: u64,
    /// TLS sessions of other servers with this one.
    pub tls: TlsSessions,
    /// Advice.
    pub advice: Vec<String>,
}

/// Messages by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessagesByClass {
    /// Sent by this server or a host in the SPF record; they pass.
    pub ours: u64,
    /// Sent by this server; they fail.
    pub ours_failing: u64,
    /// Forwarded by others.
    pub forward: u64,
    /// Forwarded by this server.
    pub our_forward: u64,
    /// Not authenticated.
    pub foreign: u64,
}

/// The messages that one organization reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrganisationView {
    /// Its name.
    pub name: String,
    /// Messages by class.
    pub messages: MessagesByClass,
}

/// A source of mail that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailingSource {
    /// The address.
    pub address: String,
    /// Its name in DNS, if the name resolves to the address.
    pub name: Option<String>,
    /// `ours, failing` or `foreign`.
    pub class: String,
    /// The domain of the From field.
    pub header_from: String,
    /// Number of messages.
    pub messages: u64,
    /// Start of the first report.
    pub first_s: i64,
    /// End of the last report.
    pub last_s: i64,
    /// The reason.
    pub why: String,
}

/// TLS sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TlsSessions {
    /// Sessions that satisfied the policy.
    pub successful: u64,
    /// Sessions that failed.
    pub failed: u64,
    /// The failures.
    pub failures: Vec<TlsFailureView>,
}

/// Sessions with the same failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TlsFailureView {
    /// The result type of RFC 8460.
    pub result: String,
    /// The mail host.
    pub mx_host: String,
    /// Number of sessions.
    pub sessions: u64,
    /// The reason.
    pub reason: String,
}

/// Selects the reports to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub struct ReportsQuery {
    /// Maximum reports, 1 to 1000; default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only reports about this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportView {
    /// Its number.
    pub id: i64,
    /// `dmarc` or `tls`.
    pub kind: String,
    /// The domain that it is about.
    pub domain: String,
    /// The name of the reporting organization.
    pub organisation: String,
    /// The domain that sent it, authenticated by SPF or DKIM.
    pub submitter: String,
    /// The report ID.
    pub report_id: String,
    /// The policy (p=) that the reporter found.
    pub policy: String,
    /// Start of the period.
    pub begin_s: i64,
    /// End of the period.
    pub end_s: i64,
    /// Its time of arrival, Unix milliseconds.
    pub received_ms: i64,
    /// Number of rows.
    pub rows: u64,
    /// Number of rows that were not stored.
    pub rows_left_out: u64,
    /// Messages in those rows.
    pub messages_left_out: u64,
}

/// A report with its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WholeReport {
    /// The report.
    pub report: ReportView,
    /// The rows of a DMARC report.
    pub rows: Vec<RowView>,
    /// The policies of a TLS report.
    pub policies: Vec<TlsPolicyView>,
}

/// A row of a DMARC report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowView {
    /// The source address.
    pub source: String,
    /// Number of messages.
    pub count: u64,
    /// Its class.
    pub class: String,
    /// The disposition.
    pub disposition: String,
    /// Whether a signature of an aligned domain was valid.
    pub dkim_aligned: bool,
    /// Whether SPF passed for an aligned domain.
    pub spf_aligned: bool,
    /// The domain of the From field.
    pub header_from: String,
    /// The domain of the reverse-path.
    pub envelope_from: String,
    /// The domain of the recipients.
    pub envelope_to: String,
    /// Signatures, SPF and reasons, one line for each.
    pub details: Vec<String>,
}

/// A policy of a TLS report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TlsPolicyView {
    /// `sts`, `tlsa`, `no-policy-found`.
    pub kind: String,
    /// The domain.
    pub domain: String,
    /// The sessions.
    pub sessions: TlsSessions,
}
