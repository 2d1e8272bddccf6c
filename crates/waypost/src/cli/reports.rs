//! Arguments of `waypost reports`.

use clap::{Args, Subcommand};

/// Show the DMARC and TLS reports of other servers about your domains.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Receivers send one report a day to dmarc@ and tlsrpt@ of each domain, if DNS names these addresses (waypost dns show). Messages are
counted as: ours (DMARC passes); ours, failing (needs a fix); forward (another server forwarded your mail); our forward (this server
forwarded it); or foreign (a forger, or a sender of yours that is not set up).

Examples:
  waypost reports
  waypost reports example.com --days 7
  waypost reports list
  waypost reports show 12"
)]
pub struct ReportsArgs {
    /// List or show single reports.
    #[command(subcommand)]
    pub command: Option<ReportsCommand>,
    /// Only this domain.
    pub domain: Option<String>,
    /// Days to sum up.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=400))]
    pub days: u32,
}

/// Single reports.
#[derive(Debug, Subcommand)]
pub enum ReportsCommand {
    /// List reports, newest first.
    List {
        /// Maximum reports listed.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only reports before this one, for the next page.
        #[arg(long, value_name = "ID")]
        before: Option<i64>,
        /// Only reports about this domain.
        #[arg(long)]
        domain: Option<String>,
    },
    /// Show a whole report.
    Show {
        /// Its number, as listed.
        id: i64,
    },
}
