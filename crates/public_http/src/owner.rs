//! The owner's page and its API, as a service that this crate does not look into.
//!
//! RFC 9110 s.7.4, s.17.1 (attacks by a name that leads here). Invariants: the service gets no request with another host, with a path that leaves its
//! directory (threats.md 92, 93), or with a body beyond the limits (91).

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http_body_util::Limited;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use tokio::time::Sleep;
use tower::ServiceExt;

use crate::Addresses;
use crate::answer::plain_text;

/// Maximum body of a request, in octets.
pub(crate) const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Maximum time to receive the body of a request.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// The owner's page and its API. Requests have the client's address as `ConnectInfo<SocketAddr>`.
#[derive(Debug, Clone)]
pub struct OwnerService {
    /// Answers the requests to the server's name that no public page answers.
    pub router: Router,
    /// Its own addresses; `None`: the addresses of HTTPS.
    pub addresses: Option<Addresses>,
}

/// Whether a host may be named at the addresses of the page alone: the server, this machine, or an address. A name that an attacker's DNS leads here is
/// none of them.
pub(crate) fn is_own_host(host: &str, server: &str) -> bool {
    let is_address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    is_address || host == "localhost" || host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case(server)
}

/// Calls the service.
pub(crate) async fn call<B>(router: &Router, head: Parts, body: B, client: SocketAddr) -> Response<Body>
where
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    if !is_plain(head.uri.path()) {
        return not_found(head.uri.path());
    }
    let body = Timed { body: Box::pin(Limited::new(body, BODY_MAX_BYTES)), until: Box::pin(tokio::time::sleep(BODY_WITHIN)) };
    let mut request = Request::from_parts(head, Body::new(body));
    request.extensions_mut().insert(ConnectInfo(client));
    match router.clone().oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

/// Returns the answer for a path that the service does not get; a client of the API gets a problem of RFC 9457.
fn not_found(path: &str) -> Response<Body> {
    if !path.starts_with("/api/") {
        return plain_text(StatusCode::NOT_FOUND, "not found\n");
    }
    let problem = r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"the path leads out of the API"}"#;
    let mut answer = plain_text(StatusCode::NOT_FOUND, problem);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    answer
}

/// Whether a response may last longer than a connection: a stream of server-sent events.
pub(crate) fn is_stream(answer: &Response<Body>) -> bool {
    answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Whether no segment of a path, encoded or not, means another directory, and no octet is a control character.
fn is_plain(path: &str) -> bool {
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    let is_dots = |segment: &[u8]| segment == b"." || segment == b"..";
    !decoded.iter().any(u8::is_ascii_control) && !decoded.split(|b| matches!(b, b'/' | b'\\')).any(is_dots)
}

/// A body that must arrive in time.
struct Timed<B> {
    body: Pin<Box<B>>,
    until: Pin<Box<Sleep>>,
}

impl<B: HttpBody<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>>> HttpBody for Timed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = self.body.as_mut().poll_frame(cx) {
            return Poll::Ready(frame);
        }
        match self.until.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err("the body did not arrive in time".into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_service_sees_the_client_and_no_large_body() {
        let router = Router::new().fallback(
            async |client: ConnectInfo<SocketAddr>, body: Result<Bytes, axum::extract::rejection::BytesRejection>| {
                body.map(|body| format!("{} {}", client.0.ip(), body.len())).map_err(|rejection| rejection.status())
            },
        );
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        let asked = async |path: &'static str, body: Vec<u8>| {
            let head = Request::post(path).body(()).unwrap().into_parts().0;
            let answer = call(&router, head, http_body_util::Full::new(Bytes::from(body)), ([192, 0, 2, 1], 5).into()).await;
            let status = answer.status().as_u16();
            (status, axum::body::to_bytes(answer.into_body(), 1000).await.unwrap())
        };
        assert_eq!(asked("/api/v1/aliases", vec![0; BODY_MAX_BYTES]).await, (200, Bytes::from(format!("192.0.2.1 {BODY_MAX_BYTES}"))));
        assert_eq!(asked("/api/v1/aliases", vec![0; BODY_MAX_BYTES + 1]).await.0, 413);
        assert_eq!(asked("/..%2fapi", Vec::new()).await.0, 404);
    }

    #[test]
    fn paths_stay_in_their_directory() {
        for path in ["/", "/aliases/a%2Fb@example.test", "/aliases/me@example.test", "/assets/app.css", "/a..b/..c"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["/..", "/a/../b", "/..%2fetc/passwd", "/%2e%2e/b", "/a/..%5Cb", "/%2e", "/a%00b", "/a%0d%0ab", "/.%2e/x"] {
            assert!(!is_plain(path), "{path}");
        }
    }

    #[test]
    fn the_page_has_no_foreign_names() {
        for host in ["mx.example.test", "mx.example.test.", "localhost", "127.0.0.1", "[::1]", "192.0.2.1"] {
            assert!(is_own_host(host, "mx.example.test"), "{host}");
        }
        for host in ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test", "example.test", "[::1].evil.test"] {
            assert!(!is_own_host(host, "mx.example.test"), "{host}");
        }
    }
}
