//! The handle of the store: opens the data directory, stores content, and passes operations to the threads.
//!
//! Invariant: one process at a time owns the data directory (an exclusive lock on its file `lock`), so that no two processes
//! deliver the same mail.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mail::QueueId;
use rusqlite::Connection;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::batches::{BatchCounts, Batches};
use crate::checkpoint::run_checkpoints;
use crate::content::{Content, ContentFiles, ROW_MAX_BYTES, Spool};
use crate::data_dir::{self, DataDir, Swept};
use crate::engine::Sql;
use crate::error::StoreError;
use crate::journal::Journal;
use crate::line::LINE_MAX;
use crate::operation::{Operation, WriteJob, WriteOutcome, contents};
use crate::postgres::Cluster;
use crate::room::Room;
use crate::simulated_disk::{self, SimulatedDisk};
use crate::sqlite;
use crate::tables::{self, QueueLoad};
use crate::threads::Threads;
use crate::writer::Writer;

/// Maximum time that the last handle waits for the end of a node's lease.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Maximum queries that wait for the reader.
pub(crate) const READ_LINE_MAX: usize = 1024;

/// The last answer about what waits, and until when it is used, in Unix milliseconds.
type KnownLoad = Arc<Mutex<Option<(i64, Arc<QueueLoad>)>>>;

/// A query of the database, or why it cannot be asked.
pub(crate) type Query = Box<dyn FnOnce(Result<&dyn Sql, StoreError>) + Send>;

/// The store. Clones share it; the last one closes it.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) writes: mpsc::Sender<WriteJob>,
    pub(crate) reads: mpsc::Sender<Query>,
    pub(crate) files: ContentFiles,
    pub(crate) batches: Arc<Batches>,
    pub(crate) load: KnownLoad,
    pub(crate) threads: Threads,
    /// Over PostgreSQL: what many nodes need.
    pub(crate) cluster: Option<Arc<Cluster>>,
    /// The last field, so that it is dropped when no operation can be sent any more.
    pub(crate) owner: Arc<Owner>,
}

/// Stops the threads when the last handle is dropped.
#[derive(Debug)]
pub(crate) struct Owner {
    stop: Arc<AtomicBool>,
    /// The threads that a stop wakes; none on a simulated disk.
    writer: Option<thread::Thread>,
    checkpoints: Option<thread::Thread>,
    /// Ends when the writer of a node has ended its lease; none over SQLite.
    ended: Option<Mutex<std::sync::mpsc::Receiver<()>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake_writer();
        self.checkpoints.iter().for_each(thread::Thread::unpark);
        // Every handle has dropped its end of the line by now, so the writer comes to its end. A process that exits before would keep its lease.
        if let Some(ended) = &mut self.ended {
            let _ = ended.get_mut().recv_timeout(END_WITHIN);
        }
    }
}

impl Owner {
    /// Wakes only a writer, and waits for its end.
    pub fn of_node(writer: thread::Thread, ended: std::sync::mpsc::Receiver<()>) -> Self {
        Self { stop: Arc::default(), writer: Some(writer), checkpoints: None, ended: Some(Mutex::new(ended)) }
    }

    /// Has the writer look at its line.
    fn wake_writer(&self) {
        self.writer.iter().for_each(thread::Thread::unpark);
    }
}

fn run_queries(db: &Connection, mut line: mpsc::Receiver<Query>) {
    while let Some(query) = line.blocking_recv() {
        query(Ok(db));
    }
}

impl Store {
    /// Opens the data directory, and creates it if it is missing. Content files are not touched.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it open; [`StoreError::DatabaseLost`] if its database is missing but other state of it exists;
    /// [`StoreError::Full`] if the disk has no room.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        Self::open_here(data, None).map_err(|error| error.or_full(data))
    }

    /// Opens the data directory on a simulated disk: the store has no threads and works on the runtime of the caller.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_simulated(data: &Path, disk: Arc<dyn SimulatedDisk>) -> Result<Self, StoreError> {
        Self::open_here(data, Some(disk)).map_err(|error| error.or_full(data))
    }

    fn open_here(data: &Path, disk: Option<Arc<dyn SimulatedDisk>>) -> Result<Self, StoreError> {
        let directory = DataDir::take(data)?;
        let room = Arc::new(Room::open(data)?);
        let writer_db = sqlite::open_writer(data)?;
        directory.mark()?;
        let content = Arc::new(directory.content.clone());
        let journal = Journal::open(&writer_db, data, content.clone(), &room)?;
        QueueId::start_above(tables::highest_id(&writer_db)?);
        let log = data.join(format!("{}-wal", sqlite::DATABASE));
        let (writes, write_line) = mpsc::channel(LINE_MAX);
        let (reads, read_line) = mpsc::channel::<Query>(READ_LINE_MAX);
        let reader = sqlite::open_reader(data)?;
        let checkpoint_db = Connection::open(data.join(sqlite::DATABASE))?;
        let stop = Arc::new(AtomicBool::new(false));
        let threads = Threads::default();
        let batches = Arc::new(Batches::default());
        let (to_content, to_room) = (content.clone(), room.clone());
        let writer = Writer {
            db: writer_db,
            content: to_content,
            log: log.clone(),
            room: to_room,
            batches: batches.clone(),
            journal,
            lock: directory.lock,
            fails_next: false,
            log_grew: true,
        };
        let (writer, checkpoints) = match disk {
            Some(disk) => {
                simulated_disk::start(disk, (writer, write_line), (reader, read_line));
                (None, None)
            }
            None => {
                let writer = threads.start("store-write", move || writer.run(write_line))?;
                threads.start("store-read", move || run_queries(&reader, read_line))?;
                let (stopped, kept) = (stop.clone(), room.clone());
                (Some(writer), Some(threads.start("store-log", move || run_checkpoints(checkpoint_db, log, stopped, kept))?))
            }
        };
        let owner = Owner { stop, writer, checkpoints, ended: None };
        let files = ContentFiles::new(content, room);
        Ok(Self { writes, reads, files, batches, load: KnownLoad::default(), threads, cluster: None, owner: Arc::new(owner) })
    }

    /// Waits until a thread of the store panics, and returns its name. Nothing can be acknowledged from then on: the process must restart.
    pub async fn died(&self) -> &'static str {
        self.threads.died().await
    }

    /// Moves content files that no row names to `content/orphans`, and removes those that were moved more than 30 days before `now_ms`.
    /// Only the server does this, when it starts.
    ///
    /// # Errors
    /// If the directory or the database cannot be read, or a file cannot be moved.
    pub async fn sweep_orphans(&self, now_ms: i64) -> Result<Swept, StoreError> {
        if self.cluster.is_some() {
            let removed = self.sweep_nodes().await?;
            return Ok(Swept { set_apart: 0, removed });
        }
        self.move_journal().await?;
        let content = self.files.directory.clone();
        self.read(move |db| data_dir::sweep(db, &content, now_ms)).await
    }

    /// Returns a spool for content that arrives in pieces.
    pub fn spool(&self, id: QueueId) -> Spool {
        Spool::new(id, self.files.clone())
    }

    /// Stores complete content. If it is large it is in a file, synced, when this returns.
    ///
    /// # Errors
    /// [`StoreError::Full`] if a file would take room that deliveries of queued mail need.
    pub async fn put(&self, id: QueueId, content: &[u8]) -> Result<Content, StoreError> {
        let mut spool = self.spool(id);
        spool.write(content).await?;
        spool.finish().await
    }

    /// Puts content that is in memory into a file, synced.
    pub(crate) async fn put_in_file(&self, content: Content) -> Result<Content, StoreError> {
        let files = self.files.clone();
        tokio::task::spawn_blocking(move || files.write(&content)).await.map_err(|_| StoreError::Closed)?
    }

    /// Checks that there is room for one more message, so that it can be refused before its content is sent.
    ///
    /// # Errors
    /// [`StoreError::Full`] if there is none.
    pub fn has_room(&self) -> Result<(), StoreError> {
        self.files.room.for_rows(0)
    }

    /// Whether new mail will soon be refused for lack of room on the disk.
    pub fn is_short_of_room(&self) -> bool {
        self.files.room.is_short()
    }

    /// Returns the writer's transactions since the store was opened.
    pub fn batches(&self) -> BatchCounts {
        self.batches.read()
    }

    /// Returns the free and the total octets of the disk; `None` if the system does not say.
    pub fn disk_bytes(&self) -> Option<[u64; 2]> {
        self.files.room.disk_bytes()
    }

    /// The directory of large contents.
    pub(crate) fn content_directory(&self) -> &Path {
        &self.files.directory
    }

    /// Returns a message's content after checking its CRC-32.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it is missing, of another size, or damaged.
    pub async fn content(&self, message: QueueId) -> Result<Content, StoreError> {
        if let Some(cluster) = &self.cluster {
            return cluster.content(self, message).await;
        }
        let read = || {
            let directory = self.files.directory.clone();
            self.read(move |db| tables::load_content(db, &directory, message))
        };
        let content = match read().await {
            // Only mail that was claimed before is in the database for sure.
            Err(StoreError::Corrupt(_)) => {
                self.move_journal().await?;
                read().await?
            }
            other => other?,
        };
        if content.file.is_none() {
            return Ok(content);
        }
        let verified =
            tokio::task::spawn_blocking(move || content.verify_file().map(|()| content)).await.map_err(|_| StoreError::Closed)?;
        verified.map_err(|error| StoreError::of_content_file(message, error))
    }

    /// Removes content that will not be committed.
    pub fn discard(&self, content: &Content) {
        // A copy is removed with the last content that names it.
        if self.cluster.is_none()
            && let Some(file) = &content.file
            && let Err(error) = std::fs::remove_file(&file.path)
        {
            tracing::warn!(id = %content.id, %error, "cannot remove a content file; the next start moves it to content/orphans");
        }
    }

    pub(crate) async fn write(&self, operation: Operation) -> Result<WriteOutcome, StoreError> {
        if let Some(cluster) = &self.cluster {
            for content in contents(&operation).into_iter().filter(|content| content.size_bytes() > ROW_MAX_BYTES as u64) {
                cluster.upload(content.clone()).await?;
            }
        }
        let (answer, result) = oneshot::channel();
        self.writes.send(WriteJob { operation, answer }).await.map_err(|_| StoreError::Closed)?;
        self.owner.wake_writer();
        result.await.map_err(|_| StoreError::Closed)?
    }

    /// Moves what the journal holds to the database. Until the next commit, the database and the content files have the whole queue.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn move_journal(&self) -> Result<(), StoreError> {
        if self.cluster.is_some() {
            return Ok(());
        }
        self.write(Operation::Move { only_settlements: false }).await.map(drop)
    }

    /// Runs a query that shows the queue. If the journal cannot be moved, it shows what the database has.
    pub(crate) async fn read_queue<T: Send + 'static>(
        &self,
        query: impl FnOnce(&dyn Sql) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if let Err(error) = self.move_journal().await {
            tracing::warn!(%error, "mail under way is not shown: the journal cannot be moved to the database");
        }
        self.read(query).await
    }

    pub(crate) async fn count(&self, operation: Operation) -> Result<u64, StoreError> {
        match self.write(operation).await? {
            WriteOutcome::Count(n) => Ok(n),
            _ => Ok(0),
        }
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&dyn Sql) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, result) = oneshot::channel();
        let query: Query = Box::new(move |db| {
            let _ = answer.send(db.and_then(query));
        });
        self.reads.send(query).await.map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }
}
