//! Arguments of `waypost explain`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

/// Explain what would happen to a message, step by step. Nothing is sent.
#[derive(Debug, Args)]
#[command(
    after_help = "What is not given is assumed, and the output says so: a client that the sender's SPF record allows, and a message without a signature.
The exit code is 1 if the message would be refused.

Examples:
  waypost explain her@example.net me@example.com
  waypost explain her@example.net me@example.com --ip 192.0.2.7 --message mail.eml
  waypost explain '<>' me@example.com                       a DSN
  waypost explain me@example.com her@example.net --login me@example.com    your own mail"
)]
pub struct ExplainArgs {
    /// The sender in MAIL FROM; <> for a DSN.
    pub from: String,
    /// The recipient.
    pub to: String,
    /// The address of the client.
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<IpAddr>,
    /// The name of the client in HELO.
    #[arg(long, value_name = "NAME")]
    pub helo: Option<String>,
    /// A file with the message, as a mail program saves it; - reads standard input.
    #[arg(long, value_name = "FILE")]
    pub message: Option<PathBuf>,
    /// The account that sends it.
    #[arg(long, conflicts_with_all = ["ip", "helo"])]
    pub login: Option<String>,
}
