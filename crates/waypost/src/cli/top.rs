//! Arguments of `waypost top`.

use clap::Args;

/// Watch the running server: flow, lanes, sessions, last replies.
#[derive(Debug, Args)]
#[command(after_help = "Keys: q quits, p pauses, / filters lanes and replies, ? shows help.

Examples:
  waypost top
  waypost top --once                  print one frame, for a log or a mail
  waypost top --every 5 --filter gmail.com")]
pub struct TopArgs {
    /// Print one frame as plain text, then exit.
    #[arg(long)]
    pub once: bool,
    /// Seconds between two looks at the server.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub every: u64,
    /// Only lanes and replies with this text.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub filter: String,
}
