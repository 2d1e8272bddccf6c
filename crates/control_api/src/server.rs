//! The routes of the API.
//!
//! Invariant: every change of the directory is checked, stored and put into effect in the same way ([`crate::changes`]).

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, patch, post};
use axum::{Json, Router};
use mta::LiveDirectory;

use crate::api::Reloaded;
use crate::context::{ApiContext, ApiState};
use crate::control::{Control, ControlError};
use crate::error::ApiError;
use crate::{accounts, aliases, certificates, confirmations, domains, explain, held, import, keys, messages, pauses, queue, reports, targets};

/// Maximum body of a request, in octets.
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Returns the only route of the socket that every user of this machine may open.
pub fn submit_router(context: ApiContext) -> Router {
    Router::new().route("/v1/messages", submission()).fallback(unknown).with_state(ApiState::new(context))
}

fn submission() -> MethodRouter<ApiState> {
    post(messages::submit).layer(DefaultBodyLimit::disable())
}

/// Returns all routes of the API, under `/v1`.
pub fn router(context: ApiContext) -> Router {
    let v1 = Router::new()
        .route("/domains", get(domains::list).post(domains::add))
        .route("/domains/{name}", delete(domains::remove))
        .route("/aliases", get(aliases::list).post(aliases::add))
        .route("/aliases/{source}", patch(aliases::enable).delete(aliases::remove))
        .route("/aliases/{source}/options", patch(aliases::set_options))
        .route("/aliases/test", get(aliases::test))
        .route("/aliases/targets", get(targets::all))
        .route("/aliases/virtual-file", get(aliases::virtual_file))
        .route("/aliases/import", post(import::import))
        .route("/aliases/export", get(import::export))
        .route("/accounts", get(accounts::list).post(accounts::add))
        .route("/accounts/import", post(accounts::import))
        .route("/accounts/{login}", get(accounts::show).patch(accounts::change).delete(accounts::remove))
        .route("/accounts/{login}/passwords", post(accounts::set_password))
        .route("/accounts/{login}/passwords/{name}", delete(accounts::remove_password))
        .route("/accounts/{login}/verify", post(accounts::verify))
        .route("/accounts/{login}/certificates", post(accounts::add_certificate))
        .route("/accounts/{login}/certificates/{name}", delete(accounts::remove_certificate))
        .route("/queue", get(queue::list))
        .route("/queue/totals", get(queue::totals))
        .route("/queue/retry", post(queue::retry))
        .route("/queue/{id}", get(queue::show).delete(queue::remove))
        .route("/pauses", get(pauses::list))
        .route("/pauses/resume", post(pauses::resume))
        .route("/messages", submission())
        .route("/explain", post(explain::explain).layer(DefaultBodyLimit::disable()))
        .route("/confirmations", get(confirmations::list))
        .route("/keys", get(keys::list).post(keys::add))
        .route("/keys/test", post(keys::test))
        .route("/keys/{domain}", delete(keys::remove))
        .route("/keys/{domain}/rotate", post(keys::rotate))
        .route("/certificates", get(certificates::list))
        .route("/certificates/renew", post(certificates::renew))
        .route("/held", get(held::list))
        .route("/held/{id}", get(held::show).delete(held::remove))
        .route("/held/{id}/release", post(held::release))
        .route("/failed", get(held::failed))
        .route("/reports", get(reports::list))
        .route("/reports/summary", get(reports::summary))
        .route("/reports/{id}", get(reports::show))
        .route("/status", get(status))
        .route("/reload", post(reload));
    let directory = context.live.clone();
    Router::new()
        .nest("/v1", v1)
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(from_fn_with_state(directory, refresh_directory))
        .with_state(ApiState::new(context))
}

/// Each request sees the virtual file as it is now.
async fn refresh_directory(State(directory): State<Arc<LiveDirectory>>, request: Request, next: Next) -> Response {
    directory.refreshed().await;
    next.run(request).await
}

async fn status(State(control): State<Arc<dyn Control>>) -> Json<serde_json::Value> {
    Json(control.status())
}

async fn reload(State(control): State<Arc<dyn Control>>) -> Result<Json<Reloaded>, ApiError> {
    match control.reload().await {
        Ok(message) => Ok(Json(Reloaded { message })),
        Err(ControlError::NotRunning) => {
            Err(ApiError::conflict("the server is not running, so there is nothing to reload").hint("start it: waypost serve"))
        }
        Err(ControlError::Failed(error)) => {
            Err(ApiError::conflict(error).hint("correct the configuration; until then the old one stays in effect"))
        }
    }
}

async fn unknown(uri: Uri) -> ApiError {
    ApiError::missing(format!("unknown route {}", uri.path())).hint("the command and the server may be of different versions")
}

async fn not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed for {}", uri.path()))
}
