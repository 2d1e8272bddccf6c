//! Certificates from an authority that speaks ACME, and their renewal.
//!
//! RFC 8555, RFC 8737, RFC 9773. Invariant: whatever goes wrong, the certificate that is there stays in use.

mod account;
mod challenges;
pub(crate) mod files;
mod hook;
mod keys;
mod names;
mod order;
mod renew;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mail::Domain;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::resolver::Resolver;
use crate::tls::ServerTls;
pub use challenges::Challenges;
pub use files::{private_directory, write};
pub use keys::next_key_digest;
pub use state::{LeftOut, State, forget, has_order, states};

/// Let's Encrypt's directory.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Its directory for trials: nobody trusts what it issues, and its limits are wide.
pub const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// The longest wait between two looks at what is due: a domain that was added is seen after it.
const LOOK_AT_MOST: Duration = Duration::from_secs(60);

/// Requests that wait.
const REQUESTS: usize = 16;

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

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct AcmeSettings {
    /// The authority's directory.
    pub directory: String,
    /// Mail addresses that the authority may write to.
    pub contact: Vec<String>,
    /// How names are validated.
    pub challenge: Challenge,
    /// Certificates (PEM) that the authority's own HTTPS is trusted by, instead of the system's.
    pub authorities: Option<PathBuf>,
    /// Whether a renewed certificate has the key of the one before.
    pub keep_key: bool,
    /// Whether TLSA records are published: then the next key of the mail host is made ahead, and used once its record is in DNS.
    pub announce: bool,
}

/// The directories of a data directory.
#[derive(Debug, Clone)]
pub struct Directories {
    /// Accounts.
    pub accounts: PathBuf,
    /// Certificates, a directory each.
    pub certificates: PathBuf,
}

impl Directories {
    /// Those within a data directory.
    pub fn within(data: &Path) -> Self {
        Self { accounts: data.join("acme"), certificates: data.join("certificates") }
    }
}

/// The domains that are hosted now.
pub type Hosted = Arc<dyn Fn() -> Vec<Domain> + Send + Sync>;

/// What the renewal needs.
pub struct Parts {
    /// The operator's choice.
    pub settings: AcmeSettings,
    /// Where things are kept.
    pub directories: Directories,
    /// The server's own name.
    pub hostname: Domain,
    /// The hosted domains.
    pub hosted: Hosted,
    /// Uses what is issued.
    pub tls: ServerTls,
    /// Shared with [`ServerTls`] and with who answers over HTTP.
    pub challenges: Challenges,
    /// Finds out which names lead here.
    pub resolver: Resolver,
    /// The time.
    pub clock: Clock,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What came of one certificate that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The certificate.
    pub name: String,
    /// What was done, or what went wrong.
    pub result: Result<String, String>,
}

/// A request to try now.
#[derive(Debug)]
struct Request {
    /// One certificate; `None` for all.
    name: Option<String>,
    /// Even where it is not due.
    force: bool,
    done: oneshot::Sender<Vec<Outcome>>,
}

/// The running renewal; it ends when this is dropped.
#[derive(Debug)]
pub struct Acme {
    requests: mpsc::Sender<Request>,
    /// Taken out only by [`Acme::ending`].
    task: Option<JoinHandle<()>>,
}

impl Acme {
    /// Begins to look after the certificates.
    pub fn start(parts: Parts) -> Self {
        Self::start_after(None, parts)
    }

    /// The same, once the renewal before has ended: an order under way is not cut off.
    pub fn start_after(before: Option<Self>, parts: Parts) -> Self {
        let (requests, waiting) = mpsc::channel(REQUESTS);
        let before = before.and_then(Self::ending);
        let task = Some(tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            run(Arc::new(parts), waiting).await;
        }));
        Self { requests, task }
    }

    /// Begins no other order; the one under way goes on to its end.
    fn ending(mut self) -> Option<JoinHandle<()>> {
        self.task.take()
    }

    /// As [`Acme::ending`], for a renewal that none follows.
    pub fn end(self) {
        drop(self.ending());
    }

    /// A way to ask for a renewal now.
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

/// Asks for renewals.
#[derive(Debug, Clone)]
pub struct Renewer(mpsc::Sender<Request>);

impl Renewer {
    /// Tries now: one certificate or all, whatever the wait after a failure; with `force` also what is not due.
    pub async fn renew(&self, name: Option<String>, force: bool) -> Result<Vec<Outcome>, String> {
        let (done, answer) = oneshot::channel();
        self.0.send(Request { name, force, done }).await.map_err(|_| "the renewal has ended; look at the log".to_owned())?;
        answer.await.map_err(|_| "the renewal failed inside; look at the log".to_owned())
    }
}

async fn run(parts: Arc<Parts>, mut requests: mpsc::Receiver<Request>) {
    let mut request: Option<Request> = None;
    loop {
        let (name, force, done) = request.take().map_or((None, false, None), |r| (r.name, r.force, Some(r.done)));
        let (parts_of_pass, is_asked) = (parts.clone(), done.is_some());
        // A task of its own, so that a bug in it ends this round only.
        let pass = tokio::spawn(async move { renew::pass(&parts_of_pass, is_asked.then_some(name), force).await });
        match pass.await {
            Ok(outcomes) => drop(done.map(|done| done.send(outcomes))),
            Err(error) => tracing::error!(%error, "the renewal of certificates failed inside"),
        }
        match tokio::time::timeout(LOOK_AT_MOST, requests.recv()).await {
            Ok(None) => return,
            Ok(Some(next)) => request = Some(next),
            Err(_) => {}
        }
    }
}
