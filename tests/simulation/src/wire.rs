//! Lines and octets of SMTP over a simulated connection, for both kinds of far end. None of it is our server's code.

use std::io;

use net::SimulatedTcp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One end of a connection.
pub struct Wire {
    tcp: SimulatedTcp,
    arrived: Vec<u8>,
}

impl Wire {
    /// Talks over this connection.
    pub fn new(tcp: SimulatedTcp) -> Self {
        Self { tcp, arrived: Vec::new() }
    }

    async fn more(&mut self) -> io::Result<()> {
        let mut piece = [0; 8192];
        let n = self.tcp.stream.read(&mut piece).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.arrived.extend_from_slice(&piece[..n]);
        Ok(())
    }

    /// The next line, without its end.
    pub async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.arrived.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.arrived.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.more().await?;
        }
    }

    /// The next octets.
    pub async fn octets(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.arrived.len() < count {
            self.more().await?;
        }
        Ok(self.arrived.drain(..count).collect())
    }

    /// Content up to the final dot, without the dots that were added.
    pub async fn content(&mut self) -> io::Result<String> {
        let mut content = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                return Ok(content);
            }
            content.push_str(line.strip_prefix('.').unwrap_or(&line));
            content.push_str("\r\n");
        }
    }

    /// A reply: its code, and its last line.
    pub async fn reply(&mut self) -> io::Result<(u16, String)> {
        loop {
            let line = self.line().await?;
            let code = line.get(..3).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok((code, line));
            }
        }
    }

    /// Sends text.
    pub async fn send(&mut self, text: &str) -> io::Result<()> {
        self.tcp.stream.write_all(text.as_bytes()).await
    }

    /// Reads until the other end closes.
    pub async fn ignore(&mut self) {
        while self.more().await.is_ok() {
            self.arrived.clear();
        }
    }
}
