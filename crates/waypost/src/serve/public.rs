//! The public HTTP server: what its pages show of directory, configuration and certificates.
//!
//! Invariant: no page gets the targets of an alias; what follows from them, only with `client_config.reveal_provider`.

use std::sync::Arc;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use axum::Router;
use mail::{Domain, Mailbox};
use mta::LiveDirectory;
use net::ServerTls;
use public_http::pages::{PageFacts, Pages, PublicData};
use public_http::{OwnerService, PublicHttp};

use super::certificates::ServerCertificates;
use super::readiness::Readiness;
use crate::config::Config;

/// The settings of the pages, which a reload may change.
#[derive(Debug)]
pub struct PublicSettings {
    data: Arc<PublicData>,
    reveal_provider: bool,
    /// The other servers that share the mail: they are in the MTA-STS policy.
    others: Vec<Domain>,
}

/// The settings in effect, replaced by a reload.
pub type LivePublic = Arc<ArcSwap<PublicSettings>>;

impl PublicSettings {
    /// Returns the settings of this configuration, and of the other servers that share the mail.
    pub fn of(config: &Config, others: Vec<Domain>) -> Self {
        Self { data: Arc::new(config.public_data(&others)), reveal_provider: config.file.client_config.reveal_provider, others }
    }

    /// Returns the settings after a reload; the ports remain those of the start, as the listeners do.
    pub fn after(&self, config: &Config) -> Self {
        self.beside(config, self.others.clone())
    }

    /// The same, with other servers.
    pub fn beside(&self, config: &Config, others: Vec<Domain>) -> Self {
        let (submissions, submission) = (self.data.submissions, self.data.submission);
        let data = Arc::new(PublicData { submissions, submission, ..config.public_data(&others) });
        Self { data, ..Self::of(config, others) }
    }
}

/// Listens for HTTP and HTTPS; the owner's page is served at the addresses that the configuration names. The server ends when the value is dropped.
///
/// # Errors
/// An address that the configuration names cannot be used.
pub fn start(
    config: &Config,
    certificates: &ServerCertificates,
    live: Arc<LiveDirectory>,
    public: LivePublic,
    owner: Router,
    readiness: &Readiness,
) -> Result<PublicHttp> {
    let [http, https] = config.web_addresses();
    let addresses = config.owner_addresses();
    let is_off = addresses.as_ref().is_some_and(|addresses| addresses.list.is_empty());
    let owner = (!is_off).then_some(OwnerService { router: owner, addresses });
    let (tls, challenges) = (certificates.tls().cloned(), certificates.challenges().clone());
    let pages = Pages(Arc::new(PublicFacts { public, live, tls: tls.clone() }));
    let (proxies, is_ready) = (config.proxies(), readiness.probe());
    PublicHttp::start(public_http::Parts { http, https, tls, proxies, is_ready, challenges, pages, owner })
        .context("cannot listen for HTTP or HTTPS")
}

/// The facts for pages of a running server.
struct PublicFacts {
    public: LivePublic,
    live: Arc<LiveDirectory>,
    tls: Option<ServerTls>,
}

impl PageFacts for PublicFacts {
    fn data(&self) -> Arc<PublicData> {
        self.public.load().data.clone()
    }

    fn hosts(&self, domain: &str) -> bool {
        Domain::parse(domain).is_ok_and(|domain| self.live.current().hosts(&domain))
    }

    fn imap_host_of(&self, address: &Mailbox) -> Option<String> {
        if self.public.load().reveal_provider { self.live.current().imap_host(address) } else { None }
    }

    fn signed(&self, profile: &[u8]) -> Option<Vec<u8>> {
        let signed = self.tls.as_ref()?.signed(&self.data().hostname, profile);
        signed.inspect_err(|error| tracing::warn!(%error, "cannot sign a profile")).ok()
    }
}
