//! The public HTTP server: what its pages show of directory, configuration and certificates.
//!
//! Invariant: where the mail of an alias goes never passes here, and what follows from it only with `client_config.reveal_provider`.

use std::sync::Arc;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use mail::{Domain, Mailbox};
use mta::LiveDirectory;
use net::ServerTls;
use public_http::Web;
use public_http::pages::{Facts, Pages, Shown};

use super::certificates::ServerCertificates;
use crate::config::Config;

/// What a reload may change.
#[derive(Debug)]
pub struct PublicSettings {
    shown: Arc<Shown>,
    reveal_provider: bool,
}

/// The same, replaced by a reload.
pub type LivePublic = Arc<ArcSwap<PublicSettings>>;

impl PublicSettings {
    /// As the configuration says.
    pub fn of(config: &Config) -> Self {
        Self { shown: Arc::new(config.shown()), reveal_provider: config.file.client_config.reveal_provider }
    }

    /// After a reload: the listeners, and so their ports, are those that the server was started with.
    pub fn after(&self, config: &Config) -> Self {
        let (submissions, submission) = (self.shown.submissions, self.shown.submission);
        let shown = Arc::new(Shown { submissions, submission, ..config.shown() });
        Self { shown, ..Self::of(config) }
    }
}

/// Listens for HTTP and HTTPS. The server ends when the value is dropped.
///
/// # Errors
/// An address that the configuration names cannot be used.
pub fn start(config: &Config, certificates: &ServerCertificates, live: Arc<LiveDirectory>, public: LivePublic) -> Result<Web> {
    let [http, https] = config.web_addresses();
    let (tls, challenges) = (certificates.tls().cloned(), certificates.challenges().clone());
    let pages = Pages(Arc::new(PublicFacts { public, live, tls: tls.clone() }));
    Web::start(public_http::Parts { http, https, tls, challenges, pages }).context("the web listeners cannot be opened")
}

/// The facts of a running server.
struct PublicFacts {
    public: LivePublic,
    live: Arc<LiveDirectory>,
    tls: Option<ServerTls>,
}

impl Facts for PublicFacts {
    fn shown(&self) -> Arc<Shown> {
        self.public.load().shown.clone()
    }

    fn hosts(&self, domain: &str) -> bool {
        Domain::parse(domain).is_ok_and(|domain| self.live.current().hosts(&domain))
    }

    fn imap_host_of(&self, address: &Mailbox) -> Option<String> {
        if self.public.load().reveal_provider { self.live.current().imap_host(address) } else { None }
    }

    fn signed(&self, profile: &[u8]) -> Option<Vec<u8>> {
        let signed = self.tls.as_ref()?.signed(&self.shown().hostname, profile);
        signed.inspect_err(|error| tracing::warn!(%error, "a profile could not be signed")).ok()
    }
}
