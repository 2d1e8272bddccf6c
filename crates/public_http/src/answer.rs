//! Responses to requests.
//!
//! RFC 8555 s.8.3 (validation of a name), RFC 9110 s.15.4.2. Invariant: a redirection always leads to the requested host, over TLS.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use net::acme::Challenges;

use crate::pages::{Page, PageRequest, Pages};

/// The path of validations by a CA.
const CHALLENGE: &str = "/.well-known/acme-challenge/";

/// Maximum length of a host name, in octets.
const HOST_MAX_BYTES: usize = 253;

/// Answers requests over HTTP, or over HTTPS.
#[derive(Debug)]
pub(crate) struct Responder {
    pub challenges: Challenges,
    /// The port of HTTPS; `None` if it is off.
    pub https_port: Option<u16>,
    pub pages: Arc<Pages>,
    pub is_secure: bool,
}

impl Responder {
    /// Returns the response to a request.
    pub fn answer(&self, head: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
        let Some(host) = host(head) else { return plain_text(StatusCode::BAD_REQUEST, "the Host field is missing or invalid\n") };
        if self.is_secure { self.page(head, &host, body) } else { self.plain(head, &host) }
    }

    /// Returns a response over HTTP: a validation, or a redirection to HTTPS.
    fn plain(&self, head: &Parts, host: &str) -> Response<Full<Bytes>> {
        let path = head.uri.path();
        if let Some(token) = path.strip_prefix(CHALLENGE) {
            return match self.challenges.text(token) {
                Some(text) => content(StatusCode::OK, "application/octet-stream", text.into_bytes()),
                None => plain_text(StatusCode::NOT_FOUND, "no such validation\n"),
            };
        }
        let Some(port) = self.https_port else { return plain_text(StatusCode::NOT_FOUND, "not found\n") };
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

    fn page(&self, head: &Parts, host: &str, body: &[u8]) -> Response<Full<Bytes>> {
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

/// Returns the requested host, in lower case, without its port.
fn host(head: &Parts) -> Option<String> {
    let mut fields = head.headers.get_all(HOST).iter();
    let (field, more) = (fields.next()?, fields.next());
    let text = field.to_str().ok()?;
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => text,
    };
    let is_sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (more.is_none() && !name.is_empty() && name.len() <= HOST_MAX_BYTES && name.bytes().all(is_sound)).then(|| name.to_ascii_lowercase())
}

/// Returns a response in plain text.
pub(crate) fn plain_text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    content(status, "text/plain; charset=utf-8", text.into())
}

fn content(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    answer
}
