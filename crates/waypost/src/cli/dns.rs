//! `waypost dns`, as clap reads it.
//!
//! Invariant: help, completions and man pages come from here.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use dns_providers::DnsProvider;

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
    /// Compare DNS with the records that should be there; exit code 1 if something required is wrong.
    #[command(
        after_help = "Asked are the servers of each zone, the resolver in use, and those of dns.resolvers. Of each record it is said whether it is ok,
missing, differs, is extra, or is propagating: right at its zone, with older answers elsewhere.

Examples:
  waypost dns check
  waypost dns check example.com --quick       only the resolver in use, which may have older answers
  waypost --json dns check"
    )]
    Check {
        /// Only what this domain needs.
        domain: Option<String>,
        /// Ask only the resolver in use.
        #[arg(long)]
        quick: bool,
    },
    Apply(ApplyDns),
}

/// Write the records into DNS, by way of your provider.
#[derive(Debug, Args)]
#[command(
    after_help = "The changes are shown first: + added, ~ replaced, - removed. Records that this command did not write are left alone, unless their
name is given with --replace. The provider's token is read from dns.token_file or from WAYPOST_DNS_TOKEN; for route53, godaddy and porkbun it is the id of a key,
a colon, and its secret.

Examples:
  waypost dns apply                                           with dns.provider of the configuration
  WAYPOST_DNS_TOKEN=... waypost dns apply example.com --provider cloudflare
  waypost dns apply example.com --replace example.com --yes   take away the MX and SPF records of the provider before"
)]
pub struct ApplyDns {
    /// Only what this domain needs.
    pub domain: Option<String>,
    /// Who keeps the zone.
    #[arg(long, value_parser = PossibleValuesParser::new(DnsProvider::NAMES.iter().copied()).try_map(|name| name.parse::<DnsProvider>()))]
    pub provider: Option<DnsProvider>,
    /// A name whose records of others may be replaced; can be given several times.
    #[arg(long, value_name = "NAME")]
    pub replace: Vec<String>,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}
