//! Metrics of a running server: what a scrape reads, and the listener for `GET /metrics` and for health checks.
//!
//! RFC 9110, RFC 9112. Invariants: health checks are answered while everything else of the server is still being opened; scrapes cost a bounded amount of memory, connections and time of the store, however often they come.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use history::History;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics::{Exposition, HourOfFlow, Metrics, ProcessState, ServerState, expose};
use mta::{NodeSwitch, Pauses, Status};
use net::{Clock, Resolver};
use policy::ReplyScope;
use public_http::{LIVE, READY};
use store::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::certificates::ServerCertificates;
use super::readiness::Readiness;
use crate::config::Config;

/// Maximum connections of one listener.
const CONNECTIONS_MAX: usize = 16;

/// Maximum time to receive the head of a request.
const REQUEST_WITHIN: Duration = Duration::from_secs(15);

/// Maximum duration of a connection; Prometheus opens another one.
const CONNECTION_WITHIN: Duration = Duration::from_secs(600);

/// Pause after a failed accept (EMFILE, ENFILE, ENOBUFS).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What a scrape reads.
pub struct ScrapeSource {
    /// What is counted from events.
    pub metrics: Arc<Metrics>,
    /// The queue.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// DNS.
    pub resolver: Resolver,
    /// The certificates in use.
    pub certificates: Arc<ServerCertificates>,
    /// The history; `None` if it is off.
    pub history: Option<History>,
    /// The state of the server.
    pub status: Arc<dyn Fn() -> Status + Send + Sync>,
    /// The paused mailboxes and hosts.
    pub pauses: Pauses,
    /// Whether the server takes new mail.
    pub node: NodeSwitch,
    /// Whether the server should get new connections.
    pub readiness: Readiness,
}

/// The sources of a running server, and what scrapes share.
pub struct Scraper {
    source: ScrapeSource,
    started_s: i64,
}

impl Scraper {
    /// Of a server that starts now.
    pub fn new(source: ScrapeSource) -> Arc<Self> {
        let started_s = source.clock.now_ms() / 1000;
        Arc::new(Self { source, started_s })
    }

    /// Returns all metrics in the format that an Accept field prefers, with its Content-Type.
    pub async fn scrape(&self, accept: &str) -> (&'static str, String) {
        let format = Exposition::preferred(accept);
        (format.content_type(), expose(self.source.metrics.clone(), self.state().await, format))
    }

    /// Returns the flow of the last hour, by minute.
    pub fn last_hour(&self) -> HourOfFlow {
        self.source.metrics.last_hour(self.source.clock.now_ms())
    }

    async fn state(&self) -> ServerState {
        let ScrapeSource { store, clock, resolver, certificates, status, pauses, node, readiness, .. } = &self.source;
        let status = status();
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let paused = pauses.list();
        let mailboxes = paused.iter().filter(|pause| pause.scope == ReplyScope::Target).count();
        let expiry = |cert: net::CertificateInUse| Some((cert.leaf.names.into_iter().next()?, cert.leaf.not_after_s));
        let disk = store.clone();
        ServerState {
            version: env!("CARGO_PKG_VERSION"),
            is_ready: readiness.check().is_ok(),
            is_drained: node.is_drained(),
            sessions: status.sessions_by_listener.map(|(kind, sessions)| (kind, count(sessions))).to_vec(),
            totals: store.totals().await.ok(),
            load: store.load(clock.now_ms()).await.ok(),
            in_flight: count(status.in_flight),
            workers: count(status.workers),
            connections: count(status.connections),
            paused: [count(mailboxes), count(paused.len() - mailboxes)],
            certificates: certificates.in_use().into_iter().filter_map(expiry).collect(),
            disk: net::blocking(move || disk.disk_bytes()).await,
            dns: resolver.lookups(),
            batches: store.batches(),
            history_dropped: self.source.history.as_ref().map(History::lost),
            sts_testing_failures: status.sts_testing_failures,
            signatures_broken: status.signatures_broken,
            bugs: status.bugs,
            process: net::blocking(process).await,
            started_s: self.started_s,
        }
    }
}

/// Reads the state of the process, as Prometheus's own clients name it.
fn process() -> Option<ProcessState> {
    use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let cpu_ms = [usage.user_time(), usage.system_time()].iter().map(|time| time.tv_sec() * 1000 + time.tv_usec() / 1000).sum::<i64>();
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident_kib: u64 = resident.split_whitespace().next()?.parse().ok()?;
    Some(ProcessState {
        cpu_ms: u64::try_from(cpu_ms).unwrap_or_default(),
        resident_bytes: resident_kib * 1024,
        open_fds: u64::try_from(std::fs::read_dir("/proc/self/fd").ok()?.count()).unwrap_or_default(),
        max_fds: getrlimit(Resource::RLIMIT_NOFILE).ok()?.0,
    })
}

/// The listeners for metrics and health checks; dropping them ends them.
pub struct MetricsListeners {
    tasks: Vec<JoinHandle<()>>,
    monitored: Monitored,
}

/// What the listeners answer from.
#[derive(Clone)]
struct Monitored {
    /// Empty until the parts of the server are open.
    scraper: Arc<OnceLock<Arc<Scraper>>>,
    readiness: Readiness,
}

impl MetricsListeners {
    /// From now on, there are metrics.
    pub fn show(&self, scraper: Arc<Scraper>) {
        // It is called once.
        let _ = self.monitored.scraper.set(scraper);
    }
}

impl Drop for MetricsListeners {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Listens on the addresses of `listen.metrics`.
///
/// # Errors
/// One of them cannot be used.
pub async fn listen(config: &Config, readiness: &Readiness) -> Result<MetricsListeners> {
    let monitored = Monitored { scraper: Arc::default(), readiness: readiness.clone() };
    let mut listeners = MetricsListeners { tasks: Vec::new(), monitored };
    for address in config.file.listen.metrics.iter().map(|address| address.0) {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address} for metrics; free it, or change listen.metrics"))?;
        tracing::info!(%address, kind = "metrics", "listening");
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "metrics are readable by everyone who reaches this address: it has no password and no TLS");
        }
        listeners.tasks.push(tokio::spawn(serve(listener, router(listeners.monitored.clone()))));
    }
    Ok(listeners)
}

fn router(monitored: Monitored) -> Router {
    let live = async || "alive\n";
    Router::new().route("/metrics", get(answer)).route(LIVE, get(live)).route(READY, get(ready)).with_state(monitored)
}

async fn answer(State(monitored): State<Monitored>, headers: HeaderMap) -> Response {
    let Some(scraper) = monitored.scraper.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the server is starting\n").into_response();
    };
    let (content_type, text) = scraper.scrape(&control_api::accepted(&headers)).await;
    ([(CONTENT_TYPE, HeaderValue::from_static(content_type))], text).into_response()
}

async fn ready(State(monitored): State<Monitored>) -> Response {
    match monitored.readiness.check() {
        Ok(()) => "ready\n".into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    }
}

async fn serve(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                let Ok(place) = places.clone().try_acquire_owned() else {
                    tracing::debug!(%peer, "too many connections for metrics");
                    continue;
                };
                let router = router.clone();
                tokio::spawn(async move {
                    converse(tcp, peer, router).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection for metrics; pausing for 200 ms");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(tcp: TcpStream, peer: SocketAddr, router: Router) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WITHIN)
        .serve_connection(TokioIo::new(tcp), TowerToHyperService::new(router));
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_WITHIN, serving).await {
        tracing::debug!(%peer, %error, "a connection for metrics failed");
    }
}
