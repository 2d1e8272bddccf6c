//! Delivers a report to a host that takes reports over HTTPS.
//!
//! RFC 8460 s.5.4. Invariant: any 2xx is success and nothing else is; of the answer only the head is read.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use mail::Domain;

use crate::resolver::Resolver;
use crate::strange_host::{HostError, Reach, ask};
use crate::tls_client::ClientTls;

/// The report must be taken in this time.
const DEADLINE: Duration = Duration::from_secs(60);

/// What is delivered, and where to at its host.
#[derive(Debug, Clone)]
pub struct Delivery<'a> {
    /// The host.
    pub host: &'a Domain,
    /// Path and query.
    pub target: &'a str,
    /// The media type.
    pub media_type: &'static str,
    /// The report.
    pub body: Bytes,
}

/// Delivers a report.
pub async fn deliver_report(resolver: &Resolver, tls: &ClientTls, delivery: Delivery<'_>, at: Reach) -> Result<(), HostError> {
    let delivered = tokio::time::timeout(DEADLINE, post(resolver, tls, delivery, at)).await;
    delivered.unwrap_or_else(|_| Err(HostError::Unreachable(format!("it was not taken within {} s", DEADLINE.as_secs()))))
}

async fn post(resolver: &Resolver, tls: &ClientTls, delivery: Delivery<'_>, at: Reach) -> Result<(), HostError> {
    let Delivery { host, target, media_type, body } = delivery;
    let authority = if at.port == 443 { host.to_string() } else { format!("{host}:{}", at.port) };
    let request = Request::post(target).header("host", authority).header("user-agent", "waypost").header("content-type", media_type);
    let request = request.body(Full::new(body)).map_err(|error| HostError::Unreachable(error.to_string()))?;
    let answered = ask((resolver, tls), host, at, request).await?;
    let status = answered.response.status();
    if status.is_success() { Ok(()) } else { Err(HostError::Answer(format!("{host} answers {status}"))) }
}
