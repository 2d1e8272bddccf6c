//! Arguments of `waypost domain`.

use clap::Subcommand;

/// Manage the domains that this server accepts mail for.
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    /// Accept mail for a domain: creates its DKIM keys, postmaster@ and abuse@, and prints its DNS records.
    #[command(after_help = "Example:\n  waypost domain add example.com")]
    Add {
        /// The domain.
        domain: String,
        /// Add the domain alone: no keys, no aliases.
        #[arg(long)]
        bare: bool,
    },
    /// List the domains.
    List,
    /// Stop accepting mail for a domain.
    Remove {
        /// The domain.
        domain: String,
        /// Remove its aliases too.
        #[arg(long)]
        with_aliases: bool,
        /// Remove everything that belongs to it: aliases, accounts, DKIM keys, certificate.
        #[arg(long)]
        everything: bool,
        /// Do not ask.
        #[arg(long, requires = "everything")]
        yes: bool,
    },
}
