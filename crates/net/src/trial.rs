//! TLS as a trial: one version at a time, the name strictly checked, and what the server asks for remembered.
//!
//! RFC 8446 s.4.3.2 (CertificateRequest), RFC 6066 s.3 (SNI). Invariant: nothing is sent over a connection whose certificate was not believed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mail::Domain;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore, SignatureScheme, version};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::TlsError;
use crate::tls_client::roots;

/// The version that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrialError {
    /// The certificate is for another name.
    #[error("the certificate is not for this name")]
    Name,
    /// Nobody whom the machine trusts has signed it, or the chain is not complete.
    #[error("no authority that this machine trusts has issued the certificate, or the chain is incomplete")]
    Issuer,
    /// It is not valid at this time.
    #[error("the certificate has expired, or is not valid yet")]
    Time,
    /// Something else.
    #[error("{0}")]
    Other(String),
}

/// A client that tries handshakes.
#[derive(Debug)]
pub struct Trial {
    roots: Arc<RootCertStore>,
}

/// Presents no certificate, and remembers whether one was asked for.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Trial {
    /// `authorities` is a PEM file of certificates that are trusted beside the machine's own.
    pub fn new(authorities: Option<&Path>) -> Result<Self, TlsError> {
        Ok(Self { roots: Arc::new(roots(authorities)?) })
    }

    /// Does the handshake; says too whether the server asked for a client certificate.
    pub async fn connect(&self, version: TrialVersion, host: &Domain, tcp: TcpStream) -> Result<(TlsStream<TcpStream>, bool), TrialError> {
        let other = |e: &dyn std::fmt::Display| TrialError::Other(e.to_string());
        let name = ServerName::try_from(host.as_str().to_owned()).map_err(|e| other(&e))?;
        let versions = match version {
            TrialVersion::V12 => [&version::TLS12],
            TrialVersion::V13 => [&version::TLS13],
        };
        let asked = Arc::new(Asked::default());
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(&versions).map_err(|e| other(&e))?;
        let config = builder.with_root_certificates(self.roots.clone()).with_client_cert_resolver(asked.clone());
        match TlsConnector::from(Arc::new(config)).connect(name, tcp).await {
            Ok(stream) => Ok((stream, asked.0.load(Ordering::Relaxed))),
            Err(error) => Err(error.get_ref().and_then(|e| e.downcast_ref()).map_or_else(|| other(&error), reason)),
        }
    }
}

fn reason(error: &Error) -> TrialError {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    match error {
        Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => TrialError::Name,
        // An authority of the same name is trusted, and has not issued it.
        Error::InvalidCertificate(UnknownIssuer | BadSignature) => TrialError::Issuer,
        Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }) => TrialError::Time,
        other => TrialError::Other(other.to_string()),
    }
}
