//! Probes a server's TLS: one version at a time, with full verification, and whether it asks for a client certificate.
//!
//! RFC 8446 s.4.3.2 (CertificateRequest), RFC 6066 s.3 (SNI). Invariant: nothing is sent over a connection whose certificate failed.

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
use crate::tls_client::trusted_roots;

/// The version to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsProbeError {
    /// The certificate is for another name.
    #[error("the certificate is not for this name")]
    Name,
    /// The issuer is not trusted, or the chain is incomplete.
    #[error("this machine does not trust the certificate's issuer, or the chain is incomplete")]
    Issuer,
    /// It is not valid now.
    #[error("the certificate has expired, or is not valid yet")]
    Time,
    /// Something else.
    #[error("{0}")]
    Other(String),
}

/// Probes TLS servers.
#[derive(Debug)]
pub struct TlsProbe {
    trusted_roots: Arc<RootCertStore>,
}

/// Presents no certificate, and records whether the server asked for one.
#[derive(Debug, Default)]
struct RequestRecorder(AtomicBool);

impl ResolvesClientCert for RequestRecorder {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl TlsProbe {
    /// `authorities` is a PEM file of roots that are trusted in addition to the machine's. Reads files.
    pub fn new(authorities: Option<&Path>) -> Result<Self, TlsError> {
        Ok(Self { trusted_roots: Arc::new(trusted_roots(authorities)?) })
    }

    /// Does the handshake; also returns whether the server asked for a client certificate.
    pub async fn connect(&self, version: TlsVersion, host: &Domain, tcp: TcpStream) -> Result<(TlsStream<TcpStream>, bool), TlsProbeError> {
        let other = |e: &dyn std::fmt::Display| TlsProbeError::Other(e.to_string());
        let name = ServerName::try_from(host.as_str().to_owned()).map_err(|e| other(&e))?;
        let versions = match version {
            TlsVersion::V12 => [&version::TLS12],
            TlsVersion::V13 => [&version::TLS13],
        };
        let asked = Arc::new(RequestRecorder::default());
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(&versions).map_err(|e| other(&e))?;
        let config = builder.with_root_certificates(self.trusted_roots.clone()).with_client_cert_resolver(asked.clone());
        match TlsConnector::from(Arc::new(config)).connect(name, tcp).await {
            Ok(stream) => Ok((stream, asked.0.load(Ordering::Relaxed))),
            Err(error) => Err(error.get_ref().and_then(|e| e.downcast_ref()).map_or_else(|| other(&error), reason)),
        }
    }
}

fn reason(error: &Error) -> TlsProbeError {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    match error {
        Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => TlsProbeError::Name,
        // BadSignature: a trusted authority has the issuer's name, but did not issue it.
        Error::InvalidCertificate(UnknownIssuer | BadSignature) => TlsProbeError::Issuer,
        Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }) => TlsProbeError::Time,
        other => TlsProbeError::Other(other.to_string()),
    }
}
