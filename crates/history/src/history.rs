//! The handle of the history: takes events, and answers queries.
//!
//! Each query opens the file for itself, so that an idle server keeps no pages in memory and a file that was moved aside is let go. Invariant: taking an
//! event waits for nothing; queries run on threads for blocking work, a few at a time.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use events::{Event, EventSink, Fact};
use mail::QueueId;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{Semaphore, broadcast};

use crate::alias_use::{AliasUse, alias_use};
use crate::error::HistoryError;
use crate::filter::Filter;
use crate::found::Found;
use crate::line::Line;
use crate::part::Bounds;
use crate::recorded::{Page, Recorded};
use crate::scan::{Order, Scanner};
use crate::schema;
use crate::timeline::{find, timeline};
use crate::totals::{self, Total};
use crate::writer::{Shared, Writer, damaged};

/// Maximum queries that run at once.
const QUERIES_MAX: usize = 4;

/// Maximum wait until what was recorded before a query is written; then it is answered without.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Events that a live view may be behind.
const LIVE_MAX: usize = 4096;

/// What is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryOptions {
    /// Days that events are kept.
    pub days: u32,
    /// Maximum size of the file, in octets.
    pub max_bytes: u64,
    /// Whether subjects are kept.
    pub subjects: bool,
}

/// The history. Clones share it.
#[derive(Debug, Clone)]
pub struct History(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    is_live: bool,
    keeps_subjects: bool,
    moved_aside: Option<PathBuf>,
    queries: Semaphore,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.line.close();
    }
}

fn shared(data: &Path, bounds: Bounds) -> Arc<Shared> {
    Arc::new(Shared {
        path: data.join(schema::FILE),
        bounds,
        line: Line::default(),
        live: broadcast::Sender::new(LIVE_MAX),
        lost: AtomicU64::new(0),
        generation: AtomicU64::new(1),
        damaged: AtomicU64::new(0),
    })
}

impl History {
    /// Opens the history in a data directory, and starts its thread. A file that cannot be read is moved aside; if no file can be opened, the events are
    /// lost and counted until one can. It reads files: not for a thread of the runtime.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(data: &Path, options: HistoryOptions, now_ms: i64) -> io::Result<Self> {
        let shared = shared(data, Bounds { days: options.days, max_bytes: options.max_bytes });
        let (writer, moved_aside) = Writer::open(shared.clone(), now_ms);
        let of_thread = shared.clone();
        let run = move || {
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run())).is_err() {
                tracing::error!(
                    "the thread of the history has panicked, which is a bug; please report it with the lines above; mail flows without a history"
                );
                of_thread.line.abandon();
            }
        };
        let handle = thread::Builder::new().name("history".into()).spawn(run)?;
        Ok(Self(Arc::new(Inner {
            shared,
            writer: Mutex::new(Some(handle)),
            is_live: true,
            keeps_subjects: options.subjects,
            moved_aside,
            queries: Semaphore::new(QUERIES_MAX),
        })))
    }

    /// Returns the history of a data directory for queries only, as a command without a server reads it.
    pub fn read_only(data: &Path) -> Self {
        let shared = shared(data, Bounds { days: 0, max_bytes: 0 });
        shared.line.close();
        Self(Arc::new(Inner {
            shared,
            writer: Mutex::new(None),
            is_live: false,
            keeps_subjects: false,
            moved_aside: None,
            queries: Semaphore::new(QUERIES_MAX),
        }))
    }

    /// Returns the event that says that a damaged file was moved aside at the start.
    pub fn damage_at_start(&self, now_ms: i64) -> Option<Event> {
        self.0.moved_aside.as_deref().map(|aside| damaged(aside, now_ms))
    }

    /// Returns how many events were not kept since the start.
    pub fn lost(&self) -> u64 {
        self.0.shared.lost.load(Ordering::Relaxed)
    }

    /// Whether new events can come: not for a history that is only read.
    pub fn is_live(&self) -> bool {
        self.0.is_live
    }

    /// Returns the events from now on, each once it is written.
    pub fn follow(&self) -> broadcast::Receiver<Recorded> {
        self.0.shared.live.subscribe()
    }

    /// Writes what is in the line, and ends the thread. Later events are lost.
    pub async fn close(&self) {
        self.0.shared.line.close();
        let Some(writer) = self.0.writer.lock().take() else { return };
        // A panic of the thread is in the log already.
        let _ = tokio::task::spawn_blocking(move || writer.join()).await;
    }

    /// Returns the messages and other events that a filter selects, newest first, from before a cursor on.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn find(&self, filter: Filter, cursor: Option<i64>, limit: usize) -> Result<Page<Found>, HistoryError> {
        self.query(move |db| find(db, &filter, cursor, limit)).await
    }

    /// Returns the events of a message, oldest first, with those of the messages that report on it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn timeline(&self, id: QueueId) -> Result<Vec<Recorded>, HistoryError> {
        self.query(move |db| Ok(timeline(&Scanner::new(db)?, id)?.events)).await
    }

    /// Returns the events that a filter selects, newest first, from before a cursor on. A page may have fewer than `limit` and a next page.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn events(&self, filter: Filter, cursor: Option<i64>, limit: usize) -> Result<Page<Recorded>, HistoryError> {
        self.query(move |db| {
            let mut items = Vec::new();
            let order = Order::Newest { before: cursor.unwrap_or(i64::MAX) };
            let next = Scanner::new(db)?.scan(&filter, order, &mut |recorded| {
                items.push(recorded);
                if items.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            Ok(Page { items, next })
        })
        .await
    }

    /// Returns the events after this number that a filter selects, oldest first, at most `limit`: what a live view has missed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn events_after(&self, filter: Filter, after: i64, limit: usize) -> Result<Vec<Recorded>, HistoryError> {
        self.query(move |db| {
            let mut items = Vec::new();
            Scanner::new(db)?.scan(&filter, Order::Oldest { after }, &mut |recorded| {
                items.push(recorded);
                if items.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            Ok(items)
        })
        .await
    }

    /// Returns how many events of each kind there were since a time, in spans of `step_ms` from then on, oldest first; both are rounded to hours.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn totals(&self, since_ms: i64, step_ms: i64) -> Result<Vec<Total>, HistoryError> {
        self.query(move |db| Ok(totals::totals(db, since_ms, step_ms)?)).await
    }

    /// Returns how each of these aliases was used; one without an accepted message is left out.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn alias_uses(&self, aliases: Vec<String>, now_ms: i64) -> Result<HashMap<String, AliasUse>, HistoryError> {
        self.query(move |db| {
            let used = |alias: String| Ok(alias_use(db, &alias, now_ms)?.map(|used| (alias, used)));
            aliases.into_iter().map(used).filter_map(Result::transpose).collect()
        })
        .await
    }

    /// Runs a query in one transaction. Without a file the result is that of an empty history.
    async fn query<T: Default + Send + 'static>(
        &self,
        run: impl FnOnce(&Connection) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, HistoryError> {
        if self.0.is_live {
            let _ = tokio::time::timeout(FLUSH_TIMEOUT, self.0.shared.line.flush()).await;
        }
        // The semaphore is never closed.
        let _permit = self.0.queries.acquire().await.ok();
        let shared = self.0.shared.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let generation = shared.generation.load(Ordering::Relaxed);
            let result = answer(&shared.path, run);
            if result.as_ref().is_err_and(HistoryError::is_damage) {
                shared.damaged.store(generation, Ordering::Relaxed);
            }
            result
        });
        answer.await.map_err(|_| HistoryError::Interrupted)?
    }
}

fn answer<T: Default>(path: &Path, run: impl FnOnce(&Connection) -> Result<T, HistoryError>) -> Result<T, HistoryError> {
    let Some(db) = schema::open_reader(path)? else { return Ok(T::default()) };
    let transaction = db.unchecked_transaction()?;
    run(&transaction)
}

impl EventSink for History {
    fn record(&self, event: &Arc<Event>) {
        let event = if self.0.keeps_subjects || event.get(Fact::Subject).is_none() {
            event.clone()
        } else {
            let mut without = event.as_ref().clone();
            without.facts.retain(|(fact, _)| *fact != Fact::Subject);
            Arc::new(without)
        };
        if !self.0.shared.line.push(event) {
            self.0.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
