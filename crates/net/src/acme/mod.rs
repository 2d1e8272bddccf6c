//! Certificates from an ACME authority, and their renewal.
//!
//! RFC 8555, RFC 8737, RFC 9773. Invariant: whatever goes wrong, the current certificate stays in use.

mod account;
mod challenges;
pub(crate) mod files;
mod hook;
mod keys;
mod names;
mod order;
mod renew;
mod schedule;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use events::Events;
use futures_util::future::BoxFuture;
use mail::Domain;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::resolver::Resolver;
use crate::tls::ServerTls;
pub use challenges::{ActiveChallenge, Challenges};
pub use files::{CertificateDir, private_directory, write};
pub use keys::next_key_digest;
pub use state::{CertificateState, LeftOut, forget, has_order, states};

/// Let's Encrypt's directory.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Its staging directory: its certificates are not trusted, and its rate limits are high.
pub const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// Interval between two passes; an added domain is seen by the next one.
const PASS_INTERVAL: Duration = Duration::from_secs(60);

/// Maximum waiting requests.
const REQUESTS_MAX: usize = 16;

/// How a name is validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A file over HTTP, port 80.
    Http,
    /// A certificate over TLS, port 443.
    TlsAlpn,
    /// A TXT record, which this program adds and removes.
    Dns(PathBuf),
}

/// The operator's settings.
#[derive(Debug, Clone)]
pub struct AcmeSettings {
    /// The authority's directory URL.
    pub directory: String,
    /// Contact addresses for the authority.
    pub contact: Vec<String>,
    /// How names are validated.
    pub challenge: Challenge,
    /// Roots (PEM file) for the authority's own HTTPS, instead of the system's.
    pub authorities: Option<PathBuf>,
    /// Whether a renewed certificate keeps its key.
    pub keep_key: bool,
    /// Whether TLSA records are published: then the mail host's next key is made ahead, and used once its record is in DNS.
    pub announce: bool,
}

/// The directories of a data directory.
#[derive(Debug, Clone)]
pub struct Directories {
    /// Accounts.
    pub accounts: PathBuf,
    /// Certificates, one directory each.
    pub certificates: PathBuf,
}

impl Directories {
    /// Those within a data directory.
    pub fn within(data: &Path) -> Self {
        Self { accounts: data.join("acme"), certificates: data.join("certificates") }
    }
}

/// Returns the domains that are hosted now.
pub type Hosted = Arc<dyn Fn() -> Vec<Domain> + Send + Sync>;

/// What the renewal needs.
pub struct RenewalParts {
    /// The operator's settings.
    pub settings: AcmeSettings,
    /// Where files are kept.
    pub directories: Directories,
    /// The server's own name.
    pub hostname: Domain,
    /// The hosted domains.
    pub hosted: Hosted,
    /// Uses the issued certificates.
    pub tls: ServerTls,
    /// Shared with [`ServerTls`] and the HTTP listener.
    pub challenges: Challenges,
    /// Looks up the addresses of names.
    pub resolver: Resolver,
    /// The time.
    pub clock: Clock,
    /// Where events go.
    pub events: Events,
    /// The other servers that use the same certificates.
    pub peers: Arc<dyn Peers>,
}

/// The other servers that use the same certificates: one of them orders, and all answer the authority.
pub trait Peers: Send + Sync {
    /// Whether this server orders the certificate of this name now.
    ///
    /// # Errors
    /// Which one does, and what to do.
    fn may_order<'a>(&'a self, certificate: &'a str) -> BoxFuture<'a, Result<(), String>>;

    /// Lets the others answer the validations that this server answers now; returns when they do.
    fn show(&self) -> BoxFuture<'_, Result<(), String>>;

    /// No validation is under way any more.
    fn hide(&self) -> BoxFuture<'_, ()>;

    /// The files of a certificate, or of the account, may have changed.
    fn changed<'a>(&'a self, certificate: &'a str) -> BoxFuture<'a, ()>;
}

impl std::fmt::Debug for RenewalParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RenewalParts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The result for one requested certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalResult {
    /// The certificate.
    pub name: String,
    /// What was done, or why it failed.
    pub result: Result<String, String>,
}

/// A request to renew now.
#[derive(Debug)]
struct RenewalRequest {
    /// One certificate; `None` for all.
    name: Option<String>,
    /// Even if it is not due.
    force: bool,
    done: oneshot::Sender<Vec<RenewalResult>>,
}

/// The running renewal task; dropping this ends it.
#[derive(Debug)]
pub struct Acme {
    requests: mpsc::Sender<RenewalRequest>,
    /// Taken out only by [`Acme::ending`].
    task: Option<JoinHandle<()>>,
}

impl Acme {
    /// Starts renewing certificates.
    pub fn start(parts: RenewalParts) -> Self {
        Self::start_after(None, parts)
    }

    /// The same, once the previous renewal task has ended: a running order is completed.
    pub fn start_after(before: Option<Self>, parts: RenewalParts) -> Self {
        let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
        let before = before.and_then(Self::ending);
        let task = Some(tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            run(Arc::new(parts), waiting).await;
        }));
        Self { requests, task }
    }

    /// Begins no other order; a running one is completed.
    fn ending(mut self) -> Option<JoinHandle<()>> {
        self.task.take()
    }

    /// As [`Acme::ending`], without a successor.
    pub fn end(self) {
        drop(self.ending());
    }

    /// A handle that requests renewals.
    pub fn renewer(&self) -> Renewer {
        Renewer(self.requests.clone())
    }
}

impl Drop for Acme {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Requests renewals.
#[derive(Debug, Clone)]
pub struct Renewer(mpsc::Sender<RenewalRequest>);

impl Renewer {
    /// Renews now: one certificate or all, regardless of the wait after a failure; with `force` also those that are not due.
    pub async fn renew(&self, name: Option<String>, force: bool) -> Result<Vec<RenewalResult>, String> {
        let (done, answer) = oneshot::channel();
        self.0.send(RenewalRequest { name, force, done }).await.map_err(|_| "certificate renewal has stopped; see the log".to_owned())?;
        answer.await.map_err(|_| "internal error in certificate renewal; see the log".to_owned())
    }
}

async fn run(parts: Arc<RenewalParts>, mut requests: mpsc::Receiver<RenewalRequest>) {
    let mut request: Option<RenewalRequest> = None;
    loop {
        let (name, force, done) = request.take().map_or((None, false, None), |r| (r.name, r.force, Some(r.done)));
        let (parts_of_pass, is_asked) = (parts.clone(), done.is_some());
        // A task of its own, so that a panic ends this pass only.
        let pass = tokio::spawn(async move { renew::pass(&parts_of_pass, is_asked.then_some(name), force).await });
        match pass.await {
            Ok(outcomes) => drop(done.map(|done| done.send(outcomes))),
            Err(error) => tracing::error!(%error, "internal error in certificate renewal"),
        }
        match tokio::time::timeout(PASS_INTERVAL, requests.recv()).await {
            Ok(None) => return,
            Ok(Some(next)) => request = Some(next),
            Err(_) => {}
        }
    }
}
