//! `waypost doctor`, as clap reads it.

use std::net::IpAddr;

use clap::Args;

/// Check everything that mail depends on, here and in DNS; exit code 1 where something is wrong.
#[derive(Debug, Args)]
#[command(
    after_help = "What is wrong comes with what to do. The ports are tried from this machine: a firewall before it is not seen from here.

Examples:
  waypost doctor
  waypost doctor --quiet             only what is not as it should be
  waypost doctor --watch             again and again, until nothing is wrong
  waypost doctor --json | jq '.findings[] | select(.severity == \"error\")'"
)]
pub struct Doctor {
    /// Show only what is not as it should be.
    #[arg(long, short)]
    pub quiet: bool,
    /// Look again after so many seconds [without a number: 30], until nothing is wrong.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "30")]
    pub watch: Option<u64>,
    /// Take this for an address of the server, instead of those in DNS. Can be given several times.
    #[arg(long = "address", value_name = "IP")]
    pub addresses: Vec<IpAddr>,
    /// Who is asked for the time (SNTP); empty for nobody.
    #[arg(long, value_name = "HOST", default_value = "pool.ntp.org")]
    pub time_server: Option<String>,
}
