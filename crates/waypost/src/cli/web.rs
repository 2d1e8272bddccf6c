//! Arguments of `waypost web`.

use clap::{Args, Subcommand};

/// Show where the owner's page is, and help to get in.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  waypost web                               the address of the page, and who is an owner
  waypost web login-link                    a one-time link for the first visit"
)]
pub struct WebArgs {
    /// What to do; without it, the address of the page.
    #[command(subcommand)]
    pub command: Option<WebCommand>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum WebCommand {
    /// Print a link that logs in once, within 15 minutes.
    #[command(after_help = "Examples:
  waypost web login-link                    for the only owner
  waypost web login-link me@example.com")]
    LoginLink {
        /// The account [default: the only owner].
        login: Option<String>,
    },
    /// Print a link by which the user of an account chooses a password, once, within 7 days.
    Invite {
        /// The account.
        login: String,
    },
    /// List the sessions of the page, or end those of an account.
    #[command(after_help = "Examples:
  waypost web sessions
  waypost web sessions --end me@example.com")]
    Sessions {
        /// Log this account out everywhere.
        #[arg(long, value_name = "LOGIN")]
        end: Option<String>,
    },
    /// Remove the second step of an account, whose phone and recovery codes are lost.
    #[command(after_help = "Example:\n  waypost web second-step me@example.com --remove")]
    SecondStep {
        /// The account.
        login: String,
        /// Remove it.
        #[arg(long, required = true)]
        remove: bool,
    },
}
