//! HTTPS requests to hosts that others name: to fetch an MTA-STS policy, to upload a TLS report.
//!
//! RFC 9110 s.15. Invariant: the certificate is verified, no redirect is followed, time is bounded, and no private address is contacted, whatever DNS
//! says.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mail::Domain;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::resolver::Resolver;
use crate::tls_client::{ClientTls, Verify};

/// Time limit to connect to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;

/// How to reach a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpsOptions {
    /// The port: 443, except in tests.
    pub port: u16,
    /// Whether IPv6 is used.
    pub ipv6: bool,
    /// Whether loopback addresses are allowed: only in tests.
    pub loopback: bool,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpsError {
    /// No connection, or no policy there.
    #[error("{0}")]
    Unreachable(String),
    /// The TLS handshake failed.
    #[error("{0}")]
    Tls(String),
    /// The response breaks the rules.
    #[error("{0}")]
    Answer(String),
}

/// A response, with the connection that carries its body.
pub(crate) struct HttpsResponse {
    pub response: Response<Incoming>,
    _connection: JoinSet<hyper::Result<()>>,
}

impl HttpsResponse {
    /// Reads the body, up to this size.
    pub async fn body(self, max_bytes: usize) -> Result<Bytes, String> {
        Ok(Limited::new(self.response.into_body(), max_bytes).collect().await.map_err(|error| error.to_string())?.to_bytes())
    }
}

/// Connects to hosts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpsClient<'a> {
    pub resolver: &'a Resolver,
    pub tls: &'a ClientTls,
    pub options: HttpsOptions,
}

/// Sends the request to the host.
pub(crate) async fn send(client: HttpsClient<'_>, host: &Domain, request: Request<Full<Bytes>>) -> Result<HttpsResponse, HttpsError> {
    let at = client.options;
    let addresses = client.resolver.addresses(host, at.ipv6).await.map_err(|failure| match failure {
        policy::RouteFailure::Temporary(text) => HttpsError::Unreachable(format!("DNS gave no address of {host}: {text}")),
        _ => HttpsError::Unreachable(format!("{host} has no address")),
    })?;
    let is_allowed = |address: &IpAddr| is_public(*address) || (at.loopback && address.is_loopback());
    let mut last = format!("{host} has no public address");
    for address in addresses.into_iter().filter(is_allowed).take(ADDRESSES_MAX) {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(SocketAddr::new(address, at.port))).await {
            Ok(Ok(tcp)) => return exchange(client.tls, host, tcp, request).await,
            Ok(Err(error)) => last = format!("{host} cannot be reached: {error}"),
            Err(_) => last = format!("{host} cannot be reached: {}", io::Error::from(io::ErrorKind::TimedOut)),
        }
    }
    Err(HttpsError::Unreachable(last))
}

async fn exchange(tls: &ClientTls, host: &Domain, tcp: TcpStream, request: Request<Full<Bytes>>) -> Result<HttpsResponse, HttpsError> {
    let stream = tls.connect(Verify::Name, host, tcp).await;
    let stream = stream.map_err(|error| HttpsError::Tls(format!("TLS with {host} failed: {error}")))?;
    let failed = |error: hyper::Error| HttpsError::Answer(format!("HTTP with {host} failed: {error}"));
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // The connection ends with the response.
    let mut task = JoinSet::new();
    task.spawn(connection);
    let response = sender.send_request(request).await.map_err(failed)?;
    Ok(HttpsResponse { response, _connection: task })
}

/// Whether an address is public: a name chosen by a stranger must not reach into this network.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            let is_other = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_documentation() || v4.is_multicast();
            !(is_other || is_shared || a == 0 || a >= 240 || (a == 198 && (18..20).contains(&b)))
        }
        IpAddr::V6(v6) => {
            let is_other = v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unique_local();
            !(is_other || v6.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_17_private_addresses_are_not_contacted() {
        for private in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "fe80::1", "fd00::1"] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        assert!(!is_public("::ffff:10.0.0.1".parse().unwrap()));
        for public in ["9.9.9.9", "2620:fe::fe"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
