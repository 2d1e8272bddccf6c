//! TLS as a server: a certificate and key from files, read again when they change.
//!
//! RFC 8446, RFC 8314. Invariant: a pair that does not load never replaces one that does, and no client certificate is ever
//! asked for (Gmail presents its own when asked, and then send-as breaks).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CommonState, ServerConfig};
use tokio_rustls::TlsAcceptor;

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
    /// rustls refused the settings.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// What a server offers.
#[derive(Debug, Clone)]
pub struct ServerTls {
    acceptor: Arc<ServerConfig>,
    pair: Arc<Pair>,
}

impl ServerTls {
    /// Loads a certificate chain and its key from PEM files.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let pair = Arc::new(Pair::load(certificate, key)?);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(pair.clone());
        Ok(Self { acceptor: Arc::new(config), pair })
    }

    /// An acceptor for one connection. Looks whether the files have changed.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.pair.refresh();
        TlsAcceptor::from(self.acceptor.clone())
    }
}

/// `TLSv1_3 with TLS13_AES_256_GCM_SHA384`, as trace fields and logs show it.
pub fn describe(state: &CommonState) -> String {
    let version = state.protocol_version().map_or("TLS".into(), |v| format!("{v:?}"));
    let suite = state.negotiated_cipher_suite().map_or("unknown".into(), |s| format!("{:?}", s.suite()));
    format!("{version} with {suite}")
}

#[derive(Debug)]
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    certified: Arc<CertifiedKey>,
    seen: [Option<SystemTime>; 2],
}

impl Pair {
    fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let seen = [modified(certificate), modified(key)];
        let certified = Arc::new(read_pair(certificate, key)?);
        Ok(Self { certificate: certificate.into(), key: key.into(), current: Mutex::new(Current { certified, seen }) })
    }

    fn refresh(&self) {
        let seen = [modified(&self.certificate), modified(&self.key)];
        let mut current = self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if current.seen == seen {
            return;
        }
        current.seen = seen;
        match read_pair(&self.certificate, &self.key) {
            Ok(certified) => {
                current.certified = Arc::new(certified);
                tracing::info!(certificate = %self.certificate.display(), "the certificate has changed and is in use");
            }
            // Two files are not replaced at one instant: the second write brings us here again.
            Err(error) => tracing::warn!(%error, "the changed certificate does not load; the one before stays in use"),
        }
    }
}

impl ResolvesServerCert for Pair {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner).certified.clone())
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}

fn read_pair(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let at = |path: &Path, reason: String| TlsError::File { path: path.into(), reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .map_err(|e| at(certificate, e.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|e| at(certificate, e.to_string()))?;
    if chain.is_empty() {
        return Err(at(certificate, "holds no certificate in PEM form".into()));
    }
    refuse_readable(key)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| at(key, e.to_string()))?;
    let signer = aws_lc_rs::sign::any_supported_type(&private).map_err(|e| at(key, e.to_string()))?;
    let certified = CertifiedKey::new(chain, signer);
    certified.keys_match().map_err(|e| at(key, format!("does not belong to {}: {e}", certificate.display())))?;
    Ok(certified)
}

fn refuse_readable(key: &Path) -> Result<(), TlsError> {
    use std::os::unix::fs::PermissionsExt;
    match fs::metadata(key) {
        Ok(m) if m.permissions().mode() & 0o004 != 0 => Err(TlsError::Readable(key.into())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::self_signed::self_signed;
    use std::os::unix::fs::PermissionsExt;

    fn write(dir: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = self_signed(&["mx.example.test".into()]).unwrap();
        let paths = (dir.join("cert.pem"), dir.join("key.pem"));
        fs::write(&paths.0, certificate).unwrap();
        fs::write(&paths.1, key).unwrap();
        fs::set_permissions(&paths.1, fs::Permissions::from_mode(0o600)).unwrap();
        paths
    }

    #[test]
    fn a_pair_loads_and_is_replaced_only_by_a_good_one() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = write(dir.path());
        let tls = ServerTls::load(&certificate, &key).unwrap();
        let in_use = || tls.pair.current.lock().unwrap().certified.cert[0].to_vec();
        let first = in_use();
        let later = |path: &Path| {
            let file = fs::File::options().append(true).open(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        fs::write(&certificate, "garbage").unwrap();
        later(&certificate);
        tls.acceptor();
        assert_eq!(in_use(), first);
        write(dir.path());
        tls.acceptor();
        assert_ne!(in_use(), first);
    }

    #[test]
    fn a_key_for_everyone_to_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = write(dir.path());
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(ServerTls::load(&certificate, &key), Err(TlsError::Readable(_))));
    }
}
