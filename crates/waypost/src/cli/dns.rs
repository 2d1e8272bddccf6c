//! Arguments of `waypost dns`.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use dns_providers::DnsProvider;

/// Show, check or publish your DNS records.
#[derive(Debug, Subcommand)]
pub enum DnsCommand {
    /// Print the records to publish.
    #[command(after_help = "Examples:
  waypost dns show
  waypost dns show example.com --format zone            lines for a zone file
  waypost dns show example.com --format digitalocean    the fields of the provider's form

Providers with a form: cloudflare, digitalocean, gandi, godaddy, hetzner, namecheap, ovh, route53.")]
    Show {
        /// Only what this domain needs.
        domain: Option<String>,
        /// table, zone, or the name of a provider.
        #[arg(long, default_value = "table")]
        format: String,
    },
    /// Compare DNS with the records that it should have; exit code 1 if a required record is wrong.
    #[command(
        after_help = "Queries the servers of each zone, the resolver in use, and those of dns.public_resolvers. Each record is ok, missing, differs, extra, or
propagating: right at its zone, with older answers elsewhere.

Examples:
  waypost dns check
  waypost dns check example.com --quick       only the resolver in use, which may have old answers
  waypost --json dns check"
    )]
    Check {
        /// Only what this domain needs.
        domain: Option<String>,
        /// Query only the resolver in use.
        #[arg(long)]
        quick: bool,
    },
    Apply(DnsApplyArgs),
}

/// Publish the records through your DNS provider.
#[derive(Debug, Args)]
#[command(
    after_help = "Shows the changes first: + added, ~ replaced, - removed. Records that this command did not write are left alone, unless their name is
given with --replace. The provider's token is read from dns.token_file or WAYPOST_DNS_TOKEN; for route53, godaddy and porkbun it is a
key id, a colon, and its secret.

Examples:
  waypost dns apply                                           uses dns.provider of the configuration
  WAYPOST_DNS_TOKEN=... waypost dns apply example.com --provider cloudflare
  waypost dns apply example.com --replace example.com --yes   replace the old MX and SPF records"
)]
pub struct DnsApplyArgs {
    /// Only what this domain needs.
    pub domain: Option<String>,
    /// The provider that hosts the zone.
    #[arg(long, value_parser = PossibleValuesParser::new(DnsProvider::NAMES.iter().copied()).try_map(|name| name.parse::<DnsProvider>()))]
    pub provider: Option<DnsProvider>,
    /// A name whose existing records may be replaced; repeatable.
    #[arg(long, value_name = "NAME")]
    pub replace: Vec<String>,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}
