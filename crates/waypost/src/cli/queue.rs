//! `waypost queue` and `waypost held`, as clap reads them.

use clap::{Args, Subcommand};

/// What waits to be delivered.
#[derive(Debug, Subcommand)]
pub enum Queue {
    /// List messages in the order of arrival.
    #[command(after_help = "Examples:
  waypost queue list --address gmail.com
  waypost queue list --limit 20 --after 01jz8k3m5p7q9")]
    List {
        /// At most this many messages.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only messages after this id: the next page.
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
    /// Try again now.
    #[command(after_help = "Examples:
  waypost queue retry 01jz8k3m5p7q9
  waypost queue retry --domain gmail.com
  waypost queue retry --all")]
    Retry(Retry),
    /// Show which mailboxes and hosts get nothing for now, and why.
    Paused,
    /// End the pause of a mailbox, host or provider, and try now what waits for it.
    #[command(after_help = "Example:\n  waypost queue resume foo@gmail.com      when there is room in the mailbox again")]
    Resume {
        /// The mailbox, host or provider, as queue paused names it.
        #[arg(value_name = "ADDRESS|HOST")]
        about: String,
    },
    /// Remove a message without a report to its sender.
    #[command(after_help = "Example:\n  waypost queue drop 01jz8k3m5p7q9 --recipient 0 --yes")]
    Drop {
        /// The queue id.
        id: String,
        /// Only the recipient with this number, as queue show counts them.
        #[arg(long, value_name = "N")]
        recipient: Option<u32>,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Mail that is held until a person has looked at it.
#[derive(Debug, Subcommand)]
pub enum Held {
    /// List held messages in the order of arrival.
    List {
        /// At most this many messages.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only messages after this id: the next page.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
    /// Show a held message, and why it is held.
    Show {
        /// The queue id.
        id: String,
    },
    /// Send it on.
    #[command(after_help = "Examples:
  waypost held release 01jz8k3m5p7q9              as it came: the target may refuse it
  waypost held release 01jz8k3m5p7q9 --wrapped    within a message of this server, which every target believes")]
    Release {
        /// The queue id.
        id: String,
        /// Within a message of this server.
        #[arg(long)]
        wrapped: bool,
    },
    /// Remove it without a word to its sender.
    Drop {
        /// The queue id.
        id: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Try again now.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Retry {
    /// The queue id.
    pub id: Option<String>,
    /// Everything to this domain.
    #[arg(long)]
    pub domain: Option<String>,
    /// Everything.
    #[arg(long)]
    pub all: bool,
}
