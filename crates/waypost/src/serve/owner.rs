//! The owner's page and the HTTP API: what HTTPS serves under the server's name.
//!
//! Invariant: nothing of it answers before the visitor has logged in, except the forms of the login and the assets.

use std::sync::Arc;

use axum::Router;
use control_api::{ApiContext, CountGuess};
use mta::PageLogins;

use crate::config::Config;

/// Returns the service.
pub fn service(config: &Config, context: &ApiContext, logins: PageLogins) -> Router {
    api(config, context, logins)
}

/// Returns the HTTP API for holders of a token, and what password managers use of it. Wrong tokens count as failed logins.
pub fn api(config: &Config, context: &ApiContext, logins: PageLogins) -> Router {
    let count_guess: CountGuess = Arc::new(move |client| logins.count_guess(client, &format!("API token from {client}")).is_ok());
    let api = control_api::https_router(context.clone(), count_guess.clone());
    match config.file.api.password_managers {
        true => api.merge(control_api::managers_router(context.clone(), count_guess)),
        false => api,
    }
}
