//! What other servers report about us, as values of the API.
//!
//! Invariant: what strangers wrote is text without control characters; times of reports are Unix seconds, since that is what they say.

use serde::{Deserialize, Serialize};

/// Over which reports to sum up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SummaryQuery {
    /// Those that end within so many days; 30 where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// Only this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// What reports say together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportsSummary {
    /// Over how many days.
    pub days: u32,
    /// Whether there were more reports than are read for this.
    pub is_cut: bool,
    /// Each domain.
    pub domains: Vec<DomainReports>,
}

/// What reports say of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainReports {
    /// The domain.
    pub domain: String,
    /// Reports of DMARC.
    pub reports: u64,
    /// Reports of TLS.
    pub tls_reports: u64,
    /// p=, as the last report has it; empty where there is none.
    pub policy: String,
    /// Messages by class.
    pub messages: MessagesByClass,
    /// The same, by who reports.
    pub organisations: Vec<OrganisationView>,
    /// Where mail comes from that fails and is no forward; the worst first.
    pub failing: Vec<FailingSource>,
    /// How many more of them there are.
    pub failing_left_out: u64,
    /// Messages of rows that were too many to be kept.
    pub messages_left_out: u64,
    /// TLS of other servers with this one.
    pub tls: TlsSessions,
    /// What to do.
    pub advice: Vec<String>,
}

/// Messages by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagesByClass {
    /// They left here, or by somebody whom SPF names, and pass.
    pub ours: u64,
    /// They left here and fail.
    pub ours_failing: u64,
    /// Somebody else passed them on.
    pub forward: u64,
    /// We passed on the mail of somebody.
    pub our_forward: u64,
    /// Nothing vouches for them.
    pub foreign: u64,
}

/// What one organisation reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganisationView {
    /// Who.
    pub name: String,
    /// What it saw.
    pub messages: MessagesByClass,
}

/// Where mail comes from that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingSource {
    /// The address.
    pub address: String,
    /// Its name in DNS, where it leads back.
    pub name: Option<String>,
    /// `ours, failing` or `foreign`.
    pub class: String,
    /// The domain of the From field.
    pub header_from: String,
    /// How many messages.
    pub messages: u64,
    /// Since when.
    pub first_s: i64,
    /// Until when.
    pub last_s: i64,
    /// What was wrong.
    pub why: String,
}

/// Sessions over TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsSessions {
    /// Those that were as the policy wants them.
    pub successful: u64,
    /// The others.
    pub failed: u64,
    /// What was wrong.
    pub failures: Vec<TlsFailureView>,
}

/// Sessions that failed in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFailureView {
    /// How, in the words of RFC 8460.
    pub result: String,
    /// The mail host.
    pub mx_host: String,
    /// How many.
    pub sessions: u64,
    /// What was said.
    pub reason: String,
}

/// Which reports to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportsQuery {
    /// At most this many; 100 where it is not given, 1000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only reports before this one: the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// Only those about this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportView {
    /// Its number here.
    pub id: i64,
    /// `dmarc` or `tls`.
    pub kind: String,
    /// The domain that it is about.
    pub domain: String,
    /// Who reports, as they call themselves.
    pub organisation: String,
    /// The domain that sent it, for which SPF or DKIM vouched.
    pub submitter: String,
    /// What its sender calls it.
    pub report_id: String,
    /// p=, as its sender found it.
    pub policy: String,
    /// From when on.
    pub begin_s: i64,
    /// Until when.
    pub end_s: i64,
    /// When it came, Unix milliseconds.
    pub received_ms: i64,
    /// Its rows.
    pub rows: u64,
    /// Rows that were not kept.
    pub rows_left_out: u64,
    /// Their messages.
    pub messages_left_out: u64,
}

/// A report with what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholeReport {
    /// The report.
    pub report: ReportView,
    /// Rows of a report of DMARC.
    pub rows: Vec<RowView>,
    /// Policies of a report of TLS.
    pub policies: Vec<TlsPolicyView>,
}

/// A row of a report of DMARC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowView {
    /// Where the mail came from.
    pub source: String,
    /// How many messages.
    pub count: u64,
    /// What it is to us.
    pub class: String,
    /// What was done with it.
    pub disposition: String,
    /// Whether a signature of an aligned domain held.
    pub dkim_aligned: bool,
    /// Whether SPF passed for an aligned domain.
    pub spf_aligned: bool,
    /// The domain of the From field.
    pub header_from: String,
    /// The domain of the reverse-path.
    pub envelope_from: String,
    /// Where the mail went.
    pub envelope_to: String,
    /// Signatures, SPF and reasons, a line each.
    pub details: Vec<String>,
}

/// A policy of a report of TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsPolicyView {
    /// `sts`, `tlsa`, `no-policy-found`.
    pub kind: String,
    /// The domain.
    pub domain: String,
    /// How the sessions went.
    pub sessions: TlsSessions,
}
