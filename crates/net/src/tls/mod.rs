//! TLS as a server: one configuration for each service, the certificates, what binds a channel.
//!
//! RFC 8446, RFC 5246, RFC 8314, RFC 7301 (ALPN). Invariant: nothing of a session of one service is of use at another (threats.md 74), and only
//! [`Service::ByCertificate`] asks for a client's certificate (Gmail presents its own when asked, and then send-as breaks).

mod anyone;
mod bindings;
mod pair;
mod set;
mod signature;
#[cfg(test)]
mod tests;
pub(crate) mod words;
#[cfg(test)]
mod words_tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CommonState, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use bindings::bindings;
pub(crate) use pair::read_chain;
pub use pair::{PairFiles, check_pair};
pub use set::{Origin, Sources};

use crate::acme::Challenges;
use crate::clock::Clock;
use crate::leaf::Leaf;
use set::Set;

/// The protocol of a connection that only validates a name (RFC 8737 s.3).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds something else.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key readable by everyone is no secret.
    #[error("{0} can be read by other users; run: chmod 600 {0}")]
    Readable(PathBuf),
    /// A certificate could not be made.
    #[error("no certificate could be made: {0}")]
    Make(String),
    /// The key or its certificate cannot sign.
    #[error("nothing can be signed with the certificate: {0}")]
    Sign(String),
    /// There is none at all.
    #[error("there is no certificate")]
    None,
    /// rustls refused the settings.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Mail, on every port.
    Smtp,
    /// The pages, and names that are validated by TLS.
    Https,
    /// Mail from clients that show a certificate of their own.
    ByCertificate,
}

/// What a server offers.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    challenges: Challenges,
    current: Mutex<Arc<Current>>,
}

/// The certificates and what is derived from them. New certificates come with new ticket keys, so that a session that is taken up again always
/// belongs to the certificate that would be shown now: the binding to it depends on that.
#[derive(Debug)]
struct Current {
    set: Set,
    smtp: ServerConfig,
    https: ServerConfig,
    by_certificate: ServerConfig,
}

impl Current {
    fn new(set: Set) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(Self {
            set,
            smtp: config(Service::Smtp, &provider)?,
            https: config(Service::Https, &provider)?,
            by_certificate: config(Service::ByCertificate, &provider)?,
        })
    }
}

fn config(service: Service, provider: &Arc<CryptoProvider>) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match service {
        Service::Smtp | Service::Https => builder.with_no_client_auth(),
        Service::ByCertificate => builder.with_client_cert_verifier(Arc::new(anyone::Holder(provider.clone()))),
    };
    let mut config = builder.with_cert_resolver(Arc::new(Nobody));
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    // Ours first: of several good suites the one that everybody's hardware is fast at.
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = match service {
        Service::Smtp | Service::ByCertificate => vec![b"smtp".to_vec()],
        Service::Https => vec![b"http/1.1".to_vec(), ACME_TLS.to_vec()],
    };
    Ok(config)
}

impl ServerTls {
    /// Loads all certificates.
    pub fn new(sources: &Sources, challenges: Challenges, clock: Clock) -> Result<Self, TlsError> {
        let current = Mutex::new(Arc::new(Current::new(Set::load(sources)?)?));
        Ok(Self(Arc::new(Inner { clock, challenges, current })))
    }

    /// Loads one certificate chain and its key from PEM files.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let default = Some(PairFiles { certificate: certificate.into(), key: key.into() });
        Self::new(&Sources { default, ..Sources::default() }, Challenges::default(), Clock::system())
    }

    /// An acceptor for one connection. Looks whether the files have changed.
    pub fn acceptor(&self, service: Service) -> Acceptor {
        let current = self.refresh(false);
        let config = match service {
            Service::Smtp => &current.smtp,
            Service::Https => &current.https,
            Service::ByCertificate => &current.by_certificate,
        };
        let shown = Arc::new(OnceLock::new());
        let mut config = config.clone();
        let chooser = Chooser { current, tls: self.0.clone(), is_https: service == Service::Https, shown: shown.clone() };
        config.cert_resolver = Arc::new(chooser);
        Acceptor { acceptor: TlsAcceptor::from(Arc::new(config)), shown }
    }

    /// Reads everything again, what ACME got too. The next handshake uses it; sessions under way go on.
    pub fn reload(&self) {
        self.refresh(true);
    }

    /// Shows the certificates of other sources from now on. Sessions under way go on.
    ///
    /// # Errors
    /// One that does not load; then all stay as they are.
    pub fn replace(&self, sources: &Sources) -> Result<(), TlsError> {
        let next = Arc::new(Current::new(Set::load(sources)?)?);
        *self.0.current.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    fn refresh(&self, with_issued: bool) -> Arc<Current> {
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = current.set.refreshed(with_issued) {
            match Current::new(set) {
                Ok(next) => *current = Arc::new(next),
                Err(error) => tracing::error!(%error, "the changed certificates cannot be used; those before stay"),
            }
        }
        current.clone()
    }

    /// The content within a signature (CMS, DER) of the certificate that is shown for this name.
    pub fn signed(&self, name: &str, content: &[u8]) -> Result<Vec<u8>, TlsError> {
        let now_s = self.0.clock.now_s();
        let pair = self.refresh(false).set.choose(Some(name), now_s).ok_or(TlsError::None)?;
        signature::signed(&pair, content, now_s).map_err(TlsError::Sign)
    }

    /// What is in use: each certificate with its files, and the names of the others for which it is shown.
    pub fn in_use(&self) -> Vec<InUse> {
        in_use(&self.refresh(false).set, self.0.clock.now_s())
    }
}

/// A certificate in use.
#[derive(Debug, Clone)]
pub struct InUse {
    /// Where it comes from.
    pub origin: Origin,
    /// Its files.
    pub files: PairFiles,
    /// What it says.
    pub leaf: Leaf,
    /// The names that clients get it for.
    pub shown_for: Vec<String>,
    /// Whether clients get it that ask for no name, or for one that no certificate has.
    pub is_fallback: bool,
}

/// What would be in use, without a server.
pub fn certificates_of(sources: &Sources, clock: &Clock) -> Result<Vec<InUse>, TlsError> {
    Ok(in_use(&Set::load(sources)?, clock.now_s()))
}

fn in_use(set: &Set, now_s: i64) -> Vec<InUse> {
    let fallback = set.place(None, now_s);
    let one = |(place, (origin, pair)): (usize, &(Origin, pair::Pair))| {
        let is_shown = |name: &&String| set.place(Some(&name.replacen('*', "any", 1)), now_s) == Some(place);
        InUse {
            origin: *origin,
            files: pair.files.clone(),
            leaf: pair.leaf.clone(),
            shown_for: pair.leaf.names.iter().filter(is_shown).cloned().collect(),
            is_fallback: fallback == Some(place),
        }
    };
    set.entries.iter().enumerate().map(one).collect()
}

/// Accepts one connection.
pub struct Acceptor {
    acceptor: TlsAcceptor,
    shown: Arc<OnceLock<CertificateDer<'static>>>,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

/// A connection whose handshake is over.
#[derive(Debug)]
pub struct Accepted<IO> {
    /// The connection.
    pub stream: TlsStream<IO>,
    /// The leaf that was shown, for [`bindings`].
    pub leaf: CertificateDer<'static>,
}

impl Acceptor {
    /// Does the handshake.
    pub async fn accept<IO: AsyncRead + AsyncWrite + Unpin>(self, io: IO) -> io::Result<Accepted<IO>> {
        let stream = self.acceptor.accept(io).await?;
        let leaf = self.shown.get().cloned().ok_or_else(|| io::Error::other("no certificate was shown"))?;
        Ok(Accepted { stream, leaf })
    }
}

/// `TLSv1_3 with TLS13_AES_256_GCM_SHA384`, as trace fields and logs show it.
pub fn describe(state: &CommonState) -> String {
    let version = state.protocol_version().map_or("TLS".into(), |v| format!("{v:?}"));
    let suite = state.negotiated_cipher_suite().map_or("unknown".into(), |s| format!("{:?}", s.suite()));
    format!("{version} with {suite}")
}

/// Stands in a service's configuration until a connection's own [`Chooser`] does.
#[derive(Debug)]
struct Nobody;

impl ResolvesServerCert for Nobody {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// Chooses one connection's certificate, and remembers it.
struct Chooser {
    current: Arc<Current>,
    tls: Arc<Inner>,
    is_https: bool,
    shown: Arc<OnceLock<CertificateDer<'static>>>,
}

impl std::fmt::Debug for Chooser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chooser")
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_validation = self.is_https && hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ACME_TLS));
        let chosen = if is_validation {
            hello.server_name().and_then(|name| self.tls.challenges.certificate(name))
        } else {
            self.current.set.choose(hello.server_name(), self.tls.clock.now_s())
        }?;
        if let Some(leaf) = chosen.cert.first() {
            let _ = self.shown.set(leaf.clone());
        }
        Some(chosen)
    }
}
