//! The guard in front of every screen: session, origin of a change, token of its form.
//!
//! W3C Fetch Metadata, RFC 6454 s.7. Invariants: a request of another site changes nothing (threats.md 89); an account that is not an owner gets the
//! answer of a path that does not exist for what is not its own (90).

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{self, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use door::Guest;
use maud::{DOCTYPE, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::access::{PathKind, is_visible, kind, needs_proof, page_of};
use super::{Entrance, local, session_cookie};
use crate::api::Problem;
use crate::layout::{self, Item};
use crate::outcome::problem_notice;
use crate::screen::{Frame, PageState, TOKEN_FIELD};
use crate::visitor::Visitor;

/// Maximum body of a form, in octets.
const FORM_MAX_BYTES: usize = 4 * 1024 * 1024;

/// How long a browser insists on TLS, in seconds. Browsers ignore it while the certificate is not valid (RFC 6797 s.8.1).
const TLS_ONLY: &str = "max-age=31536000";

/// What the guard needs.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub entrance: Entrance,
    pub state: PageState,
}

/// Lets a request in, or answers it.
pub(crate) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(frame) = Frame::from_request_parts(&mut parts, &guard.state).await;
    let is_named = host(&parts.headers).is_some_and(|host| host.eq_ignore_ascii_case(&frame.hostname));
    let mut response = answer(guard, parts, body, next, &frame).await;
    if is_named {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, header::HeaderValue::from_static(TLS_ONLY));
    }
    response
}

async fn answer(guard: Guard, mut parts: Parts, mut body: Body, next: Next, frame: &Frame) -> Response {
    let changes = parts.method != Method::GET && parts.method != Method::HEAD;
    if changes && !is_of_this_server(&parts.headers) {
        return refuse(frame, None, StatusCode::FORBIDDEN, "entrance-foreign", "entrance-foreign-hint");
    }
    let path = parts.uri.path().to_owned();
    let guest = match session_cookie::value(&parts.headers, session_cookie::SESSION) {
        Some(token) => guard.entrance.door.guest(&token).await,
        None => None,
    };
    let Some(guest) = guest else {
        if kind(&path) == PathKind::Inside {
            return ask_to_log_in(&parts, frame);
        }
        parts.extensions.insert(guard.entrance);
        return next.run(Request::from_parts(parts, body)).await;
    };
    let visitor = Visitor { login: guest.login.clone(), is_owner: guest.is_owner, language: None, csrf: guest.csrf.clone() };
    if !is_visible(&path, &visitor) {
        return refuse(frame, Some(&visitor), StatusCode::NOT_FOUND, "entrance-not-there", "problem-path-hint");
    }
    if path == "/" && !visitor.is_owner {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, "/aliases")]).into_response();
    }
    if needs_proof(changes, &path) && !guest.is_fresh {
        return ask_to_confirm(&parts, &path);
    }
    if changes && kind(&path) == PathKind::Inside {
        body = match with_token(&parts.headers, body, &guest).await {
            Ok(body) => body,
            Err(StatusCode::FORBIDDEN) => {
                return refuse(frame, Some(&visitor), StatusCode::FORBIDDEN, "entrance-token", "entrance-token-hint");
            }
            Err(status) => return status.into_response(),
        };
    }
    parts.extensions.insert(visitor);
    parts.extensions.insert(guest);
    parts.extensions.insert(guard.entrance);
    next.run(Request::from_parts(parts, body)).await
}

/// Whether a browser says that the request comes from a page of this server. Other programs must name the origin.
fn is_of_this_server(headers: &HeaderMap) -> bool {
    let field = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Under a policy of no referrer, a browser names the origin `null`.
    let origin = field(ORIGIN.as_str()).filter(|origin| *origin != "null");
    let is_same = origin.is_none_or(|origin| origin.strip_prefix("https://").is_some_and(|named| named.eq_ignore_ascii_case(host)));
    is_same && field("sec-fetch-site").map_or(origin.is_some(), |site| site == "same-origin")
}

/// Returns the requested host without its port.
fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(HOST)?.to_str().ok()?;
    Some(host.rsplit_once(':').map_or(host, |(name, _)| name))
}

/// Checks the token of a form, in a field or a header field. Returns the body, to be read again.
async fn with_token(headers: &HeaderMap, body: Body, guest: &Guest) -> Result<Body, StatusCode> {
    let body = to_bytes(body, FORM_MAX_BYTES).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    let sent = headers.get("x-csrf-token").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let sent = sent.or_else(|| form_urlencoded::parse(&body).find_map(|(name, value)| (name == TOKEN_FIELD).then(|| value.into_owned())));
    // Hashes, so that the time of the comparison says nothing about the token.
    let is_right = sent.is_some_and(|sent| net::sha256(&[sent.as_bytes()]) == net::sha256(&[guest.csrf.as_bytes()]));
    if is_right { Ok(body.into()) } else { Err(StatusCode::FORBIDDEN) }
}

/// Answers a change of who gets in, long after the login: the visitor proves again who they are, and then repeats it.
fn ask_to_confirm(parts: &Parts, path: &str) -> Response {
    let confirm = format!("/account/confirm?next={}", utf8_percent_encode(&page_of(path), NON_ALPHANUMERIC));
    match parts.headers.get("hx-request") {
        Some(_) => (StatusCode::FORBIDDEN, [("hx-redirect", confirm)]).into_response(),
        None => (StatusCode::SEE_OTHER, [(header::LOCATION, confirm)]).into_response(),
    }
}

/// Answers a request without a session.
fn ask_to_log_in(parts: &Parts, frame: &Frame) -> Response {
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    let has = |name: &str, value: &str| parts.headers.get(name).is_some_and(|field| field.as_bytes() == value.as_bytes());
    let here = if is_read { local(&frame.url) } else { "/".to_owned() };
    let login = match here.as_str() {
        "/" => "/login".to_owned(),
        here => format!("/login?next={}", utf8_percent_encode(here, NON_ALPHANUMERIC)),
    };
    if parts.headers.get("hx-request").is_some() {
        return (StatusCode::UNAUTHORIZED, [("hx-redirect", login)]).into_response();
    }
    if has("accept", "text/event-stream") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if is_read && has("sec-fetch-site", "cross-site") && has("sec-fetch-mode", "navigate") {
        // A link on another site, as in a notice by mail: the browser keeps the cookie back until this server leads to the page itself.
        let again = html! { (DOCTYPE) html { head { meta charset="utf-8"; meta http-equiv="refresh" content={ "0; url=" (here) }; title { "Waypost" } } } };
        return Html(again.into_string()).into_response();
    }
    (StatusCode::SEE_OTHER, [(header::LOCATION, login)]).into_response()
}

fn refuse(frame: &Frame, visitor: Option<&Visitor>, status: StatusCode, words: &str, hint: &str) -> Response {
    let text = frame.text;
    let mut problem = Problem::new(status, text.say(words));
    problem.hint = Some(text.say(hint).into_owned());
    let title = text.say(if status == StatusCode::NOT_FOUND { "problem-title-missing" } else { "entrance-refused" });
    let page = layout::page(frame, visitor.map(|visitor| (visitor, Item::None)), &title, problem_notice(&problem));
    (status, page).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_own(fields: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, header::HeaderValue::from_static("mx.example.test:8443"));
        fields.iter().for_each(|(name, value)| drop(headers.insert(*name, header::HeaderValue::from_static(value))));
        is_of_this_server(&headers)
    }

    #[test]
    fn a_change_comes_from_a_page_of_this_server() {
        assert!(is_own(&[("origin", "https://mx.example.test:8443")]));
        assert!(is_own(&[("origin", "https://mx.example.test:8443"), ("sec-fetch-site", "same-origin")]));
        assert!(is_own(&[("origin", "null"), ("sec-fetch-site", "same-origin")]));
        for fields in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "https://evil.test")],
            &[("origin", "http://mx.example.test:8443")],
            &[("origin", "https://mx.example.test")],
            &[("origin", "https://evil.test"), ("sec-fetch-site", "same-origin")],
            &[("origin", "https://mx.example.test:8443"), ("sec-fetch-site", "same-site")],
            &[("origin", "https://mx.example.test:8443"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(!is_own(fields), "{fields:?}");
        }
    }
}
