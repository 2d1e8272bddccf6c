//! One connection: handshake, requests and responses, each with a timeout.
//!
//! Invariant: a client that sends octet by octet is disconnected within 30 seconds (threats.md 72); a validation connection ends after its handshake.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use net::{ServerTls, Service, TrustedProxies};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::answer::{Answering, Responder, plain_text};
use crate::owner;

/// Maximum duration of a handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(20);

/// Maximum time to receive the head of a request, and then its body.
const REQUEST_WITHIN: Duration = Duration::from_secs(15);

/// Maximum duration of a connection, for any number of requests.
const CONNECTION_WITHIN: Duration = Duration::from_secs(120);

/// Maximum duration of a stream of server-sent events; the browser connects again.
const STREAM_WITHIN: Duration = Duration::from_secs(3600);

/// Maximum time to end a connection, in which the client may still send what nobody reads.
const GOODBYE: Duration = Duration::from_secs(5);

/// Maximum head of a request, in octets.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// Maximum header fields.
const FIELDS_MAX: usize = 64;

/// Maximum body of a request for a public page, in octets.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// HTTP or HTTPS.
pub(crate) struct Listener {
    /// The certificates, for HTTPS.
    pub tls: Option<ServerTls>,
    /// The load balancers in front of it.
    pub proxies: TrustedProxies,
    /// Answers the requests.
    pub responder: Responder,
}

/// Serves a connection to its end.
pub(crate) async fn converse(tcp: TcpStream, client: SocketAddr, listener: &Listener) {
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let Some(tls) = &listener.tls else { return requests(tcp, client, &listener.responder).await };
    let Ok(Ok(accepted)) = tokio::time::timeout(HANDSHAKE_WITHIN, tls.acceptor(Service::Https).accept(tcp)).await else { return };
    let mut stream = accepted.stream;
    if stream.get_ref().1.alpn_protocol() == Some(net::ACME_TLS) {
        let _ = tokio::time::timeout(REQUEST_WITHIN, stream.shutdown()).await;
        return;
    }
    requests(stream, client, &listener.responder).await;
}

/// Answers requests, and then ends TLS with close_notify whatever ended the connection, so that its client sees an end and no fault.
///
/// RFC 9112 s.9.6: a socket that is closed while octets arrive resets the connection, and the client, which was sending the rest of a request that is
/// refused, never reads why. So the rest is read for a moment.
async fn requests<IO: AsyncRead + AsyncWrite + Unpin>(mut io: IO, client: SocketAddr, responder: &Responder) {
    serve(&mut io, client, responder).await;
    let end = async {
        io.shutdown().await?;
        tokio::io::copy(&mut io, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(GOODBYE, end).await;
}

async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(io: &mut IO, client: SocketAddr, responder: &Responder) {
    let streams = AtomicBool::new(false);
    let service = service_fn(async |request| {
        let answer = respond(request, client, responder).await;
        streams.store(owner::is_stream(&answer), Ordering::Relaxed);
        Ok::<_, Infallible>(answer)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WITHIN)
        .max_buf_size(HEAD_MAX_BYTES)
        .max_headers(FIELDS_MAX)
        .half_close(false)
        .serve_connection(TokioIo::new(io), service);
    let mut serving = pin!(serving);
    // An error is the client's: it disconnected, or did not use HTTP. Hyper answers 400 to the latter and drops the connection.
    if tokio::time::timeout(CONNECTION_WITHIN, serving.as_mut()).await.is_err() {
        serving.as_mut().graceful_shutdown();
        let more = if streams.load(Ordering::Relaxed) { STREAM_WITHIN } else { GOODBYE };
        let _ = tokio::time::timeout(more, serving).await;
    }
}

async fn respond(request: Request<Incoming>, client: SocketAddr, responder: &Responder) -> Response<Body> {
    // The end of a body must not be ambiguous (threats.md 91). No client of these pages needs chunked encoding.
    if request.headers().contains_key(TRANSFER_ENCODING) {
        return last(plain_text(StatusCode::BAD_REQUEST, "Transfer-Encoding is not supported\n"));
    }
    let (head, body) = request.into_parts();
    let is_larger = |max: usize| body.size_hint().lower() > max as u64;
    match responder.choose(&head) {
        Answering::Owner(_) if is_larger(owner::BODY_MAX_BYTES) => last(too_large()),
        Answering::Owner(router) => owner::call(&router, head, body, client).await,
        Answering::Known(_) | Answering::Page { .. } if is_larger(BODY_MAX_BYTES) => last(too_large()),
        Answering::Known(answer) => answer,
        Answering::Page { host } => {
            let body = tokio::time::timeout(REQUEST_WITHIN, Limited::new(body, BODY_MAX_BYTES).collect()).await;
            match body {
                Err(_) => last(plain_text(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n")),
                Ok(Err(error)) if error.is::<LengthLimitError>() => last(too_large()),
                Ok(Err(_)) => last(plain_text(StatusCode::BAD_REQUEST, "the body cannot be read\n")),
                Ok(Ok(body)) => responder.page(&head, &host, &body.to_bytes()),
            }
        }
    }
}

fn too_large() -> Response<Body> {
    plain_text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n")
}

/// Closes the connection after this response.
fn last(mut answer: Response<Body>) -> Response<Body> {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
