//! The process behind the control API: the running server, or a command that has opened the data directory itself.
//!
//! Invariant: both release and take mail by the same code of `mta`; what only a running server has is [`ControlError::NotRunning`] offline.

use std::collections::BTreeMap;
use std::sync::Arc;

use control_api::api::NoticeAnswer;
use control_api::api::{CheckQuery, DnsView, HealthFinding, HealthView, NodeView, ServerView, SubmissionFacts};
use control_api::{Control, ControlError, ControlFuture, DnsInputs, NodeChange, NodeFault, ReloadFault};
use mail::{Domain, Mailbox, QueueId, Reply};
use mta::settings::LiveSettings;
use mta::{
    Confirmation, Confirmations, ExplainRequest, Explainer, Explanation, LiveDirectory, NodeSwitch, OfflineParts, OwnChecks, Pauses,
    Releaser, Server, Status, Submission, Submitted, Submitter,
};
use net::acme::RenewalResult;
use net::{CertificateInUse, CertificateSources, ClientTls, Clock, Resolver, TlsError};
use store::{Store, StoreError};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::dns_state::DnsState;
use crate::nodes::Nodes;
use crate::serve::certificates::ServerCertificates;
use crate::serve::health::Health;
use crate::serve::metrics::Scraper;
use crate::serve::notices::{ChannelAnswer, Notices};
use crate::serve::reload::Reloader;
use crate::server_facts;
use crate::shared_files::SharedFiles;

/// What both have in common: settings, and the ways of a message into and out of the queue.
struct MailControl {
    settings: LiveSettings,
    releaser: Releaser,
    submitter: Submitter,
}

impl MailControl {
    fn message_max_bytes(&self) -> u64 {
        self.settings.load().limits.message_bytes
    }

    fn has_route(&self, domain: &Domain) -> bool {
        self.settings.load().delivery.routes.iter().any(|route| !route.is_last_resort && route.domains.contains(domain))
    }
}

/// A command without a running server.
pub struct OfflineControl {
    mail: MailControl,
    certificates: CertificateSources,
    dns: DnsState,
    explaining: Explaining,
    nodes: Nodes,
}

/// What an explanation needs; made when one is asked for, since it reads the trusted certificates.
struct Explaining {
    config: Config,
    store: Store,
    live: Arc<LiveDirectory>,
    clock: Clock,
}

impl Explaining {
    fn explainer(&self) -> anyhow::Result<Explainer> {
        let Self { config, store, live, clock } = self;
        // Without the secrets, which the first start makes, there are no return addresses yet.
        let settings = config.with_secrets().unwrap_or_else(|_| config.settings.clone());
        Ok(Explainer::offline(OfflineParts {
            settings: Arc::new(arc_swap::ArcSwap::from_pointee(settings)),
            store: store.clone(),
            directory: live.clone(),
            resolver: crate::serve::resolver(config)?,
            tls: ClientTls::new(config.file.tls.extra_authorities.as_deref())?,
            data: config.file.data_dir.clone(),
            clock: clock.clone(),
        }))
    }
}

impl OfflineControl {
    /// Over the data directory of this configuration.
    pub fn new(config: &Config, store: &Store, live: &Arc<LiveDirectory>, clock: &Clock) -> Self {
        let settings: LiveSettings = Arc::new(arc_swap::ArcSwap::from_pointee(config.settings.clone()));
        let names = Arc::new(control_api::is_local_user);
        let releaser = Releaser::new(settings.clone(), store.clone(), live.clone(), clock.clone());
        let submitter = Submitter::offline(settings.clone(), store.clone(), live.clone(), clock.clone(), names);
        let explaining = Explaining { config: config.clone(), store: store.clone(), live: live.clone(), clock: clock.clone() };
        let nodes = Nodes::new(store, &config.settings.hostname, NodeSwitch::open(&config.file.data_dir, store), None);
        Self {
            mail: MailControl { settings, releaser, submitter },
            certificates: config.certificate_sources(),
            dns: DnsState::default(),
            explaining,
            nodes,
        }
    }
}

impl Control for OfflineControl {
    fn status(&self) -> serde_json::Value {
        serde_json::json!({ "running": false })
    }

    fn retry(&self) {}

    fn release(&self, id: QueueId, wrapped: bool) -> ControlFuture<'_, Result<QueueId, StoreError>> {
        Box::pin(self.mail.releaser.release(id, wrapped))
    }

    fn submit(&self, submission: Submission) -> ControlFuture<'_, Result<Submitted, Reply>> {
        Box::pin(self.mail.submitter.submit(submission))
    }

    fn message_max_bytes(&self) -> u64 {
        self.mail.message_max_bytes()
    }

    fn has_route(&self, domain: &Domain) -> bool {
        self.mail.has_route(domain)
    }

    fn confirmations(&self, _: &Mailbox, _: i64) -> Vec<Confirmation> {
        Vec::new()
    }

    fn pauses(&self) -> Option<&Pauses> {
        None
    }

    fn nodes(&self) -> ControlFuture<'_, Result<Vec<NodeView>, StoreError>> {
        Box::pin(self.nodes.views())
    }

    fn change_node<'a>(&'a self, name: &'a str, change: NodeChange) -> ControlFuture<'a, Result<bool, NodeFault>> {
        Box::pin(self.nodes.change(name, change))
    }

    fn explain(&self, request: ExplainRequest) -> ControlFuture<'_, Result<Explanation, ControlError>> {
        Box::pin(async move {
            let explainer = self.explaining.explainer().map_err(|error| ControlError::Failed(format!("{error:#}")))?;
            Ok(explainer.explain(request).await)
        })
    }

    fn test_notices(&self, _: Option<String>) -> ControlFuture<'_, Result<Vec<NoticeAnswer>, ControlError>> {
        Box::pin(async { Err(ControlError::NotRunning) })
    }

    fn reload(&self) -> ControlFuture<'_, Result<String, ReloadFault>> {
        Box::pin(async { Err(ReloadFault::NotRunning) })
    }

    fn certificates(&self) -> Result<Vec<CertificateInUse>, String> {
        match net::certificates_of(&self.certificates, &Clock::system()) {
            Err(TlsError::None) => Ok(Vec::new()),
            other => other.map_err(|e| e.to_string()),
        }
    }

    fn renew(&self, _: Option<String>, _: bool) -> ControlFuture<'_, Result<Vec<RenewalResult>, ControlError>> {
        Box::pin(async { Err(ControlError::NotRunning) })
    }

    fn health(&self) -> Option<HealthView> {
        None
    }

    fn check_health(&self) -> bool {
        false
    }

    fn dns(&self, inputs: DnsInputs) -> ControlFuture<'_, Result<DnsView, String>> {
        Box::pin(self.dns.view(&self.explaining.config, inputs))
    }

    fn server(&self) -> ServerView {
        server_facts::server(&self.explaining.config)
    }

    fn submission(&self) -> SubmissionFacts {
        server_facts::submission(&self.explaining.config)
    }
}

/// What the running server is controlled through, besides its mail.
pub struct ServerParts {
    /// DNS.
    pub resolver: Resolver,
    /// The certificates, and their renewal.
    pub certificates: Arc<ServerCertificates>,
    /// Reads the configuration again.
    pub reloader: Arc<Reloader>,
    /// Notices to the owner.
    pub notices: Arc<Notices>,
    /// What the server's own checks find.
    pub health: Health,
    /// The metrics.
    pub scraper: Arc<Scraper>,
    /// This node.
    pub nodes: Nodes,
    /// What the nodes of one database share, if there may be others.
    pub shared_files: Option<Arc<SharedFiles>>,
}

/// The running server.
pub struct ServerControl {
    mail: MailControl,
    parts: ServerParts,
    dns: DnsState,
    confirmations: Confirmations,
    own_checks: OwnChecks,
    explainer: Explainer,
    pauses: Pauses,
    retry: Arc<dyn Fn() + Send + Sync>,
    status: Arc<dyn Fn() -> Status + Send + Sync>,
}

impl ServerControl {
    /// Of this server.
    pub fn new(server: &Server, settings: LiveSettings, releaser: Releaser, parts: ServerParts) -> Self {
        let submitter = server.submitter(Arc::new(control_api::is_local_user));
        Self {
            mail: MailControl { settings, releaser, submitter },
            parts,
            dns: DnsState::default(),
            confirmations: server.confirmations(),
            own_checks: server.own_checks(),
            explainer: server.explainer(),
            pauses: server.pauses(),
            retry: server.retrier(),
            status: server.status(),
        }
    }
}

impl Control for ServerControl {
    fn status(&self) -> serde_json::Value {
        let status = (self.status)();
        serde_json::json!({
            "running": true,
            "version": env!("CARGO_PKG_VERSION"),
            "drained": self.parts.nodes.is_drained(),
            "password_key_differs": self.parts.shared_files.as_ref().is_some_and(|files| files.has_other_key()),
            "sessions": status.sessions,
            "sessions_by_listener": BTreeMap::from(status.sessions_by_listener),
            "last_hour": BTreeMap::from_iter(self.parts.scraper.last_hour().rows),
            "in_flight": status.in_flight,
            "workers": status.workers,
            "connections": status.connections,
            "bugs": status.bugs,
            "signatures_broken": status.signatures_broken,
            "sts_testing_failures": status.sts_testing_failures,
            "dnssec": self.parts.resolver.known_validator().word(),
        })
    }

    fn retry(&self) {
        (self.retry)();
    }

    fn release(&self, id: QueueId, wrapped: bool) -> ControlFuture<'_, Result<QueueId, StoreError>> {
        Box::pin(self.mail.releaser.release(id, wrapped))
    }

    fn submit(&self, submission: Submission) -> ControlFuture<'_, Result<Submitted, Reply>> {
        Box::pin(self.mail.submitter.submit(submission))
    }

    fn message_max_bytes(&self) -> u64 {
        self.mail.message_max_bytes()
    }

    fn has_route(&self, domain: &Domain) -> bool {
        self.mail.has_route(domain)
    }

    fn confirmations(&self, address: &Mailbox, now_ms: i64) -> Vec<Confirmation> {
        self.confirmations.of(address, now_ms)
    }

    fn pauses(&self) -> Option<&Pauses> {
        Some(&self.pauses)
    }

    fn nodes(&self) -> ControlFuture<'_, Result<Vec<NodeView>, StoreError>> {
        Box::pin(self.parts.nodes.views())
    }

    fn change_node<'a>(&'a self, name: &'a str, change: NodeChange) -> ControlFuture<'a, Result<bool, NodeFault>> {
        Box::pin(self.parts.nodes.change(name, change))
    }

    fn metrics<'a>(&'a self, accept: &'a str) -> ControlFuture<'a, Result<(&'static str, String), ControlError>> {
        Box::pin(async move { Ok(self.parts.scraper.scrape(accept).await) })
    }

    fn explain(&self, request: ExplainRequest) -> ControlFuture<'_, Result<Explanation, ControlError>> {
        Box::pin(async move { Ok(self.explainer.explain(request).await) })
    }

    fn test_notices(&self, channel: Option<String>) -> ControlFuture<'_, Result<Vec<NoticeAnswer>, ControlError>> {
        Box::pin(async move {
            let view = |answer: ChannelAnswer| NoticeAnswer { channel: answer.channel.to_owned(), ok: answer.ok, answer: answer.answer };
            Ok(self.parts.notices.test(channel.as_deref()).await.into_iter().map(view).collect())
        })
    }

    fn reload(&self) -> ControlFuture<'_, Result<String, ReloadFault>> {
        Box::pin(self.parts.reloader.reload())
    }

    fn certificates(&self) -> Result<Vec<CertificateInUse>, String> {
        Ok(self.parts.certificates.in_use())
    }

    fn renew(&self, name: Option<String>, force: bool) -> ControlFuture<'_, Result<Vec<RenewalResult>, ControlError>> {
        Box::pin(async move {
            let renewer = self.parts.certificates.renewer().ok_or(ControlError::NotRunning)?;
            renewer.renew(name, force).await.map_err(ControlError::Failed)
        })
    }

    fn health(&self) -> Option<HealthView> {
        Some(self.parts.health.view())
    }

    fn check_health(&self) -> bool {
        self.parts.health.request();
        true
    }

    fn run_checks(&self, what: CheckQuery) -> Result<mpsc::UnboundedReceiver<HealthFinding>, ControlError> {
        self.parts.health.run(what)
    }

    fn check_name(&self) -> Option<String> {
        Some(self.own_checks.open())
    }

    fn dns(&self, inputs: DnsInputs) -> ControlFuture<'_, Result<DnsView, String>> {
        Box::pin(async move { self.dns.view(&self.parts.reloader.config(), inputs).await })
    }

    fn server(&self) -> ServerView {
        server_facts::server(&self.parts.reloader.config())
    }

    fn submission(&self) -> SubmissionFacts {
        server_facts::submission(&self.parts.reloader.config())
    }
}
