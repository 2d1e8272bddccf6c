//! Arguments of `waypost cert`.
//!
//! Invariant: a command that creates keys says where it writes them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Where `setup` gets the certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CertificateFrom {
    /// From a public authority; the server orders and renews it.
    Acme,
    /// Signed by itself; clients do not trust it.
    #[default]
    SelfSigned,
}

/// Manage the TLS certificates of this server.
#[derive(Debug, Subcommand)]
pub enum CertCommand {
    /// Show each certificate, its names, and when it is renewed; exit code 1 if one has expired or none exists.
    #[command(after_help = "Example:\n  waypost cert status --json | jq '.certificates[].not_after_ms'")]
    Status,
    /// Renew now, without waiting for the next attempt after a failure.
    #[command(after_help = "Examples:
  waypost cert renew                            all that are due or have failed
  waypost cert renew mx.example.com --force     this one, even if it is not due")]
    Renew {
        /// The certificate, as `cert status` names it [default: all].
        name: Option<String>,
        /// Also renew what is not due; authorities limit the number of orders.
        #[arg(long)]
        force: bool,
    },
    /// Create your own authority and a certificate issued by it; needs no server and no configuration.
    #[command(after_help = "An authority that exists in the directory is used again, so clients that trust it need no change.

Examples:
  waypost cert self-signed --name mx.example.com
  waypost cert self-signed --name mx.example.com --name mail.example.com --days 90 --out /etc/waypost/tls")]
    SelfSigned(SelfSignedArgs),
    /// Create a certificate request (PKCS #10); needs no server and no configuration.
    #[command(after_help = "Examples:
  waypost cert csr mx.example.com > mx.csr                    also creates mx.example.com.key.pem
  waypost cert csr mx.example.com --key /etc/waypost/privkey.pem --out mx.csr")]
    Csr(CsrArgs),
    /// Check that a certificate and a key belong together, and show the certificate's names; exit code 1 if they do not.
    #[command(after_help = "Example:\n  waypost cert check fullchain.pem privkey.pem")]
    Check {
        /// The certificate with its chain (PEM).
        certificate: PathBuf,
        /// The key (PEM).
        key: PathBuf,
    },
}

/// Create an authority and a certificate.
#[derive(Debug, Args)]
pub struct SelfSignedArgs {
    /// A DNS name for the certificate; repeatable [default: hostname of the configuration].
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
    /// Days that the certificate is valid; clients refuse more than 397 from most authorities.
    #[arg(long, default_value_t = 397, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// The directory for the files.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
}

/// Create a certificate request.
#[derive(Debug, Args)]
pub struct CsrArgs {
    /// The DNS names.
    #[arg(required = true)]
    pub name: Vec<String>,
    /// The key (PEM) [default: a new one, NAME.key.pem].
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The file for the request [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
