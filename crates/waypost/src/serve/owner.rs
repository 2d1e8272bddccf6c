//! The owner's page and the HTTP API: what HTTPS serves under the server's name.
//!
//! Invariant: nothing of it answers before the visitor has logged in, except the forms of the login and the assets.

use std::sync::Arc;

use axum::Router;
use control_api::{ApiContext, CountGuess};
use door::{Door, DoorParts};
use events::Events;
use mta::passwords::PasswordKey;
use mta::{LiveDirectory, PageLogins, Server};
use net::Clock;
use owner_page::{Entrance, LiveEvents, Parts};
use store::{Store, StoreError};

use crate::config::Config;

/// Opens the door with the sessions of the last process.
pub async fn open_door(store: &Store, live: &Arc<LiveDirectory>, key: &Arc<PasswordKey>, events: &Events) -> Result<Door, StoreError> {
    let (store, live, key, events) = (store.clone(), live.clone(), key.clone(), events.clone());
    Door::open(DoorParts { store, live, key, clock: Clock::system(), events }).await
}

/// Returns the service.
pub fn service(config: &Config, context: &ApiContext, server: &Server, live: &LiveEvents) -> Router {
    let api = control_api::router(context.clone());
    let facts = context.control.submission();
    let ports = [(facts.tls_port, true), (facts.starttls_port, false)];
    let submission = ports.into_iter().filter_map(|(port, is_implicit)| Some((port?, is_implicit))).collect();
    let entrance = Entrance::new(context.door.clone(), server.page_logins(), api.clone(), submission);
    let parts =
        Parts { api, clock: context.clock.clone(), live: live.clone(), hostname: facts.host.into(), version: env!("CARGO_PKG_VERSION") };
    owner_page::guarded(parts, entrance).merge(token_api(config, context, server.page_logins()))
}

/// Returns the HTTP API for holders of a token, and what password managers use of it. Wrong tokens count as failed logins.
fn token_api(config: &Config, context: &ApiContext, logins: PageLogins) -> Router {
    let count_guess: CountGuess = Arc::new(move |client| logins.count_guess(client, &format!("API token from {client}")).is_ok());
    let api = control_api::https_router(context.clone(), count_guess.clone());
    match config.file.api.password_managers {
        true => api.merge(control_api::managers_router(context.clone(), count_guess)),
        false => api,
    }
}
