//! `waypost dns`, as clap reads it.
//!
//! Invariant: help, completions and man pages come from here.

use clap::Subcommand;

/// The records that should be in DNS, and those that are.
#[derive(Debug, Subcommand)]
pub enum Dns {
    /// Print the records to publish.
    #[command(after_help = "Examples:
  waypost dns show
  waypost dns show example.com --format zone            lines for a zone file
  waypost dns show example.com --format digitalocean    what to write into which field of the provider's form

Forms are known of cloudflare, digitalocean, gandi, godaddy, hetzner, namecheap, ovh and route53.")]
    Show {
        /// Only what this domain needs.
        domain: Option<String>,
        /// table, zone, or a provider.
        #[arg(long, default_value = "table")]
        format: String,
    },
}
