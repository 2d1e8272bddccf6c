//! `waypost route`, as clap reads it.

use clap::Subcommand;

/// The next hops of your own instead of MX records.
#[derive(Debug, Subcommand)]
pub enum Route {
    /// Try each smarthost of the configuration: connection, TLS, login, and whether it takes your mail and forwards; exit code 1 where something would fail.
    #[command(
        after_help = "Without --send nothing is sent: each trial ends before the content. Only content shows whether a smarthost takes
a From field that is not yours, which every forward has.

Examples:
  waypost route check
  waypost route check smtp.example.net --send"
    )]
    Check {
        /// Only this host.
        host: Option<String>,
        /// Send one message to the postmaster through each smarthost, with a From field that is not yours.
        #[arg(long)]
        send: bool,
    },
}
