//! What `waypost dns apply` has written into DNS: only that does it change without being told to.
//!
//! Invariant: the file is replaced whole; it holds nothing secret.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// A record that was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    pub zone: String,
    pub owner: String,
    #[serde(rename = "type")]
    pub record_type: String,
    pub value: String,
}

/// All of them.
#[derive(Debug)]
pub struct Written {
    path: PathBuf,
    entries: BTreeSet<Entry>,
}

impl Written {
    /// Reads the file in the data directory; none is no error.
    pub fn read(data: &Path) -> Result<Self> {
        let path = data.join("dns-written.json");
        let entries = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| {
                format!(
                    "{} cannot be read\n  hint: take it away; records that it held are then kept as if others had written them",
                    path.display()
                )
            })?,
            Err(e) if e.kind() == ErrorKind::NotFound => BTreeSet::new(),
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        };
        Ok(Self { path, entries })
    }

    pub fn has(&self, owner: &str, record_type: &str, value: &str) -> bool {
        self.entries.iter().any(|e| e.owner == owner && e.record_type == record_type && e.value.eq_ignore_ascii_case(value))
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub fn add(&mut self, entry: Entry) {
        self.entries.insert(entry);
    }

    pub fn remove(&mut self, owner: &str, record_type: &str, value: &str) {
        self.entries.retain(|e| !(e.owner == owner && e.record_type == record_type && e.value == value));
    }

    /// Writes the file.
    pub fn save(&self) -> Result<()> {
        let temporary = self.path.with_extension("json.new");
        let write = || {
            fs::write(&temporary, serde_json::to_vec_pretty(&self.entries)?)?;
            fs::rename(&temporary, &self.path)
        };
        write().with_context(|| format!("{} cannot be written", self.path.display()))?;
        self.path.parent().map_or(Ok(()), |data| crate::owner::give(&self.path, data))
    }
}
