//! The contents of received DMARC and TLS reports.
//!
//! RFC 9990, RFC 8460. Invariant: the number of rows and failures and the length of texts are limited here, whatever the parser allows.

use reports::dmarc::{DmarcReport, Row};
use reports::tls::TlsReport;

/// Maximum failures kept of a TLS report.
pub(crate) const FAILURES_MAX: usize = 10_000;

/// The contents of a received report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportContent {
    /// Of a DMARC report.
    Aggregate(DmarcReport),
    /// Of a TLS report.
    Tls(TlsReport),
}

/// A received report to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReport {
    /// The domain that sent it, authenticated by SPF or DKIM.
    pub submitter: String,
    /// When it was received, Unix milliseconds.
    pub received_ms: i64,
    /// Its contents.
    pub content: ReportContent,
}

impl NewReport {
    /// `dmarc` or `tls`.
    pub fn kind(&self) -> &'static str {
        match self.content {
            ReportContent::Aggregate(_) => "dmarc",
            ReportContent::Tls(_) => "tls",
        }
    }

    /// The reporting organisation, as the report names it.
    pub fn organisation(&self) -> &str {
        match &self.content {
            ReportContent::Aggregate(report) => &report.organisation,
            ReportContent::Tls(report) => &report.organization,
        }
    }

    /// Its id, unique for the organisation.
    pub fn report_id(&self) -> &str {
        match &self.content {
            ReportContent::Aggregate(report) => &report.report_id,
            ReportContent::Tls(report) => &report.id,
        }
    }
}

/// A stored report, without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReport {
    /// Its number.
    pub n: i64,
    /// `dmarc` or `tls`.
    pub kind: String,
    /// The reporting organisation, as the report names it.
    pub organisation: String,
    /// The domain that sent it.
    pub submitter: String,
    /// Its id, unique for the organisation.
    pub report_id: String,
    /// The domain that it is about.
    pub domain: String,
    /// p= as the sender found it; empty for a TLS report.
    pub policy: String,
    /// Start of the period, Unix seconds.
    pub begin_s: i64,
    /// End of the period, never later than its arrival, Unix seconds.
    pub end_s: i64,
    /// When it was received, Unix milliseconds.
    pub received_ms: i64,
    /// Number of its rows, or of policies and failures.
    pub rows: u64,
    /// Number of rows that are not stored.
    pub rows_left_out: u64,
    /// Number of messages in them.
    pub messages_left_out: u64,
}

/// The stored rows of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptRows {
    /// Of a DMARC report.
    Dmarc(Vec<Row>),
    /// Of a TLS report.
    Tls(Vec<KeptTlsPolicy>),
}

/// A policy in a TLS report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptTlsPolicy {
    /// `sts`, `tlsa`, `no-policy-found`.
    pub kind: String,
    /// The domain.
    pub domain: String,
    /// Number of successful sessions.
    pub successful: u64,
    /// Number of failed sessions.
    pub failed: u64,
    /// The failures.
    pub failures: Vec<KeptTlsFailure>,
}

/// Sessions with the same failure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptTlsFailure {
    /// The type of the failure.
    pub result: String,
    /// The sender's address.
    pub sending_ip: String,
    /// The mail host's name.
    pub mx_host: String,
    /// The mail host's address.
    pub receiving_ip: String,
    /// Number of sessions.
    pub sessions: u64,
    /// The reason.
    pub reason: String,
}

/// Which reports to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportFilter {
    /// Only reports that end at this time or later, Unix seconds.
    pub since_s: i64,
    /// Only reports about this domain.
    pub domain: Option<String>,
    /// Only reports with a smaller number.
    pub before: Option<i64>,
    /// Maximum number.
    pub limit: u32,
}
