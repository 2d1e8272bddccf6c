//! The records that `waypost dns apply` has written, which are the only ones that it changes without --replace.
//!
//! Invariant: the file is replaced atomically and contains no secrets.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// A written record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WrittenRecord {
    pub zone: String,
    pub owner: String,
    #[serde(rename = "type")]
    pub record_type: String,
    pub value: String,
}

/// All written records.
#[derive(Debug)]
pub struct WrittenRecords {
    path: PathBuf,
    entries: BTreeSet<WrittenRecord>,
}

impl WrittenRecords {
    /// Reads the file in the data directory; a missing file is empty.
    pub fn read(data: &Path) -> Result<Self> {
        let path = data.join("dns-written.json");
        let entries = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| {
                format!("{} cannot be read\n  hint: remove it; its records then count as written by others, and are kept", path.display())
            })?,
            Err(e) if e.kind() == ErrorKind::NotFound => BTreeSet::new(),
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        };
        Ok(Self { path, entries })
    }

    pub fn has(&self, owner: &str, record_type: &str, value: &str) -> bool {
        self.entries.iter().any(|e| e.owner == owner && e.record_type == record_type && e.value.eq_ignore_ascii_case(value))
    }

    pub fn entries(&self) -> impl Iterator<Item = &WrittenRecord> {
        self.entries.iter()
    }

    pub fn add(&mut self, entry: WrittenRecord) {
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
