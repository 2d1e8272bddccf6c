//! The daily reports to other domains: TLS reports and DMARC reports.
//!
//! May import `notify` and `support`.

pub mod dmarc_destinations;
pub mod dmarc_reports;
pub mod schedule;
pub mod tally;
pub mod tls_reports;
pub mod tls_results;
