//! Fetches the MTA-STS policy of a domain from its policy host.
//!
//! RFC 8461 s.3.3. Invariant: time and size are bounded, and what is not served as it should be is no policy.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use mail::Domain;

use crate::resolver::Resolver;
use crate::strange_host::{HostError, Reach, ask};
use crate::tls_client::ClientTls;

/// The largest policy, in octets.
const POLICY_MAX_BYTES: usize = 64 << 10;

/// It must be there in this time.
const DEADLINE: Duration = Duration::from_secs(60);

/// The text that the policy host of a domain serves, or why there is none.
pub async fn fetch_policy(resolver: &Resolver, tls: &ClientTls, domain: &Domain, at: Reach) -> Result<String, HostError> {
    let fetched = tokio::time::timeout(DEADLINE, fetch(resolver, tls, domain, at)).await;
    fetched.unwrap_or_else(|_| Err(HostError::Unreachable(format!("it did not come within {} s", DEADLINE.as_secs()))))
}

async fn fetch(resolver: &Resolver, tls: &ClientTls, domain: &Domain, at: Reach) -> Result<String, HostError> {
    let host = Domain::parse(&format!("mta-sts.{domain}")).map_err(|e| HostError::Unreachable(e.to_string()))?;
    let request = Request::get("/.well-known/mta-sts.txt").header("host", host.as_str()).header("user-agent", "waypost");
    let request = request.body(Full::new(Bytes::new())).map_err(|error| HostError::Unreachable(error.to_string()))?;
    let answered = ask((resolver, tls), &host, at, request).await?;
    let response = &answered.response;
    if response.status() != hyper::StatusCode::OK {
        return Err(HostError::Unreachable(format!("{host} answers {}", response.status())));
    }
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/plain") {
        return Err(HostError::Answer(format!("{host} serves {kind:?} instead of text/plain")));
    }
    let body = answered.body(POLICY_MAX_BYTES).await;
    let body = body.map_err(|error| HostError::Answer(format!("the answer of {host} cannot be read: {error}")))?;
    String::from_utf8(body.to_vec()).map_err(|_| HostError::Answer(format!("the answer of {host} is no text")))
}
