//! What a daily check found last, in a JSON file of the data directory, so that a restart repeats no report. Where nodes share a database it is there, so
//! that the next node repeats none either.
//!
//! Invariant: files are read and written on threads for blocking work.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use net::{Clock, blocking};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::Store;

/// Prefix of the names of shared values.
const SHARED: &str = "seen/";

/// A file with the state at the last check.
pub(super) enum SeenFile {
    /// Of this process alone.
    Own(PathBuf),
    /// Of all nodes of a database, under this name.
    Shared(Store, String),
}

impl SeenFile {
    /// The file of this name in the data directory, or the shared value.
    pub fn of_all_nodes(data: &Path, name: &str, store: &Store) -> Self {
        match store.node_name() {
            Some(_) => Self::Shared(store.clone(), format!("{SHARED}{name}")),
            None => Self::Own(data.join(name)),
        }
    }

    /// Reads the state; `None` if there is none or it is invalid.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn read<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let text = match self {
            Self::Own(path) => {
                let path = path.clone();
                blocking(move || fs::read(path)).await.ok()
            }
            Self::Shared(store, name) => store.shared_get(name).await?,
        };
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn write(&self, seen: &impl Serialize) -> Result<()> {
        let text = serde_json::to_vec_pretty(seen)?;
        let path = match self {
            Self::Own(path) => path.clone(),
            Self::Shared(store, name) => return Ok(store.shared_put(name, text, Clock::system().now_ms()).await?),
        };
        let shown = path.display().to_string();
        let temporary = path.with_extension("json.new");
        let write = move || {
            fs::write(&temporary, text)?;
            fs::rename(&temporary, &path)
        };
        blocking(write).await.with_context(|| format!("cannot write {shown}"))
    }
}
