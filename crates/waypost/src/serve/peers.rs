//! The other nodes of the database, which use the same certificates; and the task that takes what they have changed.
//!
//! Invariant: of the certificates that several nodes need, one node orders; the others get them from it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use net::acme::Peers;
use net::{ServerTls, blocking};
use store::{Duty, StoreError};
use tokio::task::JoinHandle;

use super::reload::Reloader;
use crate::shared_files::{FilesChanged, SharedFiles};

/// Time for which a node keeps the duty of ordering: half of it is believed, which is the time limit of one attempt.
const DUTY_FOR: Duration = Duration::from_secs(1800);

/// What the operator can do where another node orders.
const ORDERED_THERE: &str = "run this command there; this node gets the certificate from it within seconds. If that node ends, another one orders after at \
     most 35 seconds";

/// The same in the moment between two nodes.
const ENDED: &str = "the node that ordered this certificate has just ended: run this command again";

/// Pause after an error.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Those that use the same certificates; none over SQLite.
pub struct CertificatePeers(pub Option<Arc<SharedFiles>>);

impl CertificatePeers {
    /// The node that orders, if it is another one; its name is empty if it has just ended.
    async fn other(files: &SharedFiles, certificate: &str) -> Result<Option<String>, StoreError> {
        // A host's certificate that no other node needs: only this host can be validated.
        if certificate == files.hostname.as_str() && !files.hostname_is_shared().await? {
            return Ok(None);
        }
        if files.store.take_duty(Duty::Certificates, DUTY_FOR).await? {
            return Ok(None);
        }
        files.store.duty_owner(Duty::Certificates).await.map(|owner| Some(owner.unwrap_or_default()))
    }
}

impl Peers for CertificatePeers {
    fn may_order<'a>(&'a self, certificate: &'a str) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            let Some(files) = &self.0 else { return Ok(()) };
            match Self::other(files, certificate).await {
                Ok(None) => Ok(()),
                Ok(Some(node)) if node.is_empty() => Err(ENDED.into()),
                Ok(Some(node)) => Err(format!("node {node} orders this certificate: {ORDERED_THERE}")),
                Err(error) => {
                    tracing::warn!(%error, certificate, "cannot ask which node orders certificates; asking again later");
                    Err(format!("cannot ask which node orders certificates: {error}"))
                }
            }
        })
    }

    fn show(&self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async {
            let Some(files) = &self.0 else { return Ok(()) };
            files
                .show_challenges()
                .await
                .map_err(|error| format!("the other nodes cannot be told what the authority will ask: {error}"))?;
            Ok(())
        })
    }

    fn hide(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            let Some(files) = &self.0 else { return };
            if let Err(error) = files.hide_challenges().await {
                tracing::warn!(%error, "the other nodes still answer validations of an order that has ended; the next order ends this");
            }
        })
    }

    fn changed<'a>(&'a self, certificate: &'a str) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let Some(files) = &self.0 else { return };
            if let Err(error) = files.share_certificate(certificate).await {
                tracing::warn!(error = format!("{error:#}"), certificate, "the other nodes cannot get this certificate now; trying again");
            }
        })
    }
}

/// The task that takes what other nodes have changed; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct SharedFilesTask(JoinHandle<()>);

impl Drop for SharedFilesTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts the task.
pub(super) fn follow(files: Arc<SharedFiles>, reloader: Arc<Reloader>, tls: Option<ServerTls>) -> SharedFilesTask {
    SharedFilesTask(tokio::spawn(async move {
        let mut news = files.news();
        let mut known = None;
        loop {
            let shared = news.borrow_and_update().shared;
            if known != Some(shared) {
                match files.take().await {
                    Ok(changed) => {
                        known = Some(shared);
                        use_changed(changed, &reloader, tls.as_ref()).await;
                    }
                    Err(error) => {
                        tracing::warn!(error = format!("{error:#}"), "cannot take what other nodes have changed; trying again");
                        tokio::time::sleep(AGAIN_AFTER).await;
                        continue;
                    }
                }
            }
            if news.changed().await.is_err() {
                return;
            }
        }
    }))
}

async fn use_changed(changed: FilesChanged, reloader: &Reloader, tls: Option<&ServerTls>) {
    if let Some(others) = changed.other_hosts {
        tracing::info!(servers = others.len(), "the servers that share the mail have changed; the MTA-STS policy names them");
        reloader.beside(others).await;
    }
    if changed.secrets {
        // It logs what happens.
        let _ = reloader.reload().await;
    }
    if let Some(tls) = tls.filter(|_| changed.certificates) {
        let tls = tls.clone();
        blocking(move || tls.reload()).await;
        tracing::info!("a certificate from another node is in use");
    }
}
