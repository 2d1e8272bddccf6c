//! TLS as a server: one configuration for each service, the certificates, channel bindings.
//!
//! RFC 8446, RFC 5246, RFC 8314, RFC 7301 (ALPN). Invariant: nothing of a session of one service is of use at another (threats.md 74), and only
//! [`Service::ByCertificate`] asks for a client certificate (Gmail presents its own when asked, and then send-as breaks).

mod acceptor;
mod certificate_set;
mod channel_binding;
mod client_certificate;
mod cms;
pub(crate) mod file_faults;
#[cfg(test)]
mod file_faults_tests;
mod pair;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;

pub use acceptor::{Accepted, Acceptor, describe};
pub use certificate_set::{CertificateOrigin, CertificateSources};
pub use channel_binding::channel_bindings;
pub(crate) use pair::read_chain;
pub use pair::{PairFiles, check_pair};

use crate::acme::Challenges;
use crate::clock::Clock;
use crate::leaf::Leaf;
use acceptor::NoCertificate;
use certificate_set::CertificateSet;

/// The ALPN protocol of a connection that only validates a name (RFC 8737 s.3).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is of another kind.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key that every user can read is no secret.
    #[error("{0} can be read by other users; run: chmod 600 {0}")]
    Readable(PathBuf),
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(String),
    /// The key or its certificate cannot sign.
    #[error("cannot sign with the certificate: {0}")]
    Sign(String),
    /// No certificate at all.
    #[error("there is no certificate")]
    None,
    /// rustls refused the settings.
    #[error("cannot set up TLS: {0}")]
    Setup(#[from] rustls::Error),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Mail, on every port.
    Smtp,
    /// The pages, and names validated by TLS.
    Https,
    /// Mail from clients that authenticate with a certificate.
    ByCertificate,
}

/// The certificates of a server, and its TLS configurations. Clones share them.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<SharedTls>);

#[derive(Debug)]
struct SharedTls {
    clock: Clock,
    challenges: Challenges,
    loaded: Mutex<Arc<LoadedTls>>,
    /// Held while files are read, so that an older state never replaces a newer one.
    loading: Mutex<()>,
    /// Held by the one handshake that checks the files; the others wait for it without a thread.
    checking: tokio::sync::Mutex<()>,
}

/// The certificates and what is derived from them. New certificates come with new ticket keys, so that a resumed session always belongs to the
/// certificate that would be presented now: its channel binding depends on that.
#[derive(Debug)]
struct LoadedTls {
    set: CertificateSet,
    smtp: ServerConfig,
    https: ServerConfig,
    by_certificate: ServerConfig,
}

impl LoadedTls {
    fn new(set: CertificateSet) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(Self {
            set,
            smtp: config(Service::Smtp, &provider)?,
            https: config(Service::Https, &provider)?,
            by_certificate: config(Service::ByCertificate, &provider)?,
        })
    }

    fn config(&self, service: Service) -> &ServerConfig {
        match service {
            Service::Smtp => &self.smtp,
            Service::Https => &self.https,
            Service::ByCertificate => &self.by_certificate,
        }
    }
}

fn config(service: Service, provider: &Arc<CryptoProvider>) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match service {
        Service::Smtp | Service::Https => builder.with_no_client_auth(),
        Service::ByCertificate => builder.with_client_cert_verifier(Arc::new(client_certificate::AnyKeyHolder(provider.clone()))),
    };
    let mut config = builder.with_cert_resolver(Arc::new(NoCertificate));
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    // The server's order counts: of several good suites, the one that common hardware is fast at.
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = match service {
        Service::Smtp | Service::ByCertificate => vec![b"smtp".to_vec()],
        Service::Https => vec![b"http/1.1".to_vec(), ACME_TLS.to_vec()],
    };
    Ok(config)
}

impl ServerTls {
    /// Loads all certificates. Reads files.
    pub fn new(sources: &CertificateSources, challenges: Challenges, clock: Clock) -> Result<Self, TlsError> {
        let loaded = Mutex::new(Arc::new(LoadedTls::new(CertificateSet::load(sources)?)?));
        let (loading, checking) = (Mutex::new(()), tokio::sync::Mutex::new(()));
        Ok(Self(Arc::new(SharedTls { clock, challenges, loaded, loading, checking })))
    }

    /// Loads one certificate chain and its key from PEM files.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let default = Some(PairFiles { certificate: certificate.into(), key: key.into() });
        Self::new(&CertificateSources { default, ..CertificateSources::default() }, Challenges::default(), Clock::system())
    }

    /// An acceptor for one connection.
    pub fn acceptor(&self, service: Service) -> Acceptor {
        Acceptor { tls: self.clone(), service }
    }

    /// Reads all files again, those issued by ACME too. The next handshake uses them; established sessions go on. Blocks.
    pub fn reload(&self) {
        self.refresh(true);
    }

    /// Uses the certificates of other sources from now on. Established sessions go on. Blocks.
    ///
    /// # Errors
    /// A certificate does not load; then all stay as they are.
    pub fn replace(&self, sources: &CertificateSources) -> Result<(), TlsError> {
        let _one = self.0.loading.lock();
        let next = Arc::new(LoadedTls::new(CertificateSet::load(sources)?)?);
        *self.0.loaded.lock() = next;
        Ok(())
    }

    fn loaded(&self) -> Arc<LoadedTls> {
        self.0.loaded.lock().clone()
    }

    /// The certificates as their files are now (docs/adr/0004), checked on a thread that may wait for the disk.
    async fn refreshed(&self) -> Arc<LoadedTls> {
        let _one = self.0.checking.lock().await;
        let tls = self.clone();
        let refreshed = tokio::task::spawn_blocking(move || tls.refresh(false)).await;
        refreshed.unwrap_or_else(|_| self.loaded())
    }

    /// Reads the files that have changed. Blocks.
    fn refresh(&self, with_issued: bool) -> Arc<LoadedTls> {
        let _one = self.0.loading.lock();
        let current = self.loaded();
        let Some(set) = current.set.refreshed(with_issued) else { return current };
        match LoadedTls::new(set) {
            Ok(next) => *self.0.loaded.lock() = Arc::new(next),
            Err(error) => tracing::error!(%error, "the changed certificates cannot be used; the previous ones stay in use"),
        }
        self.loaded()
    }

    /// Signs the content (CMS, DER) with the certificate that this name gets, as of the last handshake.
    pub fn signed(&self, name: &str, content: &[u8]) -> Result<Vec<u8>, TlsError> {
        let now_s = self.0.clock.now_s();
        let pair = self.loaded().set.choose(Some(name), now_s).ok_or(TlsError::None)?;
        cms::signed(&pair, content, now_s).map_err(TlsError::Sign)
    }

    /// The certificates in use: each with its files, and its names for which clients get it. Blocks.
    pub fn in_use(&self) -> Vec<CertificateInUse> {
        in_use(&self.refresh(false).set, self.0.clock.now_s())
    }
}

/// A certificate in use.
#[derive(Debug, Clone)]
pub struct CertificateInUse {
    /// Where it comes from.
    pub origin: CertificateOrigin,
    /// Its files.
    pub files: PairFiles,
    /// What it says.
    pub leaf: Leaf,
    /// The names that clients get it for.
    pub shown_for: Vec<String>,
    /// Whether it is the default: for clients without SNI, or with a name that no certificate has.
    pub is_fallback: bool,
}

/// The certificates that a server would use. Reads files.
pub fn certificates_of(sources: &CertificateSources, clock: &Clock) -> Result<Vec<CertificateInUse>, TlsError> {
    Ok(in_use(&CertificateSet::load(sources)?, clock.now_s()))
}

fn in_use(set: &CertificateSet, now_s: i64) -> Vec<CertificateInUse> {
    let fallback = set.position(None, now_s);
    let one = |(position, (origin, pair)): (usize, &(CertificateOrigin, pair::CertifiedPair))| {
        let is_shown = |name: &&String| set.position(Some(&name.replacen('*', "any", 1)), now_s) == Some(position);
        CertificateInUse {
            origin: *origin,
            files: pair.files.clone(),
            leaf: pair.leaf.clone(),
            shown_for: pair.leaf.names.iter().filter(is_shown).cloned().collect(),
            is_fallback: fallback == Some(position),
        }
    };
    set.entries.iter().enumerate().map(one).collect()
}
