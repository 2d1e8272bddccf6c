//! Files of ACME: account, keys, certificates, and the state of each.
//!
//! Invariant: a file is written under another name and renamed; a crash between the two renames of a pair is repaired when it is read. All of it blocks.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::leaf::Leaf;
use crate::tls::{PairFiles, check_pair};

/// The directory of a certificate.
#[derive(Debug, Clone)]
pub struct CertificateDir(pub PathBuf);

impl CertificateDir {
    /// The certificate in use.
    pub fn certificate(&self) -> PathBuf {
        self.0.join("cert.pem")
    }

    /// Its key.
    pub fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    /// The key of an order, or the one announced for the next certificate; it is used once its certificate is installed.
    pub fn next_key(&self) -> PathBuf {
        self.0.join("key.next.pem")
    }

    /// Its state.
    pub fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    /// Installs a new certificate, and its key if that is new. A pair that does not load replaces nothing.
    pub fn install(&self, chain_pem: &str, key: &Path) -> Result<Leaf, String> {
        let failed = |e: io::Error| format!("the certificate cannot be saved in {}: {e}", self.0.display());
        let next = self.0.join("cert.next.pem");
        write(&next, chain_pem, 0o644).map_err(failed)?;
        let leaf = check_pair(&PairFiles { certificate: next.clone(), key: key.into() })
            .map_err(|e| format!("the issued certificate cannot be used: {e}"))?;
        fs::rename(next, self.certificate()).map_err(failed)?;
        if key == self.next_key() {
            fs::rename(key, self.key()).map_err(failed)?;
        }
        sync(&self.0).map_err(failed)?;
        Ok(leaf)
    }
}

/// Finishes an interrupted installation: the certificate belongs to the key that should have been renamed.
pub(crate) fn finish(directory: &Path) {
    let dir = CertificateDir(directory.into());
    let with = |key: PathBuf| check_pair(&PairFiles { certificate: dir.certificate(), key }).is_ok();
    if dir.next_key().exists() && !with(dir.key()) && with(dir.next_key()) {
        let _ = fs::rename(dir.next_key(), dir.key());
    }
}

/// Creates a directory that only the server's user can read.
pub fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file atomically and durably.
pub fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    // Left over from a crash, perhaps with another mode.
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::self_signed::self_signed;

    #[test]
    fn an_interrupted_installation_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let place = CertificateDir(dir.path().into());
        let (_, old_key) = self_signed(&["old.example.test".into()]).unwrap();
        let (certificate, key) = self_signed(&["new.example.test".into()]).unwrap();
        write(&place.key(), &old_key, 0o600).unwrap();
        write(&place.next_key(), &key, 0o600).unwrap();
        write(&place.certificate(), &certificate, 0o644).unwrap();
        finish(dir.path());
        assert_eq!(fs::read_to_string(place.key()).unwrap(), key);
        assert!(!place.next_key().exists());
    }
}
