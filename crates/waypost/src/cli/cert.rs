//! The command line of `waypost cert`.
//!
//! Invariant: what makes keys says where it puts them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Where `setup` gets a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CertificateFrom {
    /// From a public authority: the server orders it, and renews it.
    Acme,
    /// From itself: nobody vouches for it.
    #[default]
    SelfSigned,
}

/// The certificates of this server.
#[derive(Debug, Subcommand)]
pub enum Cert {
    /// Show each certificate, who gets it, and when it is renewed; exit code 1 if one has expired or there is none.
    #[command(after_help = "Example:\n  waypost cert status --json | jq '.certificates[].not_after_ms'")]
    Status,
    /// Ask the authority again now, whatever the wait after a failure.
    #[command(after_help = "Examples:
  waypost cert renew                            all that is due, or has failed
  waypost cert renew mx.example.com --force     this one, due or not")]
    Renew {
        /// The certificate, as cert status calls it; without, all.
        name: Option<String>,
        /// Also what is not due: authorities count, and refuse too many.
        #[arg(long)]
        force: bool,
    },
    /// Make an authority of your own, and a certificate by it; without a server or a configuration.
    #[command(after_help = "An authority that is in the directory already is used again, so that those who trust it need do nothing.

Examples:
  waypost cert self-signed --name mx.example.com
  waypost cert self-signed --name mx.example.com --name mail.example.com --days 90 --out /etc/waypost/tls")]
    SelfSigned(SelfSigned),
    /// Make a request (PKCS #10) for an authority that wants one; without a server or a configuration.
    #[command(after_help = "Examples:
  waypost cert csr mx.example.com > mx.csr                    makes mx.example.com.key.pem too
  waypost cert csr mx.example.com --key /etc/waypost/privkey.pem --out mx.csr")]
    Csr(Csr),
    /// Say whether a certificate and a key belong together, and what the certificate is for; exit code 1 if they do not.
    #[command(after_help = "Example:\n  waypost cert check fullchain.pem privkey.pem")]
    Check {
        /// The certificate and its chain (PEM).
        certificate: PathBuf,
        /// The key (PEM).
        key: PathBuf,
    },
}

/// Make an authority and a certificate.
#[derive(Debug, Args)]
pub struct SelfSigned {
    /// A name that the certificate is for; can be given several times [default: hostname of the configuration].
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
    /// How long the certificate is valid; clients refuse more than 397 days of most authorities.
    #[arg(long, default_value_t = 397, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// The directory for the files.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
}

/// Make a request.
#[derive(Debug, Args)]
pub struct Csr {
    /// The names.
    #[arg(required = true)]
    pub name: Vec<String>,
    /// The key (PEM) [default: a new one, NAME.key.pem].
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The file for the request [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
