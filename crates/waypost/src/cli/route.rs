//! Arguments of `waypost route`.

use clap::Subcommand;

/// Check the smarthosts that mail is sent through.
#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// Test each smarthost of the configuration: connection, TLS, login, and whether it accepts your mail and forwards; exit code 1 if something fails.
    #[command(
        after_help = "Without --send, each test ends before the content and sends nothing. Only a whole message shows whether a smarthost accepts
a From field of another domain, which every forward has.

Examples:
  waypost route check
  waypost route check smtp.example.net --send"
    )]
    Check {
        /// Only this host.
        host: Option<String>,
        /// Send a message to the postmaster through each smarthost, with a From field of another domain.
        #[arg(long)]
        send: bool,
    },
}
