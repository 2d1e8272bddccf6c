//! The files of what ACME got: account, keys, certificates, and how each stands.
//!
//! Invariant: a file is written beside its place and moved there; a crash between the two moves of a pair is mended when it is read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::leaf::Leaf;
use crate::tls::{PairFiles, check_pair};

/// Where a certificate's files are.
#[derive(Debug, Clone)]
pub struct Place(pub PathBuf);

impl Place {
    /// The certificate in use.
    pub fn certificate(&self) -> PathBuf {
        self.0.join("cert.pem")
    }

    /// Its key.
    pub fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    /// The key that is being certified, or is announced for the next one; it becomes the one in use with its certificate.
    pub fn next_key(&self) -> PathBuf {
        self.0.join("key.next.pem")
    }

    /// How it stands.
    pub fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    /// Puts a new certificate in place, and its key where that is new. What does not load replaces nothing.
    pub fn install(&self, chain_pem: &str, key: &Path) -> Result<Leaf, String> {
        let failed = |e: io::Error| format!("the certificate cannot be kept in {}: {e}", self.0.display());
        let next = self.0.join("cert.next.pem");
        write(&next, chain_pem, 0o644).map_err(failed)?;
        let leaf = check_pair(&PairFiles { certificate: next.clone(), key: key.into() })
            .map_err(|e| format!("what was issued cannot be used: {e}"))?;
        fs::rename(next, self.certificate()).map_err(failed)?;
        if key == self.next_key() {
            fs::rename(key, self.key()).map_err(failed)?;
        }
        sync(&self.0).map_err(failed)?;
        Ok(leaf)
    }
}

/// Finishes an installation that was cut short: the certificate belongs to the key that should have been moved.
pub(crate) fn finish(directory: &Path) {
    let place = Place(directory.into());
    let with = |key: PathBuf| check_pair(&PairFiles { certificate: place.certificate(), key }).is_ok();
    if place.next_key().exists() && !with(place.key()) && with(place.next_key()) {
        let _ = fs::rename(place.next_key(), place.key());
    }
}

/// Makes a directory for the server's user alone.
pub fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file as a whole: it is never seen half written.
pub fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // Left over from a crash; its mode could be another.
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
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
    fn an_installation_cut_short_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place(dir.path().into());
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
