//! Arguments of `waypost held`.

use clap::Subcommand;

/// Show, release or drop held mail.
#[derive(Debug, Subcommand)]
pub enum HeldCommand {
    /// List held messages in the order of arrival.
    List {
        /// Maximum messages listed.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only messages after this id, for the next page.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
    /// Show a held message and why it is held.
    Show {
        /// The queue id.
        id: String,
    },
    /// Deliver a held message.
    #[command(after_help = "Examples:
  waypost held release 01jz8k3m5p7q9              as it came; the target may refuse it
  waypost held release 01jz8k3m5p7q9 --wrapped    attached to a message from this server, which passes DMARC")]
    Release {
        /// The queue id.
        id: String,
        /// Attach it to a message from this server.
        #[arg(long)]
        wrapped: bool,
    },
    /// Remove a held message without a DSN to its sender.
    Drop {
        /// The queue id.
        id: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}
