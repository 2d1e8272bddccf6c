//! Posts to a URL that the operator chose: a webhook, ntfy.
//!
//! RFC 9110 s.9.3.3. Invariant: a private address is contacted only where the operator allows it (threats.md 95); time and answer are bounded, and
//! no redirect is followed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri};
use mail::Domain;

use crate::https_client::{HttpsClient, HttpsError, Reach, send};
use crate::resolver::Resolver;
use crate::tls_client::ClientTls;

/// Time limit for the whole exchange.
const DEADLINE: Duration = Duration::from_secs(30);

/// Maximum octets of an answer.
const ANSWER_MAX_BYTES: usize = 16 << 10;

/// Maximum length of a URL, in octets.
const URL_MAX_BYTES: usize = 2048;

/// A URL to post to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostUrl {
    is_secure: bool,
    host: Domain,
    port: u16,
    authority: String,
    target: String,
}

impl PostUrl {
    /// Checks what can be known before a connection. `private` allows addresses of private networks, and http.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, private: bool) -> Result<(), String> {
        if private {
            return Ok(());
        }
        if !self.is_secure {
            return Err("http:// is not encrypted".into());
        }
        match self.host.address() {
            Some(address) if !Reach::Public.allows(address) => Err(format!("{address} is an address of a private network")),
            _ => Ok(()),
        }
    }

    /// The host.
    pub fn host(&self) -> &Domain {
        &self.host
    }
}

impl FromStr for PostUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > URL_MAX_BYTES {
            return Err(format!("it is longer than {URL_MAX_BYTES} octets"));
        }
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        let is_secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("it does not begin with https://".into()),
        };
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("a user name or password does not belong into it".into());
        }
        let name = authority.host();
        let host = match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => Domain::parse(&format!("[{address}]")),
            Ok(IpAddr::V6(address)) => Domain::parse(&format!("[IPv6:{address}]")),
            Err(_) => Domain::parse(name),
        };
        let host = host.map_err(|error| format!("{name} is not a host: {error}"))?;
        let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let target = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { is_secure, host, port, authority: authority.as_str().to_owned(), target: target.to_owned() })
    }
}

impl fmt::Display for PostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.is_secure { "https" } else { "http" }, self.authority, self.target)
    }
}

/// What is posted.
#[derive(Debug, Clone)]
pub struct HttpPost<'a> {
    /// Where.
    pub url: &'a PostUrl,
    /// Header fields.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

/// How a host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostOptions {
    /// Whether IPv6 is used.
    pub ipv6: bool,
    /// Whether addresses of private networks are allowed.
    pub private: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostAnswer {
    /// The status code.
    pub status: u16,
    /// The beginning of its body.
    pub text: String,
}

/// Posts.
///
/// # Errors
/// There is no answer. An answer with any status is none.
pub async fn http_post(resolver: &Resolver, tls: &ClientTls, post: HttpPost<'_>, at: PostOptions) -> Result<PostAnswer, HttpsError> {
    let posted = tokio::time::timeout(DEADLINE, exchange(resolver, tls, post, at)).await;
    posted.unwrap_or_else(|_| Err(HttpsError::Unreachable(format!("no answer within {} s", DEADLINE.as_secs()))))
}

async fn exchange(resolver: &Resolver, tls: &ClientTls, post: HttpPost<'_>, at: PostOptions) -> Result<PostAnswer, HttpsError> {
    let HttpPost { url, headers, body } = post;
    url.check(at.private).map_err(HttpsError::Unreachable)?;
    let mut request = Request::post(&url.target).header("host", &url.authority).header("user-agent", "waypost");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(body)).map_err(|error| HttpsError::Unreachable(error.to_string()))?;
    let reach = if at.private { Reach::All } else { Reach::Public };
    let client = HttpsClient { resolver, tls, port: url.port, ipv6: at.ipv6, reach, is_secure: url.is_secure };
    let answered = send(client, &url.host, request).await?;
    let status = answered.response.status().as_u16();
    // The text only helps the operator: an answer that is too long is still an answer.
    let text = answered.body(ANSWER_MAX_BYTES).await.map(|body| String::from_utf8_lossy(&body).into_owned()).unwrap_or_default();
    Ok(PostAnswer { status, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written_back() {
        let url: PostUrl = "https://ntfy.example.test:8443/topic?x=1".parse().unwrap();
        assert_eq!((url.host().as_str(), url.port, url.target.as_str()), ("ntfy.example.test", 8443, "/topic?x=1"));
        assert_eq!(url.to_string(), "https://ntfy.example.test:8443/topic?x=1");
        assert_eq!("https://x.test".parse::<PostUrl>().unwrap().target, "/");
        for bad in ["", "ntfy.sh/topic", "ftp://x.test/", "https:///x", "https://me:secret@x.test/", "https://a b/", "file:///etc/passwd"] {
            assert!(bad.parse::<PostUrl>().is_err(), "{bad}");
        }
        assert!(format!("https://x.test/{}", "a".repeat(URL_MAX_BYTES)).parse::<PostUrl>().is_err());
    }

    #[test]
    fn threat_95_private_urls_need_the_setting() {
        for private in [
            "https://127.0.0.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::ffff:127.0.0.1]/",
            "https://[::1]:8080/x",
            "https://[fd00::1]/",
            "https://10.0.0.1/",
            "https://0.0.0.0/",
            "http://ntfy.example.test/topic",
        ] {
            let url: PostUrl = private.parse().unwrap();
            assert!(url.check(false).is_err() && url.check(true).is_ok(), "{private}");
        }
        assert_eq!("https://9.9.9.9/".parse::<PostUrl>().unwrap().check(false), Ok(()));
    }
}
