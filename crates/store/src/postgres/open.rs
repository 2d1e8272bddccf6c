//! Opens a store over PostgreSQL, and what its handle needs besides the lines to its threads.
//!
//! Invariant: the data directory of a node is locked as with SQLite; its copies of large contents do not outlive the process.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mail::QueueId;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::identity::Identity;
use super::outage::Outage;
use super::pieces::{Download, Uploads, piece};
use super::server::Server;
use super::session::Session;
use super::stay::{Stay, WallClock};
use super::steady_clock::SteadyClock;
use super::watch::{Heartbeats, Registration, register};
use super::writer::{Net, PgWriter, open_session};
use super::{schema, watch as watching};
use crate::batches::Batches;
use crate::cluster::{Duty, News};
use crate::content::{Content, ContentFiles};
use crate::data_dir::DataDir;
use crate::error::StoreError;
use crate::handle::{Owner, Query, READ_LINE_MAX, Store};
use crate::line::LINE_MAX;
use crate::message::Lease;
use crate::room::Room;
use crate::simulated_node::SimulatedNode;
use crate::tables;
use crate::threads::Threads;

/// The directory in the data directory for copies of large contents.
const COPIES: &str = "copies";

/// Where the database is, and what this node is called.
#[derive(Clone)]
pub struct PostgresSettings {
    /// The address, as libpq writes it: `postgres://user:password@host1,host2/database?sslmode=verify-full`.
    pub url: String,
    /// The file with the password, if the address has none. Each connection reads it, so that a new password counts without a restart.
    pub password_file: Option<PathBuf>,
    /// The name of this node, which no other one has.
    pub node: String,
    /// Whether a database may be used that acknowledges commits before they are on disk.
    pub accept_loss: bool,
    /// The version of Waypost, for the list of nodes.
    pub version: String,
    /// The time by which mail is dated here, in Unix milliseconds, which must be that of the database within 5 minutes; `None` in
    /// tests whose times are made up.
    pub wall_clock: Option<WallClock>,
}

impl std::fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may have a password.
        f.debug_struct("PostgresSettings").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What the handle of a node needs.
pub(crate) struct Cluster {
    server: Arc<Server>,
    stay: Arc<Stay>,
    news: watch::Receiver<News>,
    uploads: Uploads,
    net: Handle,
    /// The stay that has taken a duty, and until when that is believed, by its clock. In the next stay the duty is another node's to take.
    duties: Mutex<HashMap<Duty, (i64, Duration)>>,
    /// Distinguishes the copies of contents.
    copies: AtomicU64,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("stay", &self.stay).finish_non_exhaustive()
    }
}

impl Cluster {
    pub fn may_deliver(&self, lease: Lease) -> bool {
        self.stay.may_deliver(lease)
    }

    pub fn is_draining(&self) -> bool {
        self.stay.is_draining()
    }

    pub fn drain(&self, is_draining: bool) {
        self.stay.drain(is_draining);
    }

    pub fn serving(&self) -> u32 {
        self.stay.serving()
    }

    pub fn renewed_ago(&self) -> Duration {
        self.stay.renewed_ago()
    }

    pub fn news(&self) -> watch::Receiver<News> {
        self.news.clone()
    }

    pub fn name(&self) -> &str {
        self.stay.name()
    }

    pub fn has_wrong_clock(&self) -> bool {
        self.stay.wrong_clock().is_some()
    }

    /// The stay, and now by its clock, for [`Self::note_duty`].
    pub fn asks(&self) -> (i64, Duration) {
        (self.stay.number(), self.stay.asks())
    }

    /// Whether this stay has taken a duty so lately that the database need not be asked.
    pub fn has_duty(&self, duty: Duty) -> bool {
        let taken = self.duties.lock().unwrap_or_else(PoisonError::into_inner).get(&duty).copied();
        let (stay, now) = self.asks();
        taken.is_some_and(|(of, until)| of == stay && now < until) && self.may_deliver(Lease(Some(self.stay.any_owner())))
    }

    /// When a duty was asked for that this stay may keep for `lease`: half of it is believed.
    pub fn note_duty(&self, duty: Duty, (stay, asked): (i64, Duration), lease: Duration) {
        self.duties.lock().unwrap_or_else(PoisonError::into_inner).insert(duty, (stay, asked + lease / 2));
    }

    /// Writes a large content, before its message is committed.
    pub async fn upload(self: &Arc<Self>, content: Content) -> Result<(), StoreError> {
        let own = self.clone();
        self.net.spawn(async move { own.uploads.write(&own.server, &content).await }).await.map_err(|_| StoreError::Closed)?
    }

    /// Reads a message's content; a large one into a file.
    pub async fn content(&self, store: &Store, message: QueueId) -> Result<Content, StoreError> {
        let mut row = store.read(move |db| tables::content_row(db, message)).await?;
        if let Some(content) = row.in_memory(message)? {
            return Ok(content);
        }
        let (id, distinct) = (row.id, self.copies.fetch_add(1, Ordering::Relaxed));
        let mut download = Download::begin(row, store.content_directory(), distinct).await?;
        for k in 0.. {
            let Some(octets) = store.read(move |db| piece(db, id, k)).await? else { break };
            download.add(Bytes::from(octets)).await?;
        }
        download.finish(message).await
    }
}

impl Store {
    /// Opens a store over PostgreSQL. The data directory has the copies of large contents, and says which node this is.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has the directory open; [`StoreError::Unavailable`] if the database cannot be reached;
    /// [`StoreError::Settings`] if it would lose mail, or another node has the name.
    pub async fn open_postgres(data: &Path, settings: PostgresSettings) -> Result<Self, StoreError> {
        Self::open_node(data, settings, None).await
    }

    /// Opens a store over PostgreSQL as a node of a simulation, which moves its clock and has it send its heartbeats.
    ///
    /// # Errors
    /// As [`Store::open_postgres`]; [`StoreError::Closed`] if the node has a store already.
    pub async fn open_postgres_simulated(data: &Path, settings: PostgresSettings, node: &SimulatedNode) -> Result<Self, StoreError> {
        Self::open_node(data, settings, Some(node)).await
    }

    async fn open_node(data: &Path, settings: PostgresSettings, simulated: Option<&SimulatedNode>) -> Result<Self, StoreError> {
        let heartbeats = match simulated {
            None => Heartbeats::Timed,
            Some(node) => Heartbeats::Stepped(node.heartbeats().ok_or(StoreError::Closed)?),
        };
        let server = Arc::new(Server::parse(&settings.url, None, settings.accept_loss)?.with_password_file(settings.password_file));
        let directory = DataDir::lock(data, COPIES)?;
        remove_copies(&directory.content)?;
        let room = Arc::new(Room::open(data)?);
        let identity = Arc::new(Identity::open(data)?);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("store-net").enable_all().build()?;
        let clock = simulated.map_or_else(SteadyClock::process, SteadyClock::simulated);
        let (net, stay) = (Net(Some(runtime)), Arc::new(Stay::new(&settings.node, clock, settings.wall_clock)));
        let Some(handle) = net.0.as_ref().map(|runtime| runtime.handle().clone()) else { return Err(StoreError::Closed) };
        let own = Registration { identity, version: settings.version, schema: schema::newest() };
        let number = {
            let (server, stay, own) = (server.clone(), stay.clone(), own.clone());
            handle.spawn(async move { join(&server, &stay, &own).await }).await.map_err(|_| StoreError::Closed)??
        };
        QueueId::of_node(number);
        let (news, heard) = watch::channel(News::default());
        handle.spawn(watching::run(server.clone(), stay.clone(), own, (news, heartbeats)));
        let content = Arc::new(directory.content);
        let files = ContentFiles::copies(content, room);
        let cluster = Cluster {
            server: server.clone(),
            stay: stay.clone(),
            news: heard,
            uploads: Uploads::default(),
            net: handle.clone(),
            duties: Mutex::default(),
            copies: AtomicU64::new(0),
        };
        let batches = Arc::new(Batches::default());
        let writer = PgWriter {
            server: server.clone(),
            net,
            stay: stay.clone(),
            session: None,
            batches: batches.clone(),
            refused: None,
            outage: Outage::default(),
            lock: directory.lock,
        };
        let store = start(writer, PgReader { server, net: handle, stay, session: None }, (files, batches, cluster))?;
        QueueId::start_above(store.read(tables::highest_id).await?);
        Ok(store)
    }
}

/// Starts the threads.
fn start(
    writer: PgWriter,
    mut reader: PgReader,
    (files, batches, cluster): (ContentFiles, Arc<Batches>, Cluster),
) -> Result<Store, StoreError> {
    let (writes, write_line) = mpsc::channel(LINE_MAX);
    let (reads, mut read_line) = mpsc::channel::<Query>(READ_LINE_MAX);
    let threads = Threads::default();
    let (ending, ended) = std::sync::mpsc::channel();
    let writing = threads.start("store-write", move || {
        writer.run(write_line);
        drop(ending);
    })?;
    threads.start("store-read", move || {
        while let Some(query) = read_line.blocking_recv() {
            reader.answer(query);
        }
    })?;
    let owner = Arc::new(Owner::of_node(writing, ended));
    Ok(Store { writes, reads, files, batches, load: Default::default(), threads, cluster: Some(Arc::new(cluster)), owner })
}

/// Migrates the schema, and registers this node. Returns its number.
async fn join(server: &Server, stay: &Stay, own: &Registration) -> Result<u8, StoreError> {
    let mut client = server.connect(&format!("waypost {} start", stay.name())).await?.client;
    schema::migrate(&mut client, schema::SERVED_NEWER).await?;
    register(&mut client, own, stay).await
}

/// Removes the copies of contents of an earlier process.
fn remove_copies(content: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(content)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The thread that reads.
struct PgReader {
    server: Arc<Server>,
    net: Handle,
    stay: Arc<Stay>,
    session: Option<Session>,
}

impl PgReader {
    fn answer(&mut self, query: Query) {
        if self.session.as_ref().is_some_and(Session::is_over) {
            self.session = None;
        }
        if self.session.is_none() {
            match open_session(&self.server, &self.net, &self.stay, "reader") {
                Ok(session) => self.session = Some(session),
                Err(error) => return query(Err(error)),
            }
        }
        if let Some(session) = &self.session {
            query(Ok(session));
        }
    }
}
