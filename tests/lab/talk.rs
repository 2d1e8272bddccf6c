//! A scripted client, for input that no well-behaved program sends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::Socket;

/// The domain of the mailbox behind the alias in nearly every lab. No reply may name it unless the client did.
const TARGET: &str = "inbox.test";

/// A connection to a server.
#[derive(Debug)]
pub struct Talk {
    tcp: TcpStream,
    tls: Option<Box<StreamOwned<ClientConnection, TcpStream>>>,
    input: Vec<u8>,
    received: Vec<u8>,
    /// Whether this client has named the target itself.
    knows_target: bool,
}

impl Talk {
    /// Connects, and reads nothing yet.
    pub fn connect(address: Ipv4Addr, port: u16) -> Self {
        Self::over(TcpStream::connect((address, port)).expect("the server listens"))
    }

    /// Connects from another loopback address.
    pub fn connect_from(source: Ipv4Addr, address: Ipv4Addr, port: u16) -> Self {
        let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address of loopback");
        socket.connect(&SocketAddr::from((address, port)).into()).expect("the server listens");
        Self::over(socket.into())
    }

    fn over(tcp: TcpStream) -> Self {
        // Longer than a server that waits for DNS takes to answer, on a busy machine too.
        tcp.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        tcp.set_nodelay(true).expect("no delay");
        Self { tcp, tls: None, input: Vec::new(), received: Vec::new(), knows_target: false }
    }

    /// Connects, reads the banner and sends EHLO.
    pub fn greeted(address: Ipv4Addr, port: u16) -> Self {
        let mut talk = Self::connect(address, port);
        let banner = talk.reply();
        assert!(banner.starts_with("220 "), "no banner: {banner}");
        talk.expect("EHLO client.foreign.test", "250");
        talk
    }

    /// Sends STARTTLS and does the handshake. Only a certificate in this PEM file is trusted.
    pub fn start_tls(&mut self, authority: &Path) {
        self.expect("STARTTLS", "220 2.0.0");
        self.handshake(authority).expect("a handshake");
    }

    /// Does a TLS handshake at once. Only a certificate in this PEM file is trusted.
    pub fn handshake(&mut self, authority: &Path) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(authority).expect("a certificate") {
            roots.add(certificate.expect("a certificate")).expect("a certificate");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        let name = "mx.example.test".try_into().expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).map_err(|e| e.to_string())?;
        let mut stream = StreamOwned::new(connection, self.tcp.try_clone().expect("a second handle"));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|e| e.to_string())?;
        }
        self.tls = Some(Box::new(stream));
        Ok(())
    }

    /// Sends octets as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.knows_target |= bytes.windows(TARGET.len()).any(|window| window.eq_ignore_ascii_case(TARGET.as_bytes()));
        // The server may have closed the connection; its last reply is read next.
        let _ = match &mut self.tls {
            Some(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
            None => self.tcp.write_all(bytes),
        };
    }

    /// Reads once; false at the end of the connection.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        let read = match &mut self.tls {
            Some(tls) => tls.read(&mut bytes),
            None => self.tcp.read(&mut bytes),
        };
        match read {
            Ok(n) => {
                self.input.extend_from_slice(&bytes[..n]);
                self.received.extend_from_slice(&bytes[..n]);
                n > 0
            }
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe) => false,
            Err(e) => panic!("no reply: {e}; so far {:?}", String::from_utf8_lossy(&self.input)),
        }
    }

    /// Reads this many octets, or fewer at the end of the connection, as text.
    pub fn octets(&mut self, count: usize) -> String {
        while self.input.len() < count && self.read() {}
        let count = count.min(self.input.len());
        String::from_utf8_lossy(&self.input.drain(..count).collect::<Vec<_>>()).into_owned()
    }

    /// Reads one line with its end; empty at the end of the connection.
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.input.iter().position(|b| *b == b'\n') {
                return String::from_utf8_lossy(&self.input.drain(..=end).collect::<Vec<_>>()).into_owned();
            }
            if !self.read() {
                return String::from_utf8_lossy(&std::mem::take(&mut self.input)).into_owned();
            }
        }
    }

    /// Reads one reply, all its lines; empty at the end of the connection.
    pub fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line = self.line();
            reply.push_str(&line);
            if line.is_empty() || line.as_bytes().get(3) == Some(&b' ') {
                // In every test: what lies behind an alias is not the sender's to know.
                assert!(self.knows_target || !reply.to_lowercase().contains(TARGET), "the target leaks: {reply}");
                return reply;
            }
        }
    }

    /// Sends a line and reads the reply.
    pub fn say(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// Sends a line; the reply must begin with `want`.
    pub fn expect(&mut self, line: &str, want: &str) -> String {
        let reply = self.say(line);
        assert!(reply.starts_with(want), "{:.200}: wanted {want}, got {reply}", line);
        reply
    }

    /// Sends octets; the reply must begin with `want`.
    pub fn expect_raw(&mut self, bytes: &[u8], want: &str) -> String {
        self.send(bytes);
        let reply = self.reply();
        assert!(reply.starts_with(want), "{:.200}: wanted {want}, got {reply}", String::from_utf8_lossy(bytes));
        reply
    }

    /// Begins a transaction, up to the reply to DATA.
    pub fn begin(&mut self, from: &str, to: &str) {
        self.expect(&format!("MAIL FROM:<{from}>"), "250");
        self.expect(&format!("RCPT TO:<{to}>"), "250");
        self.expect("DATA", "354");
    }

    /// Sends a whole message: MAIL, RCPT, DATA, content. Returns the last reply.
    pub fn message(&mut self, from: &str, to: &str, content: &str) -> String {
        for command in [format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>"), "DATA".to_owned()] {
            let reply = self.say(&command);
            if !reply.starts_with('2') && !reply.starts_with('3') {
                return reply;
            }
        }
        // Mail without a From field is refused, which few tests want.
        if !content.contains("From:") {
            self.send(format!("From: <{}>\r\n", if from.is_empty() { "mailer-daemon@foreign.test" } else { from }).as_bytes());
        }
        self.send(content.as_bytes());
        self.say(".")
    }

    /// Sends a message that must be accepted.
    pub fn taken(&mut self, from: &str, to: &str, content: &str) {
        let reply = self.message(from, to, content);
        assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
    }

    /// Everything that the server sent.
    pub fn received(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        self.input.is_empty() && !self.read()
    }

    /// Closes with a reset instead of an orderly end.
    pub fn reset(self) {
        let linger = linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.tcp, sockopt::Linger, &linger).expect("SO_LINGER");
    }
}
