//! The virtual file: its path, contents and faults.
//!
//! Postfix virtual(5). Invariant: a bad line disables no good one, and an unreadable file keeps the aliases read before.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use directory::virtual_file::{self, VirtualFile};
use mail::Domain;

/// A file that adds aliases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualSource {
    /// The file.
    pub path: PathBuf,
    /// Completes names without a domain, as Postfix's `myorigin` does.
    pub origin: Option<Domain>,
}

impl From<PathBuf> for VirtualSource {
    fn from(path: PathBuf) -> Self {
        Self { path, origin: None }
    }
}

/// The faults of a virtual file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VirtualFaults {
    /// The file.
    pub path: PathBuf,
    /// Why the current version of the file is not in force at all.
    pub whole: Option<String>,
    /// The lines that are not in force as written, with the reason.
    pub lines: Vec<(usize, String)>,
}

impl VirtualFaults {
    /// One line per fault: `path:line: fault`.
    pub fn texts(&self) -> Vec<String> {
        let path = self.path.display();
        let whole = self.whole.iter().map(|why| format!("{path}: {why}"));
        whole.chain(self.lines.iter().map(|(line, why)| format!("{path}:{line}: {why}"))).collect()
    }
}

/// Identifies a version of a file: time of change in seconds and nanoseconds, size, inode.
pub(crate) type Stamp = (i64, i64, u64, u64);

impl VirtualSource {
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        fs::metadata(&self.path).ok().map(|m| (m.mtime(), m.mtime_nsec(), m.size(), m.ino()))
    }

    /// Reads the file; the error says why it cannot be read at all.
    pub fn read(&self) -> Result<VirtualFile, String> {
        let bytes = fs::read(&self.path).map_err(|error| format!("the file cannot be read: {error}"))?;
        if bytes.contains(&0) {
            return Err("not a text file; name the file that postmap reads, without .db".into());
        }
        Ok(virtual_file::parse(&String::from_utf8_lossy(&bytes), self.origin.as_ref()))
    }

    /// The faults of the file as it is now. Needs no running server.
    pub fn check(&self) -> VirtualFaults {
        let read = self.read();
        faults(&self.path, read.as_ref().ok(), read.as_ref().err().cloned())
    }
}

/// The faults of a file that was read, or the reason why it was not.
pub(crate) fn faults(path: &Path, file: Option<&VirtualFile>, whole: Option<String>) -> VirtualFaults {
    VirtualFaults { path: path.to_owned(), whole, lines: file.map(|file| file.faults.clone()).unwrap_or_default() }
}

/// Logs faults and warnings.
pub(crate) fn log(path: &Path, file: &VirtualFile) {
    for (line, fault) in &file.faults {
        tracing::error!("{}:{line}: {fault}", path.display());
    }
    for (line, warning) in &file.warnings {
        tracing::warn!("{}:{line}: {warning}", path.display());
    }
}
