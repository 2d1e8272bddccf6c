//! The directory in force: what the store holds, and what a virtual file adds.
//!
//! Invariant: whoever asks gets the newest good snapshot: a file that changed is read at the next question, and one that
//! does not parse changes nothing but the log.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use directory::{Alias, Aliases, Contents, Directory, Origin, virtual_file};
use mail::Domain;
use store::{DirectoryChange, Store, StoreError};

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
        let live = Self {
            current: ArcSwap::from_pointee(Directory::new(Contents::default())),
            state: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            store,
        };
        live.configure(delimiters, path).await?;
        Ok(live)
    }

    /// Changes the settings; on an error nothing changes.
    pub async fn configure(&self, delimiters: &str, path: Option<PathBuf>) -> Result<(), DirectoryError> {
        let _changing = self.changing.lock().await;
        let stored = self.store.directory(delimiters.to_owned()).await?;
        let seen = path.as_ref().and_then(stamp);
        let from_file = path.as_ref().map(read_file).transpose().map_err(DirectoryError::File)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { stored: Some(stored), path, seen, from_file, delimiters: delimiters.to_owned() };
        self.current.store(Arc::new(state.merged()));
        Ok(())
    }

    /// Puts changes in force that the store has taken. What a change does not concern is shared with the snapshot before it.
    pub async fn apply(&self, changes: &[DirectoryChange]) -> Result<(), DirectoryError> {
        let _changing = self.changing.lock().await;
        let delimiters = self.state.lock().unwrap_or_else(PoisonError::into_inner).delimiters.clone();
        let is_alias = |change: &&DirectoryChange| {
            matches!(change, DirectoryChange::AddAlias { .. } | DirectoryChange::RemoveAlias(_) | DirectoryChange::EnableAlias(..))
        };
        let of_aliases: Vec<&DirectoryChange> = changes.iter().filter(is_alias).collect();
        if of_aliases.len() > ONE_BY_ONE_MAX {
            let stored = self.store.directory(delimiters).await?;
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.stored = Some(stored);
            self.current.store(Arc::new(state.merged()));
            return Ok(());
        }
        let beside = self.store.directory_beside_aliases(delimiters).await?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let in_force = self.current.load().contents().aliases.clone();
        let next = state.changed(beside, in_force, &of_aliases);
        self.current.store(Arc::new(next));
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
            let stored = contents.aliases.clone();
            let new = file.aliases.iter().map(|(alias, _)| alias).filter(|alias| stored.get(&alias.source.key()).is_none());
            contents.aliases.extend(new.cloned());
        }
        self.with_domains_of_file(contents)
    }

    fn with_domains_of_file(&self, mut contents: Contents) -> Directory {
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
        let live = LiveDirectory::open(store.clone(), "+", Some(file.clone())).await.unwrap();
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
            let anew = LiveDirectory::open(store.clone(), "+", Some(file.clone())).await.unwrap();
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
