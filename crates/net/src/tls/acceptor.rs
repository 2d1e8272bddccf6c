//! Accepts one connection: the handshake, the certificate for the name that the client asks for, and which one it was.
//!
//! RFC 6066 s.3 (SNI), RFC 8737 s.3. Invariant: the leaf that is returned is the one that the client got.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::CommonState;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{ACME_TLS, LoadedTls, ServerTls, Service, SharedTls};

/// Accepts one connection.
#[derive(Debug)]
pub struct Acceptor {
    pub(super) tls: ServerTls,
    pub(super) service: Service,
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Accepted<IO> {
    /// The connection.
    pub stream: TlsStream<IO>,
    /// The leaf that the client got, for [`channel_bindings`](super::channel_bindings).
    pub leaf: CertificateDer<'static>,
}

impl Acceptor {
    /// Does the handshake, with certificates as their files are now.
    pub async fn accept<IO: AsyncRead + AsyncWrite + Unpin>(self, io: IO) -> io::Result<Accepted<IO>> {
        let loaded = self.tls.refreshed().await;
        let presented = Arc::new(OnceLock::new());
        let mut config = loaded.config(self.service).clone();
        config.cert_resolver = Arc::new(ConnectionResolver {
            loaded,
            tls: self.tls.0.clone(),
            is_https: self.service == Service::Https,
            presented: presented.clone(),
        });
        let stream = TlsAcceptor::from(Arc::new(config)).accept(io).await?;
        let leaf = presented.get().cloned().ok_or_else(|| io::Error::other("the handshake presented no certificate"))?;
        Ok(Accepted { stream, leaf })
    }
}

/// `TLSv1_3 with TLS13_AES_256_GCM_SHA384`, for trace fields and logs.
pub fn describe(state: &CommonState) -> String {
    let version = state.protocol_version().map_or("TLS".into(), |v| format!("{v:?}"));
    let suite = state.negotiated_cipher_suite().map_or("unknown".into(), |s| format!("{:?}", s.suite()));
    format!("{version} with {suite}")
}

/// The placeholder in a service's configuration; each connection sets its own [`ConnectionResolver`].
#[derive(Debug)]
pub(super) struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// Chooses the certificate of one connection, and remembers it.
struct ConnectionResolver {
    loaded: Arc<LoadedTls>,
    tls: Arc<SharedTls>,
    is_https: bool,
    presented: Arc<OnceLock<CertificateDer<'static>>>,
}

impl std::fmt::Debug for ConnectionResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConnectionResolver")
    }
}

impl ResolvesServerCert for ConnectionResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_validation = self.is_https && hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ACME_TLS));
        let chosen = if is_validation {
            hello.server_name().and_then(|name| self.tls.challenges.certificate(name))
        } else {
            self.loaded.set.choose(hello.server_name(), self.tls.clock.now_s())
        }?;
        if let Some(leaf) = chosen.cert.first() {
            let _ = self.presented.set(leaf.clone());
        }
        Some(chosen)
    }
}
