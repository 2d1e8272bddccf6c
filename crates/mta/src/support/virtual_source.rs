//! The virtual file: where it is, what was read of it, and what in it is not in force.
//!
//! Postfix virtual(5). Invariant: a bad line costs no good one, and a file that cannot be read costs none of the aliases read before.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use directory::virtual_file::{self, VirtualFile};
use mail::Domain;

/// Which file adds aliases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualSource {
    /// The file.
    pub path: PathBuf,
    /// What completes a name without a domain in it, as Postfix's `myorigin` does.
    pub origin: Option<Domain>,
}

impl From<PathBuf> for VirtualSource {
    fn from(path: PathBuf) -> Self {
        Self { path, origin: None }
    }
}

/// What of the virtual file is not in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VirtualFaults {
    /// The file.
    pub path: PathBuf,
    /// Why the file as it is now is not in force at all.
    pub whole: Option<String>,
    /// The lines that are not in force as they are written, and why.
    pub lines: Vec<(usize, String)>,
}

impl VirtualFaults {
    /// A line for each fault: `path:line: what`.
    pub fn texts(&self) -> Vec<String> {
        let path = self.path.display();
        let whole = self.whole.iter().map(|why| format!("{path}: {why}"));
        whole.chain(self.lines.iter().map(|(line, why)| format!("{path}:{line}: {why}"))).collect()
    }
}

/// What tells one version of a file from the next.
pub(crate) type Stamp = (i64, i64, u64, u64);

impl VirtualSource {
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        fs::metadata(&self.path).ok().map(|m| (m.mtime(), m.mtime_nsec(), m.size(), m.ino()))
    }

    /// Reads the file as it is now; the error says why it cannot be read at all.
    pub fn read(&self) -> Result<VirtualFile, String> {
        let bytes = fs::read(&self.path).map_err(|error| format!("the file cannot be read: {error}"))?;
        if bytes.contains(&0) {
            return Err("this is no text file; name the one that postmap reads, without .db".into());
        }
        Ok(virtual_file::parse(&String::from_utf8_lossy(&bytes), self.origin.as_ref()))
    }

    /// What of the file, as it is now, cannot be in force; nothing without a server is needed for it.
    pub fn check(&self) -> VirtualFaults {
        let read = self.read();
        faults(&self.path, read.as_ref().ok(), read.as_ref().err().cloned())
    }
}

/// The faults of what was read, and of what could not be.
pub(crate) fn faults(path: &Path, file: Option<&VirtualFile>, whole: Option<String>) -> VirtualFaults {
    VirtualFaults { path: path.to_owned(), whole, lines: file.map(|file| file.faults.clone()).unwrap_or_default() }
}

/// Writes into the log what is not in force, and what means something else than it seems to.
pub(crate) fn log(path: &Path, file: &VirtualFile) {
    for (line, fault) in &file.faults {
        tracing::error!("{}:{line}: {fault}", path.display());
    }
    for (line, warning) in &file.warnings {
        tracing::warn!("{}:{line}: {warning}", path.display());
    }
}
