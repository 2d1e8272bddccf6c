//! TLS as a client: unverified if opportunistic, else verified by name or by TLSA records.
//!
//! RFC 7435, RFC 8446, RFC 7672 s.3. Invariant: [`Verify::Nothing`] still checks that the peer has the key of its certificate.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use mail::Domain;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::dane::{Dane, DaneError};
use crate::tls::TlsError;
use crate::tls::file_faults::no_certificate;

/// A connection to a server, under TLS.
pub type ClientStream = TlsStream<TcpStream>;

/// What to verify about the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: encryption against eavesdroppers only.
    Nothing,
    /// Name and chain, by the machine's trusted roots.
    Name,
}

/// The kind of a TLS fault (RFC 8460 s.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate is not for the expected name or key.
    HostMismatch,
    /// The certificate has expired.
    Expired,
    /// The issuer is not trusted.
    NotTrusted,
    /// Something else.
    Other,
}

impl TlsFault {
    /// The fault in a handshake's error.
    pub fn of(error: &io::Error) -> Self {
        let Some(inner) = error.get_ref() else { return Self::Other };
        if let Some(error) = inner.downcast_ref::<DaneError>() {
            return error.fault();
        }
        match inner.downcast_ref::<Error>() {
            Some(Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
                Self::HostMismatch
            }
            Some(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => Self::Expired,
            Some(Error::InvalidCertificate(_)) => Self::NotTrusted,
            _ => Self::Other,
        }
    }
}

/// TLS connectors, unverified and verified.
#[derive(Clone)]
pub struct ClientTls {
    opportunistic: TlsConnector,
    verified: TlsConnector,
    provider: Arc<CryptoProvider>,
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientTls")
    }
}

impl ClientTls {
    /// `authorities` is a PEM file of roots that are trusted in addition to the machine's. Reads files.
    pub fn new(authorities: Option<&Path>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let trusted_roots = trusted_roots(authorities)?;
        let builder = || ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let verified = builder()?.with_root_certificates(trusted_roots).with_no_client_auth();
        let any_server = Arc::new(AnyServer(provider.clone()));
        let opportunistic = builder()?.dangerous().with_custom_certificate_verifier(any_server).with_no_client_auth();
        Ok(Self { opportunistic: Arc::new(opportunistic).into(), verified: Arc::new(verified).into(), provider })
    }

    /// Does the handshake with a host.
    pub async fn connect<IO: AsyncRead + AsyncWrite + Unpin>(&self, verify: Verify, host: &Domain, tcp: IO) -> io::Result<TlsStream<IO>> {
        let name = match host.address() {
            Some(address) => ServerName::from(address),
            None => ServerName::try_from(host.as_str().to_owned()).map_err(io::Error::other)?,
        };
        let connector = match verify {
            Verify::Nothing => &self.opportunistic,
            Verify::Name => &self.verified,
        };
        connector.connect(name, tcp).await
    }

    /// Does the handshake with a host whose certificate must match its TLSA records.
    pub async fn connect_as<IO: AsyncRead + AsyncWrite + Unpin>(&self, dane: &Arc<Dane>, tcp: IO) -> io::Result<TlsStream<IO>> {
        let name = ServerName::try_from(dane.base().as_str().to_owned()).map_err(io::Error::other)?;
        let failed = Arc::new(OnceLock::new());
        let verifier = Arc::new(DaneVerifier { dane: dane.clone(), any_server: AnyServer(self.provider.clone()), failed: failed.clone() });
        let config = ClientConfig::builder_with_provider(self.provider.clone()).with_safe_default_protocol_versions();
        let config = config.map_err(io::Error::other)?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        let shaken = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        shaken.map_err(|error| failed.get().cloned().map_or(error, |failed: DaneError| io::Error::other(failed)))
    }
}

/// The machine's trusted roots, and those of a PEM file.
pub(crate) fn trusted_roots(authorities: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut trusted_roots = RootCertStore::empty();
    trusted_roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = authorities {
        let bad = |reason: String| TlsError::File { path: path.into(), reason };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| bad(no_certificate(path, &e)))? {
            let certificate = certificate.map_err(|e| bad(no_certificate(path, &e)))?;
            trusted_roots
                .add(certificate)
                .map_err(|_| bad("holds a certificate that cannot be an authority's: version 3 is required".into()))?;
        }
    }
    Ok(trusted_roots)
}

/// Verifies against TLSA records, and keeps the error.
#[derive(Debug)]
struct DaneVerifier {
    dane: Arc<Dane>,
    any_server: AnyServer,
    failed: Arc<OnceLock<DaneError>>,
}

impl ServerCertVerifier for DaneVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<CertificateDer<'_>> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        match self.dane.check(&chain, &self.any_server.0.signature_verification_algorithms, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(error) => {
                let _ = self.failed.set(error);
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.any_server.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.any_server.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any_server.supported_verify_schemes()
    }
}

#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
