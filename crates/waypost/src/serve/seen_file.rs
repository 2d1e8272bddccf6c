//! What a daily check found last, in a JSON file of the data directory, so that a restart repeats no report.
//!
//! Invariant: files are read and written on threads for blocking work.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use net::blocking;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file with the state at the last check.
pub(super) struct SeenFile(pub PathBuf);

impl SeenFile {
    /// Reads the state; `None` if the file does not exist or is invalid.
    pub async fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let path = self.0.clone();
        let text = blocking(move || fs::read(path)).await.ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn write(&self, seen: &impl Serialize) -> Result<()> {
        let (path, text) = (self.0.clone(), serde_json::to_vec_pretty(seen)?);
        let temporary = path.with_extension("json.new");
        let write = move || {
            fs::write(&temporary, text)?;
            fs::rename(&temporary, &path)
        };
        blocking(write).await.with_context(|| format!("cannot write {}", self.0.display()))
    }
}
