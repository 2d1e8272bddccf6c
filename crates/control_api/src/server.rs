//! The routes, and what they may touch.
//!
//! Invariant: every change goes the same way ([`crate::changes`]): checked, stored, put in force.

use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use axum::{Json, Router};
use mail::Reply;
use mta::passwords::PasswordKey;
use mta::{Confirmations, LiveDirectory, Pauses, Submission, Submitted};
use store::{Store, StoreError};
use tokio::sync::{Mutex, Semaphore};

use crate::api::Reloaded;
use crate::certificates::{self, Certificates};
use crate::error::ApiError;
use crate::messages::ROOM_KIB;
use crate::reports::{self, ReportFacts};
use crate::{accounts, aliases, confirmations, domains, held, import, keys, messages, pauses, queue, targets};

/// The largest body of a request, in octets.
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Reads the configuration again; answers what is in force now, or why the old one stays.
pub type Reload = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> + Send + Sync>;

/// Lets a held message go: its id, and whether it is wrapped.
pub type Release = Arc<dyn Fn(mail::QueueId, bool) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>> + Send + Sync>;

/// Takes mail of a program on this machine.
pub type Submit = Arc<dyn Fn(Submission) -> Pin<Box<dyn Future<Output = Result<Submitted, Reply>> + Send>> + Send + Sync>;

/// Tells whoever delivers to try now what is due.
pub type Retry = Arc<dyn Fn() + Send + Sync>;

/// What the routes may touch.
#[derive(Clone)]
pub struct Handles {
    /// The queue and the directory.
    pub store: Store,
    /// The directory in force.
    pub live: Arc<LiveDirectory>,
    /// The key of the passwords that some mechanisms need.
    pub password_key: Arc<PasswordKey>,
    /// The time.
    pub clock: net::Clock,
    /// Called when something is due now.
    pub retry: Retry,
    /// Lets a held message go, as it came or within one of ours.
    pub release: Release,
    /// Takes mail of programs on this machine.
    pub submit: Submit,
    /// The largest message, in octets.
    pub message_max_bytes: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// What Gmail has sent to have addresses confirmed.
    pub confirmations: Confirmations,
    /// DNS, to see whether a record is published.
    pub resolver: Option<net::Resolver>,
    /// What gets no mail for now; `None` where no server runs.
    pub pauses: Option<Pauses>,
    /// Whether the configuration names the next hop of a domain, so that DNS does not matter.
    pub has_route: Arc<dyn Fn(&mail::Domain) -> bool + Send + Sync>,
    /// What reports of other servers are judged by.
    pub report_facts: ReportFacts,
    /// The certificates.
    pub certificates: Certificates,
    /// Reads the configuration again; `None` where no server runs.
    pub reload: Option<Reload>,
    /// How the server is.
    pub status: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
}

impl std::fmt::Debug for Handles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handles").finish_non_exhaustive()
    }
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub handles: Handles,
    /// One change at a time: two that are sound by themselves can make a circle together.
    pub changing: Arc<Mutex<()>>,
    /// Memory for messages that are being read, in KiB.
    pub room: Arc<Semaphore>,
}

impl Shared {
    fn new(handles: Handles) -> Self {
        Self { handles, changing: Arc::default(), room: Arc::new(Semaphore::new(ROOM_KIB as usize)) }
    }
}

/// The one route of the socket that everybody on this machine may open.
pub fn submit_router(handles: Handles) -> Router {
    Router::new().route("/v1/messages", submission()).fallback(unknown).with_state(Shared::new(handles))
}

fn submission() -> MethodRouter<Shared> {
    post(messages::submit).layer(DefaultBodyLimit::disable())
}

/// The API's routes, all under `/v1`.
pub fn router(handles: Handles) -> Router {
    let v1 = Router::new()
        .route("/domains", get(domains::list).post(domains::add))
        .route("/domains/{name}", delete(domains::remove))
        .route("/aliases", get(aliases::list).post(aliases::add))
        .route("/aliases/{source}", patch(aliases::enable).delete(aliases::remove))
        .route("/aliases/{source}/strict-domain", put(aliases::set_strict_domain))
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
    let directory = handles.live.clone();
    Router::new()
        .nest("/v1", v1)
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(from_fn_with_state(directory, refresh_directory))
        .with_state(Shared::new(handles))
}

/// Each request sees the virtual file as it is now.
async fn refresh_directory(State(directory): State<Arc<LiveDirectory>>, request: Request, next: Next) -> Response {
    directory.refreshed().await;
    next.run(request).await
}

async fn status(State(shared): State<Shared>) -> Json<serde_json::Value> {
    Json((shared.handles.status)())
}

async fn reload(State(shared): State<Shared>) -> Result<Json<Reloaded>, ApiError> {
    let Some(reload) = &shared.handles.reload else {
        return Err(ApiError::conflict("no server runs, so there is nothing to reload").hint("start it: waypost serve"));
    };
    match reload().await {
        Ok(message) => Ok(Json(Reloaded { message })),
        Err(error) => Err(ApiError::conflict(error).hint("correct the configuration; the one before stays in force")),
    }
}

async fn unknown(uri: Uri) -> ApiError {
    ApiError::missing(format!("there is no route {}", uri.path())).hint("the command line and the server may be of different versions")
}

async fn not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} cannot be used on {}", uri.path()))
}
