//! Changes of the directory: checked against the current snapshot, stored, put into effect.
//!
//! Invariant: a change that makes a loop of aliases is never stored.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use directory::{Alias, AliasSource, Contents, Directory, Problem};
use mail::Mailbox;
use mta::LiveDirectory;
use store::{DirectoryChange, Store};
use tokio::sync::{Mutex, MutexGuard};

use crate::actor::Actor;
use crate::api::Changed;
use crate::error::ApiError;
use crate::recorder::Recorder;

/// Changes the directory, one change at a time: two changes that are valid alone can make a loop together.
#[derive(Clone)]
pub(crate) struct DirectoryEditor {
    store: Store,
    live: Arc<LiveDirectory>,
    recorder: Recorder,
    changing: Arc<Mutex<()>>,
}

impl DirectoryEditor {
    pub fn new(store: Store, live: Arc<LiveDirectory>, recorder: Recorder, changing: Arc<Mutex<()>>) -> Self {
        Self { store, live, recorder, changing }
    }

    /// Waits for other changes to end, and keeps them out until the edit is dropped.
    pub async fn begin<'a>(&'a self, actor: &'a Actor) -> DirectoryEdit<'a> {
        let turn = self.changing.lock().await;
        DirectoryEdit { store: &self.store, live: &self.live, recorder: &self.recorder, actor, _turn: turn }
    }
}

/// A change in progress.
pub(crate) struct DirectoryEdit<'a> {
    store: &'a Store,
    live: &'a LiveDirectory,
    recorder: &'a Recorder,
    actor: &'a Actor,
    _turn: MutexGuard<'a, ()>,
}

impl DirectoryEdit<'_> {
    /// Returns the current snapshot.
    pub fn directory(&self) -> Arc<Directory> {
        self.live.current()
    }

    /// Returns the contents of the store, without the virtual file.
    pub async fn stored(&self, delimiters: String) -> Result<Contents, ApiError> {
        Ok(self.store.directory(delimiters).await?)
    }

    /// Stores changes, puts them into effect and records them.
    pub async fn commit(&self, changed: impl Into<String>, changes: Vec<DirectoryChange>) -> Result<Changed, ApiError> {
        let scope = ChangeScope::of(&changes);
        let before: HashSet<String> = scope.problems(&self.live.current()).iter().map(Problem::to_string).collect();
        self.store.change_directory(changes.clone()).await?;
        self.live.apply(&changes).await?;
        let after = scope.problems(&self.live.current());
        let warnings = after.iter().map(Problem::to_string).filter(|text| !before.contains(text)).collect();
        let changed: String = changed.into();
        self.recorder.directory(self.actor, &changed, &changes);
        Ok(Changed { changed, warnings })
    }
}

/// The aliases that a change can affect.
enum ChangeScope {
    All,
    Around(Vec<AliasSource>),
}

impl ChangeScope {
    fn of(changes: &[DirectoryChange]) -> Self {
        let mut sources = Vec::new();
        for change in changes {
            match change {
                DirectoryChange::AddAlias { alias, .. } => sources.push(alias.source.clone()),
                DirectoryChange::RemoveAlias(source) | DirectoryChange::EnableAlias(source, _) => sources.push(source.clone()),
                DirectoryChange::AddDomain(_) | DirectoryChange::RemoveDomain(_) => return Self::All,
                _ => {}
            }
        }
        Self::Around(sources)
    }

    fn problems(&self, directory: &Directory) -> Vec<Problem> {
        match self {
            Self::All => directory.problems(),
            Self::Around(sources) if sources.is_empty() => Vec::new(),
            Self::Around(sources) => directory.problems_around(sources),
        }
    }
}

pub(crate) fn problem_texts(directory: &Directory) -> HashSet<String> {
    directory.problems().iter().map(Problem::to_string).collect()
}

/// Checks whether the alias may be added or enabled; the error for a loop contains its path.
pub(crate) fn check_alias(directory: &Directory, alias: &Alias) -> Result<(), ApiError> {
    directory.check_added(alias).map_err(|problem| problem_error(&with_alias(directory, alias), &problem))
}

/// Converts a problem of this directory; the error for a loop contains its path.
pub(crate) fn problem_error(directory: &Directory, problem: &Problem) -> ApiError {
    let mut error = ApiError::of_problem(problem);
    if let Problem::Cycle { alias, through } = problem
        && let Some(path) = cycle_path(directory, through)
    {
        error.error = format!("{alias} leads back to itself: {path}");
    }
    error
}

/// Returns the directory with this alias added.
fn with_alias(directory: &Directory, alias: &Alias) -> Directory {
    let mut contents: Contents = directory.contents().clone();
    contents.aliases.put(alias.clone());
    Directory::new(contents)
}

/// Returns the path of a loop: `a@example.com → b@example.com → a@example.com`.
fn cycle_path(directory: &Directory, through: &Mailbox) -> Option<String> {
    let expansion = directory.explain(through).ok()?;
    let mut results: HashMap<String, &[Mailbox]> = HashMap::new();
    for step in &expansion.steps {
        results.entry(step.address.key()).or_insert(&step.results);
    }
    let mut path = vec![through.clone()];
    let mut seen = HashSet::new();
    let found = search(&results, through, &mut path, &mut seen);
    found.then(|| path.iter().map(Mailbox::to_string).collect::<Vec<_>>().join(" → "))
}

fn search(results: &HashMap<String, &[Mailbox]>, goal: &Mailbox, path: &mut Vec<Mailbox>, seen: &mut HashSet<String>) -> bool {
    let next = path.last().and_then(|last| results.get(&last.key())).copied().unwrap_or_default();
    for mailbox in next {
        path.push(mailbox.clone());
        if mailbox == goal || (seen.insert(mailbox.key()) && search(results, goal, path, seen)) {
            return true;
        }
        path.pop();
    }
    false
}

/// Returns the alias of this source, if the actor may know of it.
pub(crate) fn existing<'a>(actor: &Actor, directory: &'a Directory, source: &AliasSource) -> Result<&'a Alias, ApiError> {
    directory
        .lookup(&source.to_string())
        .filter(|alias| actor.sees(directory, alias))
        .ok_or_else(|| ApiError::missing(format!("no such alias: {source}")).hint("waypost alias list shows all aliases"))
}
