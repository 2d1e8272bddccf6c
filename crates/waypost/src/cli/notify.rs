//! Arguments of `waypost notify`.

use clap::Subcommand;
use clap::builder::PossibleValuesParser;

/// Test the notices that the postmaster gets.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a test notice, and print what each channel answered; exit code 1 if one did not accept it.
    #[command(after_help = "Examples:
  waypost notify test                   over every channel that is set up
  waypost notify test --channel ntfy")]
    Test {
        /// Only this channel.
        #[arg(long, value_parser = PossibleValuesParser::new(["mail", "webhook", "ntfy"]))]
        channel: Option<String>,
    },
}
