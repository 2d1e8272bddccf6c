//! The cable between a node and its database. It reads the protocol, so that it can break at a chosen message: before a COMMIT arrives, or after it is done.
//!
//! Invariant: when [`Cable::settled`] returns, the node has noticed the end of every connection that was broken.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// Maximum time for the node to notice that a connection has ended.
const NOTICED_MAX: Duration = Duration::from_secs(20);

/// Room for what is read at once.
const READ_BYTES: usize = 16_384;

/// The name of the socket, as PostgreSQL's clients look for it.
const SOCKET: &str = ".s.PGSQL.5432";

/// What happens to a connection at its next COMMIT or answer, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The database commits, and the answer is lost.
    LosesCommit,
    /// The COMMIT is lost.
    HoldsCommit,
    /// The COMMIT arrives when [`Cable::deliver_late`] says so; for the node the connection has ended.
    Delays,
    /// The next result of a statement is lost; not one of the writer, of whose flight the rest would arrive or not.
    LosesAnswer,
}

/// A cable. Clones are the same cable.
#[derive(Debug, Clone)]
pub struct Cable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    home: TempDir,
    server: std::path::PathBuf,
    fault: Mutex<Option<Fault>>,
    is_cut: AtomicBool,
    is_watch_cut: AtomicBool,
    /// Changes when all connections break, or all of the watch.
    severed: watch::Sender<u64>,
    /// Connections to the server.
    open: AtomicUsize,
    /// Connections whose end the node has not noticed.
    ending: AtomicUsize,
    late: Mutex<Vec<Late>>,
}

/// A COMMIT on its way, and its connection.
#[derive(Debug)]
struct Late {
    server: OwnedWriteHalf,
    answers: OwnedReadHalf,
    /// What had come before.
    answered: Vec<u8>,
    octets: Vec<u8>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cable {
    /// Lays a cable to the server with this socket.
    pub fn to(server: &Path) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("waypost-cable-").tempdir()?;
        let listener = UnixListener::bind(home.path().join(SOCKET))?;
        let cable = Self(Arc::new(Inner {
            home,
            server: server.to_owned(),
            fault: Mutex::new(None),
            is_cut: AtomicBool::new(false),
            is_watch_cut: AtomicBool::new(false),
            severed: watch::Sender::new(0),
            open: AtomicUsize::new(0),
            ending: AtomicUsize::new(0),
            late: Mutex::default(),
        }));
        let inner = Arc::downgrade(&cable.0);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Some(inner) = inner.upgrade() else { return };
                tokio::spawn(async move {
                    // What goes wrong with a connection is for its ends to notice.
                    let _ = carry(&inner, client).await;
                });
            }
        });
        Ok(cable)
    }

    /// The address of a database over this cable.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://waypost@{}/{database}", self.0.home.path().display().to_string().replace('/', "%2F"))
    }

    /// Breaks all connections, and refuses new ones while it is cut.
    pub fn cut(&self, is_cut: bool) {
        self.0.is_cut.store(is_cut, Ordering::SeqCst);
        self.0.is_watch_cut.store(false, Ordering::SeqCst);
        if is_cut {
            self.sever();
        }
    }

    /// The same for the connection that renews the lease only.
    pub fn cut_watch(&self) {
        self.0.is_watch_cut.store(true, Ordering::SeqCst);
        self.sever();
    }

    /// Whether nothing is cut.
    pub fn is_whole(&self) -> bool {
        !self.0.is_cut.load(Ordering::SeqCst) && !self.0.is_watch_cut.load(Ordering::SeqCst)
    }

    /// Breaks all connections.
    pub fn sever(&self) {
        self.0.severed.send_modify(|n| *n += 1);
    }

    /// Sets what happens next; `None` if nothing does.
    pub fn arm(&self, fault: Option<Fault>) {
        *locked(&self.0.fault) = fault;
    }

    /// What is set and has not happened.
    pub fn armed(&self) -> Option<Fault> {
        *locked(&self.0.fault)
    }

    /// COMMITs that are on their way.
    pub fn late(&self) -> usize {
        locked(&self.0.late).len()
    }

    /// Lets COMMITs arrive that are on their way.
    pub async fn deliver_late(&self) -> Result<()> {
        let all = std::mem::take(&mut *locked(&self.0.late));
        for mut late in all {
            let mut answers = std::mem::take(&mut late.answered);
            let committed = async {
                late.server.write_all(&late.octets).await?;
                loop {
                    match next_message(&mut answers) {
                        Some(message) if is_command(&message, b'C', "COMMIT") => return Ok(()),
                        Some(_) => {}
                        None if late.answers.read_buf(&mut answers).await? == 0 => bail!("the server has ended the transaction"),
                        None => {}
                    }
                }
            };
            // On a machine that is slow enough the server has ended it after 30 seconds: then it never comes.
            let outcome = tokio::time::timeout(NOTICED_MAX, committed).await.context("a late COMMIT has no answer")?;
            if let Err(error) = outcome {
                eprintln!("a late COMMIT never arrives: {error}");
            }
            self.0.open.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Waits until the node has noticed what has broken. Returns the connections to the server.
    pub async fn settled(&self) -> Result<usize> {
        let noticed = async {
            // The tasks of the connections hear of it first.
            tokio::time::sleep(Duration::from_millis(1)).await;
            while self.0.ending.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(NOTICED_MAX, noticed).await.context("the node does not notice that a connection has ended")?;
        Ok(self.0.open.load(Ordering::SeqCst))
    }
}

/// Takes the next complete message with a type off the front of octets.
fn next_message(octets: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = octets.get(1..5)?;
    let length = length.iter().fold(0_usize, |sum, octet| (sum << 8) | usize::from(*octet));
    (octets.len() > length).then(|| octets.drain(..=length).collect())
}

/// Whether a message has this type and this text, up to its NUL.
fn is_command(message: &[u8], kind: u8, text: &str) -> bool {
    message.first() == Some(&kind) && message.get(5..).and_then(|rest| rest.split(|octet| *octet == 0).next()) == Some(text.as_bytes())
}

/// Whether a request ends a transaction: a COMMIT, alone or behind what is told to other nodes.
fn is_commit(message: &[u8]) -> bool {
    message.first() == Some(&b'Q') && message.ends_with(b"COMMIT\0")
}

/// Takes the message of a startup off the front of octets: it has no type.
fn next_startup(octets: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = octets.get(..4)?.iter().fold(0_usize, |sum, octet| (sum << 8) | usize::from(*octet));
    (octets.len() >= length).then(|| octets.drain(..length).collect())
}

/// How a connection ends.
enum Broken {
    /// By one of its ends, or since it was cut.
    Closed,
    /// Its COMMIT is on its way.
    Late(Vec<u8>),
}

/// Reads the first message of a connection; `None` if there is none.
async fn read_startup(from_client: &mut OwnedReadHalf, octets: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
    loop {
        if let Some(startup) = next_startup(octets) {
            return Ok(Some(startup));
        }
        if from_client.read_buf(octets).await? == 0 {
            return Ok(None);
        }
    }
}

async fn carry(inner: &Inner, client: UnixStream) -> Result<()> {
    let mut severed = inner.severed.subscribe();
    let (mut from_client, mut to_client) = client.into_split();
    let mut octets = Vec::with_capacity(READ_BYTES);
    let Some(startup) = read_startup(&mut from_client, &mut octets).await? else { return Ok(()) };
    let has_role = |role: &[u8]| startup.windows(role.len()).any(|window| window == role);
    let (is_watch, is_writer) = (has_role(b" watch\0"), has_role(b" writer\0"));
    if inner.is_cut.load(Ordering::SeqCst) || (is_watch && inner.is_watch_cut.load(Ordering::SeqCst)) {
        return Ok(());
    }
    let server = UnixStream::connect(&inner.server).await?;
    let (mut from_server, mut to_server) = server.into_split();
    to_server.write_all(&startup).await?;
    inner.open.fetch_add(1, Ordering::SeqCst);
    let mut connection = Connection { inner, is_writer, asked: octets, answered: Vec::with_capacity(READ_BYTES) };
    let broken = loop {
        tokio::select! {
            biased;
            _ = severed.changed() => {
                let spares = !inner.is_cut.load(Ordering::SeqCst) && inner.is_watch_cut.load(Ordering::SeqCst) && !is_watch;
                if !spares {
                    break Broken::Closed;
                }
            }
            read = from_client.read_buf(&mut connection.asked) => {
                if !matches!(read, Ok(1..)) {
                    break Broken::Closed;
                }
                let (forward, broken) = connection.of_client();
                if to_server.write_all(&forward).await.is_err() {
                    break Broken::Closed;
                }
                if let Some(broken) = broken {
                    break broken;
                }
            }
            read = from_server.read_buf(&mut connection.answered) => {
                if !matches!(read, Ok(1..)) {
                    break Broken::Closed;
                }
                let Some(forward) = connection.of_server() else { break Broken::Closed };
                if to_client.write_all(&forward).await.is_err() {
                    break Broken::Closed;
                }
            }
        }
    };
    inner.ending.fetch_add(1, Ordering::SeqCst);
    match broken {
        Broken::Late(octets) => {
            locked(&inner.late).push(Late { server: to_server, answers: from_server, answered: connection.answered, octets })
        }
        Broken::Closed => {
            inner.open.fetch_sub(1, Ordering::SeqCst);
            drop((from_server, to_server));
        }
    }
    // The node closes its end when it has read the end of ours.
    drop(to_client);
    let mut rest = [0; 1024];
    while let Ok(Ok(1..)) = tokio::time::timeout(NOTICED_MAX, from_client.read(&mut rest)).await {}
    inner.ending.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

/// What has arrived of a connection, and was not passed on.
struct Connection<'a> {
    inner: &'a Inner,
    is_writer: bool,
    asked: Vec<u8>,
    answered: Vec<u8>,
}

impl Connection<'_> {
    /// Takes a fault if it is the one that is set.
    fn takes(&self, fault: Fault) -> bool {
        locked(&self.inner.fault).take_if(|armed| *armed == fault).is_some()
    }

    /// Returns what goes to the server, and how the connection ends then.
    fn of_client(&mut self) -> (Vec<u8>, Option<Broken>) {
        let mut forward = Vec::new();
        while let Some(message) = next_message(&mut self.asked) {
            if is_commit(&message) {
                if self.takes(Fault::HoldsCommit) {
                    return (forward, Some(Broken::Closed));
                }
                if self.takes(Fault::Delays) {
                    return (forward, Some(Broken::Late(message)));
                }
            }
            forward.extend(message);
        }
        (forward, None)
    }

    /// Returns what goes to the client; `None` if the answer is lost.
    fn of_server(&mut self) -> Option<Vec<u8>> {
        let mut forward = Vec::new();
        while let Some(message) = next_message(&mut self.answered) {
            let is_result = !self.is_writer && message.first() == Some(&b'C');
            if (is_command(&message, b'C', "COMMIT") && self.takes(Fault::LosesCommit)) || (is_result && self.takes(Fault::LosesAnswer)) {
                return None;
            }
            forward.extend(message);
        }
        Some(forward)
    }
}
