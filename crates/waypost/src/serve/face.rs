//! Certificates and the public face: TLS for all listeners, HTTP and HTTPS, the renewal.
//!
//! Invariant: passwords are never taken without TLS; the face is up before an authority is asked to look at it.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use control_api::{Certificates, RenewCertificates};
use mta::LiveDirectory;
use mta::settings::ListenerKind;
use net::acme::{Acme, Challenges, Hosted, Parts};
use net::{Clock, Resolver, ServerTls};
use public_http::Web;
use public_http::pages::Pages;

use super::public::{Known, LivePublic};
use crate::commands::setup::make_certificate;
use crate::config::Config;

/// What shows itself to the world beside mail. It ends when this is dropped.
pub struct Face {
    _web: Web,
}

/// The certificates of a running server: those that it shows, and their renewal. A reload changes both.
pub struct Certified {
    tls: Option<ServerTls>,
    challenges: Challenges,
    live: Arc<LiveDirectory>,
    resolver: Resolver,
    clock: Clock,
    renewal: Mutex<Option<(String, Acme)>>,
}

impl Certified {
    /// Nothing is renewed yet.
    pub fn new(
        (tls, challenges): (Option<ServerTls>, Challenges),
        (live, resolver, clock): (&Arc<LiveDirectory>, &Resolver, &Clock),
    ) -> Arc<Self> {
        let (live, resolver, clock) = (live.clone(), resolver.clone(), clock.clone());
        Arc::new(Self { tls, challenges, live, resolver, clock, renewal: Mutex::default() })
    }

    /// Shows the certificates that the configuration names from now on.
    ///
    /// # Errors
    /// One of them does not load: all stay as they are.
    pub fn show(&self, config: &Config) -> Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let mut sources = config.certificate_sources();
        if sources.default.is_none() && config.acme().is_some() {
            make_certificate(config)?;
            sources = config.certificate_sources();
        }
        tls.replace(&sources).context("the certificate cannot be used; the one before stays in use")
    }

    /// Whether certificates can be shown at all: listeners that were opened without TLS go on so.
    pub fn can_show(&self) -> bool {
        self.tls.is_some()
    }

    /// Renews as the configuration says; an order under way is not cut off.
    pub fn renew(&self, config: &Config) {
        let hostname = config.settings.hostname.clone();
        let wanted = config.acme().zip(self.tls.clone());
        let mut renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((settings, tls)) = wanted else {
            if let Some((_, acme)) = renewal.take() {
                acme.end();
            }
            return;
        };
        let said = format!("{settings:?} {hostname}");
        if renewal.as_ref().is_some_and(|(before, _)| *before == said) {
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
        let before = renewal.take().map(|(_, acme)| acme);
        *renewal = Some((said, Acme::start_after(before, parts)));
    }

    fn renewer(&self) -> Option<RenewCertificates> {
        let renewer = self.renewal.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, acme)| acme.renewer())?;
        Some(Arc::new(move |name, force| {
            let renewer = renewer.clone();
            Box::pin(async move { renewer.renew(name, force).await })
        }))
    }

    /// What the commands may ask for.
    pub fn certificates(self: &Arc<Self>, config: &Config) -> Certificates {
        let (tls, renewal) = (self.tls.clone(), self.clone());
        let in_use = Arc::new(move || Ok(tls.as_ref().map(ServerTls::in_use).unwrap_or_default()));
        let renewer = Arc::new(move || renewal.renewer());
        Certificates { in_use, directory: config.certificate_directories().certificates, renewer }
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
        make_certificate(config)?;
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

impl Face {
    /// Listens; then the certificates are looked after.
    pub fn start(config: &Config, certified: &Certified, public: LivePublic) -> Result<Self> {
        let [http, https] = config.web_addresses();
        let (tls, challenges) = (certified.tls.clone(), certified.challenges.clone());
        let pages = Pages(Arc::new(Known { public, live: certified.live.clone(), tls: tls.clone() }));
        let web = Web::start(public_http::Parts { http, https, tls, challenges, pages }).context("the web listeners cannot be opened")?;
        certified.renew(config);
        Ok(Self { _web: web })
    }
}

/// The same where no server runs: what there is on disk.
pub fn certificates_on_disk(config: &Config) -> Certificates {
    let (sources, directory) = (config.certificate_sources(), config.certificate_directories().certificates);
    let in_use = Arc::new(move || match net::certificates_of(&sources, &Clock::system()) {
        Err(net::TlsError::None) => Ok(Vec::new()),
        other => other.map_err(|e| e.to_string()),
    });
    Certificates { in_use, directory, renewer: Arc::new(|| None) }
}
