//! Arguments of `waypost setup`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::CertificateFrom;

/// Prepare this machine for a domain.
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  sudo waypost setup example.com --forward me@example.com=foo@gmail.com
  sudo waypost setup                                       asks for the values
  sudo waypost setup example.com --forward me=foo@gmail.com --certificate acme --wait
  sudo waypost setup example.com --forward me=foo@gmail.com --smarthost smtp.example.net:2525 --smarthost-user me \
    --smarthost-password-file /etc/waypost/smarthost.password       if the hoster blocks port 25
  waypost setup example.com --forward me=foo@gmail.com --config ./waypost.toml --data ./data")]
pub struct SetupArgs {
    /// The domain to accept mail for; without it, setup asks questions.
    pub domain: Option<String>,
    /// Ask questions even if standard input is no terminal.
    #[arg(long, conflicts_with = "domain")]
    pub ask: bool,
    /// An address and where its mail goes; repeatable. Without @, A is a local part at DOMAIN.
    #[arg(long, value_name = "A=B")]
    pub forward: Vec<String>,
    /// The name of this server in DNS [default: mx.DOMAIN].
    #[arg(long)]
    pub hostname: Option<String>,
    /// The data directory, for the queue, domains, aliases and accounts [default: /var/lib/waypost].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where mail to postmaster and abuse goes [default: the target of the first --forward].
    #[arg(long, value_name = "ADDRESS")]
    pub postmaster: Option<String>,
    /// Where the certificate comes from. With acme, you accept the terms of service of Let's Encrypt.
    #[arg(long, value_enum, default_value = "self-signed", value_name = "FROM")]
    pub certificate: CertificateFrom,
    /// Use Let's Encrypt's staging service, for tests: clients do not trust its certificates.
    #[arg(long)]
    pub acme_staging: bool,
    /// A public address of this server, if its interfaces do not have it (NAT); repeatable.
    #[arg(long = "address", value_name = "IP")]
    pub addresses: Vec<IpAddr>,
    /// The next hop for all outgoing mail, instead of the recipients' MX hosts. Default port: 587; 465 uses implicit TLS.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub smarthost: Option<String>,
    /// The login at the smarthost.
    #[arg(long, value_name = "USER", requires = "smarthost", requires = "smarthost_password_file")]
    pub smarthost_user: Option<String>,
    /// A file with the smarthost's password on its first line.
    #[arg(long, value_name = "FILE", requires = "smarthost_user")]
    pub smarthost_password_file: Option<PathBuf>,
    /// The SPF domain of the smarthost: what its instructions show after include:.
    #[arg(long, value_name = "NAME", requires = "smarthost")]
    pub smarthost_spf: Option<String>,
    /// The kinds of mail to send through it: own, forward, report [default: all].
    #[arg(long, value_name = "KIND", value_delimiter = ',', requires = "smarthost")]
    pub smarthost_for: Vec<String>,
    /// Do not check DNS, ports and outgoing connections first.
    #[arg(long)]
    pub no_preflight: bool,
    /// Send no test message through the smarthost. Only a message shows whether it accepts forwards.
    #[arg(long)]
    pub no_trial: bool,
    /// The systemd unit to write [default: /etc/systemd/system/waypost.service, for root on a machine with systemd].
    #[arg(long, value_name = "FILE")]
    pub service: Option<PathBuf>,
    /// Write no systemd unit.
    #[arg(long, conflicts_with = "service")]
    pub no_service: bool,
    /// Wait at most N seconds for the required DNS records [without a number: 3600]; exit code 1 if they are still missing.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "3600")]
    pub wait: Option<u64>,
}
