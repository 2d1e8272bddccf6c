//! A host that receives reports over HTTPS.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use net::Issued;

use crate::{POLICY_PORT, Script, Wire, server_config};

/// A received report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The header section of the request, with its first line.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

/// How the host answers a report.
#[derive(Debug, Clone)]
pub enum Takes {
    /// Answers with this status line after HTTP/1.1.
    With(&'static str),
    /// Accepts it, with a response body of this many octets at most.
    Talking(usize),
    /// Reads, and does not answer.
    Silent,
}

/// A host that receives reports.
#[derive(Debug)]
pub struct ReportHost {
    posted: Arc<Mutex<Vec<Posted>>>,
    takes: Arc<Mutex<Takes>>,
    script: Script,
}

impl ReportHost {
    /// Listens on [`POLICY_PORT`], with this certificate.
    pub fn start(address: Ipv4Addr, issued: &Issued, takes: Takes) -> Self {
        let (posted, takes, config) = (Arc::default(), Arc::new(Mutex::new(takes)), server_config(issued));
        let (kept, now): (Arc<Mutex<Vec<Posted>>>, _) = (Arc::clone(&posted), takes.clone());
        let script = Script::start(address, POLICY_PORT, move |tcp| {
            let takes = now.lock().expect("what it does").clone();
            // In some tests the client disconnects.
            let _ = Wire::Plain(tcp).secured(&config).and_then(|wire| serve(wire, &takes, &kept));
        });
        Self { posted, takes, script }
    }

    /// Changes the answer.
    pub fn takes(&self, takes: Takes) {
        *self.takes.lock().expect("what it does") = takes;
    }

    /// The received reports.
    pub fn posted(&self) -> Vec<Posted> {
        self.posted.lock().expect("the reports").clone()
    }

    /// Number of requests so far.
    pub fn connections(&self) -> usize {
        self.script.connections()
    }
}

fn serve(mut wire: Wire, takes: &Takes, posted: &Mutex<Vec<Posted>>) -> io::Result<()> {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    let mut more = |request: &mut Vec<u8>| -> io::Result<bool> {
        let n = wire.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..n]);
        Ok(n > 0)
    };
    let end = loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if !more(&mut request)? {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&request[..end]).into_owned();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").and_then(|n| n.parse().ok()));
    let length: usize = length.unwrap_or(0);
    while request.len() < end + length && more(&mut request)? {}
    posted.lock().expect("the reports").push(Posted { head, body: request[end..].to_vec() });
    match takes {
        Takes::With(status) => wire.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())?,
        Takes::Talking(octets) => {
            wire.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {octets}\r\n\r\n").as_bytes())?;
            for _ in 0..octets / 65_536 {
                wire.write_all(&[b'x'; 65_536])?;
            }
        }
        Takes::Silent => while wire.read(&mut buffer)? > 0 {},
    }
    wire.flush()
}
