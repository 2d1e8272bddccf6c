//! TLS as a client: unverified where it is opportunistic, verified where a name or a TLSA record was promised.
//!
//! RFC 7435, RFC 8446, RFC 7672 s.3. Invariant: [`Verify::Nothing`] still checks that the peer holds the key of the certificate it shows.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use mail::Domain;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::dane::{Dane, DaneError};
use crate::tls::TlsError;
use crate::tls::words::no_certificate;

/// A connection to a server, under TLS.
pub type ClientStream = TlsStream<TcpStream>;

/// What is verified about the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: encryption against listeners only.
    Nothing,
    /// Name and chain, by the machine's authorities.
    Name,
}

/// What is wrong with a peer's TLS, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate is not one that is asked for.
    HostMismatch,
    /// The certificate's time is over.
    Expired,
    /// The certificate is by nobody who is trusted.
    NotTrusted,
    /// Something else.
    Other,
}

impl TlsFault {
    /// What the error of a handshake says.
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

/// Connectors for both cases.
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
    /// `authorities` is a PEM file of certificates that are trusted beside the machine's own.
    pub fn new(authorities: Option<&Path>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = roots(authorities)?;
        let builder = || ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let verified = builder()?.with_root_certificates(roots).with_no_client_auth();
        let anyone = Arc::new(Anyone(provider.clone()));
        let opportunistic = builder()?.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth();
        Ok(Self { opportunistic: Arc::new(opportunistic).into(), verified: Arc::new(verified).into(), provider })
    }

    /// Does the handshake with a host over a connection that is up.
    pub async fn connect(&self, verify: Verify, host: &Domain, tcp: TcpStream) -> io::Result<ClientStream> {
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

    /// Does the handshake with a host that must show what its TLSA records name.
    pub async fn connect_as(&self, dane: &Arc<Dane>, tcp: TcpStream) -> io::Result<ClientStream> {
        let name = ServerName::try_from(dane.base().as_str().to_owned()).map_err(io::Error::other)?;
        let failed = Arc::new(OnceLock::new());
        let verifier = Arc::new(ByDane { dane: dane.clone(), anyone: Anyone(self.provider.clone()), failed: failed.clone() });
        let config = ClientConfig::builder_with_provider(self.provider.clone()).with_safe_default_protocol_versions();
        let config = config.map_err(io::Error::other)?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        let shaken = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        shaken.map_err(|error| failed.get().cloned().map_or(error, |failed: DaneError| io::Error::other(failed)))
    }
}

/// Whom the machine trusts, and the authorities of a PEM file beside them.
pub(crate) fn roots(authorities: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = authorities {
        let bad = |reason: String| TlsError::File { path: path.into(), reason };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| bad(no_certificate(path, &e)))? {
            let certificate = certificate.map_err(|e| bad(no_certificate(path, &e)))?;
            roots.add(certificate).map_err(|_| bad("holds a certificate that can be no authority's: one of version 3 is needed".into()))?;
        }
    }
    Ok(roots)
}

/// Believes what the TLSA records say, and keeps why not.
#[derive(Debug)]
struct ByDane {
    dane: Arc<Dane>,
    anyone: Anyone,
    failed: Arc<OnceLock<DaneError>>,
}

impl ServerCertVerifier for ByDane {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<CertificateDer<'_>> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        match self.dane.check(&chain, &self.anyone.0.signature_verification_algorithms, now) {
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
        self.anyone.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.anyone.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.anyone.supported_verify_schemes()
    }
}

#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
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
