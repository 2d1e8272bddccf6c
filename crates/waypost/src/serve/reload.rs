//! Reloads the configuration of a running server.
//!
//! Invariant: an invalid configuration changes nothing (threats.md 85); the result names what needs a restart.

use std::path::PathBuf;
use std::sync::Arc;

use ::sandbox::Needs;
use arc_swap::ArcSwap;
use control_api::ReloadFault;
use mail::Domain;
use mta::settings::LiveSettings;
use mta::{DirectoryError, LiveDirectory};
use net::blocking;
use tokio::sync::Mutex;

use super::certificates::ServerCertificates;
use super::public::LivePublic;
use super::sandbox;
use super::{service_manager, startup_check};
use crate::config::{self, Config};
use crate::shared_files::SharedFiles;

/// Reloads the configuration.
pub struct Reloader {
    path: PathBuf,
    /// What the process is restricted to; `None`: nothing.
    granted: Option<Needs>,
    settings: LiveSettings,
    live: Arc<LiveDirectory>,
    public: LivePublic,
    certificates: Arc<ServerCertificates>,
    /// What other nodes get too.
    shared_files: Option<Arc<SharedFiles>>,
    /// The configuration in effect.
    current: ArcSwap<Config>,
    /// The settings of the start that only a restart changes.
    started: Mutex<Vec<(&'static str, String)>>,
}

impl Reloader {
    /// Makes the reloader of a server that was started with this configuration.
    pub fn new(
        config: &Config,
        granted: Option<Needs>,
        (settings, live, public): (LiveSettings, Arc<LiveDirectory>, LivePublic),
        certificates: Arc<ServerCertificates>,
        shared_files: Option<Arc<SharedFiles>>,
    ) -> Self {
        let started = Mutex::new(fixed(config, certificates.tls().is_some()));
        let current = ArcSwap::from_pointee(config.clone());
        Self { path: config.path.clone(), granted, settings, live, public, certificates, shared_files, current, started }
    }

    /// Returns the configuration in effect.
    pub fn config(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Reads the file again. Returns what is in effect now, or why the old configuration stays; both are logged.
    pub async fn reload(&self) -> Result<String, ReloadFault> {
        let started = self.started.lock().await;
        service_manager::reloading();
        let result = self.try_reload(&started).await;
        match &result {
            Ok(message) => tracing::info!("{message}"),
            Err(ReloadFault::Configuration(error)) => {
                tracing::error!(error, "cannot use the new configuration; the old one stays in effect");
            }
            Err(fault) => tracing::error!("the configuration was not read again; {fault}"),
        }
        service_manager::ready();
        result
    }

    /// Takes the other servers that share the mail now, which the MTA-STS policy names.
    pub async fn beside(&self, others: Vec<Domain>) {
        // Not while a reload has replaced one of the two and not the other.
        let _reloads = self.started.lock().await;
        self.public.store(Arc::new(self.public.load().beside(&self.config(), others)));
    }

    async fn try_reload(&self, started: &[(&'static str, String)]) -> Result<String, ReloadFault> {
        let (path, granted) = (self.path.clone(), self.granted.clone());
        let config = blocking(move || {
            let file = granted.as_ref().and_then(|_| config::options_of(&path));
            if let Some(beyond) = granted.zip(file).and_then(|(granted, file)| sandbox::beyond(&granted, &path, &file)) {
                return Err(beyond);
            }
            let config = config::load(&path).map_err(|e| e.to_string())?;
            startup_check::run(&config).map_err(|e| e.to_string())?;
            Ok::<_, String>(config)
        })
        .await
        .map_err(ReloadFault::Configuration)?;
        let settings = &config.settings;
        let configured = self.live.configure(&settings.delimiters, settings.virtual_file.clone()).await;
        configured.map_err(|error| match error {
            DirectoryError::Store(error) => ReloadFault::Store(error),
            DirectoryError::File(why) => ReloadFault::Configuration(why),
        })?;
        let certificates = self.certificates.clone();
        let replaced = blocking(move || certificates.replace(&config).map(|()| config).map_err(|e| format!("{e:#}"))).await;
        let config = replaced.map_err(ReloadFault::Configuration)?;
        config.log_notices();
        self.settings.store(Arc::new(config.settings.clone()));
        self.public.store(Arc::new(self.public.load().after(&config)));
        self.certificates.configure_renewal(&config);
        self.current.store(Arc::new(config.clone()));
        let now = fixed(&config, self.certificates.tls().is_some());
        let waiting: Vec<&str> = now.iter().zip(started).filter(|(now, then)| now != then).map(|(now, _)| now.0).collect();
        if let Some(files) = &self.shared_files
            && let Err(error) = files.share_edited().await
        {
            tracing::warn!(error = format!("{error:#}"), "the other nodes cannot get the secrets of this one now; reload again later");
        }
        let mut message = format!("{} is in effect", self.path.display());
        if !waiting.is_empty() {
            message.push_str(&format!("; restart the server to change {}", waiting.join(", ")));
        }
        Ok(message)
    }
}

/// Returns the settings that only a restart changes, by name.
fn fixed(config: &Config, has_tls: bool) -> Vec<(&'static str, String)> {
    let file = &config.file;
    let sources = config.certificate_sources();
    let without_tls = (!has_tls).then(|| ("[tls]", format!("{:?} {:?}", sources.default, sources.pairs)));
    let all = [
        ("data_dir", file.data_dir.display().to_string()),
        ("admin_socket", config.admin_socket().display().to_string()),
        ("submit_socket", config.submit_socket().display().to_string()),
        (
            "[listen]",
            format!("{:?} {:?} {:?} {:?}", config.listeners(), config.web_addresses(), config.owner_addresses(), config.proxies()),
        ),
        ("tls.extra_authorities", format!("{:?}", file.tls.extra_authorities)),
        ("submission.password_key_file", file.password_key().display().to_string()),
        ("[store]", store_settings(config)),
        ("[dns]", format!("{:?} {:?} {:?}", file.dns.servers, file.dns.validate, file.dns.trust_anchor)),
        ("[sandbox]", format!("{:?}", file.sandbox)),
        ("[history]", format!("{} {} {} {}", file.history.enabled, file.history.days.0, file.history.max_mib.0, file.history.subjects)),
        ("[notices]", format!("{:?}", file.notices)),
        ("[log]", format!("{:?} {}", file.log.format, file.log.level.get_ref())),
    ];
    all.into_iter().chain(without_tls).collect()
}

/// The settings of the store. The address may differ in its password alone; it is compared and never shown.
fn store_settings(config: &Config) -> String {
    let store = &config.file.store;
    let url = store.url.as_ref().map(|url| url.get_ref().0.with_password());
    let password_file = store.password_file.as_ref().map(toml::Spanned::get_ref);
    format!("{url:?} {password_file:?} {:?} {}", url.map(|_| config.node_name()), store.accept_loss)
}

#[cfg(test)]
mod tests {
    use super::super::certificates::OrderParts;
    use super::super::public::PublicSettings;
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn a_reload_applies_a_valid_file_and_no_invalid_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("waypost.toml");
        fs::write(&path, "hostname = \"a.example\"\n").unwrap();
        let config = config::load(&path).unwrap();
        let settings: LiveSettings = Arc::new(ArcSwap::from_pointee(config.settings.clone()));
        let store = store::Store::open(&dir.path().join("data")).unwrap();
        let live = Arc::new(LiveDirectory::open(store, "+", None).await.unwrap());
        let resolver = net::Resolver::of_servers(&["127.0.0.1:53".parse().unwrap()]).unwrap();
        let orders = OrderParts {
            challenges: net::acme::Challenges::default(),
            peers: Arc::new(super::super::peers::CertificatePeers(None)),
            live: live.clone(),
            resolver,
            clock: net::Clock::system(),
            events: events::Events::default(),
        };
        let certificates = ServerCertificates::new(None, orders);
        let public = Arc::new(ArcSwap::from_pointee(PublicSettings::of(&config, Vec::new())));
        let reloader = Reloader::new(&config, None, (settings.clone(), live.clone(), public), certificates, None);

        fs::write(&path, "hostname = \"b.example\"\nhostnam = 1\n").unwrap();
        let error = reloader.reload().await.unwrap_err().to_string();
        assert!(error.contains("waypost.toml:2:1: unknown key `hostnam`"), "{error}");
        fs::write(&path, "hostname = \"b.example\"\nvirtual_file = \"none\"\n").unwrap();
        assert!(reloader.reload().await.is_err());
        assert_eq!(settings.load().hostname.as_str(), "a.example");

        let other_store = "[store]\nurl = \"postgres://me@db.example/x\"\n";
        fs::write(&path, format!("hostname = \"b.example\"\nrecipient_delimiter = \"-\"\n[listen]\nmx = []\n{other_store}")).unwrap();
        let message = reloader.reload().await.unwrap();
        assert!(message.ends_with("is in effect; restart the server to change [listen], [store]"), "{message}");
        assert_eq!(settings.load().hostname.as_str(), "b.example");
        assert_eq!(live.current().contents().delimiters, "-");
    }
}
