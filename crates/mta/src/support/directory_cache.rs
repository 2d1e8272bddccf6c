//! The directory in force: what the store holds, and what a virtual file adds.
//!
//! Invariant: whoever asks gets the newest snapshot: a file that changed is read at the next question, its good lines are in force, and one
//! that cannot be read changes nothing. Where it cannot be read at the start, no address is taken for unknown.

use std::sync::Arc;

use arc_swap::ArcSwap;
use directory::virtual_file::VirtualFile;
use directory::{Alias, Aliases, Contents, Directory, Origin};
use mail::Domain;
use parking_lot::Mutex;
use store::{DirectoryChange, Store, StoreError};

use crate::support::virtual_source::{self, Stamp, VirtualFaults, VirtualSource};

/// Changes of aliases that are made one by one; with more of them the store is read again.
const ONE_BY_ONE_MAX: usize = 1000;

/// The directory in force.
#[derive(Debug)]
pub struct LiveDirectory {
    current: ArcSwap<Directory>,
    state: Mutex<State>,
    /// Held from the reading of the store to the swap, so that no snapshot replaces a newer one.
    changing: tokio::sync::Mutex<()>,
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
        let live = Self {
            current: ArcSwap::from_pointee(Directory::new(Contents::default())),
            state: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            store,
        };
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
        let _changing = self.changing.lock().await;
        let stored = self.store.directory(delimiters.to_owned()).await?;
        let seen = source.as_ref().and_then(VirtualSource::stamp);
        let from_file = source.as_ref().map(read).transpose()?;
        self.put(State { stored: Some(stored), source, seen, from_file, unread: None, delimiters: delimiters.to_owned() });
        Ok(())
    }

    fn put(&self, new: State) {
        let mut state = self.state.lock();
        *state = new;
        self.current.store(Arc::new(state.merged()));
    }

    /// What of the virtual file is not in force; `None` where there is no such file.
    pub fn virtual_faults(&self) -> Option<VirtualFaults> {
        let state = self.state.lock();
        let source = state.source.as_ref()?;
        Some(virtual_source::faults(&source.path, state.from_file.as_ref(), state.unread.clone()))
    }

    /// Puts changes in force that the store has taken. What a change does not concern is shared with the snapshot before it.
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

    /// Reads all of the store's part again, after changes that nobody names.
    pub async fn reload(&self) -> Result<(), DirectoryError> {
        let _changing = self.changing.lock().await;
        let delimiters = self.state.lock().delimiters.clone();
        self.read_all(delimiters).await
    }

    /// The caller holds `changing`.
    async fn read_all(&self, delimiters: String) -> Result<(), DirectoryError> {
        let stored = self.store.directory(delimiters).await?;
        let mut state = self.state.lock();
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
        let mut state = self.state.lock();
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

    /// The directory after these changes of aliases; all else of the store's part is `beside`.
    fn changed(&mut self, beside: Contents, mut in_force: Aliases, changes: &[&DirectoryChange]) -> Directory {
        let mut stored = self.stored.take().unwrap_or_default().aliases;
        for change in changes {
            match change {
                DirectoryChange::AddAlias { alias, .. } => {
                    // As the store gives it back: its source is its key.
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
                    // What the database has hidden is in force again.
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
    async fn a_change_that_is_put_in_force_is_what_a_restart_reads() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("virtual");
        fs::write(&file, "x.test domain\nme@x.test file@g.test\nother@x.test file@g.test\n").unwrap();
        let store = Store::open(dir.path()).unwrap();
        let live = LiveDirectory::open(store.clone(), "+", Some(file.clone().into())).await.unwrap();
        let add = |source: &str, target: &str| DirectoryChange::AddAlias { alias: alias(source, target), replace: true };
        let source = |text: &str| text.parse().unwrap();
        for change in [
            add("zoe@x.test", "a@g.test"),
            add("Me@X.test", "database@g.test"),
            add("ann@x.test", "a@g.test"),
            add("ann@x.test", "b@g.test"),
            DirectoryChange::EnableAlias(source("zoe@x.test"), false),
            DirectoryChange::Account(AccountChange::Add(Box::new(directory::Account::new("me@x.test".parse().unwrap(), [0; 16])))),
            DirectoryChange::SetStrictDomain(source("me@x.test"), Some(directory::StrictDomain::Hold)),
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
                (&one.contents().strict_domains, &one.contents().domains),
                (&other.contents().strict_domains, &other.contents().domains)
            );
        }
        assert_eq!(live.current().lookup("me@x.test").unwrap().targets[0].to_string(), "file@g.test");
        fs::write(&file, "x.test domain\nme@x.test changed@g.test\n").unwrap();
        assert_eq!(live.current().lookup("me@x.test").unwrap().targets[0].to_string(), "changed@g.test");
        assert_eq!(live.current().lookup("bob@x.test").unwrap().targets[0].to_string(), "c@g.test");
    }
}
