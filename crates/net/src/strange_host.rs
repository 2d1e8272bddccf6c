//! Asks a host over HTTPS that a stranger has named: where a policy is fetched, where a report is delivered.
//!
//! RFC 9110 s.15. Invariant: the certificate is verified, no redirect is followed, time is bounded, and no address within a private network is asked,
//! whatever DNS says.

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

/// One address of the host must answer in this time.
const CONNECT: Duration = Duration::from_secs(10);

/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;

/// How a host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The port: 443, except in a laboratory.
    pub port: u16,
    /// Whether IPv6 is used.
    pub ipv6: bool,
    /// Whether loopback addresses are hosts like any other: only in a laboratory.
    pub loopback: bool,
}

/// Why a host gave no answer that is of use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It is not there, or says no.
    #[error("{0}")]
    Unreachable(String),
    /// Its TLS is not that of the host that it should be.
    #[error("{0}")]
    Tls(String),
    /// It answers something else than it should.
    #[error("{0}")]
    Answer(String),
}

/// An answer, while its connection is there: that ends with it.
pub(crate) struct Answered {
    pub response: Response<Incoming>,
    _connection: JoinSet<hyper::Result<()>>,
}

impl Answered {
    /// The body, where it is no larger than this.
    pub async fn body(self, max_bytes: usize) -> Result<Bytes, String> {
        Ok(Limited::new(self.response.into_body(), max_bytes).collect().await.map_err(|error| error.to_string())?.to_bytes())
    }
}

/// Sends the request to the host.
pub(crate) async fn ask(
    (resolver, tls): (&Resolver, &ClientTls),
    host: &Domain,
    at: Reach,
    request: Request<Full<Bytes>>,
) -> Result<Answered, HostError> {
    let addresses = resolver.addresses(host, at.ipv6).await.map_err(|failure| match failure {
        policy::RouteFailure::Temporary(text) => HostError::Unreachable(format!("DNS gave no address of {host}: {text}")),
        _ => HostError::Unreachable(format!("{host} has no address")),
    })?;
    let is_allowed = |address: &IpAddr| is_public(*address) || (at.loopback && address.is_loopback());
    let mut last = format!("{host} has no address that may be asked");
    for address in addresses.into_iter().filter(is_allowed).take(ADDRESSES_MAX) {
        match tokio::time::timeout(CONNECT, TcpStream::connect(SocketAddr::new(address, at.port))).await {
            Ok(Ok(tcp)) => return exchange(tls, host, tcp, request).await,
            Ok(Err(error)) => last = format!("{host} cannot be reached: {error}"),
            Err(_) => last = format!("{host} cannot be reached: {}", io::Error::from(io::ErrorKind::TimedOut)),
        }
    }
    Err(HostError::Unreachable(last))
}

async fn exchange(tls: &ClientTls, host: &Domain, tcp: TcpStream, request: Request<Full<Bytes>>) -> Result<Answered, HostError> {
    let stream = tls.connect(Verify::Name, host, tcp).await;
    let stream = stream.map_err(|error| HostError::Tls(format!("TLS with {host} failed: {error}")))?;
    let failed = |error: hyper::Error| HostError::Answer(format!("{host} does not speak HTTP: {error}"));
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // The connection ends with the answer, whatever ends that.
    let mut task = JoinSet::new();
    task.spawn(connection);
    let response = sender.send_request(request).await.map_err(failed)?;
    Ok(Answered { response, _connection: task })
}

/// Whether an address may be one of the Internet: what names of strangers lead to must not reach into this network.
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
    fn threat_17_names_do_not_lead_into_this_network() {
        for private in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "fe80::1", "fd00::1"] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        assert!(!is_public("::ffff:10.0.0.1".parse().unwrap()));
        for public in ["9.9.9.9", "2620:fe::fe"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
