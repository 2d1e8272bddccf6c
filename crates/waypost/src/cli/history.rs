//! Arguments of `waypost trace` and `waypost log`.

use clap::Args;

/// Show what happened to a message.
#[derive(Debug, Args)]
#[command(
    after_help = "CLUE is what you know: a queue ID, a Message-ID, an address of the sender, alias or target, a domain, a host, an IP address or \
network, or words of a refusal. One message is shown step by step, several as a list. The exit code is 1 if there is none.

Examples:
  waypost trace shop@example.com                everything about this alias
  waypost trace ada@example.net --since 2d      mail from or to Ada of two days
  waypost trace 6h22d211fvjnf --follow          one message, and what happens next
  waypost trace 'mailbox full'                  who refused with these words
  waypost trace 192.0.2.0/24 --json"
)]
pub struct TraceArgs {
    /// A queue ID, Message-ID, address, domain, host, IP address or words of a reply.
    #[arg(required = true, num_args = 1.., value_name = "CLUE")]
    pub clue: Vec<String>,
    /// Only from this time on: 2h, 3d, 2026-11-28 or 2026-11-28T06:30 (UTC).
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Maximum messages listed.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// Go on with what happens from now on.
    #[arg(long)]
    pub follow: bool,
}

/// Show what the server did, one line for each event.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  waypost log --follow                          as it happens
  waypost log --since 1h --level warning        what needed a look in the last hour
  waypost log --kind failed,deferred            what could not be delivered
  waypost log --clue gmail.com --limit 500")]
pub struct LogArgs {
    /// Only events of this time or later: 2h, 3d, 2026-11-28 or 2026-11-28T06:30 (UTC).
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only these kinds of events, separated by commas: delivered, failed, logged-in ...
    #[arg(long, value_name = "KINDS")]
    pub kind: Option<String>,
    /// Only this group of kinds: session, message, delivery, login, change or server.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Only events that need at least this attention: info, warning or error.
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<String>,
    /// Only events that match this, as for `waypost trace`.
    #[arg(long, value_name = "CLUE")]
    pub clue: Option<String>,
    /// Maximum events listed: the last ones.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// Go on with what happens from now on.
    #[arg(long)]
    pub follow: bool,
}
