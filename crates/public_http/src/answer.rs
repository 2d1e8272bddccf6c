//! Responses to requests.
//!
//! RFC 8555 s.8.3 (validation of a name), RFC 9110 s.15.4.2. Invariant: a redirection always leads to the requested host, over TLS.

use std::net::Ipv6Addr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use net::acme::Challenges;

use crate::health::{IsReady, health};
use crate::owner;
use crate::pages::{Page, PageRequest, Pages};

/// The path of validations by a CA.
const CHALLENGE: &str = "/.well-known/acme-challenge/";

/// Maximum length of a host name, in octets.
const HOST_MAX_BYTES: usize = 253;

/// What a listener serves.
#[derive(Debug)]
pub(crate) enum Served {
    /// HTTP: validations, and redirections to the port of HTTPS, if that is on.
    Plain { challenges: Challenges, https_port: Option<u16> },
    /// HTTPS: the public pages and, if it is not elsewhere, the owner's page.
    Public { owner: Option<Router> },
    /// HTTPS: the owner's page alone.
    Owner(Router),
}

/// What answers a request.
pub(crate) enum Answering {
    /// The response is known already.
    Known(Response<Body>),
    /// A public page of this host.
    Page { host: String },
    /// The owner's page.
    Owner(Router),
}

/// Answers requests over HTTP, or over HTTPS.
pub(crate) struct Responder {
    pub served: Served,
    pub pages: Arc<Pages>,
    pub is_ready: IsReady,
}

impl Responder {
    /// Decides what answers a request, before its body is read.
    pub fn choose(&self, head: &Parts) -> Answering {
        // Before the name is looked at: a load balancer asks by address, or in HTTP/1.0 without a name.
        if let Some(answer) = health(head, &self.is_ready) {
            return Answering::Known(answer);
        }
        let Some(host) = host(head) else {
            return Answering::Known(plain_text(StatusCode::BAD_REQUEST, "the Host field is missing or invalid\n"));
        };
        match &self.served {
            Served::Plain { challenges, https_port } => Answering::Known(plain(challenges, *https_port, head, &host)),
            Served::Owner(router) if owner::is_own_host(&host, &self.pages.server()) => Answering::Owner(router.clone()),
            Served::Owner(_) => Answering::Known(plain_text(StatusCode::MISDIRECTED_REQUEST, "this host is not served here\n")),
            // Before a path or a method is looked at: no service behind this listener sees a foreign name.
            Served::Public { .. } if !self.pages.serves(&host) => {
                Answering::Known(plain_text(StatusCode::MISDIRECTED_REQUEST, "this host is not served here\n"))
            }
            Served::Public { owner: Some(router) } if self.pages.is_for_owner(&host, head.uri.path()) => Answering::Owner(router.clone()),
            Served::Public { .. } => Answering::Page { host },
        }
    }

    /// Returns a public page.
    pub fn page(&self, head: &Parts, host: &str, body: &[u8]) -> Response<Body> {
        if ![Method::GET, Method::HEAD, Method::POST].contains(&head.method) {
            let mut answer = plain_text(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and POST are allowed\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            return answer;
        }
        let request = PageRequest { is_post: head.method == Method::POST, host, path: head.uri.path(), query: head.uri.query(), body };
        match self.pages.page(&request) {
            Some(Page { status, content_type, body }) => {
                content(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), content_type, body)
            }
            None => plain_text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }
}

/// Returns a response over HTTP: a validation, or a redirection to HTTPS.
fn plain(challenges: &Challenges, https_port: Option<u16>, head: &Parts, host: &str) -> Response<Body> {
    let path = head.uri.path();
    if let Some(token) = path.strip_prefix(CHALLENGE) {
        return match challenges.text(token) {
            Some(text) => content(StatusCode::OK, "application/octet-stream", text.into_bytes()),
            None => plain_text(StatusCode::NOT_FOUND, "no such validation\n"),
        };
    }
    let Some(port) = https_port else { return plain_text(StatusCode::NOT_FOUND, "not found\n") };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut answer = plain_text(StatusCode::PERMANENT_REDIRECT, "moved to HTTPS\n");
    match HeaderValue::from_str(&format!("https://{host}{port}{target}")) {
        Ok(location) if target.starts_with('/') => {
            answer.headers_mut().insert(LOCATION, location);
            answer
        }
        _ => plain_text(StatusCode::BAD_REQUEST, "invalid request target\n"),
    }
}

/// Returns the requested host, in lower case, without its port.
fn host(head: &Parts) -> Option<String> {
    let mut fields = head.headers.get_all(HOST).iter();
    let (field, more) = (fields.next()?, fields.next());
    let text = field.to_str().ok()?;
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !text.ends_with(']') => name,
        _ => text,
    };
    let is_ipv6 = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).is_some_and(|name| name.parse::<Ipv6Addr>().is_ok());
    let is_sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_name = !name.is_empty() && name.len() <= HOST_MAX_BYTES && name.bytes().all(is_sound);
    (more.is_none() && (is_name || is_ipv6)).then(|| name.to_ascii_lowercase())
}

/// Returns a response in plain text.
pub(crate) fn plain_text(status: StatusCode, text: &'static str) -> Response<Body> {
    content(status, "text/plain; charset=utf-8", text.into())
}

fn content(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    answer
}
