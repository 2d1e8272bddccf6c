//! Certificates and the public face: TLS for all listeners, HTTP and HTTPS, the renewal.
//!
//! Invariant: passwords are never taken without TLS; the face is up before an authority is asked to look at it.

use std::sync::Arc;

use admin::{Certificates, RenewCertificates};
use anyhow::{Context, Result, bail};
use mta::LiveDirectory;
use mta::settings::ListenerKind;
use net::acme::{Acme, Challenges, Hosted, Parts};
use net::{Clock, Resolver, ServerTls};
use web::Web;
use web::pages::Pages;

use super::public::{Known, LivePublic};
use crate::config::Config;
use crate::setup::make_certificate;

/// What shows itself to the world beside mail. It ends when this is dropped.
pub struct Face {
    _web: Web,
    acme: Option<Acme>,
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
    /// Listens, and begins to look after the certificates.
    pub fn start(
        config: &Config,
        (tls, challenges): (Option<ServerTls>, Challenges),
        (live, resolver, clock): (&Arc<LiveDirectory>, &Resolver, &Clock),
        public: LivePublic,
    ) -> Result<Self> {
        let [http, https] = config.web_addresses();
        let pages = Pages(Arc::new(Known { public, live: live.clone(), tls: tls.clone() }));
        let web = Web::start(web::Parts { http, https, tls: tls.clone(), challenges: challenges.clone(), pages })
            .context("the web listeners cannot be opened")?;
        let acme = config.acme().zip(tls).map(|(settings, tls)| {
            let live = live.clone();
            let hosted: Hosted = Arc::new(move || live.current().contents().domains.iter().map(|d| d.name.clone()).collect());
            Acme::start(Parts {
                settings,
                directories: config.certificate_directories(),
                hostname: config.settings.hostname.clone(),
                hosted,
                tls,
                challenges,
                resolver: resolver.clone(),
                clock: clock.clone(),
            })
        });
        Ok(Self { _web: web, acme })
    }

    /// What the commands may ask for.
    pub fn certificates(&self, config: &Config, tls: Option<ServerTls>) -> Certificates {
        let renewer = self.acme.as_ref().map(Acme::renewer);
        let renew = renewer.map(|renewer| -> RenewCertificates {
            Arc::new(move |name, force| {
                let renewer = renewer.clone();
                Box::pin(async move { renewer.renew(name, force).await })
            })
        });
        let in_use = Arc::new(move || Ok(tls.as_ref().map(ServerTls::in_use).unwrap_or_default()));
        Certificates { in_use, directory: config.certificate_directories().certificates, renew }
    }
}

/// The same where no server runs: what there is on disk.
pub fn certificates_on_disk(config: &Config) -> Certificates {
    let (sources, directory) = (config.certificate_sources(), config.certificate_directories().certificates);
    let in_use = Arc::new(move || match net::certificates_of(&sources, &Clock::system()) {
        Err(net::TlsError::None) => Ok(Vec::new()),
        other => other.map_err(|e| e.to_string()),
    });
    Certificates { in_use, directory, renew: None }
}
