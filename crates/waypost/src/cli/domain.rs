//! Arguments of `waypost domain`.

use clap::Subcommand;

/// The domains that mail is taken for.
#[derive(Debug, Subcommand)]
pub enum Domain {
    /// Take mail for a domain: with DKIM keys, postmaster@ and abuse@, and its DNS records printed.
    #[command(after_help = "Example:\n  waypost domain add example.com")]
    Add {
        /// The domain.
        domain: String,
        /// The domain alone: no keys, no aliases.
        #[arg(long)]
        bare: bool,
    },
    /// List the domains.
    List,
    /// Take no more mail for a domain.
    Remove {
        /// The domain.
        domain: String,
        /// Remove its aliases too.
        #[arg(long)]
        with_aliases: bool,
        /// Remove all that belongs to it: aliases, accounts, DKIM keys, certificate.
        #[arg(long)]
        everything: bool,
        /// Do not ask.
        #[arg(long, requires = "everything")]
        yes: bool,
    },
}
