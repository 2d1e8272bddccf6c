//! The parts of the running server: what is opened, started and stopped, in order.
//!
//! Invariant: nothing listens before everything that it needs is open; at a stop, nothing is closed before what uses it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use control_api::ApiContext;
use events::{Event, EventKind};
use mta::passwords::PasswordKey;
use mta::settings::LiveSettings;
use mta::{LiveDirectory, NodeSwitch, Parts, Releaser, Server};
use net::acme::Challenges;
use net::{ClientTls, Clock, Network, Resolver, ServerTls};
use public_http::PublicHttp;
use sandbox::Needs;
use store::Store;

use super::certificates::{OrderParts, ServerCertificates, server_tls};
use super::metrics::{MetricsListeners, ScrapeSource, Scraper};
use super::notices::Notices;
use super::observers::Observers;
use super::peers::{CertificatePeers, SharedFilesTask};
use super::public::PublicSettings;
use super::readiness::{Readiness, ReadinessWatch};
use super::reload::Reloader;
use super::sockets::{LocalSockets, OpenSockets};
use super::watches::Watches;
use super::{health, metrics, owner, peers, public};
use crate::config::{self, Config};
use crate::control::{ServerControl, ServerParts};
use crate::nodes::Nodes;
use crate::open_store::{explained, open_store};
use crate::shared_files::SharedFiles;

/// Maximum time to end the lease of this node at a stop.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// The running server.
pub struct Running {
    pub(super) store: Store,
    pub(super) reloader: Arc<Reloader>,
    pub(super) sockets: LocalSockets,
    pub(super) observers: Observers,
    server: Server,
    public: PublicHttp,
    certificates: Arc<ServerCertificates>,
    watches: Watches,
    notices: Arc<Notices>,
    metrics: MetricsListeners,
    readiness: ReadinessWatch,
    followed: Option<SharedFilesTask>,
}

/// What is open before anything listens.
struct OpenServer {
    clock: Clock,
    store: Store,
    settings: LiveSettings,
    live: Arc<LiveDirectory>,
    password_key: Arc<PasswordKey>,
    resolver: Resolver,
    tls: Option<ServerTls>,
    client_tls: ClientTls,
    challenges: Challenges,
    sockets: OpenSockets,
    node: NodeSwitch,
    shared_files: Option<Arc<SharedFiles>>,
}

impl OpenServer {
    async fn open(config: &Config) -> Result<Self> {
        let (clock, challenges) = (Clock::system(), Challenges::default());
        let client_tls = ClientTls::new(config.file.tls.extra_authorities.as_deref())?;
        let resolver = super::resolver(config)?;
        let probed = resolver.clone();
        // Early, so that the log of the start shows what validates DNSSEC.
        tokio::spawn(async move { probed.validator().await });
        let store = open_swept(config, &clock).await?;
        let shared_files = SharedFiles::new(config, &store, challenges.clone()).map(Arc::new);
        if let Some(files) = &shared_files {
            files.adopt().await?;
        }
        let tls = server_tls(config, &challenges, &clock)?;
        // From here on, commands cannot open the data directory; they connect to the socket and wait until the server is up.
        let sockets = OpenSockets::bind(config).await?;
        config::secrets::make(&config.file.srs_secrets())?;
        let password_key = Arc::new(config::secrets::password_key(&config.file.password_key())?);
        let settings = Arc::new(ArcSwap::from_pointee(config.with_secrets()?));
        let live = LiveDirectory::open(store.clone(), &config.settings.delimiters, config.settings.virtual_file.clone()).await?;
        let node = node_switch(config, &store).await;
        Ok(Self {
            clock,
            store,
            settings,
            live: Arc::new(live),
            password_key,
            resolver,
            tls,
            client_tls,
            challenges,
            sockets,
            node,
            shared_files,
        })
    }

    /// What the mail server is built from.
    fn parts(&self, config: &Config, observers: &Observers) -> Parts {
        Parts {
            settings: self.settings.clone(),
            listeners: config.listeners(),
            store: self.store.clone(),
            live: self.live.clone(),
            password_key: self.password_key.clone(),
            tls: self.tls.clone(),
            proxies: config.proxies(),
            node: self.node.clone(),
            client_tls: self.client_tls.clone(),
            network: Network::system(),
            resolver: self.resolver.clone(),
            data: config.file.data_dir.clone(),
            clock: self.clock.clone(),
            events: observers.events.clone(),
        }
    }

    fn scraper(
        &self,
        server: &Server,
        certificates: &Arc<ServerCertificates>,
        observers: &Observers,
        readiness: &Readiness,
    ) -> Arc<Scraper> {
        Scraper::new(ScrapeSource {
            metrics: observers.counted.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            resolver: self.resolver.clone(),
            certificates: certificates.clone(),
            history: observers.history.clone(),
            status: server.status(),
            pauses: server.pauses(),
            node: self.node.clone(),
            readiness: readiness.clone(),
        })
    }
}

impl Running {
    /// Opens everything that the server needs, then starts to listen. `granted` is what the process is restricted to, if it is.
    pub async fn start(config: &Config, granted: Option<Needs>) -> Result<Self> {
        // First: health checks are answered while the queue is being opened.
        let readiness = Readiness::default();
        let metrics = metrics::listen(config, &readiness).await?;
        let opened = OpenServer::open(config).await?;
        let (observers, pending_notices) = Observers::start(config, &opened.clock).await?;
        let OpenServer { clock, store, settings, live, .. } = &opened;
        let shown = Arc::new(ArcSwap::from_pointee(PublicSettings::of(
            config,
            opened.shared_files.as_ref().map(|files| files.other_hosts()).unwrap_or_default(),
        )));
        let orders = OrderParts {
            challenges: opened.challenges.clone(),
            peers: Arc::new(CertificatePeers(opened.shared_files.clone())),
            live: live.clone(),
            resolver: opened.resolver.clone(),
            clock: clock.clone(),
            events: observers.events.clone(),
        };
        let certificates = ServerCertificates::new(opened.tls.clone(), orders);
        let reloading = (settings.clone(), live.clone(), shown.clone());
        let reloader = Arc::new(Reloader::new(config, granted, reloading, certificates.clone(), opened.shared_files.clone()));
        let server = Server::start(opened.parts(config, &observers)).await?;
        let scraper = opened.scraper(&server, &certificates, &observers, &readiness);
        metrics.show(scraper.clone());
        let notices = pending_notices.start(config, server.handles(), certificates.clone());
        let health = health::Health::default();
        let parts = ServerParts {
            resolver: opened.resolver.clone(),
            certificates: certificates.clone(),
            reloader: reloader.clone(),
            health: health.clone(),
            scraper,
            notices: notices.clone(),
            nodes: Nodes::new(store, &config.settings.hostname, opened.node.clone(), Some(clock.now_ms())),
            shared_files: opened.shared_files.clone(),
        };
        let releaser = Releaser::new(settings.clone(), store.clone(), live.clone(), clock.clone());
        let context = ApiContext {
            door: owner::open_door(store, live, &opened.password_key, &observers.events).await?,
            page_url: config.page_url().filter(|_| certificates.tls().is_some()),
            store: store.clone(),
            live: live.clone(),
            password_key: opened.password_key.clone(),
            clock: clock.clone(),
            resolver: Some(opened.resolver.clone()),
            report_facts: crate::dns_facts::report_facts(config),
            certificates: config.certificate_directories().certificates,
            events: observers.events.clone(),
            history: observers.history.clone(),
            control: Arc::new(ServerControl::new(&server, settings.clone(), releaser, parts)),
            shared: control_api::ApiShared::default(),
        };
        let page = owner::service(config, &context, &server, &observers.live);
        let public = public::start(config, &certificates, live.clone(), shown, page, &readiness)?;
        // After the public server is up, which the CA connects to.
        certificates.configure_renewal(config);
        let watches = Watches::start(config, health, &context, &server);
        let followed = opened.shared_files.clone().map(|files| peers::follow(files, reloader.clone(), opened.tls.clone()));
        let OpenServer { store, sockets, node, .. } = opened;
        let sockets = sockets.serve(context);
        let readiness = readiness.begin(store.clone(), node);
        Ok(Self { store, reloader, sockets, observers, server, public, certificates, watches, notices, metrics, readiness, followed })
    }

    /// Maximum time for deliveries in progress at a stop.
    pub(super) fn grace(&self) -> Duration {
        self.server.shutdown_grace()
    }

    /// Stops the parts in order: the sockets first, so that commands get an error before the parts that they use are gone; the history last.
    pub async fn stop(self) {
        let admin = self.sockets.stop();
        drop((self.readiness, self.public, self.followed));
        self.certificates.stop();
        self.notices.stop();
        drop(self.watches);
        self.server.shut_down().await;
        // The other nodes take over now, and not when the lease would end.
        match tokio::time::timeout(LEAVE_WITHIN, self.store.leave()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease of this node ends by itself, within 30 seconds"),
            Err(_) => tracing::warn!("the database does not answer: the lease of this node ends by itself, within 30 seconds"),
        }
        // Until here, health checks say that the server is alive and not ready.
        drop(self.metrics);
        self.observers.events.record(Event::new(EventKind::Stopped, Clock::system().now_ms()));
        admin.ended().await;
        self.observers.close().await;
    }
}

/// Returns whether this server takes new mail, as the last process left it.
async fn node_switch(config: &Config, store: &Store) -> NodeSwitch {
    let (data, store) = (config.file.data_dir.clone(), store.clone());
    let node = net::blocking(move || NodeSwitch::open(&data, &store)).await;
    if node.is_drained() {
        tracing::warn!("this server is drained: it takes no new mail until `waypost node resume`");
    }
    node
}

async fn open_swept(config: &Config, clock: &Clock) -> Result<Store> {
    let store = open_store(config).await.map_err(|error| explained(&error, config))?;
    sweep(&store, clock).await?;
    Ok(store)
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
