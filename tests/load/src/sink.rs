//! The next hop: an SMTP server that records what arrives, and can be slow, refuse, and hang up. It runs on a thread of its own.
//!
//! Invariant: an arrival is recorded before it is answered, and with whether it was answered.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use memchr::memmem;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::content::{END, Mark, hex, now_ns, unstuffed};
use crate::ledger::{Arrival, Arrivals};
use crate::wire::Octets;

const READ_BYTES: usize = 128 * 1024;
const HEADER_BYTES_MAX: usize = 16 * 1024;
const COMMAND_BYTES_MAX: usize = 8 * 1024;

/// How the sink treats its clients. Probabilities are in percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// 451 to each MAIL.
    pub refuses: bool,
    /// 451 to a RCPT.
    pub puts_off_percent: u64,
    /// 550 after the dot.
    pub rejects_percent: u64,
    /// 451 after the dot.
    pub puts_off_content_percent: u64,
    /// Hangs up after the dot, the message recorded.
    pub hangs_up_percent: u64,
    /// Hangs up in the middle of content.
    pub cuts_percent: u64,
    /// Waits before the answer to the dot.
    pub delay_ms: u64,
}

impl Behaviour {
    /// Some of each fault.
    pub const MIXED: Self = Self {
        refuses: false,
        puts_off_percent: 4,
        rejects_percent: 0,
        puts_off_content_percent: 4,
        hangs_up_percent: 3,
        cuts_percent: 3,
        delay_ms: 2,
    };
    /// 451 to everything.
    pub const REFUSING: Self = Self {
        refuses: true,
        puts_off_percent: 0,
        rejects_percent: 0,
        puts_off_content_percent: 0,
        hangs_up_percent: 0,
        cuts_percent: 0,
        delay_ms: 0,
    };
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    arrivals: Mutex<Arrivals>,
    dice: Mutex<u64>,
    /// Whole content is kept until its end, and its digest compared.
    proves: bool,
    tls: Option<TlsAcceptor>,
    refused: AtomicU64,
    open: AtomicU64,
    most_open: AtomicU64,
}

/// A running sink; it ends when dropped.
pub struct Sink {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Sink {
    /// Listens. With `proves` it compares the digest of each message.
    pub fn start(address: Ipv4Addr, port: u16, proves: bool) -> Result<Self> {
        Self::listening(address, port, proves, None)
    }

    /// The same with STARTTLS and AUTH: a server that does nothing but take mail.
    pub fn with_tls(address: Ipv4Addr, port: u16, certificate: &Path, key: &Path) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
        Self::listening(address, port, false, Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn listening(address: Ipv4Addr, port: u16, proves: bool, tls: Option<TlsAcceptor>) -> Result<Self> {
        let shared = Arc::new(Shared {
            behaviour: Mutex::default(),
            arrivals: Mutex::default(),
            dice: Mutex::new(0x5eed_0f50_1234_5677),
            proves,
            tls,
            refused: AtomicU64::new(0),
            open: AtomicU64::new(0),
            most_open: AtomicU64::new(0),
        });
        let runtime = crate::client::runtime()?;
        let address = SocketAddr::new(address.into(), port);
        let listener = runtime.block_on(async { listen(address) }).with_context(|| format!("the sink cannot listen on {address}"))?;
        let (stop, stopped) = oneshot::channel();
        let serving = shared.clone();
        let thread = thread::Builder::new().name("sink".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(&listener, &serving) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Changes its behaviour from the next decision on.
    pub fn behave(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
    }

    /// Forgets what has arrived, and counts arrivals of this run from now on.
    pub fn begin(&self, run: u64) {
        *lock(&self.shared.arrivals) = Arrivals::of(run);
        self.shared.refused.store(0, Ordering::Relaxed);
        self.shared.most_open.store(0, Ordering::Relaxed);
    }

    /// Number of messages of this run that have arrived, each transaction counted.
    pub fn count(&self) -> usize {
        lock(&self.shared.arrivals).list.len()
    }

    /// When the last one arrived.
    pub fn last_ns(&self) -> u64 {
        lock(&self.shared.arrivals).list.last().map_or(0, |arrival| arrival.at_ns)
    }

    /// What has arrived.
    pub fn arrivals(&self) -> Arrivals {
        lock(&self.shared.arrivals).clone()
    }

    /// Number of transactions that it refused.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Maximum of connections at a time.
    pub fn most_open(&self) -> u64 {
        self.shared.most_open.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let open = shared.open.fetch_add(1, Ordering::Relaxed) + 1;
            shared.most_open.fetch_max(open, Ordering::Relaxed);
            let _ = serve(stream, &shared).await;
            shared.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

impl Shared {
    /// Whether something of this probability happens.
    fn happens(&self, percent: u64) -> bool {
        if percent == 0 {
            return false;
        }
        let mut state = lock(&self.dice);
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state % 100 < percent
    }

    fn behaviour(&self) -> Behaviour {
        *lock(&self.behaviour)
    }
}

/// What follows the commands of a read.
enum Next {
    Commands,
    Content,
    StartTls,
    Quit,
}

async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream: Box<dyn Octets> = Box::new(stream);
    let mut secure = false;
    stream.write_all(b"220 sink.test ESMTP\r\n").await?;
    let mut buffer: Vec<u8> = Vec::with_capacity(READ_BYTES);
    let mut to: Vec<String> = Vec::new();
    loop {
        let has_command = memchr::memchr(b'\n', &buffer).is_some();
        if !has_command && stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let mut replies = String::new();
        let (mut next, mut used) = (Next::Commands, 0);
        while let Some(end) = memchr::memchr(b'\n', buffer.get(used..).unwrap_or_default()) {
            let line = String::from_utf8_lossy(buffer.get(used..used + end).unwrap_or_default()).trim_end().to_owned();
            used += end + 1;
            next = command(&line, secure, shared, &mut to, &mut replies);
            if !matches!(next, Next::Commands) {
                break;
            }
        }
        buffer.drain(..used);
        if buffer.len() > COMMAND_BYTES_MAX && matches!(next, Next::Commands) {
            return Ok(());
        }
        stream.write_all(replies.as_bytes()).await?;
        stream.flush().await?;
        match (next, &shared.tls) {
            (Next::Commands, _) => {}
            (Next::Quit, _) => return Ok(()),
            (Next::StartTls, Some(tls)) => {
                buffer.clear();
                stream = Box::new(tls.accept(stream).await?);
                secure = true;
            }
            (Next::StartTls, None) => return Ok(()),
            (Next::Content, _) => {
                if !content(&mut stream, &mut buffer, std::mem::take(&mut to), shared).await? {
                    return Ok(());
                }
            }
        }
    }
}

fn command(line: &str, secure: bool, shared: &Shared, to: &mut Vec<String>, replies: &mut String) -> Next {
    let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
    let reply = match verb.as_str() {
        "EHLO" => match (&shared.tls, secure) {
            (Some(_), false) => "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-STARTTLS\r\n250 SIZE 104857600",
            (Some(_), true) => "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-AUTH PLAIN\r\n250 SIZE 104857600",
            (None, _) => "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 104857600",
        },
        "MAIL" if shared.behaviour().refuses => {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            "451 4.3.0 try again later"
        }
        "MAIL" => {
            to.clear();
            "250 2.1.0 ok"
        }
        "RCPT" if shared.behaviour().refuses || shared.happens(shared.behaviour().puts_off_percent) => "451 4.3.0 try again later",
        "RCPT" => {
            to.push(line.split(['<', '>']).nth(1).unwrap_or_default().to_owned());
            "250 2.1.5 ok"
        }
        "DATA" if to.is_empty() => "503 5.5.1 no recipient",
        "DATA" => {
            replies.push_str("354 go\r\n");
            return Next::Content;
        }
        "STAR" if shared.tls.is_some() => {
            replies.push_str("220 go\r\n");
            return Next::StartTls;
        }
        "AUTH" => "235 2.7.0 ok",
        "QUIT" => {
            replies.push_str("221 bye\r\n");
            return Next::Quit;
        }
        _ => "250 2.0.0 ok",
    };
    replies.push_str(reply);
    replies.push_str("\r\n");
    Next::Commands
}

/// Reads content to its end and answers; `false` when the sink hangs up.
async fn content(stream: &mut Box<dyn Octets>, buffer: &mut Vec<u8>, to: Vec<String>, shared: &Shared) -> io::Result<bool> {
    // Reading begins at the start of a line, so an end of content may follow at once.
    let mut kept: Vec<u8> = b"\r\n".to_vec();
    let cuts = shared.happens(shared.behaviour().cuts_percent);
    loop {
        let from = kept.len().saturating_sub(END.len() - 1);
        kept.append(buffer);
        if let Some(at) = memmem::find(kept.get(from..).unwrap_or_default(), END) {
            let end = from + at + END.len();
            buffer.extend_from_slice(kept.get(end..).unwrap_or_default());
            kept.truncate(end - 3);
            break;
        }
        if cuts && kept.len() > 300 {
            return Ok(false);
        }
        if !shared.proves && kept.len() > HEADER_BYTES_MAX {
            // Only the header section and the seam to what follows are needed.
            kept.drain(HEADER_BYTES_MAX - END.len()..kept.len() - (END.len() - 1));
        }
        buffer.reserve(READ_BYTES);
        if stream.read_buf(buffer).await? == 0 {
            return Ok(false);
        }
    }
    let mut arrival = judged(kept.get(2..).unwrap_or_default(), to, shared.proves);
    let behaviour = shared.behaviour();
    let hangs_up = shared.happens(behaviour.hangs_up_percent);
    let refusal = if shared.happens(behaviour.rejects_percent) {
        Some("550 5.7.1 rejected\r\n")
    } else if shared.happens(behaviour.puts_off_content_percent) {
        Some("451 4.3.0 try again later\r\n")
    } else {
        None
    };
    if let Some(refusal) = refusal {
        if refusal.starts_with('5') {
            arrival.rejected = true;
            lock(&shared.arrivals).record(arrival);
        }
        stream.write_all(refusal.as_bytes()).await?;
        stream.flush().await?;
        return Ok(true);
    }
    arrival.answered = !hangs_up;
    lock(&shared.arrivals).record(arrival);
    if behaviour.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(behaviour.delay_ms)).await;
    }
    if hangs_up {
        return Ok(false);
    }
    stream.write_all(b"250 2.0.0 taken\r\n").await?;
    stream.flush().await?;
    Ok(true)
}

/// What the content says about itself.
fn judged(content: &[u8], to: Vec<String>, proves: bool) -> Arrival {
    let split = memmem::find(content, b"\r\n\r\n").unwrap_or(content.len());
    let mark = Mark::find(content.get(..split + 2).unwrap_or(content));
    let body = content.get(split + 4..).unwrap_or_default();
    let whole = !proves || mark.as_ref().is_some_and(|mark| hex(&unstuffed(body)) == mark.digest);
    Arrival { mark, to, at_ns: now_ns(), whole, answered: true, rejected: false }
}
