//! A simple SMTP client for tests of servers: one line, one reply.
//!
//! RFC 5321 s.4.2. Invariant: every wait and every reply is limited.

use std::net::SocketAddr;
use std::time::Duration;

use mail::Domain;
use net::{NO_CLIENT, TlsProbe, TlsProbeError, TlsVersion, TrustedProxies};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// The EHLO name of tests of other servers.
pub const TRIAL: &str = "trial.invalid";

/// Maximum time for a connection, a handshake, and a reply.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Maximum length of a reply, in octets.
const REPLY_MAX_BYTES: usize = 64 * 1024;

/// A plain or a TLS connection.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A connection to a server.
pub struct Conversation {
    wire: Box<dyn Wire>,
    read: Vec<u8>,
}

/// A reply: its code, and its lines without the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpReply {
    /// The code.
    pub code: u16,
    /// The lines.
    pub lines: Vec<String>,
}

impl SmtpReply {
    /// Returns the reply as one line.
    pub fn text(&self) -> String {
        let text = mail::one_line_at_most(&self.lines.join(" / "), 300);
        format!("{} {text}", self.code)
    }

    /// Returns the parameters of an EHLO keyword, if it is offered.
    pub fn offers(&self, name: &str) -> Option<Vec<String>> {
        let mut lines = self.lines.iter().map(|line| line.split_whitespace().map(str::to_ascii_uppercase).collect::<Vec<_>>());
        lines.find(|words| words.first().is_some_and(|word| word == name))
    }
}

/// Opens a TCP connection.
pub async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    match tokio::time::timeout(TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => Ok(tcp),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
    }
}

/// Opens a TCP connection to this server. From the address of a proxy, it begins with a header that names no client, as the server requires.
pub async fn connect_to_own(address: SocketAddr, proxies: &TrustedProxies) -> Result<TcpStream, String> {
    let mut tcp = connect(address).await?;
    if tcp.local_addr().is_ok_and(|own| proxies.contains(own.ip())) {
        tcp.write_all(NO_CLIENT).await.map_err(|e| format!("the connection broke: {e}"))?;
    }
    Ok(tcp)
}

/// Opens a conversation with implicit TLS.
pub async fn secured(trial: &TlsProbe, version: TlsVersion, host: &Domain, tcp: TcpStream) -> Result<(Conversation, bool), TlsProbeError> {
    match tokio::time::timeout(TIMEOUT, trial.connect(version, host, tcp)).await {
        Ok(done) => done.map(|(tls, asked)| (Conversation { wire: Box::new(tls), read: Vec::new() }, asked)),
        Err(_) => Err(TlsProbeError::Other(format!("the handshake took longer than {} s", TIMEOUT.as_secs()))),
    }
}

/// Sends EHLO with this name, and STARTTLS, over a plain connection. Returns both replies.
pub async fn up_to_start_tls(tcp: &mut TcpStream, hello: &str) -> Result<(SmtpReply, SmtpReply), String> {
    let mut read = Vec::new();
    let banner = reply(tcp, &mut read).await?;
    if banner.code != 220 {
        return Err(format!("the greeting was {}", banner.text()));
    }
    let offered = say(tcp, &mut read, &format!("EHLO {hello}")).await?;
    let answer = say(tcp, &mut read, "STARTTLS").await?;
    Ok((offered, answer))
}

impl Conversation {
    /// Uses a plain connection.
    pub fn plain(tcp: TcpStream) -> Self {
        Self { wire: Box::new(tcp), read: Vec::new() }
    }

    /// Uses any connection.
    pub fn over(wire: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { wire: Box::new(wire), read: Vec::new() }
    }

    /// Reads a reply.
    pub async fn reply(&mut self) -> Result<SmtpReply, String> {
        reply(&mut self.wire, &mut self.read).await
    }

    /// Sends a line and reads the reply.
    pub async fn say(&mut self, line: &str) -> Result<SmtpReply, String> {
        say(&mut self.wire, &mut self.read, line).await
    }
}

async fn say<W: Wire + ?Sized>(wire: &mut W, read: &mut Vec<u8>, line: &str) -> Result<SmtpReply, String> {
    let line = format!("{line}\r\n");
    let said = async {
        wire.write_all(line.as_bytes()).await?;
        wire.flush().await
    };
    said.await.map_err(|e: std::io::Error| format!("the connection broke: {e}"))?;
    reply(wire, read).await
}

async fn reply<W: Wire + ?Sized>(wire: &mut W, read: &mut Vec<u8>) -> Result<SmtpReply, String> {
    let mut lines = Vec::new();
    loop {
        let line = match tokio::time::timeout(TIMEOUT, line(wire, read)).await {
            Ok(line) => line?,
            Err(_) => return Err(format!("no reply within {} s", TIMEOUT.as_secs())),
        };
        let (code, rest) = line.split_at_checked(3).unwrap_or_default();
        let code = code.parse().map_err(|_| format!("invalid reply: {line:.80}"))?;
        lines.push(rest.get(1..).unwrap_or_default().to_owned());
        if !rest.starts_with('-') {
            return Ok(SmtpReply { code, lines });
        }
        if lines.len() > 200 {
            return Err("the reply is too long".into());
        }
    }
}

async fn line<W: Wire + ?Sized>(wire: &mut W, read: &mut Vec<u8>) -> Result<String, String> {
    loop {
        if let Some(end) = read.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = read.drain(..=end).collect();
            return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if read.len() > REPLY_MAX_BYTES {
            return Err("the reply is too long".into());
        }
        let n = wire.read_buf(read).await.map_err(|e| format!("the connection broke: {e}"))?;
        if n == 0 {
            return Err("the server closed the connection".into());
        }
    }
}
