//! `waypost serve`: starts and stops the parts of the server.
//!
//! Invariant: nothing listens before everything that it needs is open; passwords are never accepted without TLS; at a stop, nothing is closed before
//! what uses it.

pub mod certificates;
mod disk_watch;
mod dns_watch;
pub mod health;
mod history;
pub mod logging;
pub mod metrics;
pub mod notices;
mod owner;
mod public;
pub mod reload;
mod seen_file;
mod service_manager;
pub mod startup_check;
mod target_watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::history::History;
use anyhow::{Context, Result, anyhow};
use arc_swap::ArcSwap;
use axum::Router;
use control_api::ApiContext;
use events::{Event, EventKind, Events, Fact};
use mta::{LiveDirectory, Parts, Releaser, Server};
use net::acme::Challenges;
use net::{ClientTls, Clock, Resolver, Validate};
use public_http::PublicHttp;
use store::Store;
use tokio::net::UnixListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::{self, Config, ValidateWord};
use crate::control::{ServerControl, ServerParts};
use crate::transport::with_remedy;
use certificates::{ServerCertificates, server_tls};
use metrics::{ScrapeSource, Scraper};
use notices::settings::NoticeSettings;
use notices::{NoticeSink, Notices};
use public::PublicSettings;
use reload::Reloader;

/// Maximum duration of a stop beyond `delivery.shutdown_grace_s`: sessions end, and the write-ahead log is moved into the database.
const STOP_MORE: Duration = Duration::from_secs(30);

/// Maximum time for requests in progress on the admin socket at a stop.
const ADMIN_END: Duration = Duration::from_secs(2);

/// Runs the server until a signal stops it.
pub fn run(path: &Path) -> Result<()> {
    let config = config::load(path)?;
    crate::owner::refuse_serving(&config)?;
    logging::start(&config.file.log)?;
    config.log_notices();
    disable_huge_pages();
    raise_file_limit();
    let runtime = Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(serve(config))
}

/// Disables transparent huge pages: with pages of 2 MiB, an idle server takes 10 MiB more than it uses. The allocator requests none, but the system may be
/// set to `always`.
fn disable_huge_pages() {
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        tracing::debug!(%error, "cannot disable huge pages; the server takes more memory");
    }
}

/// Raises the soft limit of open files to the hard limit: each session is a file, and the usual limit is 1024.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

async fn serve(config: Config) -> Result<()> {
    let mut signals = Signals::open()?;
    let mut running = Running::start(&config).await?;
    tracing::info!(hostname = %config.settings.hostname, data = %config.file.data_dir.display(), version = env!("CARGO_PKG_VERSION"), "{}", EventKind::Started.words());
    running.events.record(Event::new(EventKind::Started, Clock::system().now_ms()).fact(Fact::What, env!("CARGO_PKG_VERSION")));
    service_manager::ready();
    let result = run_until_stopped(&mut signals, &mut running).await;
    service_manager::stopping(running.grace() + STOP_MORE);
    tokio::select! {
        () = running.stop() => tracing::info!("{}", EventKind::Stopped.words()),
        () = signals.stop() => tracing::warn!("second signal to stop: sessions in progress were cut off; no accepted mail is lost"),
    }
    result
}

/// The running server.
pub struct Running {
    store: Store,
    server: Server,
    public: PublicHttp,
    certificates: Arc<ServerCertificates>,
    reloader: Arc<Reloader>,
    watch: Option<dns_watch::Watch>,
    health: health::HealthTask,
    disk: disk_watch::DiskWatch,
    notices: Arc<Notices>,
    metrics: metrics::MetricsListeners,
    admin: JoinHandle<std::io::Result<()>>,
    /// Dropping these ends the sockets.
    stop: Vec<oneshot::Sender<()>>,
    events: Events,
    history: Option<History>,
}

impl Running {
    /// Opens everything that the server needs, then starts to listen.
    pub async fn start(config: &Config) -> Result<Self> {
        let clock = Clock::system();
        let challenges = Challenges::default();
        let tls = server_tls(config, &challenges, &clock)?;
        let client_tls = ClientTls::new(config.file.tls.extra_authorities.as_deref())?;
        let resolver = resolver(config)?;
        let probed = resolver.clone();
        // Early, so that the log of the start shows what validates DNSSEC.
        tokio::spawn(async move { probed.validator().await });
        let data = &config.file.data_dir;
        let store = Store::open(data).map_err(|error| with_remedy(&error, data))?;
        sweep(&store, &clock).await?;
        // From here on, commands cannot open the data directory; they connect to the socket and wait until the server is up.
        let submit = bind_submit(&config.submit_socket()).await;
        let listener = control_api::bind(&config.admin_socket()).await.context("cannot open the admin socket")?;
        config::secrets::make(&config.file.srs_secrets())?;
        let password_key = Arc::new(config::secrets::password_key(&config.file.password_key())?);
        let settings = Arc::new(ArcSwap::from_pointee(config.with_secrets()?));
        let live = LiveDirectory::open(store.clone(), &config.settings.delimiters, config.settings.virtual_file.clone()).await?;
        let live = Arc::new(live);
        let shown = Arc::new(ArcSwap::from_pointee(PublicSettings::of(config)));
        let live_events = owner_page::LiveEvents::new();
        let counted = Arc::new(::metrics::Metrics::default());
        let notice_settings = NoticeSettings::of(&config.file).map_err(|error| anyhow!(error))?;
        let (noticed, to_notice) = NoticeSink::new();
        let history = history::start(config, &clock).await;
        let events = history::events(vec![counted.clone(), noticed, Arc::new(live_events.clone())], history.as_ref(), clock.now_ms());
        let certificates = ServerCertificates::new(tls.clone(), challenges, live.clone(), resolver.clone(), clock.clone(), events.clone());
        let reloader = Arc::new(Reloader::new(config, settings.clone(), live.clone(), shown.clone(), certificates.clone()));
        let releaser = Releaser::new(settings.clone(), store.clone(), live.clone(), clock.clone());
        let parts = Parts {
            settings: settings.clone(),
            listeners: config.listeners(),
            store: store.clone(),
            live: live.clone(),
            password_key: password_key.clone(),
            tls,
            client_tls,
            resolver: resolver.clone(),
            data: data.clone(),
            clock: clock.clone(),
            events: events.clone(),
        };
        let server = Server::start(parts).await?;
        let health = health::Health::default();
        let scraper = Scraper::new(ScrapeSource {
            metrics: counted,
            store: store.clone(),
            clock: clock.clone(),
            resolver: resolver.clone(),
            certificates: certificates.clone(),
            history: history.clone(),
            status: server.status(),
            pauses: server.pauses(),
        });
        let metrics = metrics::listen(config, &scraper).await?;
        let notices = Arc::new(Notices::start(config, notice_settings, to_notice, server.handles(), certificates.clone()));
        let parts = ServerParts {
            resolver: resolver.clone(),
            certificates: certificates.clone(),
            reloader: reloader.clone(),
            health: health.clone(),
            scraper,
            notices: notices.clone(),
        };
        let door = owner::open_door(&store, &live, &password_key, &events).await?;
        let context = ApiContext {
            door,
            page_url: config.page_url().filter(|_| certificates.tls().is_some()),
            store: store.clone(),
            live: live.clone(),
            password_key,
            clock,
            resolver: Some(resolver),
            report_facts: crate::dns_facts::report_facts(config),
            certificates: config.certificate_directories().certificates,
            events: events.clone(),
            history: history.clone(),
            control: Arc::new(ServerControl::new(&server, settings, releaser, parts)),
            shared: control_api::ApiShared::default(),
        };
        let page = owner::service(config, &context, &server, &live_events);
        let public = public::start(config, &certificates, live, shown, page)?;
        // After the public server is up, which the CA connects to.
        certificates.configure_renewal(config);
        let submit = submit.map(|listener| start_socket(config.submit_socket(), listener, control_api::submit_router(context.clone())).0);
        let mut stop = Vec::from_iter(submit);
        let router = control_api::operator_router(context);
        let health = health::start(health, config.path.clone(), router.clone());
        let watch = dns_watch::start(config, router.clone(), server.postmaster(), server.doubts(), events.clone());
        let disk = disk_watch::start(store.clone(), Clock::system(), events.clone());
        let (stop_admin, admin) = start_socket(config.admin_socket(), listener, router);
        stop.push(stop_admin);
        Ok(Self { store, server, public, certificates, reloader, watch, health, disk, notices, metrics, admin, stop, events, history })
    }

    /// Maximum time for deliveries in progress at a stop.
    fn grace(&self) -> Duration {
        self.server.shutdown_grace()
    }

    /// Stops the parts in order: the sockets first, so that commands get an error before the parts that they use are gone.
    pub async fn stop(self) {
        drop(self.stop);
        drop(self.public);
        drop(self.metrics);
        self.certificates.stop();
        self.notices.stop();
        drop((self.watch, self.disk, self.health));
        self.server.shut_down().await;
        self.events.record(Event::new(EventKind::Stopped, Clock::system().now_ms()));
        // Its task removes the socket.
        if !self.admin.is_finished() {
            let _ = tokio::time::timeout(ADMIN_END, self.admin).await;
        }
        if let Some(history) = self.history {
            history.close().await;
        }
    }
}

/// Moves content files without a row aside instead of deleting them: if the database is not the one that they belong to, they are all that is left of the
/// mail.
async fn sweep(store: &Store, clock: &Clock) -> Result<()> {
    let swept = store.sweep_orphans(clock.now_ms()).await.context("cannot scan the content directory")?;
    if swept.set_apart > 0 {
        tracing::warn!(
            files = swept.set_apart,
            "moved content files without a message to content/orphans: a crash leaves a few, of messages that were not accepted"
        );
    }
    if swept.removed > 0 {
        tracing::info!(files = swept.removed, "removed content files that were moved aside more than 30 days ago");
    }
    Ok(())
}

/// Opens the socket for mail of programs on this machine; the server also works without it.
async fn bind_submit(socket: &Path) -> Option<UnixListener> {
    match control_api::bind_for_all(socket).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(%error, "other users of this machine cannot use `waypost sendmail`; set submit_socket to another path, or create its directory");
            None
        }
    }
}

/// Starts the task of a socket, which ends when the sender is dropped.
fn start_socket(socket: PathBuf, listener: UnixListener, router: Router) -> (oneshot::Sender<()>, JoinHandle<std::io::Result<()>>) {
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(async move { control_api::serve(listener, router, &socket, shutdown).await });
    (stop, task)
}

async fn run_until_stopped(signals: &mut Signals, running: &mut Running) -> Result<()> {
    loop {
        tokio::select! {
            request = signals.next() => match request {
                SignalRequest::Stop => return Ok(()),
                // The result is in the log.
                SignalRequest::Reload => {
                    let reloaded = running.reloader.reload().await.unwrap_or_else(|error| error);
                    let event = Event::new(EventKind::ServerChanged, Clock::system().now_ms()).fact(Fact::What, "configuration");
                    running.events.record(event.fact(Fact::Change, reloaded).fact(Fact::Command, "SIGHUP"));
                }
            },
            thread = running.store.died() => {
                return Err(anyhow!(
                    "the thread {thread} of the store has panicked, and the server cannot accept mail without it\n  hint: the server exits, so that the \
                     service manager restarts it; no accepted mail is lost"
                ));
            }
            ended = &mut running.admin => {
                return ended.context("the task of the admin socket failed")?.context("the admin socket failed");
            }
        }
    }
}

/// What a signal requests.
#[derive(PartialEq, Eq)]
enum SignalRequest {
    Stop,
    Reload,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn open() -> Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            _ = self.terminate.recv() => SignalRequest::Stop,
            _ = self.interrupt.recv() => SignalRequest::Stop,
            _ = self.hangup.recv() => SignalRequest::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != SignalRequest::Stop {}
    }
}

/// Loads the configuration on a thread for blocking work.
async fn load_config(path: &Path) -> Result<Config> {
    let path = path.to_owned();
    Ok(net::blocking(move || config::load(&path)).await?)
}

/// Returns the resolver of this configuration.
pub fn resolver(config: &Config) -> Result<Resolver> {
    let servers: Vec<_> = config.file.dns.servers.iter().map(|server| server.0).collect();
    let validate = match config.file.dns.validate {
        ValidateWord::Auto => Validate::Auto,
        ValidateWord::Here => Validate::Here,
        ValidateWord::Upstream => Validate::Upstream,
        ValidateWord::Off => Validate::Off,
    };
    Ok(Resolver::new(&servers, validate, config.file.dns.trust_anchor.as_deref())?)
}
