//! Arguments of `waypost doctor`.

use std::net::IpAddr;

use clap::Args;

/// Check everything that mail depends on, here and in DNS; exit code 1 if something is wrong.
#[derive(Debug, Args)]
#[command(after_help = "Each problem comes with a fix. Ports are tested from this machine, so a firewall in front of it goes unnoticed.

Examples:
  waypost doctor
  waypost doctor --quiet             only problems
  waypost doctor --watch             repeat until nothing is wrong
  waypost doctor --json | jq '.findings[] | select(.severity == \"error\")'")]
pub struct DoctorArgs {
    /// Show only problems.
    #[arg(long, short)]
    pub quiet: bool,
    /// Check again every N seconds [without a number: 30] until nothing is wrong.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "30")]
    pub watch: Option<u64>,
    /// An address of the server, instead of those in DNS; repeatable.
    #[arg(long = "address", value_name = "IP")]
    pub addresses: Vec<IpAddr>,
    /// The time server to compare the clock with (SNTP); empty to skip it.
    #[arg(long, value_name = "HOST", default_value = "pool.ntp.org")]
    pub time_server: Option<String>,
}
