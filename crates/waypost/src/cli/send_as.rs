//! `waypost sendas`, as clap reads it.

use std::net::IpAddr;

use clap::Args;

/// Set up Gmail's "Send mail as" for an address: what to type in, whether it will work, and the code that Gmail sends.
#[derive(Debug, Args)]
#[command(
    after_help = "The server's ports are tried as Gmail will try them: certificate, TLS, and logging in. Exit code 1 where something would fail there.

Examples:
  waypost sendas me@example.com --new-password       a password for Gmail alone, shown once and tried at once
  waypost sendas info@example.com --login me@example.com
  waypost sendas me@example.com --wait 600           and wait ten minutes for Gmail's code
  waypost sendas me@example.com --password-stdin < secret"
)]
pub struct SendAs {
    /// The address to send as.
    pub address: String,
    /// The account to log in with [default: the address].
    #[arg(long)]
    pub login: Option<String>,
    /// Make a password named gmail; one of that name is replaced.
    #[arg(long, conflicts_with = "password_stdin")]
    pub new_password: bool,
    /// Log in with the password on standard input.
    #[arg(long)]
    pub password_stdin: bool,
    /// Try this address of the server instead of those in DNS. Can be given several times.
    #[arg(long = "address", value_name = "IP")]
    pub addresses: Vec<IpAddr>,
    /// Wait so many seconds for Gmail's code and its first login [default on a terminal: 900; 0 for not at all].
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "900")]
    pub wait: Option<u64>,
}
