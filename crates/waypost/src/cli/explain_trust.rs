//! Arguments of `waypost explain-trust`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

/// Read a message as a receiver would: SPF, DKIM, DKIM2 hop by hop, ARC and DMARC, in words.
#[derive(Debug, Args)]
#[command(
    after_help = "The envelope is read from the message (Return-Path, the newest DKIM2 signature) where it is not given, and the output says so.
The exit code is 1 if DMARC fails or the DKIM2 chain does not verify.

Examples:
  waypost explain-trust mail.eml
  waypost explain-trust mail.eml --ip 192.0.2.7 --from her@example.net --to me@example.com
  waypost explain-trust - --json < mail.eml"
)]
pub struct ExplainTrustArgs {
    /// A file with the message, as a mail program saves it; - reads standard input.
    pub file: PathBuf,
    /// The address of the client that sent it; without it, SPF is not checked.
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<IpAddr>,
    /// The name of the client in HELO.
    #[arg(long, value_name = "NAME")]
    pub helo: Option<String>,
    /// The sender in MAIL FROM; <> for a null one.
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<String>,
    /// A recipient in RCPT TO; can be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub to: Vec<String>,
}
