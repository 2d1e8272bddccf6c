//! HTTP requests: to hosts that others name, to fetch an MTA-STS policy or to upload a TLS report; and to the hosts of the operator's notices.
//!
//! RFC 9110 s.15. Invariant: the certificate is verified, no redirect is followed, time is bounded, and no private address is contacted, whatever DNS
//! says, unless the operator allows it: the name is resolved once, and the address that was checked is the one that is connected to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mail::Domain;
use tokio::io::{AsyncRead, AsyncWrite};
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

/// The addresses that may be contacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public ones.
    Public,
    /// Public ones and those of this machine.
    Loopback,
    /// All.
    All,
}

impl Reach {
    pub fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            Self::Loopback => is_public(address) || address.is_loopback(),
            Self::All => true,
        }
    }
}

/// Connects to hosts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpsClient<'a> {
    pub resolver: &'a Resolver,
    pub tls: &'a ClientTls,
    pub port: u16,
    pub ipv6: bool,
    pub reach: Reach,
    /// Whether TLS is used.
    pub is_secure: bool,
}

impl<'a> HttpsClient<'a> {
    pub fn new(resolver: &'a Resolver, tls: &'a ClientTls, at: HttpsOptions) -> Self {
        let reach = if at.loopback { Reach::Loopback } else { Reach::Public };
        Self { resolver, tls, port: at.port, ipv6: at.ipv6, reach, is_secure: true }
    }
}

/// Sends the request to the host.
pub(crate) fn send<'a>(
    client: HttpsClient<'a>,
    host: &'a Domain,
    request: Request<Full<Bytes>>,
) -> BoxFuture<'a, Result<HttpsResponse, HttpsError>> {
    Box::pin(connect_and_send(client, host, request))
}

async fn connect_and_send(client: HttpsClient<'_>, host: &Domain, request: Request<Full<Bytes>>) -> Result<HttpsResponse, HttpsError> {
    let addresses = client.resolver.addresses(host, client.ipv6).await.map_err(|failure| match failure {
        policy::RouteFailure::Temporary(text) => HttpsError::Unreachable(format!("DNS gave no address of {host}: {text}")),
        _ => HttpsError::Unreachable(format!("{host} has no address")),
    })?;
    let mut last = format!("{host} has no public address");
    for address in addresses.into_iter().filter(|address| client.reach.allows(*address)).take(ADDRESSES_MAX) {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(SocketAddr::new(address, client.port))).await {
            Ok(Ok(tcp)) => return exchange(client, host, tcp, request).await,
            Ok(Err(error)) => last = format!("{host} cannot be reached: {error}"),
            Err(_) => last = format!("{host} cannot be reached: {}", io::Error::from(io::ErrorKind::TimedOut)),
        }
    }
    Err(HttpsError::Unreachable(last))
}

async fn exchange(
    client: HttpsClient<'_>,
    host: &Domain,
    tcp: TcpStream,
    request: Request<Full<Bytes>>,
) -> Result<HttpsResponse, HttpsError> {
    if !client.is_secure {
        return over(tcp, host, request).await;
    }
    let stream = client.tls.connect(Verify::Name, host, tcp).await;
    over(stream.map_err(|error| HttpsError::Tls(format!("TLS with {host} failed: {error}")))?, host, request).await
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &Domain,
    request: Request<Full<Bytes>>,
) -> Result<HttpsResponse, HttpsError> {
    let failed = |error: hyper::Error| HttpsError::Answer(format!("HTTP with {host} failed: {error}"));
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // The connection ends with the response.
    let mut task = JoinSet::new();
    task.spawn(connection);
    let response = sender.send_request(request).await.map_err(failed)?;
    Ok(HttpsResponse { response, _connection: task })
}

/// IPv6 prefixes whose last four octets are an IPv4 address (NAT64; the deprecated IPv4-compatible addresses).
const NAT64: [[u16; 6]; 2] = [[0x64, 0xff9b, 0, 0, 0, 0], [0; 6]];

fn last_four(v6: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = v6.octets();
    Ipv4Addr::new(a, b, c, d)
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
            let is_embedding = NAT64.iter().any(|prefix| v6.segments().starts_with(prefix)) && !is_public(IpAddr::V4(last_four(v6)));
            !(is_other || v6.is_unicast_link_local() || is_embedding)
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
        for embedded in ["::ffff:10.0.0.1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::a9fe:a9fe", "::"] {
            assert!(!is_public(embedded.parse().unwrap()), "{embedded}");
        }
        assert!(is_public("64:ff9b::909:909".parse().unwrap()));
        for public in ["9.9.9.9", "2620:fe::fe"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
