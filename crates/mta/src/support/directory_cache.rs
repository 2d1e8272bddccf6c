//! The directory in force: the contents of the store, and the aliases that a virtual file adds.
//!
//! Invariant: [`LiveDirectory::refreshed`] returns the newest snapshot: a file that has changed is read first, on a blocking thread, and its
//! good lines are in force; one that cannot be read changes nothing. If it cannot be read at the start, no address counts as unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use directory::virtual_file::VirtualFile;
use directory::{Alias, Aliases, Contents, Directory, Origin};
use mail::Domain;
use net::blocking;
use parking_lot::Mutex;
use store::{DirectoryChange, Store, StoreError};

use crate::support::virtual_source::{self, Stamp, VirtualFaults, VirtualSource};

/// Maximum number of alias changes applied one by one; more reload the store.
const ONE_BY_ONE_MAX: usize = 1000;

/// The directory in force.
#[derive(Debug)]
pub struct LiveDirectory {
    current: ArcSwap<Directory>,
    state: Mutex<Sources>,
    /// Held while the file is checked for changes.
    checking: tokio::sync::Mutex<()>,
    /// The numbers of the check that began last, and of the one that ended last.
    begun: AtomicU64,
    ended: AtomicU64,
    /// Held from reading the store until the swap, so that no snapshot replaces a newer one.
    changing: tokio::sync::Mutex<()>,
    store: Store,
}

#[derive(Debug, Default)]
struct Sources {
    stored: Option<Contents>,
    source: Option<VirtualSource>,
    seen: Option<Stamp>,
    from_file: Option<VirtualFile>,
    /// Why the current version of the file is not in force.
    unread: Option<String>,
    delimiters: String,
}

/// A virtual file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read: `path: reason`.
    #[error("{0}")]
    File(String),
}

impl LiveDirectory {
    /// Loads the directory. If the virtual file cannot be read, the snapshot is marked incomplete.
    pub async fn open(store: Store, delimiters: &str, source: Option<VirtualSource>) -> Result<Self, DirectoryError> {
        let live = Self {
            current: ArcSwap::from_pointee(Directory::new(Contents::default())),
            state: Mutex::default(),
            checking: tokio::sync::Mutex::default(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            changing: tokio::sync::Mutex::default(),
            store,
        };
        match live.configure(delimiters, source.clone()).await {
            Err(DirectoryError::File(why)) => {
                tracing::error!("{why}; until it can be read, mail to addresses that may be in it is deferred");
                let stored = live.store.directory(delimiters.to_owned()).await?;
                let unread = Some(why);
                live.put(Sources { stored: Some(stored), source, seen: None, from_file: None, unread, delimiters: delimiters.to_owned() });
            }
            other => other?,
        }
        Ok(live)
    }

    /// Replaces the settings; an error changes nothing.
    pub async fn configure(&self, delimiters: &str, source: Option<VirtualSource>) -> Result<(), DirectoryError> {
        let _changing = self.changing.lock().await;
        let stored = self.store.directory(delimiters.to_owned()).await?;
        let (seen, from_file) = match source.clone() {
            Some(source) => {
                let (seen, file) = blocking(move || (source.stamp(), read(&source))).await;
                (seen, Some(file?))
            }
            None => (None, None),
        };
        self.put(Sources { stored: Some(stored), source, seen, from_file, unread: None, delimiters: delimiters.to_owned() });
        Ok(())
    }

    fn put(&self, new: Sources) {
        let mut state = self.state.lock();
        *state = new;
        self.current.store(Arc::new(state.merged()));
    }

    /// The faults of the virtual file; `None` if none is configured.
    pub fn virtual_faults(&self) -> Option<VirtualFaults> {
        let state = self.state.lock();
        let source = state.source.as_ref()?;
        Some(virtual_source::faults(&source.path, state.from_file.as_ref(), state.unread.clone()))
    }

    /// Puts committed changes in force. The new snapshot shares unchanged parts with the previous one.
    pub async fn apply(&self, changes: &[DirectoryChange]) -> Result<(), DirectoryError> {
        let _changing = self.changing.lock().await;
        let delimiters = self.state.lock().delimiters.clone();
        let is_alias = |change: &&DirectoryChange| {
            matches!(change, DirectoryChange::AddAlias { .. } | DirectoryChange::RemoveAlias(_) | DirectoryChange::EnableAlias(..))
        };
        let of_aliases: Vec<&DirectoryChange> = changes.iter().filter(is_alias).collect();
        if of_aliases.len() > ONE_BY_ONE_MAX {
            return self.read_all(delimiters).await;
        }
        let beside = self.store.directory_beside_aliases(delimiters).await?;
        let mut state = self.state.lock();
        let in_force = self.current.load().contents().aliases.clone();
        let next = state.changed(beside, in_force, &of_aliases);
        self.current.store(Arc::new(next));
        Ok(())
    }

    /// Reloads everything from the store, after unknown changes.
    pub async fn reload(&self) -> Result<(), DirectoryError> {
        let _changing = self.changing.lock().await;
        let delimiters = self.state.lock().delimiters.clone();
        self.read_all(delimiters).await
    }

    /// Reloads; the caller holds `changing`.
    async fn read_all(&self, delimiters: String) -> Result<(), DirectoryError> {
        let stored = self.store.directory(delimiters).await?;
        let mut state = self.state.lock();
        state.stored = Some(stored);
        self.current.store(Arc::new(state.merged()));
        Ok(())
    }

    /// The snapshot in force now. Touches no file.
    pub fn current(&self) -> Arc<Directory> {
        self.current.load_full()
    }

    /// The snapshot in force after the virtual file was checked, and read again if it has changed.
    pub async fn refreshed(self: &Arc<Self>) -> Arc<Directory> {
        if self.state.lock().source.is_some() {
            let asked = self.begun.load(Ordering::SeqCst);
            let _checking = self.checking.lock().await;
            // A check that began after this call serves it too.
            if self.ended.load(Ordering::SeqCst) <= asked {
                let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
                let directory = self.clone();
                blocking(move || {
                    directory.refresh_file();
                    directory.ended.store(number, Ordering::SeqCst);
                })
                .await;
            }
        }
        self.current()
    }

    /// Reads the file again if it has changed. Blocks.
    fn refresh_file(&self) {
        let (source, before) = {
            let state = self.state.lock();
            let Some(source) = state.source.clone() else { return };
            (source, state.seen)
        };
        let seen = source.stamp();
        if seen == before {
            return;
        }
        let read = source.read();
        let mut state = self.state.lock();
        // A reload has configured another file, or read this one.
        if state.source.as_ref() != Some(&source) || state.seen != before {
            return;
        }
        state.seen = seen;
        let shown = source.path.display();
        match read {
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

/// An editor that truncates before it writes, or a full disk, leaves an empty file; that must not refuse all mail.
const EMPTIED: &str = "the file is empty; the aliases before it stay in force until a reload or a restart";

fn read(source: &VirtualSource) -> Result<VirtualFile, DirectoryError> {
    let file = source.read().map_err(|why| DirectoryError::File(format!("{}: {why}", source.path.display())))?;
    virtual_source::log(&source.path, &file);
    Ok(file)
}

impl Sources {
    fn has_aliases(&self) -> bool {
        self.from_file.as_ref().is_some_and(|file| !file.aliases.is_empty())
    }

    /// Merges the aliases: the store takes precedence over the file.
    fn merged(&self) -> Directory {
        let mut contents = self.stored.clone().unwrap_or_default();
        if let Some(file) = &self.from_file {
            let stored = contents.aliases.clone();
            let new = file.aliases.iter().map(|(alias, _)| alias).filter(|alias| stored.get(&alias.source.key()).is_none());
            contents.aliases.extend(new.cloned());
        }
        self.with_domains_of_file(contents)
    }

    fn with_domains_of_file(&self, mut contents: Contents) -> Directory {
        contents.incomplete = self.source.is_some() && self.from_file.is_none();
        if let Some(file) = &self.from_file {
            let new: Vec<&Domain> = file.domains.iter().filter(|d| !contents.domains.iter().any(|h| h.name == **d)).collect();
            contents.domains.extend(new.into_iter().map(|name| directory::HostedDomain { name: name.clone(), enabled: true }));
        }
        Directory::new(contents)
    }

    /// The directory after these alias changes; `beside` is the rest of the store's contents.
    fn changed(&mut self, beside: Contents, mut in_force: Aliases, changes: &[&DirectoryChange]) -> Directory {
        let mut stored = self.stored.take().unwrap_or_default().aliases;
        for change in changes {
            match change {
                DirectoryChange::AddAlias { alias, .. } => {
                    // The store returns the source as its key.
                    let source = alias.source.key().parse().unwrap_or_else(|_| alias.source.clone());
                    let alias = Alias { source, origin: Origin::Database, ..alias.clone() };
                    stored.put(alias.clone());
                    in_force.put(alias);
                }
                DirectoryChange::EnableAlias(source, enabled) => {
                    if let Some(alias) = stored.get(&source.key()).map(|alias| Alias { enabled: *enabled, ..alias.clone() }) {
                        stored.put(alias.clone());
                        in_force.put(alias);
                    }
                }
                DirectoryChange::RemoveAlias(source) => {
                    stored.remove(source);
                    in_force.remove(source);
                    // The alias of the file, which the database hid, is in force again.
                    let hidden = self.from_file.iter().flat_map(|file| &file.aliases).map(|(alias, _)| alias);
                    in_force.extend(hidden.filter(|alias| alias.source == *source).cloned());
                }
                _ => {}
            }
        }
        self.stored = Some(Contents { aliases: stored, ..beside.clone() });
        self.with_domains_of_file(Contents { aliases: in_force, ..beside })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use store::AccountChange;

    fn sources(live: &LiveDirectory) -> Vec<String> {
        live.current().contents().aliases.iter().map(|alias| format!("{} {} {}", alias.source, alias.targets[0], alias.enabled)).collect()
    }

    fn alias(source: &str, target: &str) -> Alias {
        Alias { source: source.parse().unwrap(), targets: vec![target.parse().unwrap()], enabled: true, origin: Origin::Database }
    }

    #[tokio::test]
    async fn applied_changes_equal_what_a_restart_loads() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("virtual");
        fs::write(&file, "x.test domain\nme@x.test file@g.test\nother@x.test file@g.test\n").unwrap();
        let store = Store::open(dir.path()).unwrap();
        let live = Arc::new(LiveDirectory::open(store.clone(), "+", Some(file.clone().into())).await.unwrap());
        let add = |source: &str, target: &str| DirectoryChange::AddAlias { alias: alias(source, target), replace: true };
        let source = |text: &str| text.parse().unwrap();
        for change in [
            add("zoe@x.test", "a@g.test"),
            add("Me@X.test", "database@g.test"),
            add("ann@x.test", "a@g.test"),
            add("ann@x.test", "b@g.test"),
            DirectoryChange::EnableAlias(source("zoe@x.test"), false),
            DirectoryChange::Account(AccountChange::Add(Box::new(directory::Account::new("me@x.test".parse().unwrap(), [0; 16])))),
            DirectoryChange::SetAliasOptions(source("me@x.test"), directory::StrictDomain::Hold.into()),
            DirectoryChange::RemoveAlias(source("me@x.test")),
            DirectoryChange::RemoveAlias(source("ann@x.test")),
            add("bob@x.test", "c@g.test"),
        ] {
            store.change_directory(vec![change.clone()]).await.unwrap();
            live.apply(std::slice::from_ref(&change)).await.unwrap();
            let anew = LiveDirectory::open(store.clone(), "+", Some(file.clone().into())).await.unwrap();
            let (mut one, mut other) = (sources(&live), sources(&anew));
            one.sort();
            other.sort();
            assert_eq!(one, other, "{change:?}");
            let (one, other) = (live.current(), anew.current());
            assert_eq!(one.contents().accounts, other.contents().accounts);
            assert_eq!(
                (&one.contents().alias_options, &one.contents().domains),
                (&other.contents().alias_options, &other.contents().domains)
            );
        }
        assert_eq!(live.current().lookup("me@x.test").unwrap().targets[0].to_string(), "file@g.test");
        fs::write(&file, "x.test domain\nme@x.test changed@g.test\n").unwrap();
        assert_eq!(live.refreshed().await.lookup("me@x.test").unwrap().targets[0].to_string(), "changed@g.test");
        assert_eq!(live.current().lookup("bob@x.test").unwrap().targets[0].to_string(), "c@g.test");
    }
}
