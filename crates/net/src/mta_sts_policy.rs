//! Fetches the MTA-STS policy of a domain from its policy host.
//!
//! RFC 8461 s.3.3. Invariant: time and size are bounded, and a response that breaks the RFC is no policy.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use mail::Domain;

use crate::https_client::{HttpsClient, HttpsError, HttpsOptions, send};
use crate::resolver::Resolver;
use crate::tls_client::ClientTls;

/// The largest policy, in octets.
const POLICY_MAX_BYTES: usize = 64 << 10;

/// Time limit for the whole fetch.
const DEADLINE: Duration = Duration::from_secs(60);

/// Returns the text that the domain's policy host serves.
pub async fn fetch_mta_sts_policy(resolver: &Resolver, tls: &ClientTls, domain: &Domain, at: HttpsOptions) -> Result<String, HttpsError> {
    let fetched = tokio::time::timeout(DEADLINE, fetch(resolver, tls, domain, at)).await;
    fetched.unwrap_or_else(|_| Err(HttpsError::Unreachable(format!("the policy did not arrive within {} s", DEADLINE.as_secs()))))
}

async fn fetch(resolver: &Resolver, tls: &ClientTls, domain: &Domain, at: HttpsOptions) -> Result<String, HttpsError> {
    let host = Domain::parse(&format!("mta-sts.{domain}")).map_err(|e| HttpsError::Unreachable(e.to_string()))?;
    let request = Request::get("/.well-known/mta-sts.txt").header("host", host.as_str()).header("user-agent", "waypost");
    let request = request.body(Full::new(Bytes::new())).map_err(|error| HttpsError::Unreachable(error.to_string()))?;
    let client = HttpsClient::new(resolver, tls, at);
    let answered = send(client, &host, request).await?;
    let response = &answered.response;
    if response.status() != hyper::StatusCode::OK {
        return Err(HttpsError::Unreachable(format!("{host} answers {}", response.status())));
    }
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/plain") {
        return Err(HttpsError::Answer(format!("{host} serves {kind:?} instead of text/plain")));
    }
    let body = answered.body(POLICY_MAX_BYTES).await;
    let body = body.map_err(|error| HttpsError::Answer(format!("the answer of {host} cannot be read: {error}")))?;
    String::from_utf8(body.to_vec()).map_err(|_| HttpsError::Answer(format!("the answer of {host} is not UTF-8")))
}
