//! The client's end of an SMTP connection: plain or TLS, commands out, replies in (RFC 5321 s.4.2).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

/// Maximum of unread reply octets.
const REPLY_BYTES_MAX: usize = 64 * 1024;

/// The name in the certificate of a server under test.
pub const SERVER_NAME: &str = "mx.example.test";

/// A stream of octets: TCP, or TLS over it.
pub trait Octets: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Octets for T {}

/// An open connection, and the last line of the last reply.
pub struct Connection {
    stream: Box<dyn Octets>,
    buffer: Vec<u8>,
    start: usize,
    line: Vec<u8>,
}

impl Connection {
    /// Connects from an address of loopback; without one the kernel chooses.
    pub async fn open(target: SocketAddr, from: Option<Ipv4Addr>) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from.into(), 0))?;
        }
        let stream = socket.connect(target).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Box::new(stream), buffer: Vec::with_capacity(4096), start: 0, line: Vec::new() })
    }

    /// Continues with TLS.
    pub async fn secured(self, tls: &Arc<rustls::ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let stream = TlsConnector::from(tls.clone()).connect(name, self.stream).await?;
        Ok(Self { stream: Box::new(stream), ..self })
    }

    /// Writes octets.
    pub async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets).await?;
        self.stream.flush().await
    }

    /// Reads a reply to its last line; returns its code.
    pub async fn reply(&mut self) -> io::Result<u16> {
        loop {
            let unread = self.buffer.get(self.start..).unwrap_or_default();
            if let Some(end) = memchr::memchr(b'\n', unread) {
                let line = unread.get(..=end).unwrap_or_default();
                let is_last = line.get(3) != Some(&b'-');
                let code = std::str::from_utf8(line.get(..3).unwrap_or_default()).ok().and_then(|code| code.parse().ok());
                if is_last {
                    self.line.clear();
                    self.line.extend_from_slice(line);
                }
                self.start += end + 1;
                match code {
                    Some(code) if is_last => return Ok(code),
                    Some(_) => continue,
                    None => return Err(io::Error::other("not an SMTP reply")),
                }
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            if self.buffer.len() > REPLY_BYTES_MAX {
                return Err(io::Error::other("an SMTP reply without an end"));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The last line of the last reply.
    pub fn last_line(&self) -> String {
        String::from_utf8_lossy(&self.line).trim_end().to_owned()
    }

    /// Sends a command line and reads its reply.
    pub async fn say(&mut self, command: &str) -> io::Result<u16> {
        self.write(format!("{command}\r\n").as_bytes()).await?;
        self.reply().await
    }
}
