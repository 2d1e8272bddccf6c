//! A certificate and its key from two PEM files, read again when they change.
//!
//! Invariant: a pair that does not load never replaces one that does, and a key that every user can read is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;

use super::{TlsError, file_faults};
use crate::leaf::Leaf;

/// The files of a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    /// The chain, leaf first (PEM).
    pub certificate: PathBuf,
    /// The key (PEM).
    pub key: PathBuf,
}

/// A pair that loaded.
#[derive(Debug, Clone)]
pub(super) struct CertifiedPair {
    pub files: PairFiles,
    pub certified: Arc<CertifiedKey>,
    pub leaf: Leaf,
    modified: [Option<SystemTime>; 2],
}

impl CertifiedPair {
    pub fn load(files: PairFiles) -> Result<Self, TlsError> {
        let modified = [modified(&files.certificate), modified(&files.key)];
        let (certified, leaf) = read_pair(&files)?;
        Ok(Self { files, certified: Arc::new(certified), leaf, modified })
    }

    /// Whether the files have changed since they were read.
    pub fn has_changed(&self) -> bool {
        self.modified != [modified(&self.files.certificate), modified(&self.files.key)]
    }

    /// The pair as its files are now, or as it was if they do not load.
    pub fn reloaded(&self) -> Self {
        let shown = self.files.certificate.display();
        match Self::load(self.files.clone()) {
            Ok(pair) => {
                tracing::info!(certificate = %shown, "the changed certificate is in use");
                pair
            }
            // Two files are not replaced at one instant: the second write causes another reload.
            Err(error) => {
                tracing::warn!(%error, "the changed certificate does not load; the previous one stays in use");
                let modified = [modified(&self.files.certificate), modified(&self.files.key)];
                Self { modified, ..self.clone() }
            }
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}

/// Reads a pair and checks that key and certificate match. Returns what the leaf says.
pub fn check_pair(files: &PairFiles) -> Result<Leaf, TlsError> {
    read_pair(files).map(|(_, leaf)| leaf)
}

/// The chain of a PEM file, leaf first.
pub(crate) fn read_chain(certificate: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |reason: String| TlsError::File { path: certificate.into(), reason };
    let read = || CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<CertificateDer<'static>>, _>>();
    match read() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(bad(file_faults::no_certificate(certificate, &pem::Error::NoItemsFound))),
        Err(error) => Err(bad(file_faults::no_certificate(certificate, &error))),
    }
}

fn read_pair(files: &PairFiles) -> Result<(CertifiedKey, Leaf), TlsError> {
    let PairFiles { certificate, key } = files;
    let at = |path: &Path, reason: String| TlsError::File { path: path.into(), reason };
    let chain = read_chain(certificate)?;
    let leaf = chain.first().map_or_else(|| Err("is empty".into()), Leaf::read).map_err(|e| at(certificate, e))?;
    if let Some(why) = chain.first().and_then(|der| file_faults::unusable(certificate, key, der)) {
        return Err(at(certificate, why));
    }
    refuse_readable(key)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| at(key, file_faults::no_key(key, &e)))?;
    let signer = aws_lc_rs::sign::any_supported_type(&private).map_err(|_| at(key, file_faults::unsupported_key()))?;
    let certified = CertifiedKey::new(chain, signer);
    certified.keys_match().map_err(|_| at(key, file_faults::no_pair(certificate, &certified)))?;
    Ok((certified, leaf))
}

fn refuse_readable(key: &Path) -> Result<(), TlsError> {
    use std::os::unix::fs::PermissionsExt;
    match fs::metadata(key) {
        Ok(m) if m.permissions().mode() & 0o004 != 0 => Err(TlsError::Readable(key.into())),
        _ => Ok(()),
    }
}
