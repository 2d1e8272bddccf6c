//! The way in: the running server's socket for everybody, or the queue itself while no server runs.
//!
//! Invariant: who may open neither hears so, with the code that lets its caller keep the mail.

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

use super::exit::Refused;
use crate::config::{self, Config, ConfigErrors, DEFAULT_SUBMIT_SOCKET};
use crate::owner;
use crate::transport::Transport;

/// Where mail is handed over.
#[derive(Debug)]
pub struct Way {
    path: PathBuf,
    config: Result<Config, ConfigErrors>,
}

impl Way {
    /// As the configuration says; a user who cannot read it finds the server in its usual place.
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), config: config::load(path) }
    }

    /// The largest message, in octets, where that is known.
    pub fn max_bytes(&self) -> Option<u64> {
        self.config.as_ref().ok().map(|config| config.settings.limits.message_bytes)
    }

    /// Our name.
    pub fn hostname(&self) -> Option<mail::Domain> {
        self.config.as_ref().ok().map(|config| config.settings.hostname.clone())
    }

    /// Hands a message over.
    pub async fn send(&self, envelope: &Envelope, content: &[u8]) -> Result<Taken, Refused> {
        let mut body = serde_json::to_vec(envelope).map_err(|e| Refused::later(&e.into()))?;
        body.push(b'\n');
        body.extend_from_slice(content);
        let peer = Peer { uid: getuid().as_raw() };
        let mut transport = self.open().await.map_err(|error| Refused::later(&error))?;
        let request = Request::post("/v1/messages").header("host", "waypost").header("content-length", body.len());
        // What stands in the extensions does not travel: over a socket the system says who is there.
        let request = request.extension(ConnectInfo(peer)).body(Body::from(body)).map_err(|e| Refused::later(&e.into()))?;
        let (status, bytes) = transport.send(request).await.map_err(|error| Refused::later(&error))?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|_| Refused::new(super::exit::UNAVAILABLE, "the server is of another version"));
        }
        let failure = serde_json::from_slice::<Failure>(&bytes);
        let Failure { error, hint } = failure.unwrap_or_else(|_| Failure { error: format!("the server answered {status}"), hint: None });
        Err(Refused::answered(status, error, hint))
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
        // Where that fails, opening the queue does too, and says why.
        let _ = owner::become_owner(&config.file.data_dir);
        Transport::in_process(config).await.context("no server answers, and the queue cannot be opened")
    }
}
