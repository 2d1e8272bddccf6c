//! One connection: the handshake, requests and answers, each within its time.
//!
//! Invariant: a client that sends in drips is gone within half a minute (threats.md 72); a connection for a validation ends with its handshake.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use net::{ServerTls, Service};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::answer::{Face, plain_text};

/// A handshake must be over in this time.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(20);

/// A request's head, and then its body, must be there in this time.
const REQUEST_WITHIN: Duration = Duration::from_secs(15);

/// A connection lasts no longer, however many requests it brings.
const CONNECTION_WITHIN: Duration = Duration::from_secs(120);

/// The largest head of a request, in octets.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// The most fields in it.
const FIELDS_MAX: usize = 64;

/// The largest body of a request, in octets.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// One side of the face.
#[derive(Debug)]
pub(crate) struct Host {
    /// The certificates, for HTTPS.
    pub tls: Option<ServerTls>,
    /// What it answers.
    pub face: Face,
}

/// Serves a connection to its end.
pub(crate) async fn converse(tcp: TcpStream, host: &Host) {
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let Some(tls) = &host.tls else { return requests(tcp, &host.face).await };
    let Ok(Ok(accepted)) = tokio::time::timeout(HANDSHAKE_WITHIN, tls.acceptor(Service::Https).accept(tcp)).await else { return };
    let mut stream = accepted.stream;
    if stream.get_ref().1.alpn_protocol() == Some(net::ACME_TLS) {
        let _ = tokio::time::timeout(REQUEST_WITHIN, stream.shutdown()).await;
        return;
    }
    requests(stream, &host.face).await;
}

async fn requests<IO: AsyncRead + AsyncWrite + Unpin>(io: IO, face: &Face) {
    let service = service_fn(async |request| Ok::<_, Infallible>(respond(request, face).await));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WITHIN)
        .max_buf_size(HEAD_MAX_BYTES)
        .max_headers(FIELDS_MAX)
        .half_close(false)
        .serve_connection(TokioIo::new(io), service);
    // An error is the client's: it went away, or spoke no HTTP.
    let _ = tokio::time::timeout(CONNECTION_WITHIN, serving).await;
}

async fn respond(request: Request<Incoming>, face: &Face) -> Response<Full<Bytes>> {
    // Where a body ends must not be a matter of opinion (threats.md 91). No client of these pages needs chunks.
    if request.headers().contains_key(TRANSFER_ENCODING) {
        return last(plain_text(StatusCode::BAD_REQUEST, "a body with Transfer-Encoding is not taken here\n"));
    }
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > BODY_MAX_BYTES as u64 {
        return last(plain_text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n"));
    }
    let body = tokio::time::timeout(REQUEST_WITHIN, Limited::new(body, BODY_MAX_BYTES).collect()).await;
    match body {
        Err(_) => last(plain_text(StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n")),
        Ok(Err(error)) if error.is::<LengthLimitError>() => last(plain_text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n")),
        Ok(Err(_)) => last(plain_text(StatusCode::BAD_REQUEST, "the body cannot be read\n")),
        Ok(Ok(body)) => face.answer(&head, &body.to_bytes()),
    }
}

/// The connection ends with this answer.
fn last(mut answer: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
