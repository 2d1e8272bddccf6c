//! Stands in for the flow until `mta` has it.

use std::sync::Arc;

use anyhow::{Result, bail};
use mta::LiveDirectory;
use mta::settings::{Listener, LiveSettings};
use net::{ClientTls, Clock, Resolver, ServerTls};
use store::Store;

/// What the flow is made of.
#[allow(dead_code)]
pub struct Parts {
    pub settings: LiveSettings,
    pub listeners: Vec<Listener>,
    pub store: Store,
    pub live: Arc<LiveDirectory>,
    pub tls: Option<ServerTls>,
    pub client_tls: ClientTls,
    pub resolver: Resolver,
    pub clock: Clock,
}

/// The running flow.
pub struct Server(());

impl Server {
    /// Starts listening and delivering.
    pub async fn start(_parts: Parts) -> Result<Self> {
        bail!("not wired yet")
    }

    /// Something is due.
    pub fn wake(&self) {}

    /// Ends in order.
    pub async fn shut_down(&self) {
        let Self(()) = self;
    }
}

/// How the server is.
pub fn status_json(_server: &Server) -> serde_json::Value {
    serde_json::json!({ "running": true, "version": env!("CARGO_PKG_VERSION") })
}
