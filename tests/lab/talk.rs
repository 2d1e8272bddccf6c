//! A client that says exactly what it is told, and a server that does: for what no well-behaved program would say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

/// A plaintext connection to a server.
#[derive(Debug)]
pub struct Talk {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Talk {
    /// Connects, and reads nothing yet.
    pub fn connect(address: Ipv4Addr, port: u16) -> Self {
        let stream = TcpStream::connect((address, port)).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        let reader = BufReader::new(stream.try_clone().expect("a second handle"));
        Self { stream, reader }
    }

    /// Connects, reads the banner and says EHLO.
    pub fn greeted(address: Ipv4Addr, port: u16) -> Self {
        let mut talk = Self::connect(address, port);
        assert!(talk.reply().starts_with("220 "), "a banner");
        assert!(talk.say("EHLO client.foreign.test").starts_with("250"), "EHLO");
        talk
    }

    /// Sends octets as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        // The server may have closed already; what it said is read next.
        let _ = self.stream.write_all(bytes);
    }

    /// Reads one reply, all its lines; empty at the end of the connection.
    pub fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            match self.reader.read_line(&mut line) {
                Ok(0) => return reply,
                Ok(_) => reply.push_str(&line),
                Err(e) if matches!(e.kind(), std::io::ErrorKind::ConnectionReset) => return reply,
                Err(e) => panic!("no reply: {e}; so far {reply:?}"),
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return reply;
            }
        }
    }

    /// Sends a line and reads the reply.
    pub fn say(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// Sends a line; the reply must begin so.
    pub fn expect(&mut self, line: &str, want: &str) -> String {
        let reply = self.say(line);
        assert!(reply.starts_with(want), "{line}: wanted {want}, heard {reply}");
        reply
    }

    /// A whole message: MAIL, RCPT, DATA, content. Returns the last reply.
    pub fn message(&mut self, from: &str, to: &str, content: &str) -> String {
        for command in [format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>"), "DATA".to_owned()] {
            let reply = self.say(&command);
            if !reply.starts_with('2') && !reply.starts_with('3') {
                return reply;
            }
        }
        self.send(content.as_bytes());
        self.say(".")
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = [0; 64];
        match self.reader.read(&mut rest) {
            Ok(n) => n == 0,
            Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// Closes with a reset instead of an orderly end.
    pub fn reset(self) {
        let linger = linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.stream, sockopt::Linger, &linger).expect("SO_LINGER");
    }
}

/// A server that does what a closure says with each connection.
#[derive(Debug)]
pub struct Script {
    connections: Arc<AtomicUsize>,
}

impl Script {
    /// Listens; `serve` gets each connection in a thread of its own.
    pub fn start(address: Ipv4Addr, port: u16, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((address, port)).unwrap_or_else(|e| panic!("{address}:{port}: {e}"));
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, serve) = (connections.clone(), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let serve = serve.clone();
                thread::spawn(move || serve(stream));
            }
        });
        Self { connections }
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
