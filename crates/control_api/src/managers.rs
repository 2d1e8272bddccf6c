//! New aliases for password managers, in the protocols of addy.io and SimpleLogin, as Bitwarden's clients speak them.
//!
//! addy.io: POST {server}/api/v1/aliases, a bearer token, `domain` and `description`, answered by `data.email` with 201. SimpleLogin: POST
//! {server}/api/alias/random/new?hostname=, the token in the Authentication field, `note`, answered by `alias` with 201. The server URLs are
//! https://NAME/addy and https://NAME/simplelogin. Invariant: no more can be done here than by `/api/v1/aliases/random` with the same token.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::actor::{Access, Actor, Scopes, authorize};
use crate::api::NewRandomAlias;
use crate::changes::DirectoryEditor;
use crate::context::{ApiContext, ApiState};
use crate::error::{ApiError, PROBLEM};
use crate::extract::Params;
use crate::https::{CountGuess, Gate, admit};
use crate::random_alias::make;

/// Maximum body of a request, in octets.
const BODY_MAX_BYTES: usize = 16 * 1024;

/// Maximum body of an error, in octets.
const ERROR_MAX_BYTES: usize = 64 * 1024;

/// Who may make aliases.
const ACCESS: Access = Access::of(Scopes::ALIASES.and(Scopes::OWN)).by_domain();

/// Returns the routes for password managers, at `/addy` and `/simplelogin`. Requests need the client's address as `ConnectInfo<SocketAddr>`.
pub fn managers_router(context: ApiContext, count_guess: CountGuess) -> Router {
    let gate = Gate::new(&context, count_guess);
    Router::new()
        .route("/addy/api/v1/aliases", post(addy))
        .route("/simplelogin/api/alias/random/new", post(simple_login))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(from_fn_with_state(ACCESS, authorize))
        .layer(from_fn_with_state(gate, admit))
        .layer(from_fn(adapt))
        .with_state(ApiState::new(context))
}

/// Answers preflights, and gives errors the members in which the clients look for a message.
///
/// Any web page may send requests (CORS): without a token they do nothing, and a browser adds none.
async fn adapt(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM) {
        response = worded(response).await;
    }
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authentication, Authorization, Content-Type, X-Requested-With"));
    response
}

/// Adds `message` (addy.io) and `error` (SimpleLogin) to a problem.
async fn worded(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let bytes = to_bytes(body, ERROR_MAX_BYTES).await.unwrap_or_default();
    let mut problem: Value = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!({}));
    let words = problem.get("detail").cloned().unwrap_or_default();
    if let Some(members) = problem.as_object_mut() {
        members.insert("message".into(), words.clone());
        members.insert("error".into(), words);
    }
    let body = problem.to_string();
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    head.headers.remove("content-length");
    Response::from_parts(head, Body::from(body))
}

/// What addy.io's clients send; further members are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AddyRequest {
    domain: Option<String>,
    description: Option<String>,
}

/// Reads a JSON body, or a form, which older clients send.
fn addy_request(headers: &HeaderMap, body: &Bytes) -> Result<AddyRequest, ApiError> {
    let is_form = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    if is_form {
        let field = |name: &str| form_urlencoded::parse(body).find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
        return Ok(AddyRequest { domain: field("domain"), description: field("description") });
    }
    serde_json::from_slice(body).map_err(|error| ApiError::bad(format!("the body cannot be read: {error}")))
}

async fn addy(actor: Actor, State(editor): State<DirectoryEditor>, headers: HeaderMap, body: Bytes) -> Result<Response, ApiError> {
    let asked = addy_request(&headers, &body)?;
    let description = asked.description.clone();
    let new = NewRandomAlias { domain: asked.domain, note: asked.description, targets: Vec::new() };
    let email = make(&actor, &editor, new).await?;
    let (local, domain) = email.split_once('@').unwrap_or((&email, ""));
    let data = json!({ "id": email, "email": email, "local_part": local, "domain": domain, "description": description, "active": true });
    Ok((StatusCode::CREATED, Json(json!({ "data": data }))).into_response())
}

/// The query of SimpleLogin.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SimpleLoginQuery {
    /// The site that the address is for.
    hostname: Option<String>,
}

/// The body of SimpleLogin; further members are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SimpleLoginRequest {
    note: Option<String>,
}

async fn simple_login(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    Params(query): Params<SimpleLoginQuery>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let asked: SimpleLoginRequest = match body.is_empty() {
        true => SimpleLoginRequest::default(),
        false => serde_json::from_slice(&body).map_err(|error| ApiError::bad(format!("the body cannot be read: {error}")))?,
    };
    let note = asked.note.filter(|note| !note.is_empty()).or(query.hostname);
    let alias = make(&actor, &editor, NewRandomAlias { domain: None, note: note.clone(), targets: Vec::new() }).await?;
    let answer = json!({ "alias": alias, "email": alias, "name": Value::Null, "note": note, "enabled": true });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}
