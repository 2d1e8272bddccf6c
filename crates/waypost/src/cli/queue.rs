//! Arguments of `waypost queue`.

use clap::{Args, Subcommand};

/// Show and manage mail that waits for delivery.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List messages in the order of arrival.
    #[command(after_help = "Examples:
  waypost queue list --address gmail.com
  waypost queue list --limit 20 --after 01jz8k3m5p7q9")]
    List {
        /// Maximum messages listed.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only messages after this id, for the next page.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// Only messages with this text in an address.
        #[arg(long, value_name = "TEXT")]
        address: Option<String>,
    },
    /// Show a message and each of its recipients.
    Show {
        /// The queue id.
        id: String,
    },
    /// Retry delivery now.
    #[command(after_help = "Examples:
  waypost queue retry 01jz8k3m5p7q9
  waypost queue retry --domain gmail.com
  waypost queue retry --all")]
    Retry(RetryArgs),
    /// Show which mailboxes, hosts and providers are paused, and why.
    Paused,
    /// End the pause of a mailbox, host or provider, and deliver what waits for it.
    #[command(after_help = "Example:\n  waypost queue resume foo@gmail.com      once the mailbox has room again")]
    Resume {
        /// The mailbox, host or provider, as `queue paused` names it.
        #[arg(value_name = "ADDRESS|HOST")]
        about: String,
    },
    /// Verify the queue on disk: each content, each file, each row; while the server runs.
    #[command(after_help = "Reads all content once. The exit code is 1 if something is damaged or missing.

Example:
  waypost queue verify")]
    Verify,
    /// Remove a message without a DSN to its sender.
    #[command(after_help = "Example:\n  waypost queue drop 01jz8k3m5p7q9 --recipient 0 --yes")]
    Drop {
        /// The queue id.
        id: String,
        /// Only the recipient with this number, as `queue show` numbers them.
        #[arg(long, value_name = "N")]
        recipient: Option<u32>,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Retry delivery now.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RetryArgs {
    /// The queue id.
    pub id: Option<String>,
    /// All mail to this domain.
    #[arg(long)]
    pub domain: Option<String>,
    /// All mail.
    #[arg(long)]
    pub all: bool,
}
