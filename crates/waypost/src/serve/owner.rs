//! The owner's page and the HTTP API: what HTTPS serves under the server's name.
//!
//! Invariant: nothing of it answers before the visitor has logged in, except the forms of the login and the assets.

use axum::Router;
use control_api::ApiContext;

/// Returns the service.
pub fn service(_: &ApiContext) -> Router {
    Router::new()
}
