//! The API as the screens call it: the same routes, in this process, with the visitor's rights.
//!
//! RFC 9457 (problem details). Invariants: a path segment from outside is percent-encoded; every failure becomes a [`Problem`].

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use control_api::Actor;
use mail::Mailbox;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tower::ServiceExt;

use crate::visitor::Visitor;

/// Where the routes of the API begin.
const BASE: &str = "/api/v1";

/// Maximum size of an answer, in octets.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// What stays as it is in a segment of a path: RFC 3986 s.2.3, and `@`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');

/// Why a request failed: status, what happened, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What happened, and why.
    #[serde(alias = "error")]
    pub detail: String,
    /// The remedy.
    pub hint: Option<String>,
}

impl Problem {
    /// Returns a problem without a remedy.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status: status.as_u16(), detail: detail.into(), hint: None }
    }

    /// Whether what was asked for does not exist.
    pub fn is_missing(&self) -> bool {
        self.status == StatusCode::NOT_FOUND.as_u16()
    }

    /// Whether the request was at fault, so that the form can be shown again.
    pub fn is_of_request(&self) -> bool {
        (400..500).contains(&self.status) && ![401, 403].contains(&self.status)
    }
}

/// A problem becomes a screen in [`crate::outcome::show_problems`], which knows language and frame.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The routes of the API, with the rights of one visitor.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    router: Router,
    actor: Option<Actor>,
}

impl Api {
    /// Returns the API for this visitor. Without an account of that name every request is refused.
    pub fn new(router: Router, visitor: &Visitor) -> Self {
        let actor = match (Mailbox::parse(&visitor.login), visitor.is_owner) {
            (Ok(login), true) => Some(Actor::owner(login)),
            (Ok(login), false) => Some(Actor::account(login)),
            // The operator, before there is an owner.
            (Err(_), true) => Some(Actor::operator()),
            (Err(_), false) => None,
        };
        Self { router, actor }
    }

    /// Reads from a path such as `/queue/totals`.
    ///
    /// # Errors
    /// The API refuses, or its answer is not of this type.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        self.call(Method::GET, path, Body::empty()).await
    }

    /// Reads what may be absent: `None` if the API does not have it.
    ///
    /// # Errors
    /// The API refuses for another reason.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Problem> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(problem) if problem.is_missing() => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// Sends a value as JSON.
    ///
    /// # Errors
    /// The API refuses, or its answer is not of this type.
    pub async fn send<T: DeserializeOwned>(&self, method: Method, path: &str, value: &impl Serialize) -> Result<T, Problem> {
        let body = serde_json::to_vec(value).map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
        self.call(method, path, Body::from(body)).await
    }

    /// Removes what is at a path.
    ///
    /// # Errors
    /// The API refuses, or its answer is not of this type.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        self.call(Method::DELETE, path, Body::empty()).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Body) -> Result<T, Problem> {
        let internal = |e: String| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{BASE}{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|e| internal(e.to_string()))?;
        if let Some(actor) = &self.actor {
            request.extensions_mut().insert(actor.clone());
        }
        let answer = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let status = answer.status();
        let body = to_bytes(answer.into_body(), ANSWER_MAX_BYTES).await.map_err(|e| internal(e.to_string()))?;
        if !status.is_success() {
            let mut problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
            problem.status = status.as_u16();
            if problem.detail.is_empty() {
                problem.detail = status.to_string();
            }
            return Err(problem);
        }
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(body).map_err(|e| internal(format!("the answer of {path} cannot be read: {e}")))
    }
}

/// Returns a text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    match text {
        // RFC 3986 s.5.2.4: these would climb the path.
        "." | ".." => text.replace('.', "%2E"),
        _ => utf8_percent_encode(text, SEGMENT).to_string(),
    }
}

/// Returns a path with the parameters that have a value.
pub(crate) fn with_query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_parameters_cannot_leave_their_place() {
        assert_eq!(segment("me@example.com"), "me@example.com");
        assert_eq!(segment("a/../b?c#d%"), "a%2F..%2Fb%3Fc%23d%25");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(with_query("/mail", &[("q", Some("a&b=c")), ("show", None), ("cursor", Some(""))]), "/mail?q=a%26b%3Dc");
        assert_eq!(with_query("/mail", &[]), "/mail");
    }
}
