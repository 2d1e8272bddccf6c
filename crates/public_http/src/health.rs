//! Health checks of load balancers and orchestrators: two paths on every listener, for any host.
//!
//! Invariant: the answers are two bits, which anyone may know.

use std::sync::Arc;

use axum::body::Body;
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use crate::answer::plain_text;

/// Says whether the process answers at all.
pub const LIVE: &str = "/health/live";

/// Says whether the server should get new connections.
pub const READY: &str = "/health/ready";

/// Says whether the server should get new connections.
pub type IsReady = Arc<dyn Fn() -> bool + Send + Sync>;

/// Returns the answer to a health check; `None` if the request is none.
pub(crate) fn health(head: &Parts, is_ready: &IsReady) -> Option<Response<Body>> {
    let (status, text) = match head.uri.path() {
        LIVE => (StatusCode::OK, "alive\n"),
        READY if is_ready() => (StatusCode::OK, "ready\n"),
        READY => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        _ => return None,
    };
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(&head.method).then(|| plain_text(status, text))
}
