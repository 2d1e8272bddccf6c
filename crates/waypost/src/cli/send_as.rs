//! Arguments of `waypost sendas`.

use std::net::IpAddr;

use clap::Args;

/// Set up Gmail's "Send mail as" for an address: shows what to enter, tests it, and shows the code that Gmail sends.
#[derive(Debug, Args)]
#[command(after_help = "Tests the server's ports as Gmail uses them: certificate, TLS and login. Exit code 1 if Gmail would fail.

Examples:
  waypost sendas me@example.com --new-password       create a password for Gmail, show it once and test it
  waypost sendas info@example.com --login me@example.com
  waypost sendas me@example.com --wait 600           wait ten minutes for Gmail's code
  waypost sendas me@example.com --password-stdin < secret")]
pub struct SendAsArgs {
    /// The address to send as.
    pub address: String,
    /// The account to log in with [default: the address].
    #[arg(long)]
    pub login: Option<String>,
    /// Create a password named gmail, or replace it.
    #[arg(long, conflicts_with = "password_stdin")]
    pub new_password: bool,
    /// Test the login with the password on standard input.
    #[arg(long)]
    pub password_stdin: bool,
    /// An address of the server to test, instead of those in DNS; repeatable.
    #[arg(long = "address", value_name = "IP")]
    pub addresses: Vec<IpAddr>,
    /// Seconds to wait for Gmail's code and first login; 0 does not wait [default on a terminal: 900].
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "900")]
    pub wait: Option<u64>,
}
