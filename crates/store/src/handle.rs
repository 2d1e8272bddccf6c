//! The handle by which everyone else uses the store.
//!
//! Invariant: the data directory has one owner at a time (an exclusive lock on its file `lock`), so that two processes never
//! think that the same claims are theirs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use directory::Contents;
use mail::{Domain, Mailbox, QueueId};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::content::{Content, Spool};
use crate::data_dir::{self, DataDir, Swept};
use crate::error::StoreError;
use crate::message::{
    Claimed, ClockStep, Committed, FailedDelivery, ListFilter, ListedMessage, NewMessage, QueueTotals, Settlement, Unnoticed,
};
use crate::room::Room;
use crate::sqlite::{self, DirectoryChange, LaneDue, LoginUse};
use crate::threads::Threads;
use crate::writer::{Answer, Job, LINE_MAX, Operation, Writer, run_checkpoints};

/// At most this many queries wait for the reader.
const READ_LINE_MAX: usize = 1024;

type Query = Box<dyn FnOnce(&Connection) + Send>;

/// The store. Clones share it; the last one closes it.
#[derive(Debug, Clone)]
pub struct Store {
    writes: mpsc::Sender<Job>,
    reads: mpsc::Sender<Query>,
    content: Arc<PathBuf>,
    room: Arc<Room>,
    threads: Threads,
    _owner: Arc<Owner>,
}

/// Ends the threads' work when the last handle goes.
#[derive(Debug)]
struct Owner {
    stop: Arc<AtomicBool>,
    checkpoints: thread::Thread,
    _lock: File,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.checkpoints.unpark();
    }
}

impl Store {
    /// Opens the data directory, making it where it is missing. Content files are left as they are.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another process has it open; [`StoreError::DatabaseLost`] where its database is gone and other state of it is
    /// still there; [`StoreError::Full`] where the disk has no room.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        Self::open_here(data).map_err(|error| error.or_full(data))
    }

    fn open_here(data: &Path) -> Result<Self, StoreError> {
        let directory = DataDir::take(data)?;
        let room = Arc::new(Room::open(data)?);
        let writer_db = sqlite::open_writer(data)?;
        directory.mark()?;
        QueueId::start_above(sqlite::highest_id(&writer_db)?);
        let log = data.join(format!("{}-wal", sqlite::DATABASE));
        let (writes, write_line) = mpsc::channel(LINE_MAX);
        let (reads, mut read_line) = mpsc::channel::<Query>(READ_LINE_MAX);
        let reader = sqlite::open_reader(data)?;
        let checkpoint_db = Connection::open(data.join(sqlite::DATABASE))?;
        let content = Arc::new(directory.content);
        let stop = Arc::new(AtomicBool::new(false));
        let threads = Threads::default();
        let writer = Writer { db: writer_db, content: content.clone(), log: log.clone(), room: room.clone() };
        threads.start("store-write", move || writer.run(write_line))?;
        threads.start("store-read", move || {
            while let Some(query) = read_line.blocking_recv() {
                query(&reader);
            }
        })?;
        let (stopped, kept) = (stop.clone(), room.clone());
        let checkpoints = threads.start("store-log", move || run_checkpoints(checkpoint_db, log, stopped, kept))?;
        let owner = Owner { stop, checkpoints, _lock: directory.lock };
        Ok(Self { writes, reads, content, room, threads, _owner: Arc::new(owner) })
    }

    /// Ends when a thread of the store has died by a bug, with its name: from then on nothing can be acknowledged, and only a new process helps.
    pub async fn died(&self) -> &'static str {
        self.threads.died().await
    }

    /// Sets apart content files that no row names, in `content/orphans`, and removes those that were set apart more than 30 days before `now_ms`.
    /// Only the server does this, when it starts.
    ///
    /// # Errors
    /// Where the directory or the database cannot be read, or a file not be moved.
    pub async fn sweep_orphans(&self, now_ms: i64) -> Result<Swept, StoreError> {
        let content = self.content.clone();
        self.read(move |db| data_dir::sweep(db, &content, now_ms)).await
    }

    /// A place for content that arrives.
    pub fn spool(&self, id: QueueId) -> Spool {
        Spool::new(id, self.content.clone(), self.room.clone())
    }

    /// Whether there is room for one more message: better heard before its content than after it.
    ///
    /// # Errors
    /// [`StoreError::Full`] where there is none.
    pub fn has_room(&self) -> Result<(), StoreError> {
        self.room.for_rows(0)
    }

    /// Removes content that will not be committed.
    pub fn discard(&self, content: &Content) {
        if let Some(path) = &content.file
            && let Err(error) = std::fs::remove_file(path.as_path())
        {
            tracing::warn!(id = %content.id, %error, "a content file could not be removed; the next start sweeps it");
        }
    }

    pub(crate) async fn write(&self, operation: Operation) -> Result<Answer, StoreError> {
        let (answer, result) = oneshot::channel();
        self.writes.send(Job { operation, answer }).await.map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }

    pub(crate) async fn count(&self, operation: Operation) -> Result<u64, StoreError> {
        match self.write(operation).await? {
            Answer::Count(n) => Ok(n),
            _ => Ok(0),
        }
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, result) = oneshot::channel();
        let query: Query = Box::new(move |db| {
            let _ = answer.send(query(db));
        });
        self.reads.send(query).await.map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }

    /// Commits messages; they are on disk, synced, when this returns. Claims end at `lease_ms`.
    pub async fn commit(&self, messages: Vec<NewMessage>, lease_ms: i64) -> Result<Committed, StoreError> {
        self.write(Operation::Enqueue { messages, lease_ms }).await.map(|_| Committed(()))
    }

    /// Commits the end of an attempt, with the reports that follow from it.
    pub async fn settle(&self, settlement: Settlement, lease_ms: i64) -> Result<(), StoreError> {
        self.write(Operation::Settle { settlement, lease_ms }).await.map(|_| ())
    }

    /// Every lane with something in it.
    pub async fn lanes(&self) -> Result<Vec<LaneDue>, StoreError> {
        self.read(sqlite::lanes).await
    }

    /// Claims up to `limit` recipients of a lane that are due.
    pub async fn claim(&self, lane: Domain, now_ms: i64, lease_ms: i64, limit: u32) -> Result<Vec<Claimed>, StoreError> {
        match self.write(Operation::Claim { lane, now_ms, lease_ms, limit }).await? {
            Answer::Claimed(claimed) => Ok(claimed),
            _ => Ok(Vec::new()),
        }
    }

    /// After a start: what the process before had claimed is due now. Returns how many recipients.
    pub async fn release_claims(&self, now_ms: i64) -> Result<u64, StoreError> {
        self.count(Operation::ReleaseClaims { now_ms }).await
    }

    /// The wall clock was set: moves what the queue has written down by the old one. Returns how many recipients would have waited too long.
    pub async fn step_clock(&self, step: ClockStep) -> Result<u64, StoreError> {
        self.count(Operation::StepClock(step)).await
    }

    /// A message's content, after a look whether it is what was written.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it is missing, of another size, or damaged.
    pub async fn content(&self, message: QueueId) -> Result<Content, StoreError> {
        let directory = self.content.clone();
        let content = self.read(move |db| sqlite::load_content(db, &directory, message)).await?;
        if content.file.is_none() {
            return Ok(content);
        }
        let verified =
            tokio::task::spawn_blocking(move || content.verify_file().map(|()| content)).await.map_err(|_| StoreError::Closed)?;
        verified.map_err(|error| StoreError::of_content_file(message, error))
    }

    /// Makes recipients due now: of one message, of one domain, or all. Returns how many.
    pub async fn retry(&self, id: Option<QueueId>, lane: Option<Domain>, now_ms: i64) -> Result<u64, StoreError> {
        self.count(Operation::Retry { id, lane, now_ms }).await
    }

    /// Removes a message, or one recipient of it, without a report.
    pub async fn remove(&self, id: QueueId, index: Option<u32>) -> Result<(), StoreError> {
        self.write(Operation::Drop { id, index }).await.map(|_| ())
    }

    /// Lets a held message go: it is due now, and given up at `expires_ms` at the latest.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where no such message is held.
    pub async fn release(&self, id: QueueId, now_ms: i64, expires_ms: i64) -> Result<(), StoreError> {
        self.write(Operation::Release { id, now_ms, expires_ms }).await.map(|_| ())
    }

    /// Puts another message in the place of one, in one commit.
    pub async fn replace(&self, id: QueueId, with: NewMessage) -> Result<(), StoreError> {
        self.write(Operation::Replace { id, with: Box::new(with) }).await.map(|_| ())
    }

    /// Removes held messages whose time is up. Returns how many.
    pub async fn expire_held(&self, now_ms: i64) -> Result<u64, StoreError> {
        self.count(Operation::ExpireHeld { now_ms }).await
    }

    /// Remembers the sender that an SRS token stands for; it is on disk, synced, when this returns.
    pub async fn remember_sender(&self, token: String, sender: &Mailbox, now_ms: i64) -> Result<(), StoreError> {
        self.write(Operation::RememberSender { token, sender: sender.to_string(), now_ms }).await.map(|_| ())
    }

    /// The sender that an SRS token stands for.
    pub async fn remembered_sender(&self, token: String) -> Result<Option<Mailbox>, StoreError> {
        self.read(move |db| sqlite::srs_sender(db, &token)).await
    }

    /// What the operator was not told of yet, at most `limit` of each kind.
    pub async fn unnoticed(&self, limit: u32) -> Result<Unnoticed, StoreError> {
        self.read(move |db| sqlite::unnoticed(db, limit)).await
    }

    /// Commits the messages that tell the operator, and remembers up to where they do.
    pub async fn notice(&self, messages: Vec<NewMessage>, up_to: (i64, i64), now_ms: i64) -> Result<(), StoreError> {
        self.write(Operation::Notice { messages, up_to, now_ms }).await.map(|_| ())
    }

    /// Deliveries that failed without a report, the newest first.
    pub async fn failed(&self, limit: u32) -> Result<Vec<FailedDelivery>, StoreError> {
        self.read(move |db| sqlite::list_failed(db, limit)).await
    }

    /// Remembers where passwords were used.
    pub async fn record_logins(&self, uses: Vec<LoginUse>) -> Result<(), StoreError> {
        self.write(Operation::RecordLogins(uses)).await.map(|_| ())
    }

    /// Where an account's passwords, or all, were used since a time; the newest first.
    pub async fn logins(&self, login: Option<String>, since_ms: i64) -> Result<Vec<LoginUse>, StoreError> {
        self.read(move |db| sqlite::logins(db, login.as_deref(), since_ms)).await
    }

    /// Remembers to whom accounts have sent: login, a hash of the recipient, and the time of the first message.
    pub async fn record_recipients(&self, recipients: Vec<(String, i64, i64)>) -> Result<(), StoreError> {
        self.write(Operation::RecordRecipients(recipients)).await.map(|_| ())
    }

    /// To whom an account has sent (a hash), and when first; the newest first, and the newest only where there are very many.
    pub async fn known_recipients(&self, login: String) -> Result<Vec<(i64, i64)>, StoreError> {
        self.read(move |db| sqlite::known_recipients(db, &login)).await
    }

    /// One page of the queue.
    pub async fn list(&self, mut filter: ListFilter) -> Result<Vec<ListedMessage>, StoreError> {
        let mut listed = Vec::new();
        loop {
            let step = filter.clone();
            let step = self.read(move |db| sqlite::list(db, &step)).await?;
            filter.limit = filter.limit.saturating_sub(u32::try_from(step.messages.len()).unwrap_or(u32::MAX));
            listed.extend(step.messages);
            match step.behind {
                Some(behind) if filter.limit > 0 => filter.after = Some(behind),
                _ => return Ok(listed),
            }
        }
    }

    /// How much there is.
    pub async fn totals(&self) -> Result<QueueTotals, StoreError> {
        self.read(sqlite::totals).await
    }

    /// Applies changes to the directory: all or none.
    pub async fn change_directory(&self, changes: Vec<DirectoryChange>) -> Result<(), StoreError> {
        self.write(Operation::Directory(changes)).await.map(|_| ())
    }

    /// Reads the directory.
    pub async fn directory(&self, delimiters: String) -> Result<Contents, StoreError> {
        self.read(move |db| sqlite::load_directory(db, &delimiters)).await
    }

    /// Reads the directory without its aliases, of which there may be very many.
    pub async fn directory_beside_aliases(&self, delimiters: String) -> Result<Contents, StoreError> {
        self.read(move |db| sqlite::load_directory_beside_aliases(db, &delimiters)).await
    }
}
