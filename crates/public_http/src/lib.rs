//! The public face over HTTP and HTTPS: validations of names, a redirection, and pages that clients look for.
//!
//! RFC 9112, RFC 9110. Invariant: this crate knows no store and no mail; whoever asks costs a bounded amount of memory and time.

mod answer;
mod autoconfig;
mod autodiscover;
mod connection;
mod listen;
pub mod pages;
pub mod profile;
mod servers;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use net::ServerTls;
use net::acme::Challenges;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use answer::Face;
use connection::Host;
use listen::bind;
pub use servers::{Servers, Tls};

/// Connections at a time, over both.
const CONNECTIONS_MAX: usize = 512;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The addresses; none turns it off.
    pub list: Vec<SocketAddr>,
    /// Whether one that cannot be used is a failure; else a web server may have the port, and a warning is enough.
    pub must: bool,
}

/// What the face needs.
#[derive(Debug)]
pub struct Parts {
    /// For HTTP.
    pub http: Addresses,
    /// For HTTPS.
    pub https: Addresses,
    /// The certificates; without them there is no HTTPS.
    pub tls: Option<ServerTls>,
    /// What an authority is shown.
    pub challenges: Challenges,
    /// What is shown for each host and path.
    pub pages: pages::Pages,
}

/// The running face; it ends when this is dropped.
#[derive(Debug)]
pub struct Web {
    tasks: Vec<JoinHandle<()>>,
    /// Where it listens: HTTP and HTTPS.
    pub listening: [Vec<SocketAddr>; 2],
}

impl Web {
    /// Begins to listen.
    pub fn start(parts: Parts) -> io::Result<Self> {
        let http = bind("http", &parts.http)?;
        let https = if parts.tls.is_some() { bind("https", &parts.https)? } else { Vec::new() };
        let listening = [&http, &https].map(|list| list.iter().filter_map(|l| l.local_addr().ok()).collect::<Vec<_>>());
        let https_port = listening.get(1).and_then(|list| list.first()).map(SocketAddr::port);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let pages = Arc::new(parts.pages);
        let plain = Arc::new(Host {
            tls: None,
            face: Face { challenges: parts.challenges.clone(), https_port, pages: pages.clone(), is_secure: false },
        });
        let mut tasks: Vec<_> = http.into_iter().map(|l| tokio::spawn(listen::serve(l, plain.clone(), places.clone()))).collect();
        let secure = Arc::new(Host { tls: parts.tls, face: Face { challenges: parts.challenges, https_port, pages, is_secure: true } });
        tasks.extend(https.into_iter().map(|l| tokio::spawn(listen::serve(l, secure.clone(), places.clone()))));
        Ok(Self { tasks, listening })
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
