//! Starts the server and shuts it down.
//!
//! Invariant: mail that an earlier process had claimed is released before anything is accepted; a shutdown finishes
//! open transactions and leaves the rest in the queue.

mod assembly;
mod handles;
mod ports;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use events::Events;
use futures_util::future::BoxFuture;
use net::{ClientTls, Clock, Network, Resolver, ServerTls, TrustedProxies};
use store::Store;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::context::Shared;
use crate::deliver::clock_step;
use crate::deliver::outbound::Outbound;
use crate::notify::virtual_file;
use crate::queue::dispatch::Dispatch;
use crate::receive::auth::passwords::PasswordKey;
use crate::receive::inbound::Inbound;
use crate::receive::listen::{Sessions, listen};
use crate::receive::pressure;
use crate::settings::{Listener, ListenerKind, LiveSettings};
use crate::support::directory_cache::LiveDirectory;
use crate::support::node_switch::NodeSwitch;
use assembly::{inbound, outbound, tasks};
use ports::bind_all;

pub use handles::{Handles, Status};
pub use ports::StartError;

/// Maximum time for idle sessions at a shutdown; content that is still being received is cut off.
const FAREWELL: Duration = Duration::from_secs(10);

/// Maximum time for QUIT of answered sessions and idle connections.
const GOODBYE: Duration = Duration::from_secs(1);

/// The parts of the server.
#[derive(Debug)]
pub struct Parts {
    /// Settings, which a reload can replace.
    pub settings: LiveSettings,
    /// The addresses to listen on.
    pub listeners: Vec<Listener>,
    /// Durable state.
    pub store: Store,
    /// The directory in force.
    pub live: Arc<LiveDirectory>,
    /// The key that seals passwords, which some mechanisms need.
    pub password_key: Arc<PasswordKey>,
    /// Our certificate.
    pub tls: Option<ServerTls>,
    /// The load balancers in front of the listeners.
    pub proxies: TrustedProxies,
    /// Whether the server takes new mail.
    pub node: NodeSwitch,
    /// TLS to other servers.
    pub client_tls: ClientTls,
    /// The network.
    pub network: Network,
    /// DNS.
    pub resolver: Resolver,
    /// The data directory.
    pub data: PathBuf,
    /// The time.
    pub clock: Clock,
    /// Where events go.
    pub events: Events,
}

/// The running server.
#[derive(Debug)]
pub struct Server {
    dispatch: Dispatch,
    outbound: Arc<Outbound>,
    inbound: Arc<Inbound>,
    sessions: Sessions,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts listening and delivering.
    pub fn start(parts: Parts) -> BoxFuture<'static, Result<Self, StartError>> {
        Box::pin(Self::open(parts))
    }

    async fn open(parts: Parts) -> Result<Self, StartError> {
        let bound = bind_all(&parts.network, &parts.listeners)?;
        let addresses: Vec<_> = bound.iter().filter_map(|(kind, l)| Some((*kind, l.local_addr().ok()?))).collect();
        let released = parts.store.release_claims(parts.clock.now_ms()).await?;
        if released > 0 {
            tracing::info!(recipients = released, "requeued mail that the last process had in flight");
        }
        let own_ports = addresses.iter().filter(|(kind, _)| *kind == ListenerKind::Mx).map(|(_, a)| a.port()).collect();
        let outbound = Arc::new(outbound(&parts, own_ports));
        clock_step::start(&outbound).await?;
        let dispatch = Dispatch::new(outbound.clone());
        let (letters, reported) = virtual_file::open(&parts.data);
        let inbound = Arc::new(inbound(parts, &outbound, &dispatch).await?);
        let sessions = Sessions::default();
        let mut tasks = tasks(&dispatch, &outbound, &inbound);
        tasks.push(tokio::spawn(virtual_file::run(outbound.outbox.clone(), letters, reported)));
        let watched = (inbound.pressure.clone(), sessions.clone(), inbound.shared.settings.clone());
        tasks.push(tokio::spawn(pressure::watch(watched.0, watched.1, watched.2)));
        for (kind, listener) in bound {
            tasks.push(tokio::spawn(listen(listener, kind, sessions.clone(), inbound.clone())));
        }
        for (kind, address) in &addresses {
            tracing::info!(%address, kind = kind.as_str(), "listening");
        }
        Ok(Self { dispatch, outbound, inbound, sessions, tasks })
    }

    /// The grace period for deliveries at a shutdown, by the settings in force.
    pub fn shutdown_grace(&self) -> Duration {
        self.outbound.shared().settings.load().delivery.shutdown_grace()
    }

    /// Shuts down in order: starts nothing new, waits up to `delivery.shutdown_grace_s` for open deliveries, and requeues the rest.
    pub fn shut_down(self) -> BoxFuture<'static, ()> {
        Box::pin(self.close())
    }

    async fn close(self) {
        let Outbound { closing, connector, lanes, clock_steps, .. } = &*self.outbound;
        let Shared { settings, store, clock, .. } = &connector.shared;
        closing.begin();
        for task in &self.tasks {
            task.abort();
        }
        lanes.release_waiting(&self.outbound);
        let grace = settings.load().delivery.shutdown_grace();
        let is_cut = async { timeout(grace, closing.idle()).await.is_err() };
        let (is_cut, _) = tokio::join!(is_cut, timeout(FAREWELL.min(grace), self.at_rest()));
        if is_cut {
            let cut = closing.held();
            tracing::warn!(
                cut,
                grace_s = grace.as_secs(),
                "deliveries were interrupted; they are retried, and messages that their hosts had already accepted arrive twice"
            );
        }
        let _ = timeout(GOODBYE, self.at_rest()).await;
        connector.results.flush().await;
        connector.tls_history.flush().await;
        connector.breakers.write().await;
        clock_steps.write(clock).await;
        match store.release_claims(clock.now_ms()).await {
            Ok(released) => tracing::info!(released, "deliveries that had not started remain queued"),
            Err(error) => tracing::warn!(%error, "cannot release claimed mail; the next start releases it"),
        }
    }

    async fn at_rest(&self) {
        while self.sessions.count() > 0 || self.outbound.lanes.totals().1 > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
