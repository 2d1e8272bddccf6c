//! The SMTP client: sessions in parallel that send messages of a source, on one thread.
//!
//! Invariant: a message counts as acknowledged after the server's 250 for its content was read, and not before.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::content::{Message, now_ns};
use crate::wire::Connection;

/// Pause of a session after a refusal or a broken connection.
const PAUSE: Duration = Duration::from_millis(20);

/// Content up to this size goes out in one write with its header section.
const ONE_WRITE_BYTES: usize = 64 * 1024;

/// Sessions that are set up at a time by [`hold`].
const SETUPS_AT_A_TIME: usize = 64;

/// What secures a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Nothing.
    Plain,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// TLS from the first octet (RFC 8314).
    Tls,
}

/// How a message is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Each command waits for the reply to the one before.
    InTurn,
    /// MAIL, RCPT and DATA at once (RFC 2920).
    Pipelined,
    /// BDAT in two chunks (RFC 3030).
    Chunks,
}

/// Where the client connects and how.
#[derive(Clone)]
pub struct Target {
    /// The server.
    pub address: SocketAddr,
    /// Servers, at so many ports from the one of `address` on; sessions take them in turn.
    pub servers: u16,
    /// What secures the connection.
    pub security: Security,
    /// Trusts the server's certificate.
    pub tls: Arc<rustls::ClientConfig>,
    /// Login and password for AUTH PLAIN (RFC 4954).
    pub login: Option<(String, String)>,
    /// Number of client addresses, from 127.1.0.1 on; 0: the kernel chooses.
    pub addresses: u32,
}

impl Target {
    /// The server of a session.
    fn server_of(&self, seat: u32) -> SocketAddr {
        let place = seat.checked_rem(self.servers.into()).and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
        SocketAddr::new(self.address.ip(), self.address.port().saturating_add(place))
    }
}

/// The sessions of a load.
#[derive(Debug, Clone, Copy)]
pub struct Sessions {
    /// Sessions in parallel.
    pub parallel: usize,
    /// Maximum messages in a session; then it ends and another begins.
    pub messages_each: u32,
    /// Maximum wait for a reply.
    pub patience: Duration,
    /// Messages a second over all sessions; `None`: as fast as the server takes them.
    pub pace: Option<f64>,
}

/// Gives messages, and is told what became of them.
pub trait Source: Send + Sync {
    /// Whether sessions should end.
    fn is_over(&self) -> bool;
    /// The next message and how it is handed over; `None` when there is none left.
    fn next(&self) -> Option<(u64, Way)>;
    /// Builds a message.
    fn message(&self, number: u64) -> Message;
    /// The server's 250 for the whole message was read.
    fn acknowledged(&self, number: u64, took: Duration);
    /// The message was refused, or the connection broke: the reply's code, 0 without one, and its last line.
    fn failed(&self, number: Option<u64>, code: u16, line: &str);
}

/// Runs the sessions until the source is over; returns the set-up times of the sessions, in milliseconds.
pub fn run(target: &Target, sessions: Sessions, source: &Arc<dyn Source>) -> Result<Vec<f64>> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut all = JoinSet::new();
        let start = Instant::now();
        let seats = Arc::new(AtomicU32::new(0));
        for _ in 0..sessions.parallel {
            let seat = Session { target: target.clone(), plan: sessions, source: source.clone(), start, seats: seats.clone() };
            all.spawn(seat.until_over());
        }
        let mut setups = Vec::new();
        while let Some(ended) = all.join_next().await {
            setups.extend(ended.context("a session of the client ended badly")?);
        }
        Ok(setups)
    })
}

/// A runtime on the calling thread.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime for the client")
}

struct Session {
    target: Target,
    plan: Sessions,
    source: Arc<dyn Source>,
    start: Instant,
    seats: Arc<AtomicU32>,
}

/// Why a transaction ended early: the reply's code, 0 without one, and its line.
struct Refusal(u16, String);

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self(0, error.to_string())
    }
}

impl From<tokio::time::error::Elapsed> for Refusal {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self(0, "no reply in time".to_owned())
    }
}

impl Session {
    async fn until_over(self) -> Vec<f64> {
        let mut setups = Vec::new();
        let mut given = None;
        while !self.source.is_over() {
            // The message is taken first, so that no session is opened without need.
            if given.is_none() {
                given = self.source.next();
            }
            let Some(first) = given else {
                sleep(Duration::from_millis(1)).await;
                continue;
            };
            if let Some(pace) = self.plan.pace {
                sleep_until(self.start + Duration::from_secs_f64(first.0 as f64 / pace)).await;
            }
            let began = Instant::now();
            match self.opened().await {
                Ok(connection) => {
                    setups.push(began.elapsed().as_secs_f64() * 1e3);
                    given = None;
                    self.messages(connection, first).await;
                }
                Err(Refusal(code, line)) => {
                    self.source.failed(None, code, &line);
                    sleep(PAUSE).await;
                }
            }
        }
        setups
    }

    async fn opened(&self) -> Result<Connection, Refusal> {
        let seat = self.seats.fetch_add(1, Ordering::Relaxed);
        timeout(self.plan.patience, open(&self.target, seat)).await?
    }

    /// Sends messages over one connection, `first` first.
    async fn messages(&self, mut connection: Connection, first: (u64, Way)) {
        let mut wire = Vec::new();
        let mut next = Some(first);
        for _ in 0..self.plan.messages_each {
            let Some((number, way)) = next.take().or_else(|| self.source.next()) else { break };
            if let Some(pace) = self.plan.pace {
                sleep_until(self.start + Duration::from_secs_f64(number as f64 / pace)).await;
            }
            let message = self.source.message(number);
            let began = now_ns();
            let sent = timeout(self.plan.patience, transaction(&mut connection, &message, way, &mut wire)).await;
            match sent.map_err(Refusal::from).flatten() {
                Ok(()) => self.source.acknowledged(number, Duration::from_nanos(now_ns() - began)),
                Err(Refusal(code, line)) => {
                    self.source.failed(Some(number), code, &line);
                    sleep(PAUSE).await;
                    return;
                }
            }
            if self.source.is_over() {
                break;
            }
        }
        let _ = timeout(self.plan.patience, connection.say("QUIT")).await;
    }
}

/// Opens a session, ready for MAIL.
async fn open(target: &Target, seat: u32) -> Result<Connection, Refusal> {
    let from = seat.checked_rem(target.addresses).map(|n| Ipv4Addr::from(0x7f01_0001 + n));
    let mut connection = Connection::open(target.server_of(seat), from).await?;
    if target.security == Security::Tls {
        connection = connection.secured(&target.tls).await?;
    }
    let code = connection.reply().await?;
    expected(2, code, &connection)?;
    hello(&mut connection).await?;
    if target.security == Security::StartTls {
        let code = connection.say("STARTTLS").await?;
        expected(2, code, &connection)?;
        connection = connection.secured(&target.tls).await?;
        hello(&mut connection).await?;
    }
    if let Some((login, password)) = &target.login {
        let secret = base64::engine::general_purpose::STANDARD.encode(format!("\0{login}\0{password}"));
        let code = connection.say(&format!("AUTH PLAIN {secret}")).await?;
        expected(2, code, &connection)?;
    }
    Ok(connection)
}

async fn hello(connection: &mut Connection) -> Result<(), Refusal> {
    let code = connection.say("EHLO bench.origin.test").await?;
    expected(2, code, connection)
}

fn expected(class: u16, code: u16, connection: &Connection) -> Result<(), Refusal> {
    if code / 100 == class { Ok(()) } else { Err(Refusal(code, connection.last_line())) }
}

async fn transaction(connection: &mut Connection, message: &Message, way: Way, wire: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut commands = vec![format!("MAIL FROM:<{}>\r\n", message.from)];
    commands.extend(message.to.iter().map(|to| format!("RCPT TO:<{to}>\r\n")));
    if way == Way::Pipelined {
        connection.write(format!("{}DATA\r\n", commands.concat()).as_bytes()).await?;
        for _ in &commands {
            let code = connection.reply().await?;
            expected(2, code, connection)?;
        }
        let code = connection.reply().await?;
        expected(3, code, connection)?;
    } else {
        for command in &commands {
            connection.write(command.as_bytes()).await?;
            let code = connection.reply().await?;
            expected(2, code, connection)?;
        }
        if way == Way::Chunks {
            return chunks(connection, &message.unstuffed()).await;
        }
        let code = connection.say("DATA").await?;
        expected(3, code, connection)?;
    }
    wire.clear();
    wire.extend_from_slice(&message.head);
    let block = message.block();
    let (with_head, alone) = block.split_at(block.len().min(ONE_WRITE_BYTES));
    wire.extend_from_slice(with_head);
    if alone.is_empty() {
        wire.extend_from_slice(b".\r\n");
        connection.write(wire).await?;
    } else {
        connection.write(wire).await?;
        connection.write(alone).await?;
        connection.write(b".\r\n").await?;
    }
    let code = connection.reply().await?;
    expected(2, code, connection)
}

async fn chunks(connection: &mut Connection, content: &[u8]) -> Result<(), Refusal> {
    let (first, last) = content.split_at(content.len() / 2);
    for (chunk, word) in [(first, ""), (last, " LAST")] {
        connection.write(&[format!("BDAT {}{word}\r\n", chunk.len()).as_bytes(), chunk].concat()).await?;
        let code = connection.reply().await?;
        expected(2, code, connection)?;
    }
    Ok(())
}

/// Sessions that were opened and wait.
pub struct Held {
    runtime: tokio::runtime::Runtime,
    connections: Vec<Connection>,
    /// The last refusal.
    pub refusal: Option<String>,
}

impl Held {
    /// Number of open sessions.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether no session is open.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Number of sessions that still answer.
    pub fn alive(&mut self) -> usize {
        let connections = &mut self.connections;
        self.runtime.block_on(async {
            let mut alive = 0;
            for connection in connections {
                alive += usize::from(matches!(timeout(Duration::from_secs(5), connection.say("NOOP")).await, Ok(Ok(250))));
            }
            alive
        })
    }
}

/// Opens sessions and keeps them; gives up after 200 refusals.
pub fn hold(target: &Target, count: usize) -> Result<Held> {
    let runtime = runtime()?;
    let (mut connections, mut refusal, mut refused) = (Vec::with_capacity(count), None, 0);
    runtime.block_on(async {
        let mut setups = JoinSet::new();
        let mut seat = 0;
        while connections.len() + refused < count && refused < 200 {
            while setups.len() < SETUPS_AT_A_TIME && connections.len() + refused + setups.len() < count {
                let target = target.clone();
                seat += 1;
                setups.spawn(async move { timeout(Duration::from_secs(8), open(&target, seat)).await.map_err(Refusal::from).flatten() });
            }
            match setups.join_next().await {
                Some(Ok(Ok(connection))) => connections.push(connection),
                Some(Ok(Err(Refusal(_, line)))) => {
                    refused += 1;
                    refusal = Some(line);
                }
                _ => refused += 1,
            }
        }
    });
    Ok(Held { runtime, connections, refusal })
}
