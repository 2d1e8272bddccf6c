//! Whether the server should get new connections: what load balancers and orchestrators ask for as `GET /health/ready`.
//!
//! Invariants: it is not ready before its listeners are open, while it is drained, from the beginning of its stop on, and while the store commits
//! nothing; the answer takes no lock and waits for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mta::NodeSwitch;
use store::{BatchCounts, Store};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Interval of the looks at the store's transactions.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the server is not ready after a failed transaction. Then mail may come again, and shows whether the store commits: without mail nothing would.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// How old the last heartbeat in a database of several nodes may be: two are sent in this time. It is a commit, so nothing has to be guessed.
const HEARTBEAT_MAX: Duration = Duration::from_secs(11);

/// Whether the server takes new connections. Clones share it.
#[derive(Clone, Default)]
pub struct Readiness(Arc<ReadinessState>);

#[derive(Default)]
struct ReadinessState {
    /// What it depends on; `None` before the start has ended, and from the beginning of the stop on.
    parts: ArcSwapOption<ReadyParts>,
    commits_fail: AtomicBool,
    clock_is_wrong: AtomicBool,
}

/// What readiness depends on.
struct ReadyParts {
    store: Store,
    node: NodeSwitch,
}

/// Why the server is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReady {
    /// It is starting or stopping.
    NotUp,
    /// An operator has drained it.
    Drained,
    /// The disk has no room for new mail.
    NoRoom,
    /// The clock of this machine is not that of the database which several servers share.
    WrongClock,
    /// The store failed to commit, and has not succeeded since.
    CommitsFail,
}

impl NotReady {
    /// Returns the reason in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotUp => "starting or stopping",
            Self::Drained => "drained",
            Self::NoRoom => "no room on the disk",
            Self::WrongClock => "the clock of this machine is not that of the database",
            Self::CommitsFail => "the store fails to commit",
        }
    }
}

impl Readiness {
    /// Returns whether the server is ready.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self) -> Result<(), NotReady> {
        let parts = self.0.parts.load();
        let parts = parts.as_ref().ok_or(NotReady::NotUp)?;
        match () {
            () if parts.node.is_drained() => Err(NotReady::Drained),
            () if parts.store.has_room().is_err() => Err(NotReady::NoRoom),
            () if self.0.clock_is_wrong.load(Ordering::Relaxed) => Err(NotReady::WrongClock),
            () if self.0.commits_fail.load(Ordering::Relaxed) => Err(NotReady::CommitsFail),
            () => Ok(()),
        }
    }

    /// Returns the answer for a load balancer: whether the server is ready, without the reason.
    pub fn probe(&self) -> Arc<dyn Fn() -> bool + Send + Sync> {
        let readiness = self.clone();
        Arc::new(move || readiness.check().is_ok())
    }

    /// The listeners are open. Returns the watch of the store, which ends when it is dropped.
    pub fn begin(&self, store: Store, node: NodeSwitch) -> ReadinessWatch {
        self.0.parts.store(Some(Arc::new(ReadyParts { store: store.clone(), node })));
        ReadinessWatch { task: tokio::spawn(watch(self.clone(), store)), readiness: self.clone() }
    }
}

/// Watches the store while the server is up.
pub struct ReadinessWatch {
    task: JoinHandle<()>,
    readiness: Readiness,
}

impl Drop for ReadinessWatch {
    fn drop(&mut self) {
        self.task.abort();
        self.readiness.0.parts.store(None);
    }
}

/// Looks at the store's transactions and logs each change of readiness.
#[allow(clippy::disallowed_methods)] // how long a failure counts, which decides on no mail
async fn watch(readiness: Readiness, store: Store) {
    let mut commits = CommitWatch::new(store.batches());
    let mut last = Ok(());
    loop {
        let fail = commits.fail(&store.batches(), store.heartbeat_age(), Instant::now());
        readiness.0.commits_fail.store(fail, Ordering::Relaxed);
        readiness.0.clock_is_wrong.store(store.has_wrong_clock(), Ordering::Relaxed);
        let now = readiness.check();
        if now != last {
            match now {
                Ok(()) => tracing::info!("ready for new connections"),
                Err(why) => tracing::warn!(reason = why.words(), "not ready: load balancers are told to send no new connections"),
            }
            last = now;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether the last transactions failed.
struct CommitWatch {
    seen: (u64, u64),
    failed_at: Option<Instant>,
}

impl CommitWatch {
    fn new(counts: BatchCounts) -> Self {
        Self { seen: (counts.committed, counts.failed), failed_at: None }
    }

    /// Notes the counts; returns whether transactions fail now. A heartbeat after a failure, where there is one, says that the store commits.
    fn fail(&mut self, counts: &BatchCounts, heartbeat_age: Option<Duration>, now: Instant) -> bool {
        let (committed, failed) = self.seen;
        self.seen = (counts.committed, counts.failed);
        if counts.committed > committed {
            self.failed_at = None;
        } else if counts.failed > failed {
            self.failed_at = Some(now);
        }
        let failed_ago = self.failed_at.map(|at| now.saturating_duration_since(at));
        match heartbeat_age {
            Some(age) => age > HEARTBEAT_MAX || failed_ago.is_some_and(|ago| ago <= age),
            None => failed_ago.is_some_and(|ago| ago < AFTER_FAILURE),
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // deadlines are the runtime's time
mod tests {
    use super::*;

    fn counts(committed: u64, failed: u64) -> BatchCounts {
        BatchCounts { committed, failed, ..BatchCounts::default() }
    }

    #[test]
    fn commits_fail_until_one_succeeds_or_mail_may_try_again() {
        let begin = Instant::now();
        let mut watch = CommitWatch::new(counts(5, 1));
        let mut at = |committed, failed, after_s| watch.fail(&counts(committed, failed), None, begin + Duration::from_secs(after_s));
        assert_eq!((at(5, 1, 0), at(5, 2, 1), at(5, 2, 20), at(6, 2, 21)), (false, true, true, false));
        assert_eq!((at(6, 3, 30), at(6, 3, 59), at(6, 3, 60)), (true, true, false), "after 30 s mail may come again");
        assert!(!at(7, 4, 61), "some transactions succeed");
    }

    #[test]
    fn a_heartbeat_says_whether_commits_fail() {
        let begin = Instant::now();
        let mut watch = CommitWatch::new(counts(5, 0));
        let mut at =
            |failed, age_s, after_s| watch.fail(&counts(5, failed), Some(Duration::from_secs(age_s)), begin + Duration::from_secs(after_s));
        assert_eq!((at(0, 5, 0), at(0, 12, 1)), (false, true), "without mail");
        assert_eq!((at(1, 3, 10), at(1, 5, 12), at(1, 1, 14)), (true, true, false), "until one comes after the failure");
    }

    #[tokio::test]
    async fn a_server_is_ready_between_its_start_and_its_stop_unless_it_is_drained() {
        let data = tempfile::tempdir().unwrap();
        let (readiness, node) = (Readiness::default(), mta::DrainedFile::open(data.path()));
        assert_eq!(readiness.check(), Err(NotReady::NotUp));
        let watch = readiness.begin(Store::open(&data.path().join("store")).unwrap(), NodeSwitch::File(node.clone()));
        assert_eq!(readiness.check(), Ok(()));
        node.drain(1).await.unwrap();
        assert_eq!(readiness.check(), Err(NotReady::Drained));
        node.resume().await.unwrap();
        assert_eq!(readiness.check(), Ok(()));
        drop(watch);
        assert_eq!(readiness.check(), Err(NotReady::NotUp));
    }
}
