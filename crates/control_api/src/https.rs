//! The API over HTTPS: the same routes, for holders of a token.
//!
//! RFC 6750 s.2.1, s.3; RFC 6585 s.4 (429). Invariants: no request without a valid token reaches a route; wrong tokens count together with failed logins.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use mta::LiveDirectory;
use net::Clock;
use store::Store;

use crate::context::ApiContext;
use crate::error::ApiError;
use crate::server::api_routes;
use crate::tokens::{Tokens, actor_of};

/// Seconds until the allowance of failed logins has refilled.
const RETRY_AFTER_S: &str = "600";

/// Counts a wrong token of a client as a failed login. Returns false if there were too many already.
pub type CountGuess = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Checks the tokens of requests.
#[derive(Clone)]
pub(crate) struct Gate {
    store: Store,
    live: Arc<LiveDirectory>,
    clock: Clock,
    tokens: Tokens,
    count_guess: CountGuess,
}

impl Gate {
    pub fn new(context: &ApiContext, count_guess: CountGuess) -> Self {
        Self {
            store: context.store.clone(),
            live: context.live.clone(),
            clock: context.clock.clone(),
            tokens: context.shared.tokens.clone(),
            count_guess,
        }
    }
}

/// Returns the routes of the API for HTTPS, under `/api/v1`. Requests need the client's address as `ConnectInfo<SocketAddr>`.
pub fn https_router(context: ApiContext, count_guess: CountGuess) -> Router {
    let gate = Gate::new(&context, count_guess);
    api_routes(context).layer(from_fn_with_state(gate, admit))
}

/// Admits the requests with a valid token, with its [`crate::Actor`] as an extension.
pub(crate) async fn admit(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let Some(sent) = token_of(request.headers()) else {
        return unauthorized("the request has no token");
    };
    let now_ms = gate.clock.now_ms();
    let found = match gate.tokens.find(&gate.store, sent, now_ms).await {
        Ok(found) => found,
        Err(error) => return ApiError::from(error).into_response(),
    };
    let is_active = |login: &String| gate.live.current().active_account(login).is_some();
    let Some(token) = found.filter(|token| token.login.as_ref().is_none_or(is_active)) else {
        return refuse(&gate, &request);
    };
    request.extensions_mut().insert(actor_of(&token));
    if let Err(error) = gate.tokens.touch(&gate.store, &token, now_ms).await {
        tracing::warn!(%error, token = token.name, "cannot store the last use of a token");
    }
    next.run(request).await
}

/// Returns the token of a request: as a bearer token, or in the field of SimpleLogin.
fn token_of(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    });
    let field = || headers.get("authentication").and_then(|value| value.to_str().ok());
    bearer.or_else(field).map(str::trim).filter(|token| !token.is_empty())
}

fn refuse(gate: &Gate, request: &Request) -> Response {
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    if client.is_some_and(|client| (gate.count_guess)(client)) {
        return unauthorized("the token is wrong, or has ended");
    }
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too many requests with wrong tokens")
        .hint("try again in ten minutes; a valid token works at once");
    let mut response = error.into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    response
}

fn unauthorized(why: &str) -> Response {
    let error = ApiError::new(StatusCode::UNAUTHORIZED, why)
        .hint("send a token: Authorization: Bearer wpt_...; waypost token add NAME --scope SCOPE makes one");
    let mut response = error.into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"waypost\""));
    response
}
