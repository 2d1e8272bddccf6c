//! `waypost setup`, as clap reads it.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::CertificateFrom;

/// Prepare this machine for a domain.
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  sudo waypost setup example.com --forward me@example.com=foo@gmail.com
  sudo waypost setup                                       asks for what it needs
  sudo waypost setup example.com --forward me=foo@gmail.com --certificate acme --wait
  sudo waypost setup example.com --forward me=foo@gmail.com --smarthost smtp.example.net:2525 --smarthost-user me \
    --smarthost-password-file /etc/waypost/smarthost.password       where the hoster has closed port 25
  waypost setup example.com --forward me=foo@gmail.com --config ./waypost.toml --data ./data")]
pub struct Setup {
    /// The domain that mail is taken for; without it, questions are asked.
    pub domain: Option<String>,
    /// Ask even where standard input is no terminal.
    #[arg(long, conflicts_with = "domain")]
    pub ask: bool,
    /// An address and where its mail goes; can be given several times. Without @ it is an address of DOMAIN.
    #[arg(long, value_name = "A=B")]
    pub forward: Vec<String>,
    /// The name of this server in DNS [default: mx.DOMAIN].
    #[arg(long)]
    pub hostname: Option<String>,
    /// Where queue and directory are kept [default: /var/lib/waypost].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Who gets mail to postmaster and abuse [default: where the first --forward leads].
    #[arg(long, value_name = "ADDRESS")]
    pub postmaster: Option<String>,
    /// Where the certificate comes from. With acme you agree to the terms of service of Let's Encrypt.
    #[arg(long, value_enum, default_value = "self-signed", value_name = "FROM")]
    pub certificate: CertificateFrom,
    /// From Let's Encrypt's staging service: for trials, nobody trusts it.
    #[arg(long)]
    pub acme_staging: bool,
    /// A public address of this server, where the machine does not have it itself. Can be given several times.
    #[arg(long = "address", value_name = "IP")]
    pub addresses: Vec<IpAddr>,
    /// The next hop for everything that is sent, instead of the recipients' own hosts; port 587 unless another is named (465 means TLS from the start).
    #[arg(long, value_name = "HOST[:PORT]")]
    pub smarthost: Option<String>,
    /// The user to log in as there.
    #[arg(long, value_name = "USER", requires = "smarthost", requires = "smarthost_password_file")]
    pub smarthost_user: Option<String>,
    /// A file with the password on its first line.
    #[arg(long, value_name = "FILE", requires = "smarthost_user")]
    pub smarthost_password_file: Option<PathBuf>,
    /// The SPF record of the smarthost: what its instructions give after include:.
    #[arg(long, value_name = "NAME", requires = "smarthost")]
    pub smarthost_spf: Option<String>,
    /// The kinds of mail that go that way: own, forward, report [default: all].
    #[arg(long, value_name = "KIND", value_delimiter = ',', requires = "smarthost")]
    pub smarthost_for: Vec<String>,
    /// Do not look at DNS, ports and the way out first.
    #[arg(long)]
    pub no_preflight: bool,
    /// Send no message through the smarthost to try it. Only a message shows whether it takes forwards.
    #[arg(long)]
    pub no_trial: bool,
    /// Where the unit for systemd is written [default: /etc/systemd/system/waypost.service, for root on a machine with systemd].
    #[arg(long, value_name = "FILE")]
    pub service: Option<PathBuf>,
    /// Write no unit.
    #[arg(long, conflicts_with = "service")]
    pub no_service: bool,
    /// Wait until the required DNS records are there, so many seconds at most [without a number: an hour]; exit code 1 if they are not.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "3600")]
    pub wait: Option<u64>,
}
