//! The public HTTP and HTTPS server: validation of names, redirection to HTTPS, and the pages that mail clients and servers fetch.
//!
//! RFC 9112, RFC 9110. Invariant: this crate knows neither store nor messages; a client costs a bounded amount of memory and time.

mod answer;
mod autoconfig;
mod autodiscover;
mod connection;
mod health;
mod listen;
mod owner;
pub mod pages;
mod places;
pub mod profile;
mod servers;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use net::acme::Challenges;
use net::{ServerTls, TrustedProxies};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use answer::{Responder, Served};
use connection::Listener;
pub use health::{IsReady, LIVE, READY};
use listen::bind;
pub use owner::OwnerService;
use places::Places;
pub use servers::{Servers, Tls};

/// The addresses to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The addresses; an empty list disables the service.
    pub list: Vec<SocketAddr>,
    /// Whether an address that is in use is an error. Otherwise it is a warning: a web server may have the port.
    pub must: bool,
}

/// What the server is built from.
pub struct Parts {
    /// The addresses of HTTP.
    pub http: Addresses,
    /// The addresses of HTTPS.
    pub https: Addresses,
    /// The certificates; without them HTTPS is off.
    pub tls: Option<ServerTls>,
    /// The load balancers in front of the listeners.
    pub proxies: TrustedProxies,
    /// Whether the server should get new connections.
    pub is_ready: IsReady,
    /// The validations in progress.
    pub challenges: Challenges,
    /// The pages of each host and path.
    pub pages: pages::Pages,
    /// The owner's page; `None` if it is off.
    pub owner: Option<OwnerService>,
}

/// The running server; dropping it ends it.
#[derive(Debug)]
pub struct PublicHttp {
    tasks: Vec<JoinHandle<()>>,
    /// The addresses in use: HTTP, HTTPS.
    pub listening: [Vec<SocketAddr>; 2],
    /// The addresses of the owner's page; empty if it is off.
    pub owner: Vec<SocketAddr>,
}

impl PublicHttp {
    /// Starts to listen.
    ///
    /// # Errors
    /// A required address cannot be used.
    pub fn start(parts: Parts) -> io::Result<Self> {
        let Parts { http, https, tls, proxies, is_ready, challenges, pages, owner } = parts;
        let http = bind("http", &http)?;
        let https = if tls.is_some() { bind("https", &https)? } else { Vec::new() };
        let (shared, alone) = match owner.filter(|_| tls.is_some()) {
            Some(OwnerService { router, addresses: None }) => (Some(router), None),
            Some(OwnerService { router, addresses: Some(addresses) }) => (None, Some((router, bind("admin", &addresses)?))),
            None => (None, None),
        };
        let listening = [addresses(&http), addresses(&https)];
        let https_port = listening.get(1).and_then(|list| list.first()).map(SocketAddr::port);
        let owner = match (&shared, &alone) {
            (Some(_), _) => addresses(&https),
            (None, alone) => alone.as_ref().map(|(_, listeners)| addresses(listeners)).unwrap_or_default(),
        };
        let pages = Arc::new(pages);
        let (places, own_places) = (Places::default(), Places::default());
        let mut tasks = Vec::new();
        let mut serve = |listeners: Vec<TcpListener>, tls: Option<ServerTls>, served: Served, places: &Places| {
            let listener = Arc::new(Listener {
                tls,
                proxies: proxies.clone(),
                responder: Responder { served, pages: pages.clone(), is_ready: is_ready.clone() },
            });
            tasks.extend(listeners.into_iter().map(|l| tokio::spawn(listen::serve(l, listener.clone(), places.clone()))));
        };
        serve(http, None, Served::Plain { challenges, https_port }, &places);
        serve(https, tls.clone(), Served::Public { owner: shared }, &places);
        if let Some((router, listeners)) = alone {
            serve(listeners, tls, Served::Owner(router), &own_places);
        }
        Ok(Self { tasks, listening, owner })
    }
}

fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

impl Drop for PublicHttp {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
