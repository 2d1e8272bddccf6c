//! The directory in force: what the store holds, and what a virtual file adds.
//!
//! Invariant: whoever asks gets the newest good snapshot: a file that changed is read at the next question, and one that
//! does not parse changes nothing but the log.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use directory::{Contents, Directory, virtual_file};
use mail::Domain;
use store::{Store, StoreError};

/// The directory in force.
#[derive(Debug)]
pub struct LiveDirectory {
    current: ArcSwap<Directory>,
    state: Mutex<State>,
    store: Store,
}

#[derive(Debug, Default)]
struct State {
    stored: Option<Contents>,
    path: Option<PathBuf>,
    seen: Option<Stamp>,
    from_file: Option<virtual_file::VirtualFile>,
    delimiters: String,
}

/// What tells one version of a file from the next.
type Stamp = (i64, i64, u64, u64);

fn stamp(path: &PathBuf) -> Option<Stamp> {
    fs::metadata(path).ok().map(|m| (m.mtime(), m.mtime_nsec(), m.size(), m.ino()))
}

/// A virtual file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read or parsed: `path:line: what`.
    #[error("{0}")]
    File(String),
}

impl LiveDirectory {
    /// Reads the directory. A virtual file that is bad at the start is an error.
    pub async fn open(store: Store, delimiters: &str, path: Option<PathBuf>) -> Result<Self, DirectoryError> {
        let live = Self { current: ArcSwap::from_pointee(Directory::new(Contents::default())), state: Mutex::default(), store };
        live.configure(delimiters, path).await?;
        Ok(live)
    }

    /// Changes the settings; on an error nothing changes.
    pub async fn configure(&self, delimiters: &str, path: Option<PathBuf>) -> Result<(), DirectoryError> {
        let stored = self.store.directory(delimiters.to_owned()).await?;
        let seen = path.as_ref().and_then(stamp);
        let from_file = path.as_ref().map(read_file).transpose().map_err(DirectoryError::File)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { stored: Some(stored), path, seen, from_file, delimiters: delimiters.to_owned() };
        self.current.store(Arc::new(state.merged()));
        Ok(())
    }

    /// Reads the store's part again, after a change.
    pub async fn reload(&self) -> Result<(), DirectoryError> {
        let delimiters = self.state.lock().unwrap_or_else(PoisonError::into_inner).delimiters.clone();
        let stored = self.store.directory(delimiters).await?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stored = Some(stored);
        self.current.store(Arc::new(state.merged()));
        Ok(())
    }

    /// The snapshot in force now.
    pub fn current(&self) -> Arc<Directory> {
        self.refresh_file();
        self.current.load_full()
    }

    fn refresh_file(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &state.path else { return };
        let seen = stamp(path);
        if seen == state.seen {
            return;
        }
        match read_file(path) {
            Ok(file) => {
                tracing::info!(file = %path.display(), aliases = file.aliases.len(), "the virtual file has changed and is in force");
                state.from_file = Some(file);
                self.current.store(Arc::new(state.merged()));
            }
            Err(error) => tracing::error!(error, "the changed virtual file cannot be used; the aliases before it stay in force"),
        }
        state.seen = seen;
    }
}

fn read_file(path: &PathBuf) -> Result<virtual_file::VirtualFile, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let file = virtual_file::parse(&text).map_err(|e| format!("{}:{}: {}", path.display(), e.line, e.message))?;
    for (line, warning) in &file.warnings {
        tracing::warn!("{}:{line}: {warning}", path.display());
    }
    Ok(file)
}

impl State {
    /// The store's part goes first: an alias made by a command is not shadowed by a file.
    fn merged(&self) -> Directory {
        let mut contents = self.stored.clone().unwrap_or_default();
        if let Some(file) = &self.from_file {
            let declared = file.domains.iter();
            let known: std::collections::HashSet<String> = contents.aliases.iter().map(|a| a.source.key()).collect();
            let new: Vec<&Domain> = declared.filter(|d| !contents.domains.iter().any(|h| h.name == **d)).collect();
            contents.domains.extend(new.into_iter().map(|name| directory::HostedDomain { name: name.clone(), enabled: true }));
            contents.aliases.extend(file.aliases.iter().map(|(alias, _)| alias).filter(|a| !known.contains(&a.source.key())).cloned());
        }
        Directory::new(contents)
    }
}
