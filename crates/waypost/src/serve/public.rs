//! What the pages may know: the bridge from directory, configuration and certificates to the public face.
//!
//! Invariant: where the mail of an alias goes never passes here, and what follows from it only with `client_config.reveal_provider`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use mail::{Domain, Mailbox};
use mta::LiveDirectory;
use net::ServerTls;
use public_http::pages::{Facts, Shown};

use crate::config::Config;

/// What a reload may change.
#[derive(Debug)]
pub struct Public {
    shown: Arc<Shown>,
    reveal_provider: bool,
}

/// The same, replaced by a reload.
pub type LivePublic = Arc<ArcSwap<Public>>;

impl Public {
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

/// The facts of a running server.
pub struct Known {
    /// What a reload may change.
    pub public: LivePublic,
    /// The directory.
    pub live: Arc<LiveDirectory>,
    /// The certificates.
    pub tls: Option<ServerTls>,
}

impl Facts for Known {
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
