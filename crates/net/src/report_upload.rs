//! Uploads a TLS report over HTTPS.
//!
//! RFC 8460 s.5.4. Invariant: success is 2xx and nothing else; only the head of the response is read.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use mail::Domain;

use crate::https_client::{HttpsClient, HttpsError, HttpsOptions, send};
use crate::resolver::Resolver;
use crate::tls_client::ClientTls;

/// Time limit for the whole upload.
const DEADLINE: Duration = Duration::from_secs(60);

/// A report, and where to upload it.
#[derive(Debug, Clone)]
pub struct ReportUpload<'a> {
    /// The host.
    pub host: &'a Domain,
    /// Path and query.
    pub target: &'a str,
    /// The media type.
    pub media_type: &'static str,
    /// The report.
    pub body: Bytes,
}

/// Uploads a report.
pub async fn upload_report(resolver: &Resolver, tls: &ClientTls, upload: ReportUpload<'_>, at: HttpsOptions) -> Result<(), HttpsError> {
    let uploaded = tokio::time::timeout(DEADLINE, post(resolver, tls, upload, at)).await;
    uploaded.unwrap_or_else(|_| Err(HttpsError::Unreachable(format!("the upload did not finish within {} s", DEADLINE.as_secs()))))
}

async fn post(resolver: &Resolver, tls: &ClientTls, upload: ReportUpload<'_>, at: HttpsOptions) -> Result<(), HttpsError> {
    let ReportUpload { host, target, media_type, body } = upload;
    let authority = if at.port == 443 { host.to_string() } else { format!("{host}:{}", at.port) };
    let request = Request::post(target).header("host", authority).header("user-agent", "waypost").header("content-type", media_type);
    let request = request.body(Full::new(body)).map_err(|error| HttpsError::Unreachable(error.to_string()))?;
    let client = HttpsClient::new(resolver, tls, at);
    let answered = send(client, host, request).await?;
    let status = answered.response.status();
    if status.is_success() { Ok(()) } else { Err(HttpsError::Answer(format!("{host} answers {status}"))) }
}
