//! Submits a message: through the running server's socket, or straight into the queue while no server runs.
//!
//! Invariant: without access to either, the exit code makes the caller keep the message.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use axum::body::Body;
use axum::extract::ConnectInfo;
use control_api::Peer;
use control_api::api::{Envelope, Failure, Taken};
use hyper::Request;
use nix::unistd::getuid;
use tokio::net::UnixStream;

use super::exit::SendmailError;
use crate::config::{self, Config, ConfigErrors, DEFAULT_SUBMIT_SOCKET};
use crate::owner;
use crate::transport::Transport;

/// Where messages are submitted.
#[derive(Debug)]
pub struct SubmitTarget {
    path: PathBuf,
    config: Result<Config, ConfigErrors>,
}

impl SubmitTarget {
    /// The target of a configuration; users who cannot read it get the default socket.
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), config: config::load(path) }
    }

    /// Maximum message size in octets, if known.
    pub fn max_bytes(&self) -> Option<u64> {
        self.config.as_ref().ok().map(|config| config.settings.limits.message_bytes)
    }

    /// The server's host name, if known.
    pub fn hostname(&self) -> Option<mail::Domain> {
        self.config.as_ref().ok().map(|config| config.settings.hostname.clone())
    }

    /// Submits a message.
    pub async fn send(&self, envelope: &Envelope, content: &[u8]) -> Result<Taken, SendmailError> {
        let mut body = serde_json::to_vec(envelope).map_err(|e| SendmailError::later(&e.into()))?;
        body.push(b'\n');
        body.extend_from_slice(content);
        let peer = Peer { uid: getuid().as_raw() };
        let mut transport = self.open().await.map_err(|error| SendmailError::later(&error))?;
        let request = Request::post("/api/v1/messages").header("host", "waypost").header("content-length", body.len());
        // Extensions are not transmitted: over a socket, the system reports the peer.
        let request = request.extension(ConnectInfo(peer)).body(Body::from(body)).map_err(|e| SendmailError::later(&e.into()))?;
        let (status, bytes) = transport.send(request).await.map_err(|error| SendmailError::later(&error))?;
        if status.is_success() {
            return serde_json::from_slice(&bytes)
                .map_err(|_| SendmailError::new(super::exit::UNAVAILABLE, "the running server is of another version; restart it"));
        }
        Err(match serde_json::from_slice::<Failure>(&bytes) {
            Ok(failure) => SendmailError::from_status(status, failure.detail, failure.hint),
            Err(_) => SendmailError::from_status(status, format!("the server answered {status}"), None),
        })
    }

    async fn open(&self) -> Result<Transport> {
        let config = match &self.config {
            Ok(config) => config,
            Err(errors) => {
                let usual = UnixStream::connect(DEFAULT_SUBMIT_SOCKET).await;
                return match usual {
                    Ok(stream) if self.path == Path::new(config::DEFAULT_PATH) => Transport::over(stream).await,
                    _ => Err(anyhow::anyhow!("{errors}")),
                };
            }
        };
        for socket in [config.submit_socket(), config.admin_socket()] {
            match UnixStream::connect(&socket).await {
                Ok(stream) => return Transport::over(stream).await,
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::PermissionDenied) => {}
                Err(e) => return Err(e).with_context(|| format!("the server's socket {} cannot be used", socket.display())),
            }
        }
        // If this fails, opening the queue fails too, with the reason.
        let _ = owner::become_owner(&config.file.data_dir);
        Transport::in_process(config).await.context("no server is running, and the queue cannot be opened")
    }
}
