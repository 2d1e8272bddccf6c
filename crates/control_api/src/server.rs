//! The routers of the API, and what they share.
//!
//! Invariant: every change of the directory is checked, stored and put into effect in the same way ([`crate::changes`]).

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use mta::LiveDirectory;

use crate::actor::{Access, Actor};
use crate::api::Reloaded;
use crate::context::{ApiContext, ApiState};
use crate::control::{Control, ReloadFault};
use crate::error::ApiError;
use crate::idempotency::Idempotency;
use crate::recorder::Recorder;
use crate::routes::Routes;
use crate::{messages, table};

/// Maximum body of a request, in octets.
pub(crate) const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Maximum text of an error of the framework, in octets.
const ERROR_MAX_BYTES: usize = 16 * 1024;

/// The path of the API.
pub(crate) const BASE: &str = "/api/v1";

/// Returns the only route of the socket that every user of this machine may open.
pub fn submit_router(context: ApiContext) -> Router {
    let routes = Routes::default().message("/messages", Access::LOCAL, messages::submit, "Submit a message").into_router();
    Router::new().nest(BASE, routes).fallback(unknown).layer(Extension(Actor::local_user())).with_state(ApiState::new(context))
}

/// Returns all routes of the API, under `/api/v1`. Each request needs an [`Actor`] as an extension; without one, the answer is 401.
pub fn router(context: ApiContext) -> Router {
    api_routes(context).fallback(unknown)
}

/// Returns the routes under `/api/v1`; other paths are left to the router that they become part of.
pub(crate) fn api_routes(context: ApiContext) -> Router {
    let directory = context.live.clone();
    let idempotency = Idempotency { answers: context.shared.answers.clone(), clock: context.clock.clone() };
    let routes = table::all().into_router().fallback(unknown_below).method_not_allowed_fallback(not_allowed);
    let routes = routes
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(Extension(idempotency))
        .layer(map_response(as_problem))
        .layer(from_fn_with_state(directory, refresh_directory))
        .with_state(ApiState::new(context));
    Router::new().nest(BASE, routes)
}

/// Gives an error of the framework (a path that is not UTF-8, for example) the form of all others.
async fn as_problem(response: Response) -> Response {
    let (status, kind) = (response.status(), response.headers().get(CONTENT_TYPE));
    let is_ours = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
    if !(status.is_client_error() || status.is_server_error()) || is_ours {
        return response;
    }
    let text = to_bytes(response.into_body(), ERROR_MAX_BYTES).await.unwrap_or_default();
    ApiError::new(status, String::from_utf8_lossy(&text).into_owned()).into_response()
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
        Err(fault) => {
            let text = fault.to_string();
            Err(match fault {
                ReloadFault::NotRunning => ApiError::conflict(text).hint("start it: waypost serve"),
                ReloadFault::Configuration(_) => {
                    ApiError::conflict(text).hint("correct the configuration; until then the old one stays in effect")
                }
                ReloadFault::Store(error) => ApiError { error: text, ..error.into() },
            })
        }
    }
}

async fn unknown(uri: Uri) -> ApiError {
    unknown_route(uri.path())
}

/// The prefix is removed from the path of a nested route.
async fn unknown_below(uri: Uri) -> ApiError {
    unknown_route(&format!("{BASE}{}", uri.path()))
}

fn unknown_route(path: &str) -> ApiError {
    ApiError::missing(format!("unknown route {path}")).hint("the command and the server may be of different versions")
}

async fn not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed for {BASE}{}", uri.path()))
}
