//! The routers of the API, and what they share.
//!
//! Invariant: every change of the directory is checked, stored and put into effect in the same way ([`crate::changes`]).

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::{Extension, Json, Router};
use mta::LiveDirectory;

use crate::actor::{Access, Actor};
use crate::api::Reloaded;
use crate::context::{ApiContext, ApiState};
use crate::control::{Control, ControlError};
use crate::error::ApiError;
use crate::recorder::Recorder;
use crate::routes::Routes;
use crate::{messages, table};

/// Maximum body of a request, in octets.
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The path of the API.
pub(crate) const BASE: &str = "/api/v1";

/// Returns the only route of the socket that every user of this machine may open.
pub fn submit_router(context: ApiContext) -> Router {
    let routes = Routes::default().message("/messages", Access::LOCAL, messages::submit, "Submit a message").into_router();
    Router::new().nest(BASE, routes).fallback(unknown).layer(Extension(Actor::local_user())).with_state(ApiState::new(context))
}

/// Returns all routes of the API, under `/api/v1`. Each request needs an [`Actor`] as an extension; without one, the answer is 401.
pub fn router(context: ApiContext) -> Router {
    let directory = context.live.clone();
    Router::new()
        .nest(BASE, table::all().into_router())
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(from_fn_with_state(directory, refresh_directory))
        .with_state(ApiState::new(context))
}

/// Returns the routes for the operator: whoever can send a request here may do everything.
pub fn operator_router(context: ApiContext) -> Router {
    router(context).layer(Extension(Actor::operator()))
}

/// Each request sees the virtual file as it is now.
async fn refresh_directory(State(directory): State<Arc<LiveDirectory>>, request: Request, next: Next) -> Response {
    directory.refreshed().await;
    next.run(request).await
}

pub(crate) async fn status(State(control): State<Arc<dyn Control>>) -> Json<serde_json::Value> {
    Json(control.status())
}

pub(crate) async fn reload(
    actor: Actor,
    State(control): State<Arc<dyn Control>>,
    State(recorder): State<Recorder>,
) -> Result<Json<Reloaded>, ApiError> {
    match control.reload().await {
        Ok(message) => {
            recorder.server(&actor, "configuration", &message);
            Ok(Json(Reloaded { message }))
        }
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
