//! The manifest of a backup: its files, with sizes and checksums.
//!
//! Invariant: it is replaced as a whole, after everything that it names is on disk; a backup that was interrupted leaves the one before it usable.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::files::digest;

/// The name of the manifest.
const MANIFEST: &str = "manifest.json";

/// The version of the manifest's form.
const FORMAT: u32 = 1;

/// What a backup consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this form.
    pub format: u32,
    /// The version of Waypost that made it.
    pub version: String,
    /// The schema of the database.
    pub schema: u64,
    /// When it was made, in Unix milliseconds.
    pub made_ms: i64,
    /// The data directory that it was made of.
    pub data_dir: PathBuf,
    /// Name of the owner of the data directory.
    pub owner: String,
    /// Messages in the queue.
    pub messages: u64,
    /// Their recipients.
    pub recipients: u64,
    /// The database.
    pub database: BackupFile,
    /// Contents in files.
    pub content: Vec<BackupFile>,
    /// The history.
    pub history: Option<BackupFile>,
    /// Keys, certificates, the configuration.
    pub files: Vec<OtherFile>,
}

/// A file of the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its path below the directory of the backup.
    pub path: PathBuf,
    /// Its size in octets.
    pub size_bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A key, a certificate or the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherFile {
    /// The file.
    #[serde(flatten)]
    pub file: BackupFile,
    /// Where it was.
    pub original: PathBuf,
    /// Its place below the data directory, if it was in it.
    pub in_data: Option<PathBuf>,
}

impl Manifest {
    /// Returns the manifest of a directory; `None` if it has none.
    pub fn read(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(MANIFEST);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let format = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|value| value.get("format")?.as_u64());
        if format.is_some_and(|format| format > u64::from(FORMAT)) {
            bail!("{} was written by a newer Waypost\n  hint: use that version", path.display());
        }
        let manifest = serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
        Ok(Some(manifest))
    }

    /// Writes it, and syncs the directory.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let (new, path) = (directory.join("manifest.json.new"), directory.join(MANIFEST));
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        Ok(File::open(directory)?.sync_all()?)
    }

    /// The form that this version writes.
    pub fn format() -> u32 {
        FORMAT
    }

    /// Returns all files.
    pub fn all_files(&self) -> impl Iterator<Item = &BackupFile> {
        let others = self.files.iter().map(|other| &other.file);
        [&self.database].into_iter().chain(&self.content).chain(&self.history).chain(others)
    }

    /// Compares each file with its size and checksum. Returns what is wrong.
    pub fn check(&self, directory: &Path) -> Vec<String> {
        self.all_files().filter_map(|file| file.check(directory).err()).collect()
    }
}

impl BackupFile {
    /// Describes a file that is in the directory.
    pub fn of(directory: &Path, path: &Path) -> Result<Self> {
        let (size_bytes, sha256) =
            digest(&directory.join(path)).with_context(|| format!("cannot read {}", directory.join(path).display()))?;
        Ok(Self { path: path.to_owned(), size_bytes, sha256 })
    }

    fn check(&self, directory: &Path) -> Result<(), String> {
        let path = directory.join(&self.path);
        let shown = path.display();
        // A path of a manifest from elsewhere could lead out of the directory.
        if self.path.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Err(format!("{shown} is not below the backup"));
        }
        match digest(&path) {
            Err(error) => Err(format!("{shown}: {error}")),
            Ok((size, _)) if size != self.size_bytes => Err(format!("{shown} has {size} octets instead of {}", self.size_bytes)),
            Ok((_, sha256)) if sha256 != self.sha256 => Err(format!("{shown} is damaged: its SHA-256 does not match")),
            Ok(_) => Ok(()),
        }
    }
}
