//! The Unix sockets of the running server: commands, and mail of programs on this machine.
//!
//! Invariant: both are bound before the server starts, so that a command waits for it instead of opening the data directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use control_api::ApiContext;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::Config;

/// Maximum time for requests in progress on the admin socket at a stop.
const ADMIN_END: Duration = Duration::from_secs(2);

/// The sockets, bound.
pub(super) struct OpenSockets {
    admin: (PathBuf, UnixListener),
    submit: Option<(PathBuf, UnixListener)>,
}

impl OpenSockets {
    /// Binds both.
    ///
    /// # Errors
    /// The admin socket cannot be bound.
    pub async fn bind(config: &Config) -> Result<Self> {
        let (admin, submit) = (config.admin_socket(), config.submit_socket());
        let for_submit = bind_submit(&submit).await;
        let for_admin = control_api::bind(&admin).await.context("cannot open the admin socket")?;
        Ok(Self { admin: (admin, for_admin), submit: for_submit.map(|listener| (submit, listener)) })
    }

    /// Answers on both.
    pub fn serve(self, context: ApiContext) -> LocalSockets {
        let submit = self.submit.map(|socket| start(socket, control_api::submit_router(context.clone())).0);
        let (stop_admin, admin) = start(self.admin, control_api::operator_router(context));
        LocalSockets { stop: submit.into_iter().chain([stop_admin]).collect(), admin: AdminSocket(admin) }
    }
}

/// The sockets, answering.
pub(super) struct LocalSockets {
    /// Dropping these ends the sockets.
    stop: Vec<oneshot::Sender<()>>,
    /// The task of the admin socket.
    pub admin: AdminSocket,
}

impl LocalSockets {
    /// Accepts nothing more.
    pub fn stop(self) -> AdminSocket {
        drop(self.stop);
        self.admin
    }
}

/// The task of the admin socket, which removes the socket at its end.
pub(super) struct AdminSocket(pub JoinHandle<std::io::Result<()>>);

impl AdminSocket {
    /// Waits until it has ended.
    pub async fn ended(self) {
        if !self.0.is_finished() {
            let _ = tokio::time::timeout(ADMIN_END, self.0).await;
        }
    }
}

/// Opens the socket for mail of programs on this machine; the server also works without it.
async fn bind_submit(socket: &Path) -> Option<UnixListener> {
    match control_api::bind_for_all(socket).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(%error, "other users of this machine cannot use `waypost sendmail`; set submit_socket to another path, or create its directory");
            None
        }
    }
}

/// Starts the task of a socket, which ends when the sender is dropped.
fn start((socket, listener): (PathBuf, UnixListener), router: Router) -> (oneshot::Sender<()>, JoinHandle<std::io::Result<()>>) {
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(async move { control_api::serve(listener, router, &socket, shutdown).await });
    (stop, task)
}
