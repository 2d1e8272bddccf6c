//! The certificates of a running server: TLS for all listeners, and the renewal.
//!
//! Invariant: passwords are never taken without TLS.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use mta::LiveDirectory;
use mta::settings::ListenerKind;
use net::acme::{Acme, Challenges, Hosted, Parts, Renewer};
use net::{Clock, InUse, Resolver, ServerTls};

use crate::commands::setup::create_certificate;
use crate::config::Config;

/// The certificates that a running server shows, and their renewal. A reload changes both.
pub struct ServerCertificates {
    tls: Option<ServerTls>,
    challenges: Challenges,
    live: Arc<LiveDirectory>,
    resolver: Resolver,
    clock: Clock,
    renewal: Mutex<Option<Renewal>>,
}

/// A renewal under way.
struct Renewal {
    /// The settings that it was started with, as text.
    settings: String,
    acme: Acme,
}

impl ServerCertificates {
    /// Renews nothing yet.
    pub fn new(tls: Option<ServerTls>, challenges: Challenges, live: Arc<LiveDirectory>, resolver: Resolver, clock: Clock) -> Arc<Self> {
        Arc::new(Self { tls, challenges, live, resolver, clock, renewal: Mutex::default() })
    }

    /// Returns TLS for the listeners; `None` where they go without.
    pub fn tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    /// Returns the tokens by which an authority validates names.
    pub fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    /// Shows the certificates that the configuration names from now on. It reads files.
    ///
    /// # Errors
    /// One of them does not load: all stay as they are.
    pub fn replace(&self, config: &Config) -> Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let mut sources = config.certificate_sources();
        if sources.default.is_none() && config.acme().is_some() {
            create_certificate(config)?;
            sources = config.certificate_sources();
        }
        tls.replace(&sources).context("the certificate cannot be used; the one before stays in use")
    }

    /// Renews as the configuration says; an order under way is not cut off.
    pub fn configure_renewal(&self, config: &Config) {
        let hostname = config.settings.hostname.clone();
        let wanted = config.acme().zip(self.tls.clone());
        let mut renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
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
        let live = self.live.clone();
        let hosted: Hosted = Arc::new(move || live.current().contents().domains.iter().map(|d| d.name.clone()).collect());
        let parts = Parts {
            settings,
            directories: config.certificate_directories(),
            hostname,
            hosted,
            tls,
            challenges: self.challenges.clone(),
            resolver: self.resolver.clone(),
            clock: self.clock.clone(),
        };
        let before = renewal.take().map(|before| before.acme);
        *renewal = Some(Renewal { settings: text, acme: Acme::start_after(before, parts) });
    }

    /// Returns what renews on request; `None` where nothing is renewed.
    pub fn renewer(&self) -> Option<Renewer> {
        self.renewal.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|renewal| renewal.acme.renewer())
    }

    /// Returns the certificates in use. It may read files that have changed.
    pub fn in_use(&self) -> Vec<InUse> {
        self.tls.as_ref().map(ServerTls::in_use).unwrap_or_default()
    }

    /// Ends the renewal at once.
    pub fn stop(&self) {
        drop(self.renewal.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// TLS for the listeners; without it only mail from other servers can be taken.
pub fn server_tls(config: &Config, challenges: &Challenges, clock: &Clock) -> Result<Option<ServerTls>> {
    let load = |sources| ServerTls::new(&sources, challenges.clone(), clock.clone());
    let sources = config.certificate_sources();
    let issued = sources.issued.as_ref().is_some_and(|path| path.exists());
    if sources.default.is_some() || !sources.pairs.is_empty() || issued {
        return Ok(Some(load(sources)?));
    }
    if config.acme().is_some() {
        // The authority needs a while, and TLS with a certificate that nobody vouches for is better than none.
        create_certificate(config)?;
        return Ok(Some(load(config.certificate_sources())?));
    }
    if config.listeners().iter().any(|listener| listener.kind != ListenerKind::Mx) {
        bail!(
            "there is no certificate {}, and passwords are taken under TLS only\n  hint: `waypost setup DOMAIN` makes a pair; or name yours \
             under [tls] in {}; or turn the listeners off with submission = [] and submissions = []",
            config.certificate().display(),
            config.path.display()
        );
    }
    tracing::warn!("there is no certificate: mail from other servers comes in without TLS");
    Ok(None)
}
