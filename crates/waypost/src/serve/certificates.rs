//! The certificates of a running server: TLS for all listeners, and the renewal.
//!
//! Invariant: passwords are never accepted without TLS.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use events::Events;
use mta::LiveDirectory;
use mta::settings::ListenerKind;
use net::acme::{Acme, Challenges, Hosted, Peers, RenewalParts, Renewer};
use net::{CertificateInUse, Clock, Resolver, ServerTls};
use parking_lot::Mutex;

use crate::commands::setup::create_certificate;
use crate::config::Config;

/// What orders of certificates need.
pub struct OrderParts {
    /// The validations in progress.
    pub challenges: Challenges,
    /// The other nodes that use the same certificates.
    pub peers: Arc<dyn Peers>,
    /// The hosted domains.
    pub live: Arc<LiveDirectory>,
    /// Looks up the addresses of names.
    pub resolver: Resolver,
    /// The time.
    pub clock: Clock,
    /// Where events go.
    pub events: Events,
}

/// The certificates in use by a running server, and their renewal. A reload changes both.
pub struct ServerCertificates {
    tls: Option<ServerTls>,
    parts: OrderParts,
    renewal: Mutex<Option<RunningRenewal>>,
}

/// The task that renews certificates.
struct RunningRenewal {
    /// The settings that it was started with, as text.
    settings: String,
    acme: Acme,
}

impl ServerCertificates {
    /// Starts no renewal yet.
    pub fn new(tls: Option<ServerTls>, parts: OrderParts) -> Arc<Self> {
        Arc::new(Self { tls, parts, renewal: Mutex::default() })
    }

    /// Returns TLS for the listeners; `None` if they have none.
    pub fn tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    /// Returns the validations in progress.
    pub fn challenges(&self) -> &Challenges {
        &self.parts.challenges
    }

    /// Uses the certificates of this configuration from now on. It reads files.
    ///
    /// # Errors
    /// One of them does not load; the old ones stay in use.
    pub fn replace(&self, config: &Config) -> Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let mut sources = config.certificate_sources();
        if sources.default.is_none() && config.acme().is_some() {
            create_certificate(config)?;
            sources = config.certificate_sources();
        }
        tls.replace(&sources).context("cannot use the new certificate; the old one stays in use")
    }

    /// Renews by this configuration; an order in progress is not interrupted.
    pub fn configure_renewal(&self, config: &Config) {
        let hostname = config.settings.hostname.clone();
        let wanted = config.acme().zip(self.tls.clone());
        let mut renewal = self.renewal.lock();
        let Some((settings, tls)) = wanted else {
            if let Some(before) = renewal.take() {
                before.acme.end();
            }
            return;
        };
        let text = format!("{settings:?} {hostname}");
        if renewal.as_ref().is_some_and(|before| before.settings == text) {
            return;
        }
        let live = self.parts.live.clone();
        let hosted: Hosted = Arc::new(move || live.current().contents().domains.iter().map(|d| d.name.clone()).collect());
        let parts = RenewalParts {
            settings,
            directories: config.certificate_directories(),
            hostname,
            hosted,
            tls,
            challenges: self.parts.challenges.clone(),
            resolver: self.parts.resolver.clone(),
            clock: self.parts.clock.clone(),
            events: self.parts.events.clone(),
            peers: self.parts.peers.clone(),
        };
        let before = renewal.take().map(|before| before.acme);
        *renewal = Some(RunningRenewal { settings: text, acme: Acme::start_after(before, parts) });
    }

    /// Returns a handle to renew on request; `None` if nothing is renewed.
    pub fn renewer(&self) -> Option<Renewer> {
        self.renewal.lock().as_ref().map(|renewal| renewal.acme.renewer())
    }

    /// Returns the certificates in use. It may read files that have changed.
    pub fn in_use(&self) -> Vec<CertificateInUse> {
        self.tls.as_ref().map(ServerTls::in_use).unwrap_or_default()
    }

    /// Aborts the renewal.
    pub fn stop(&self) {
        drop(self.renewal.lock().take());
    }
}

/// Returns TLS for the listeners; without it, the server only accepts mail from other servers.
pub fn server_tls(config: &Config, challenges: &Challenges, clock: &Clock) -> Result<Option<ServerTls>> {
    let load = |sources| ServerTls::new(&sources, challenges.clone(), clock.clone());
    let sources = config.certificate_sources();
    let issued = sources.issued.as_ref().is_some_and(|path| path.exists());
    if sources.default.is_some() || !sources.pairs.is_empty() || issued {
        return Ok(Some(load(sources)?));
    }
    if config.acme().is_some() {
        // Until the CA has issued one, a self-signed certificate is better than no TLS.
        create_certificate(config)?;
        return Ok(Some(load(config.certificate_sources())?));
    }
    if config.listeners().iter().any(|listener| listener.kind != ListenerKind::Mx) {
        bail!(
            "the certificate {} does not exist, and passwords need TLS\n  hint: `waypost setup DOMAIN` creates one; or set yours under [tls] \
             in {}; or disable the listeners with submission = [] and submissions = []",
            config.certificate().display(),
            config.path.display()
        );
    }
    tracing::warn!("no certificate: mail from other servers is received without TLS");
    Ok(None)
}
