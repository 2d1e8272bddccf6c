//! The directory in force: what the store holds, and what a virtual file adds.
//!
//! Invariant: whoever asks gets the newest snapshot: a file that changed is read at the next question, its good lines are in force, and one
//! that cannot be read changes nothing. Where it cannot be read at the start, no address is taken for unknown.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use directory::virtual_file::VirtualFile;
use directory::{Contents, Directory};
use mail::Domain;
use store::{Store, StoreError};

use crate::virtual_source::{self, Stamp, VirtualFaults, VirtualSource};

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
    source: Option<VirtualSource>,
    seen: Option<Stamp>,
    from_file: Option<VirtualFile>,
    /// Why the file as it is now is not what is in force.
    unread: Option<String>,
    delimiters: String,
}

/// A virtual file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read: `path: why`.
    #[error("{0}")]
    File(String),
}

impl LiveDirectory {
    /// Reads the directory. Where the virtual file cannot be read, the snapshot says that it is not complete.
    pub async fn open(store: Store, delimiters: &str, source: Option<VirtualSource>) -> Result<Self, DirectoryError> {
        let live = Self { current: ArcSwap::from_pointee(Directory::new(Contents::default())), state: Mutex::default(), store };
        match live.configure(delimiters, source.clone()).await {
            Err(DirectoryError::File(why)) => {
                tracing::error!("{why}; until it can be, mail to addresses that may be in it waits at its senders'");
                let stored = live.store.directory(delimiters.to_owned()).await?;
                let unread = Some(why);
                live.put(State { stored: Some(stored), source, seen: None, from_file: None, unread, delimiters: delimiters.to_owned() });
            }
            other => other?,
        }
        Ok(live)
    }

    /// Changes the settings; on an error nothing changes.
    pub async fn configure(&self, delimiters: &str, source: Option<VirtualSource>) -> Result<(), DirectoryError> {
        let stored = self.store.directory(delimiters.to_owned()).await?;
        let seen = source.as_ref().and_then(VirtualSource::stamp);
        let from_file = source.as_ref().map(read).transpose()?;
        self.put(State { stored: Some(stored), source, seen, from_file, unread: None, delimiters: delimiters.to_owned() });
        Ok(())
    }

    fn put(&self, new: State) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = new;
        self.current.store(Arc::new(state.merged()));
    }

    /// What of the virtual file is not in force; `None` where there is no such file.
    pub fn virtual_faults(&self) -> Option<VirtualFaults> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let source = state.source.as_ref()?;
        Some(virtual_source::faults(&source.path, state.from_file.as_ref(), state.unread.clone()))
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
        let Some(source) = state.source.clone() else { return };
        let seen = source.stamp();
        if seen == state.seen {
            return;
        }
        state.seen = seen;
        let shown = source.path.display();
        match source.read() {
            Ok(file) if seen.is_some_and(|(_, _, size, _)| size == 0) && state.has_aliases() => {
                tracing::error!(file = %shown, aliases = file.aliases.len(), "{EMPTIED}");
                state.unread = Some(EMPTIED.into());
            }
            Ok(file) => {
                tracing::info!(file = %shown, aliases = file.aliases.len(), bad_lines = file.faults.len(), "the virtual file has changed and is in force");
                virtual_source::log(&source.path, &file);
                (state.from_file, state.unread) = (Some(file), None);
                self.current.store(Arc::new(state.merged()));
            }
            Err(why) => {
                tracing::error!(file = %shown, "{why}; the aliases before it stay in force");
                state.unread = Some(why);
            }
        }
    }
}

/// An editor that truncates before it writes, or a full disk, leaves a file like that; nobody means that all mail be refused.
const EMPTIED: &str = "the file is empty; the aliases before it stay in force until a reload or a restart";

fn read(source: &VirtualSource) -> Result<VirtualFile, DirectoryError> {
    let file = source.read().map_err(|why| DirectoryError::File(format!("{}: {why}", source.path.display())))?;
    virtual_source::log(&source.path, &file);
    Ok(file)
}

impl State {
    fn has_aliases(&self) -> bool {
        self.from_file.as_ref().is_some_and(|file| !file.aliases.is_empty())
    }

    /// The store's part goes first: an alias made by a command is not shadowed by a file.
    fn merged(&self) -> Directory {
        let mut contents = self.stored.clone().unwrap_or_default();
        contents.incomplete = self.source.is_some() && self.from_file.is_none();
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
