//! A scripted server, for replies that no well-behaved program sends.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A server that runs a closure for each connection.
#[derive(Debug)]
pub struct Script {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Script {
    /// Listens; `serve` gets each connection in a thread of its own.
    pub fn start(address: impl Into<IpAddr>, port: u16, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let address = address.into();
        let listener = TcpListener::bind((address, port)).unwrap_or_else(|e| panic!("{address}:{port}: {e}"));
        let counts = Arc::new(Counts::default());
        let (count, serve) = (counts.clone(), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.all.fetch_add(1, Ordering::SeqCst);
                let now = count.now.fetch_add(1, Ordering::SeqCst) + 1;
                count.most.fetch_max(now, Ordering::SeqCst);
                let (serve, count) = (serve.clone(), count.clone());
                thread::spawn(move || {
                    // The second handle keeps the connection open until it is no longer counted: a client that waits for
                    // its end before it opens the next is never counted twice.
                    let open = stream.try_clone();
                    serve(stream);
                    count.now.fetch_sub(1, Ordering::SeqCst);
                    drop(open);
                });
            }
        });
        Self { counts }
    }

    /// A scripted SMTP host: the banner is the answer to "", the reply to the content that to ".".
    /// The first argument is the number of the connection, from 0. `None` closes the connection.
    pub fn answering(
        address: impl Into<IpAddr>,
        port: u16,
        answer: impl Fn(usize, &str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let number = AtomicUsize::new(0);
        Self::start(address, port, move |stream| {
            // In many tests the client disconnects.
            let _ = converse(stream, number.fetch_add(1, Ordering::SeqCst), &answer);
        })
    }

    /// Number of connections so far.
    pub fn connections(&self) -> usize {
        self.counts.all.load(Ordering::SeqCst)
    }

    /// Maximum number of simultaneous connections.
    pub fn most_at_once(&self) -> usize {
        self.counts.most.load(Ordering::SeqCst)
    }
}

/// The replies of a host that accepts everything, without extensions.
pub fn obedient(command: &str) -> Option<String> {
    let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
    Some(match verb.as_str() {
        "" => "220 host.test ESMTP\r\n".into(),
        "DATA" => "354 go on\r\n".into(),
        "QUIT" => "221 bye\r\n".into(),
        _ => "250 ok\r\n".into(),
    })
}

/// Answers each command of one connection with the script.
pub fn converse(mut stream: TcpStream, number: usize, answer: &impl Fn(usize, &str) -> Option<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut command = String::new();
    let mut in_content = false;
    loop {
        if !in_content {
            let Some(reply) = answer(number, &command) else { return Ok(()) };
            stream.write_all(reply.as_bytes())?;
            in_content = command == "DATA" && reply.starts_with('3');
            if command == "QUIT" {
                return Ok(());
            }
        }
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        command = String::from_utf8_lossy(&line).trim_end().to_owned();
        in_content &= command != ".";
    }
}
