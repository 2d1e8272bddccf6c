//! OAuth token introspection: asks the authorization server for the owner of an access token.
//!
//! RFC 7662 s.2. Invariant: the token goes only to the configured server, over TLS unless that is on loopback; the answer is bounded in size and
//! time.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use mail::Domain;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::tls_client::{ClientTls, Verify};

/// The largest answer, in octets.
const ANSWER_MAX_BYTES: usize = 64 << 10;

/// Time limit for the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a token could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum IntrospectionError {
    /// The URL cannot be used.
    #[error("{0} is not the URL of an introspection endpoint; write https://host/path")]
    Address(String),
    /// The connection failed.
    #[error("cannot reach the authorization server: {0}")]
    Io(#[from] io::Error),
    /// The HTTP exchange failed.
    #[error("the HTTP exchange with the authorization server failed: {0}")]
    Http(String),
    /// Its answer cannot be used.
    #[error("unusable answer of the authorization server: {0}")]
    Answer(String),
}

/// Where tokens are checked.
#[derive(Clone)]
pub struct Introspection {
    uri: Uri,
    authorization: Option<String>,
    claim: String,
}

impl std::fmt::Debug for Introspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspection").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl Introspection {
    /// `credentials` are this server's name and password at the endpoint; `claim` is the member of the answer that names the account.
    pub fn new(url: &str, credentials: Option<(&str, &str)>, claim: &str) -> Result<Self, IntrospectionError> {
        let bad = || IntrospectionError::Address(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let is_loopback = uri.host().is_some_and(|host| host.starts_with("127.") || host == "localhost" || host == "[::1]");
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback => {}
            _ => return Err(bad()),
        }
        uri.host().ok_or_else(bad)?;
        let basic = |(user, password): (&str, &str)| format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
        Ok(Self { uri, authorization: credentials.map(basic), claim: claim.to_owned() })
    }

    /// The token's owner; `None` if it is not valid.
    pub async fn owner(&self, tls: &ClientTls, token: &str) -> Result<Option<String>, IntrospectionError> {
        let late = |_| IntrospectionError::Io(io::ErrorKind::TimedOut.into());
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.ask(tls, token)).await.map_err(late)??;
        read(&answer, &self.claim)
    }

    async fn ask(&self, tls: &ClientTls, token: &str) -> Result<Bytes, IntrospectionError> {
        let host = self.uri.host().unwrap_or_default();
        let is_https = self.uri.scheme_str() == Some("https");
        let port = self.uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        if is_https {
            let name = Domain::parse(host).map_err(|e| IntrospectionError::Address(e.to_string()))?;
            self.exchange(tls.connect(Verify::Name, &name, tcp).await?, token).await
        } else {
            self.exchange(tcp, token).await
        }
    }

    async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        token: &str,
    ) -> Result<Bytes, IntrospectionError> {
        let failed = |error: hyper::Error| IntrospectionError::Http(error.to_string());
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // The connection ends with this function.
        let mut task = tokio::task::JoinSet::new();
        task.spawn(connection);
        let mut request = Request::post(self.uri.path_and_query().map_or("/", |path| path.as_str()))
            .header("host", self.uri.authority().map_or("", |authority| authority.as_str()))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let form = Bytes::from(format!("token_type_hint=access_token&token={}", escaped(token)));
        let request = request.body(Full::new(form)).map_err(|error| IntrospectionError::Http(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
        let body = body.map_err(|error| IntrospectionError::Http(error.to_string()))?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(IntrospectionError::Answer(status.to_string())) }
    }
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// The owner in an answer.
fn read(answer: &[u8], claim: &str) -> Result<Option<String>, IntrospectionError> {
    let value: serde_json::Value =
        serde_json::from_slice(answer).map_err(|error| IntrospectionError::Answer(format!("not JSON: {error}")))?;
    match value.get("active").and_then(serde_json::Value::as_bool) {
        Some(true) => match value.get(claim).and_then(serde_json::Value::as_str) {
            Some(owner) => Ok(Some(owner.to_owned())),
            None => Err(IntrospectionError::Answer(format!("it has no {claim}; set oauth.claim to another member"))),
        },
        Some(false) => Ok(None),
        None => Err(IntrospectionError::Answer("it does not say whether the token is active".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_active_token_has_an_owner() {
        assert_eq!(read(br#"{"active":true,"username":"me@example.test"}"#, "username").unwrap().as_deref(), Some("me@example.test"));
        assert_eq!(read(br#"{"active":false}"#, "username").unwrap(), None);
        for bad in [&b"{}"[..], b"x", br#"{"active":true}"#, br#"{"active":"true","username":"me"}"#, br#"{"active":true,"username":7}"#] {
            assert!(read(bad, "username").is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_token_goes_over_tls_or_loopback_only() {
        for url in ["http://login.example.test/introspect", "ftp://127.0.0.1/", "login.example.test", ""] {
            assert!(Introspection::new(url, None, "username").is_err(), "{url}");
        }
        for url in ["https://login.example.test/introspect", "http://127.0.0.1:8080/introspect"] {
            assert!(Introspection::new(url, Some(("a", "b")), "username").is_ok(), "{url}");
        }
        assert_eq!(escaped("a+b/c=&"), "a%2Bb%2Fc%3D%26");
    }
}
