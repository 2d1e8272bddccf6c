//! Arguments of `waypost key`.

use clap::Subcommand;

/// Manage the DKIM keys of your domains.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the keys and their states.
    List,
    /// Show the records to publish for a domain's keys.
    #[command(after_help = "Example:\n  waypost key show example.com")]
    Show {
        /// The domain.
        domain: String,
    },
    /// Create the first keys of a domain; they sign at once.
    Add {
        /// The domain.
        domain: String,
    },
    /// Remove the keys of a domain that is no longer hosted, or a single key.
    #[command(after_help = "Examples:
  waypost key remove example.com                     all keys of a removed domain
  waypost key remove example.com --selector r1       one key")]
    Remove {
        /// The domain.
        domain: String,
        /// Only the key with this selector.
        #[arg(long)]
        selector: Option<String>,
        /// Remove it even if the domain's mail then leaves unsigned.
        #[arg(long)]
        force: bool,
    },
    /// Take the next step of a key rotation.
    #[command(
        after_help = "The first call creates the next keys: publish their records. The second call checks that the records are in DNS, then signs with
the new keys and retires the old ones, whose records must stay for 7 days.

Example:
  waypost key rotate example.com"
    )]
    Rotate {
        /// The domain.
        domain: String,
        /// Switch without checking DNS.
        #[arg(long)]
        force: bool,
    },
}
