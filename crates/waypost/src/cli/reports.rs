//! `waypost reports`, as clap reads it.
//!
//! Invariant: help, completions and man pages come from here.

use clap::{Args, Subcommand};

/// What other servers report about your mail and your TLS.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Receivers send a report once a day to dmarc@ and tlsrpt@ of each domain, where DNS names these addresses (waypost dns show). Messages are
ours (they pass), ours, failing (to be mended), forward (somebody passed your mail on), our forward (you passed on the mail of somebody), or foreign:
a forger, or a sender of yours that is not set up.

Examples:
  waypost reports
  waypost reports example.com --days 7
  waypost reports list
  waypost reports show 12"
)]
pub struct Reports {
    /// A part of them.
    #[command(subcommand)]
    pub command: Option<OfReports>,
    /// Only this domain.
    pub domain: Option<String>,
    /// Over so many days.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=400))]
    pub days: u32,
}

/// Reports, one by one.
#[derive(Debug, Subcommand)]
pub enum OfReports {
    /// List reports, the newest first.
    List {
        /// At most this many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only reports before this one: the next page.
        #[arg(long, value_name = "ID")]
        before: Option<i64>,
        /// Only those about this domain.
        #[arg(long)]
        domain: Option<String>,
    },
    /// Show a report with all that it says.
    Show {
        /// Its number, as the list has it.
        id: i64,
    },
}
