//! Starts the flow and ends it.
//!
//! Invariant: mail that a process before had claimed is released before anything is accepted; a shutdown lets what
//! is being said be finished, and leaves the rest in the queue.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use net::{ClientTls, Clock, Resolver, ServerTls, random_u32};
use store::{DailyKind, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::accept::bounce_limit::Returns;
use crate::accept::filter::{self, Downtime};
use crate::accept::gmail_confirmation::Confirmations;
use crate::accept::inbound_report::ReadingRoom;
use crate::accept::local::{LocalNames, Submitter};
use crate::accept::send_limit::Allowance;
use crate::deliver::breakers::LiveBreakers;
use crate::deliver::connection_limit::HostPlaces;
use crate::deliver::ipv6::Ipv6Standing;
use crate::deliver::mta_sts::{self, StsPolicies};
use crate::deliver::pauses::Pauses;
use crate::deliver::tls_history::{self, TlsMemory};
use crate::notify::postmaster;
use crate::notify::virtual_file;
use crate::queue::clock_step::{self, ClockSteps};
use crate::queue::dedup::Taken;
use crate::queue::dispatch::{Dispatch, World};
use crate::receive::auth::authenticator::Authenticator;
use crate::receive::auth::passwords::PasswordKey;
use crate::receive::auth::sealed_passwords;
use crate::receive::content_quota::Arriving;
use crate::receive::known_networks::KnownNetworks;
use crate::receive::listen::{Sessions, bind, listen};
use crate::receive::session::Reception;
use crate::reporting::schedule;
use crate::reporting::tally;
use crate::settings::{Listener, ListenerKind, LiveSettings};
use crate::support::directory_cache::LiveDirectory;
use crate::support::dkim_signers::Signing;
use crate::support::large_contents::LargeContents;
use crate::support::panic_edge::{bugs_caught, signatures_broken};
use crate::support::shutdown::Closing;
use crate::support::usage_log;

/// Sessions that have no answer of ours to wait for get this long at a shutdown: content that is still arriving is cut.
const FAREWELL: Duration = Duration::from_secs(10);

/// A session that was answered, and a connection that is at rest, get this long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What the flow is made of.
#[derive(Debug)]
pub struct Parts {
    /// Settings, which a reload can replace.
    pub settings: LiveSettings,
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// Durable state.
    pub store: Store,
    /// The directory in force.
    pub live: Arc<LiveDirectory>,
    /// The key of the passwords that some mechanisms need.
    pub password_key: Arc<PasswordKey>,
    /// Our certificate.
    pub tls: Option<ServerTls>,
    /// TLS towards others.
    pub client_tls: ClientTls,
    /// DNS.
    pub resolver: Resolver,
    /// Where what is learned about other servers is kept.
    pub data: PathBuf,
    /// The time.
    pub clock: Clock,
}

/// Why the flow did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be had.
    #[error("cannot listen on {address} ({kind}): {error}{hint}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What for.
        kind: &'static str,
        /// The system's words.
        error: std::io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is going on.
#[derive(Debug, Clone, Copy)]
pub struct Status {
    /// Sessions with clients.
    pub sessions: usize,
    /// Recipients in memory, on their way.
    pub in_flight: usize,
    /// Workers that deliver.
    pub workers: usize,
    /// Connections to other servers.
    pub connections: usize,
    /// Bugs caught since the start; anything but 0 is worth a report.
    pub bugs: u64,
    /// Messages stopped because we would have broken a signature; anything but 0 is worth a report.
    pub signatures_broken: u64,
    /// Times that an MTA-STS policy in testing mode was not met since the start.
    pub sts_testing_failures: u64,
}

/// The running flow.
#[derive(Debug)]
pub struct Server {
    dispatch: Dispatch,
    reception: Arc<Reception>,
    sessions: Sessions,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts listening and delivering.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { settings, listeners, store, live, password_key, tls, client_tls, resolver, data, clock } = parts;
        let bound = bind_all(&listeners)?;
        let addresses: Vec<_> = bound.iter().filter_map(|(kind, l)| Some((*kind, l.local_addr().ok()?))).collect();
        let released = store.release_claims(clock.now_ms()).await?;
        if released > 0 {
            tracing::info!(recipients = released, "mail that was under way when the last process ended is due again");
        }
        let own_ports = addresses.iter().filter(|(kind, _)| *kind == ListenerKind::Mx).map(|(_, a)| a.port()).collect();
        let world = World {
            settings: settings.clone(),
            store: store.clone(),
            clock: clock.clone(),
            resolver,
            tls: client_tls,
            live: live.clone(),
            own_ports,
            hosts: HostPlaces::default(),
            breakers: LiveBreakers::default(),
            large: LargeContents::default(),
            taken: Taken::default(),
            doubts: Arc::default(),
            ipv6: Ipv6Standing::default(),
            sts: StsPolicies::open(&data),
            tls_memory: TlsMemory::open(&data),
            results: tally::start(store.clone(), clock.clone()),
            signing: Signing::default(),
            closing: Closing::default(),
            clock_steps: ClockSteps::open(&data, &clock),
            spread: random_u32(),
        };
        let dispatch = Dispatch::new(Arc::new(world));
        clock_step::start(&dispatch).await?;
        let habits = usage_log::start(store.clone());
        let allowance = Allowance::new(store.clone(), habits.clone());
        let known = KnownNetworks::open(&data);
        let knowledge = (habits, known.clone());
        let logins = Authenticator::start((store.clone(), live.clone(), settings.clone()), password_key, knowledge, clock.clone()).await?;
        let reception = Arc::new(Reception {
            settings,
            live,
            store,
            clock,
            logins,
            allowance,
            tls,
            dispatch: dispatch.clone(),
            arriving: Arriving::default(),
            known,
            returns: Returns::default(),
            answers: Returns::default(),
            confirmations: Confirmations::default(),
            downtime: Downtime::default(),
            reading: ReadingRoom::default(),
            closing: dispatch.world().closing.subscribe(),
        });
        let sessions = Sessions::default();
        let mut tasks = tasks(&dispatch, &reception, data);
        for (kind, listener) in bound {
            tasks.push(tokio::spawn(listen(listener, kind, sessions.clone(), reception.clone())));
        }
        for (kind, address) in &addresses {
            tracing::info!(%address, kind = kind.as_str(), "listening");
        }
        Ok(Self { dispatch, reception, sessions, tasks })
    }

    /// Takes mail of programs on this machine.
    pub fn submitter(&self, names: LocalNames) -> Submitter {
        Submitter::online(self.reception.clone(), names)
    }

    /// What Gmail has sent to have addresses confirmed.
    pub fn confirmations(&self) -> Confirmations {
        self.reception.confirmations.clone()
    }

    /// Told when a host refuses mail since it does not believe who we are: something may be wrong with our records.
    pub fn doubts(&self) -> Arc<Notify> {
        self.dispatch.world().doubts.clone()
    }

    /// Writes letters to the postmaster.
    pub fn postmaster(&self) -> postmaster::Postmaster {
        postmaster::Postmaster(self.dispatch.clone())
    }

    /// What gets no mail for now.
    pub fn pauses(&self) -> Pauses {
        Pauses(self.dispatch.clone())
    }

    /// A function that tells dispatch to try now what is due.
    pub fn retrier(&self) -> Arc<dyn Fn() + Send + Sync> {
        let dispatch = self.dispatch.clone();
        Arc::new(move || dispatch.retry_now())
    }

    /// A function that tells what is going on.
    pub fn status(&self) -> Arc<dyn Fn() -> Status + Send + Sync> {
        let (dispatch, sessions) = (self.dispatch.clone(), self.sessions.clone());
        Arc::new(move || {
            let (workers, connections) = dispatch.lanes().totals();
            Status {
                sessions: sessions.count(),
                in_flight: dispatch.in_memory(),
                workers,
                connections,
                bugs: bugs_caught(),
                signatures_broken: signatures_broken(),
                sts_testing_failures: dispatch.world().sts.testing_failures(),
            }
        })
    }

    /// How long deliveries under way get at a stop, by the settings in force.
    pub fn shutdown_grace(&self) -> Duration {
        self.dispatch.world().settings.load().delivery.shutdown_grace()
    }

    /// Ends in order: nothing begins any more, what is under way is waited for within `delivery.shutdown_grace_s`, and the rest is due again.
    pub async fn shut_down(self) {
        let world = self.dispatch.world();
        world.closing.begin();
        for task in &self.tasks {
            task.abort();
        }
        self.dispatch.lanes().release_waiting(&self.dispatch);
        let grace = world.settings.load().delivery.shutdown_grace();
        let is_cut = async { timeout(grace, world.closing.idle()).await.is_err() };
        let (is_cut, _) = tokio::join!(is_cut, timeout(FAREWELL.min(grace), self.at_rest()));
        if is_cut {
            let cut = world.closing.held();
            tracing::warn!(
                cut,
                grace_s = grace.as_secs(),
                "deliveries under way were cut; they are tried again, and what their hosts took already arrives twice"
            );
        }
        let _ = timeout(GOODBYE, self.at_rest()).await;
        world.results.flush().await;
        world.tls_memory.flush().await;
        world.clock_steps.write(&world.clock).await;
        match world.store.release_claims(world.clock.now_ms()).await {
            Ok(released) => tracing::info!(released, "what was not begun waits in the queue"),
            Err(error) => tracing::warn!(%error, "claimed mail is released at the next start"),
        }
    }

    async fn at_rest(&self) {
        while self.sessions.count() > 0 || self.dispatch.lanes().totals().1 > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Opens every port, before any mail is taken.
fn bind_all(listeners: &[Listener]) -> Result<Vec<(ListenerKind, TcpListener)>, StartError> {
    let mut bound = Vec::with_capacity(listeners.len());
    for listener in listeners {
        match bind(listener) {
            Ok(socket) => bound.push((listener.kind, socket)),
            Err(error) if is_family_missing(listener, &error) => {
                tracing::warn!(address = %listener.address, "this machine has no IPv6; not listening there");
            }
            Err(error) => return Err(refused(listener, error)),
        }
    }
    Ok(bound)
}

/// What goes on beside the sessions.
fn tasks(dispatch: &Dispatch, reception: &Arc<Reception>, data: PathBuf) -> Vec<JoinHandle<()>> {
    let settings = reception.settings.load_full();
    let probe = async move {
        if let Some(filtering) = &settings.filtering {
            filter::probe(filtering).await;
        }
    };
    vec![
        tokio::spawn(probe),
        tokio::spawn(virtual_file::run(dispatch.clone(), data)),
        tokio::spawn(sealed_passwords::run(reception.clone())),
        tokio::spawn(dispatch.clone().run()),
        tokio::spawn(postmaster::run(dispatch.clone())),
        tokio::spawn(clock_step::run(dispatch.clone())),
        tokio::spawn(mta_sts::run(dispatch.clone())),
        tokio::spawn(tls_history::run(dispatch.clone())),
        tokio::spawn(schedule::run(dispatch.clone(), DailyKind::Tls)),
        tokio::spawn(schedule::run(dispatch.clone(), DailyKind::Dmarc)),
    ]
}

/// "All IPv6 addresses" on a machine without IPv6: none is missed, so that is no reason not to start.
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
