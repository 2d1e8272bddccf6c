//! Arguments of `waypost key`.

use clap::Subcommand;

/// The DKIM keys that sign for your domains.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// List the keys and where they are in their life.
    List,
    /// Show the records to publish for a domain's keys.
    #[command(after_help = "Example:\n  waypost key show example.com")]
    Show {
        /// The domain.
        domain: String,
    },
    /// Make the first keys of a domain; they sign at once.
    Add {
        /// The domain.
        domain: String,
    },
    /// Remove the keys of a domain that is no longer hosted, or one of them.
    #[command(after_help = "Examples:
  waypost key remove example.com                     all keys of a domain that is gone
  waypost key remove example.com --selector r1       a key that was given up")]
    Remove {
        /// The domain.
        domain: String,
        /// Only the key of this selector.
        #[arg(long)]
        selector: Option<String>,
        /// Even where mail of the domain leaves unsigned then.
        #[arg(long)]
        force: bool,
    },
    /// Take the next step in the change of a domain's keys.
    #[command(
        after_help = "The first call makes the next keys: publish their records. The second looks whether they are in DNS, and if so lets them
sign; the old ones retire, and their records must stay for 7 days.

Example:
  waypost key rotate example.com"
    )]
    Rotate {
        /// The domain.
        domain: String,
        /// Switch without a look at DNS.
        #[arg(long)]
        force: bool,
    },
}
