//! Starts the server and shuts it down.
//!
//! Invariant: mail that an earlier process had claimed is released before anything is accepted; a shutdown finishes
//! open transactions and leaves the rest in the queue.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use events::{Event, EventKind, Events, Fact};
use futures_util::future::BoxFuture;
use net::{ClientTls, Clock, Network, Resolver, ServerTls, TcpDoor, TrustedProxies, random_u32};
use store::{DailyKind, Store, StoreError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::accept::filter;
use crate::accept::gmail_confirmation::Confirmations;
use crate::accept::hourly_limit::HourlyLimit;
use crate::accept::local::{LocalNames, Submitter};
use crate::accept::over_limit::SendLimits;
use crate::accept::pipeline::{Outlet, Pipeline, Verifier};
use crate::accept::send_limit::SendCounts;
use crate::context::Shared;
use crate::deliver::breaker_file;
use crate::deliver::breakers::Breakers;
use crate::deliver::clock_step::{self, ClockSteps};
use crate::deliver::connection_limit::ConnectionLimits;
use crate::deliver::direct::DirectSender;
use crate::deliver::ipv6::Ipv6Fitness;
use crate::deliver::lane::Lanes;
use crate::deliver::mta_sts::{self, StsPolicies};
use crate::deliver::outbound::{Connector, Outbound};
use crate::deliver::pauses::Pauses;
use crate::deliver::tls_history::{self, TlsHistory};
use crate::deliver::window::Window;
use crate::explain::explainer::{Explainer, RunningParts};
use crate::notify::outbox::Outbox;
use crate::notify::postmaster::{self, Postmaster};
use crate::notify::virtual_file;
use crate::queue::dispatch::Dispatch;
use crate::queue::news;
use crate::receive::auth::authenticator::Authenticator;
use crate::receive::auth::page_logins::PageLogins;
use crate::receive::auth::passwords::PasswordKey;
use crate::receive::auth::sealed_passwords;
use crate::receive::content_quota::ContentQuota;
use crate::receive::inbound::Inbound;
use crate::receive::known_networks::KnownNetworks;
use crate::receive::listen::{Sessions, bind, listen};
use crate::receive::own_checks::OwnChecks;
use crate::receive::pressure::{self, Pressure};
use crate::reporting::schedule::{self, Reporter};
use crate::reporting::tally;
use crate::settings::{Listener, ListenerKind, LiveSettings};
use crate::support::directory_cache::LiveDirectory;
use crate::support::node_switch::NodeSwitch;
use crate::support::panic_edge::{bugs_caught, signatures_broken, watch_bugs};
use crate::support::shutdown::Closing;
use crate::support::usage_log;
use crate::support::wake::Wake;

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

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Cannot listen on a port.
    #[error("cannot listen on {address} ({kind}): {error}{hint}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The kind of listener.
        kind: &'static str,
        /// The system's error.
        error: std::io::Error,
        /// The remedy.
        hint: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The state of the server.
#[derive(Debug, Clone, Copy)]
pub struct Status {
    /// Sessions with clients.
    pub sessions: usize,
    /// Sessions by the kind of their listener.
    pub sessions_by_listener: [(&'static str, usize); 4],
    /// Recipients in memory.
    pub in_flight: usize,
    /// Delivery workers.
    pub workers: usize,
    /// Connections to other servers.
    pub connections: usize,
    /// Bugs caught since the start; please report any.
    pub bugs: u64,
    /// Messages refused because we would have broken a signature; please report any.
    pub signatures_broken: u64,
    /// Failures of MTA-STS policies in testing mode since the start.
    pub sts_testing_failures: u64,
}

/// What a task beside the mail flow needs of it.
#[derive(Debug)]
pub struct Handles {
    /// Writes letters to the postmaster.
    pub postmaster: Postmaster,
    /// Sends letters past the queue.
    pub direct: DirectSender,
    /// The paused hosts and mailboxes.
    pub pauses: Pauses,
    /// DNS.
    pub resolver: Resolver,
    /// TLS to other servers.
    pub tls: ClientTls,
    /// Durable state.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The directory in force.
    pub directory: Arc<LiveDirectory>,
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

    /// Returns what takes mail of local programs.
    pub fn submitter(&self, names: LocalNames) -> Submitter {
        Submitter::online(self.inbound.pipeline.clone(), self.inbound.send_limits.clone(), names)
    }

    /// Returns what checks the logins of the owner's page.
    pub fn page_logins(&self) -> PageLogins {
        PageLogins::new(self.inbound.logins.clone())
    }

    /// Returns the names of the server's own checks.
    pub fn own_checks(&self) -> OwnChecks {
        self.inbound.own_checks.clone()
    }

    /// Returns Gmail's confirmation mails.
    pub fn confirmations(&self) -> Confirmations {
        self.inbound.pipeline.confirmations.clone()
    }

    /// Notified when a host refuses mail for failed authentication: our DNS records may be wrong.
    pub fn doubts(&self) -> Arc<Notify> {
        self.outbound.doubts.clone()
    }

    /// Returns what writes letters to the postmaster.
    pub fn postmaster(&self) -> Postmaster {
        Postmaster(self.outbound.outbox.clone())
    }

    /// Returns what explains messages.
    pub fn explainer(&self) -> Explainer {
        let (inbound, outbound, sessions) = (self.inbound.clone(), self.outbound.clone(), self.sessions.clone());
        Explainer::running(RunningParts { inbound, outbound, sessions })
    }

    /// Returns what a task beside the mail flow needs of it.
    pub fn handles(&self) -> Handles {
        let Connector { shared, resolver, tls, .. } = &self.outbound.connector;
        let Shared { store, clock, directory, events, .. } = shared.clone();
        Handles {
            postmaster: self.postmaster(),
            direct: DirectSender(self.outbound.clone()),
            pauses: self.pauses(),
            resolver: resolver.clone(),
            tls: tls.clone(),
            store,
            clock,
            directory,
            events,
        }
    }

    /// Returns the paused hosts and mailboxes.
    pub fn pauses(&self) -> Pauses {
        pauses_of(&self.outbound)
    }

    /// Returns a function that retries due mail now.
    pub fn retrier(&self) -> Arc<dyn Fn() + Send + Sync> {
        let dispatch = self.dispatch.clone();
        Arc::new(move || dispatch.retry_now())
    }

    /// Returns a function that reports the state of the server.
    pub fn status(&self) -> Arc<dyn Fn() -> Status + Send + Sync> {
        let (outbound, sessions) = (self.outbound.clone(), self.sessions.clone());
        Arc::new(move || {
            let (workers, connections) = outbound.lanes.totals();
            Status {
                sessions: sessions.count(),
                sessions_by_listener: sessions.by_kind(),
                in_flight: outbound.window.recipients(),
                workers,
                connections,
                bugs: bugs_caught(),
                signatures_broken: signatures_broken(),
                sts_testing_failures: outbound.connector.sts.testing_failures(),
            }
        })
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

/// What deliveries use.
fn outbound(parts: &Parts, own_ports: Vec<u16>) -> Outbound {
    let Parts { settings, store, live, client_tls, network, resolver, data, clock, events, .. } = parts;
    let shared =
        Shared { settings: settings.clone(), store: store.clone(), clock: clock.clone(), directory: live.clone(), events: events.clone() };
    let wake = Wake::default();
    Outbound {
        outbox: Outbox { shared: shared.clone(), signing: Arc::default(), wake: wake.clone() },
        lanes: Lanes::default(),
        window: Window::new(wake),
        large: Arc::default(),
        clock_steps: ClockSteps::open(data, clock),
        closing: Closing::default(),
        doubts: Arc::default(),
        connector: Connector {
            network: network.clone(),
            resolver: resolver.clone(),
            tls: client_tls.clone(),
            own_ports,
            connection_limits: ConnectionLimits::default(),
            breakers: Arc::new(Breakers::open(data, clock)),
            ipv6: Ipv6Fitness::default(),
            sts: StsPolicies::open(data),
            tls_history: TlsHistory::open(data),
            results: tally::start(store.clone(), clock.clone()),
            spread: random_u32(),
            shared,
        },
    }
}

/// What sessions use.
async fn inbound(parts: Parts, outbound: &Outbound, dispatch: &Dispatch) -> Result<Inbound, StoreError> {
    let Parts { store, password_key, tls, proxies, node, client_tls, resolver, data, .. } = parts;
    let Outbound { outbox, connector, large, closing, .. } = outbound;
    let shared = connector.shared.clone();
    let habits = usage_log::start(store.clone());
    let counts = SendCounts::new(store, habits.clone());
    let known = KnownNetworks::open(&data);
    let logins = Authenticator::start(shared.clone(), password_key, habits, known.clone(), client_tls).await?;
    let pipeline = Pipeline {
        large: large.clone(),
        signing: outbox.signing.clone(),
        ..Pipeline::new(shared.clone(), Outlet::Dispatch(dispatch.clone()), closing.clone())
    };
    Ok(Inbound {
        pipeline: Arc::new(pipeline),
        verifier: Verifier { resolver, results: connector.results.clone() },
        logins: Arc::new(logins),
        send_limits: Arc::new(SendLimits { counts, outbox: outbox.clone() }),
        tls,
        proxies,
        node,
        arriving: ContentQuota::default(),
        pressure: Pressure::default(),
        known,
        own_checks: OwnChecks::new(shared.clock.clone()),
        bounces: HourlyLimit::default(),
        breakers: connector.breakers.clone(),
        closing: closing.clone(),
        shared,
    })
}

/// Opens every port, before any mail is accepted.
fn bind_all(network: &Network, listeners: &[Listener]) -> Result<Vec<(ListenerKind, TcpDoor)>, StartError> {
    let mut bound = Vec::with_capacity(listeners.len());
    for listener in listeners {
        match bind(network, listener) {
            Ok(socket) => bound.push((listener.kind, socket)),
            Err(error) if is_family_missing(listener, &error) => {
                tracing::warn!(address = %listener.address, "this host has no IPv6; not listening there");
            }
            Err(error) => return Err(refused(listener, error)),
        }
    }
    Ok(bound)
}

fn pauses_of(outbound: &Outbound) -> Pauses {
    let Connector { breakers, shared, .. } = &outbound.connector;
    Pauses { breakers: breakers.clone(), clock: shared.clock.clone(), wake: outbound.outbox.wake.clone() }
}

/// The background tasks.
fn tasks(dispatch: &Dispatch, outbound: &Arc<Outbound>, inbound: &Arc<Inbound>) -> Vec<JoinHandle<()>> {
    let Connector { shared, resolver, tls, .. } = &outbound.connector;
    let probed = shared.clone();
    let probe = async move {
        if let Some(filtering) = &probed.settings.load_full().filtering {
            filter::probe(&probed, filtering).await;
        }
    };
    let pauses = pauses_of(outbound);
    let reporter = Reporter { outbox: outbound.outbox.clone(), resolver: resolver.clone(), tls: tls.clone() };
    vec![
        tokio::spawn(probe),
        tokio::spawn(record_bugs(shared.clone())),
        tokio::spawn(sealed_passwords::run(inbound.logins.clone())),
        tokio::spawn(dispatch.clone().run()),
        tokio::spawn(news::run(shared.clone(), outbound.outbox.wake.clone(), pauses)),
        tokio::spawn(postmaster::run(outbound.outbox.clone())),
        tokio::spawn(clock_step::run(outbound.clone())),
        tokio::spawn(mta_sts::run(outbound.clone())),
        tokio::spawn(tls_history::run(outbound.clone())),
        tokio::spawn(breaker_file::run(outbound.clone())),
        tokio::spawn(schedule::run(reporter.clone(), DailyKind::Tls)),
        tokio::spawn(schedule::run(reporter, DailyKind::Dmarc)),
    ]
}

/// Records each caught panic as an event; the log has its lines.
async fn record_bugs(shared: Shared) {
    let mut caught = watch_bugs();
    while caught.changed().await.is_ok() {
        let times = *caught.borrow_and_update();
        shared.events.record(Event::new(EventKind::BugCaught, shared.clock.now_ms()).fact(Fact::Times, times));
    }
}

/// "All IPv6 addresses" on a host without IPv6 is not an error: there are none to listen on.
fn is_family_missing(listener: &Listener, error: &std::io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    let all_v6 = listener.address.is_ipv6() && listener.address.ip().is_unspecified();
    all_v6 && (error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == std::io::ErrorKind::AddrNotAvailable)
}

fn refused(listener: &Listener, error: std::io::Error) -> StartError {
    let hint = match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another mail server has the port: stop it (`ss -ltnp` names it), or change [listen]",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need root or CAP_NET_BIND_SERVICE",
        _ => "",
    };
    StartError::Listen { address: listener.address, kind: listener.kind.as_str(), error, hint }
}
