//! The public HTTP and HTTPS server: validation of names, redirection to HTTPS, and the pages that mail clients and servers fetch.
//!
//! RFC 9112, RFC 9110. Invariant: this crate knows neither store nor messages; a client costs a bounded amount of memory and time.

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

use answer::Responder;
use connection::Listener;
use listen::bind;
pub use servers::{Servers, Tls};

/// Maximum concurrent connections, HTTP and HTTPS together.
const CONNECTIONS_MAX: usize = 512;

/// The addresses to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The addresses; an empty list disables the service.
    pub list: Vec<SocketAddr>,
    /// Whether an address that is in use is an error. Otherwise it is a warning: a web server may have the port.
    pub must: bool,
}

/// What the server is built from.
#[derive(Debug)]
pub struct Parts {
    /// The addresses of HTTP.
    pub http: Addresses,
    /// The addresses of HTTPS.
    pub https: Addresses,
    /// The certificates; without them HTTPS is off.
    pub tls: Option<ServerTls>,
    /// The validations in progress.
    pub challenges: Challenges,
    /// The pages of each host and path.
    pub pages: pages::Pages,
}

/// The running server; dropping it ends it.
#[derive(Debug)]
pub struct PublicHttp {
    tasks: Vec<JoinHandle<()>>,
    /// The addresses in use: HTTP, HTTPS.
    pub listening: [Vec<SocketAddr>; 2],
}

impl PublicHttp {
    /// Starts to listen.
    ///
    /// # Errors
    /// A required address cannot be used.
    pub fn start(parts: Parts) -> io::Result<Self> {
        let http = bind("http", &parts.http)?;
        let https = if parts.tls.is_some() { bind("https", &parts.https)? } else { Vec::new() };
        let listening = [&http, &https].map(|list| list.iter().filter_map(|l| l.local_addr().ok()).collect::<Vec<_>>());
        let https_port = listening.get(1).and_then(|list| list.first()).map(SocketAddr::port);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let pages = Arc::new(parts.pages);
        let plain = Arc::new(Listener {
            tls: None,
            responder: Responder { challenges: parts.challenges.clone(), https_port, pages: pages.clone(), is_secure: false },
        });
        let mut tasks: Vec<_> = http.into_iter().map(|l| tokio::spawn(listen::serve(l, plain.clone(), places.clone()))).collect();
        let secure = Arc::new(Listener {
            tls: parts.tls,
            responder: Responder { challenges: parts.challenges, https_port, pages, is_secure: true },
        });
        tasks.extend(https.into_iter().map(|l| tokio::spawn(listen::serve(l, secure.clone(), places.clone()))));
        Ok(Self { tasks, listening })
    }
}

impl Drop for PublicHttp {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
