//! What is kept of the reports that other servers send about us.
//!
//! RFC 9990, RFC 8460. Invariant: what a stranger wrote is bounded here once more, whoever read it: rows, failures, and the length of texts.

use reports::dmarc::{DmarcReport, Row};
use reports::tls::TlsReport;

/// At most this many failures of a report of TLS are kept.
pub(crate) const FAILURES_MAX: usize = 10_000;

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportContent {
    /// Of DMARC.
    Aggregate(DmarcReport),
    /// Of TLS.
    Tls(TlsReport),
}

/// A report to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReport {
    /// The domain that sent it, for which SPF or DKIM vouches.
    pub submitter: String,
    /// When, Unix milliseconds.
    pub received_ms: i64,
    /// What it says.
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

    /// Who reports, as they call themselves.
    pub fn organisation(&self) -> &str {
        match &self.content {
            ReportContent::Aggregate(report) => &report.organisation,
            ReportContent::Tls(report) => &report.organization,
        }
    }

    /// What tells it from others of theirs.
    pub fn report_id(&self) -> &str {
        match &self.content {
            ReportContent::Aggregate(report) => &report.report_id,
            ReportContent::Tls(report) => &report.id,
        }
    }
}

/// A report that is kept, without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReport {
    /// Its number.
    pub n: i64,
    /// `dmarc` or `tls`.
    pub kind: String,
    /// Who reports, as they call themselves.
    pub organisation: String,
    /// The domain that sent it.
    pub submitter: String,
    /// What tells it from others of theirs.
    pub report_id: String,
    /// The domain that it is about.
    pub domain: String,
    /// p= as the sender found it; empty for a report of TLS.
    pub policy: String,
    /// From when on, Unix seconds.
    pub begin_s: i64,
    /// Until when; never later than it came.
    pub end_s: i64,
    /// When it came, Unix milliseconds.
    pub received_ms: i64,
    /// Its rows, or policies and failures.
    pub rows: u64,
    /// The rows that are not kept.
    pub rows_left_out: u64,
    /// Their messages.
    pub messages_left_out: u64,
}

/// What is kept of what a report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptRows {
    /// Of DMARC.
    Dmarc(Vec<Row>),
    /// Of TLS.
    Tls(Vec<KeptTlsPolicy>),
}

/// A policy in a report of TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptTlsPolicy {
    /// `sts`, `tlsa`, `no-policy-found`.
    pub kind: String,
    /// The domain.
    pub domain: String,
    /// Sessions that were as the policy wants them.
    pub successful: u64,
    /// The others.
    pub failed: u64,
    /// What was wrong with them.
    pub failures: Vec<KeptTlsFailure>,
}

/// Sessions with the same fault.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptTlsFailure {
    /// What was wrong.
    pub result: String,
    /// The sender's address.
    pub sending_ip: String,
    /// The mail host's name.
    pub mx_host: String,
    /// The mail host's address.
    pub receiving_ip: String,
    /// How many sessions.
    pub sessions: u64,
    /// What was said.
    pub reason: String,
}

/// Which reports to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportFilter {
    /// Only those that end at this time or later, Unix seconds.
    pub since_s: i64,
    /// Only those about this domain.
    pub domain: Option<String>,
    /// Only those with a smaller number.
    pub before: Option<i64>,
    /// At most this many.
    pub limit: u32,
}
