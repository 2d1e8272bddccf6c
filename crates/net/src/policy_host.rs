//! Fetches the MTA-STS policy of a domain from its policy host.
//!
//! RFC 8461 s.3.3. Invariant: the certificate is verified, no redirect is followed, time and size are bounded, and no address within a private network
//! is asked, whatever DNS says.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use mail::Domain;
use tokio::net::TcpStream;

use crate::resolver::Resolver;
use crate::tls_client::{ClientTls, Verify};

/// The largest policy, in octets.
const POLICY_MAX_BYTES: usize = 64 << 10;

/// It must be there in this time.
const DEADLINE: Duration = Duration::from_secs(60);

/// One address of the policy host must answer in this time.
const CONNECT: Duration = Duration::from_secs(10);

/// Addresses of a policy host that are tried.
const ADDRESSES_MAX: usize = 4;

/// Where policies are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyPort {
    /// The port: 443, except in a laboratory.
    pub port: u16,
    /// Whether IPv6 is used.
    pub ipv6: bool,
    /// Whether loopback addresses are hosts like any other: only in a laboratory.
    pub loopback: bool,
}

/// The text that the policy host of a domain serves, or why there is none.
pub async fn fetch_policy(resolver: &Resolver, tls: &ClientTls, domain: &Domain, at: PolicyPort) -> Result<String, String> {
    let fetched = tokio::time::timeout(DEADLINE, fetch(resolver, tls, domain, at)).await;
    fetched.unwrap_or_else(|_| Err(format!("it did not come within {} s", DEADLINE.as_secs())))
}

async fn fetch(resolver: &Resolver, tls: &ClientTls, domain: &Domain, at: PolicyPort) -> Result<String, String> {
    let host = Domain::parse(&format!("mta-sts.{domain}")).map_err(|e| e.to_string())?;
    let addresses = resolver.addresses(&host, at.ipv6).await.map_err(|failure| match failure {
        policy::RouteFailure::Temporary(text) => format!("DNS gave no address of {host}: {text}"),
        _ => format!("{host} has no address"),
    })?;
    let is_allowed = |address: &IpAddr| is_public(*address) || (at.loopback && address.is_loopback());
    let mut last = format!("{host} has no address that may be asked");
    for address in addresses.into_iter().filter(is_allowed).take(ADDRESSES_MAX) {
        match tokio::time::timeout(CONNECT, TcpStream::connect(SocketAddr::new(address, at.port))).await {
            Ok(Ok(tcp)) => return ask(tls, &host, tcp).await,
            Ok(Err(error)) => last = format!("{host} cannot be reached: {error}"),
            Err(_) => last = format!("{host} cannot be reached: {}", io::Error::from(io::ErrorKind::TimedOut)),
        }
    }
    Err(last)
}

async fn ask(tls: &ClientTls, host: &Domain, tcp: TcpStream) -> Result<String, String> {
    let stream = tls.connect(Verify::Name, host, tcp).await.map_err(|error| format!("TLS with {host} failed: {error}"))?;
    let failed = |error: hyper::Error| format!("{host} does not speak HTTP: {error}");
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // The connection ends with this function, whatever ends it.
    let mut task = tokio::task::JoinSet::new();
    task.spawn(connection);
    let request = Request::get("/.well-known/mta-sts.txt").header("host", host.as_str()).header("user-agent", "waypost");
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(failed)?;
    if response.status() != hyper::StatusCode::OK {
        return Err(format!("{host} answers {}", response.status()));
    }
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/plain") {
        return Err(format!("{host} serves {kind:?} instead of text/plain"));
    }
    let body = Limited::new(response.into_body(), POLICY_MAX_BYTES).collect().await;
    let body = body.map_err(|error| format!("the answer of {host} cannot be read: {error}"))?.to_bytes();
    String::from_utf8(body.to_vec()).map_err(|_| format!("the answer of {host} is no text"))
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
