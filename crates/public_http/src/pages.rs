//! The pages of each host and path.
//!
//! RFC 9110 s.15.5.20, RFC 8461 s.3.3. Pure: no sockets, no files. Invariants: a page depends only on the request and on [`PageFacts`]; a host that is
//! not hosted here has no pages; no page reveals whether an address exists.

use std::fmt;
use std::sync::Arc;

use mail::Mailbox;

use crate::servers::Servers;
use crate::{autoconfig, autodiscover, profile};

/// Maximum length of an address, in octets.
const ADDRESS_MAX_BYTES: usize = 320;

/// The parts of a request that select a page.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    /// POST; otherwise GET or HEAD.
    pub is_post: bool,
    /// The requested host, in lower case, without a port.
    pub host: &'a str,
    /// The path.
    pub path: &'a str,
    /// The query, after `?`.
    pub query: Option<&'a str>,
    /// The body, at most 64 KiB.
    pub body: &'a [u8],
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// 200, or 421 for a host that is not hosted here.
    pub status: u16,
    /// Its media type.
    pub content_type: &'static str,
    /// Its content.
    pub body: Vec<u8>,
}

impl Page {
    /// Makes a page with status 200.
    pub(crate) fn new(content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status: 200, content_type, body }
    }

    fn text(body: String) -> Self {
        Self::new("text/plain; charset=utf-8", body.into_bytes())
    }
}

/// Data that is the same for all requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicData {
    /// The name of the server.
    pub hostname: String,
    /// The submission port with implicit TLS.
    pub submissions: Option<u16>,
    /// The submission port with STARTTLS.
    pub submission: Option<u16>,
    /// The IMAP host of all users, if the operator publishes it.
    pub imap_host: Option<String>,
    /// The text of the MTA-STS policy.
    pub mta_sts: String,
}

/// The facts that pages may use. All of them are public.
pub trait PageFacts: Send + Sync {
    /// Returns the data that is the same for all requests.
    fn data(&self) -> Arc<PublicData>;
    /// Whether the domain is hosted here.
    fn hosts(&self, domain: &str) -> bool;
    /// Returns the IMAP host of the user of an address, if it is public.
    fn imap_host_of(&self, address: &Mailbox) -> Option<String>;
    /// Signs a profile; `None` if the server cannot.
    fn signed(&self, profile: &[u8]) -> Option<Vec<u8>>;
}

/// All pages.
#[derive(Clone)]
pub struct Pages(pub Arc<dyn PageFacts>);

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages")
    }
}

/// The role of a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HostRole {
    Server,
    Autoconfig,
    Autodiscover,
    MtaSts,
    Domain,
}

impl Pages {
    /// Returns the page for a request, if there is one.
    pub fn page(&self, request: &PageRequest<'_>) -> Option<Page> {
        let data = self.0.data();
        let roles = self.roles(&data, request.host);
        if roles.is_empty() {
            let body = b"this host is not served here\n".to_vec();
            return Some(Page { status: 421, content_type: "text/plain; charset=utf-8", body });
        }
        roles.into_iter().find_map(|(role, domain)| self.page_of(&data, role, domain, request))
    }

    /// Returns the name of the server.
    pub(crate) fn server(&self) -> String {
        self.0.data().hostname.clone()
    }

    /// Whether anything is served under a host name.
    pub(crate) fn serves(&self, host: &str) -> bool {
        !self.roles(&self.0.data(), host).is_empty()
    }

    /// Whether a request is for the owner's page, where that is served: to the server's name, and for no page of a client's configuration.
    pub(crate) fn is_for_owner(&self, host: &str, path: &str) -> bool {
        let is_server = self.roles(&self.0.data(), host).iter().any(|(role, _)| *role == HostRole::Server);
        let path = path.to_ascii_lowercase();
        is_server && !path.starts_with("/autodiscover/") && !path.starts_with("/.well-known/")
    }

    fn roles<'a>(&self, data: &PublicData, host: &'a str) -> Vec<(HostRole, &'a str)> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let prefixes = [
            ("mta-sts.", HostRole::MtaSts),
            ("autoconfig.", HostRole::Autoconfig),
            ("autodiscover.", HostRole::Autodiscover),
            ("", HostRole::Domain),
        ];
        let hosted = |(prefix, role)| host.strip_prefix(prefix).filter(|domain| self.0.hosts(domain)).map(|domain| (role, domain));
        let mut roles: Vec<_> = prefixes.into_iter().filter_map(hosted).collect();
        if host.eq_ignore_ascii_case(&data.hostname) {
            roles.push((HostRole::Server, host));
        }
        roles
    }

    fn page_of(&self, data: &PublicData, role: HostRole, domain: &str, request: &PageRequest<'_>) -> Option<Page> {
        let path = request.path.to_ascii_lowercase();
        match (request.is_post, path.as_str(), role) {
            (_, "/autodiscover/autodiscover.xml", HostRole::Autodiscover | HostRole::Domain) => {
                let servers = |address: &Mailbox| self.servers(data, Some(address));
                Some(autodiscover::page(domain, request.is_post.then_some(request.body), servers))
            }
            (true, ..) => None,
            // For monitoring.
            (_, "/", _) => Some(Page::text(format!("{} is a mail server\n", data.hostname))),
            (_, "/mail/config-v1.1.xml", HostRole::Autoconfig)
            | (_, "/.well-known/autoconfig/mail/config-v1.1.xml", HostRole::Autoconfig | HostRole::Domain) => {
                autoconfig::page(domain, &self.servers(data, address(request.query, domain).as_ref()))
            }
            (_, "/mobileconfig", HostRole::Autoconfig) => {
                let address = address(request.query, domain)?;
                let wanted = profile::Profile::of(&address, self.servers(data, Some(&address)))?;
                Some(Page::new(profile::CONTENT_TYPE, self.0.signed(&wanted.text()?)?))
            }
            // RFC 8461 s.3.3: exactly this host and path, and text/plain.
            (_, "/.well-known/mta-sts.txt", HostRole::MtaSts) => Some(Page::new("text/plain", data.mta_sts.clone().into_bytes())),
            _ => None,
        }
    }

    /// Returns the servers of an address. An address that does not exist gets those of the domain.
    fn servers(&self, data: &PublicData, address: Option<&Mailbox>) -> Servers {
        let imap = address.and_then(|address| self.0.imap_host_of(address)).or_else(|| data.imap_host.clone());
        Servers::new(&data.hostname, (data.submissions, data.submission), imap)
    }
}

/// Returns the requested address, if it is of this domain.
fn address(query: Option<&str>, domain: &str) -> Option<Mailbox> {
    let pairs = form_urlencoded::parse(query?.as_bytes());
    let value = pairs.into_iter().find_map(|(key, value)| key.eq_ignore_ascii_case("emailaddress").then_some(value))?;
    address_of(&value, domain)
}

/// Parses an address of this domain.
pub(crate) fn address_of(text: &str, domain: &str) -> Option<Mailbox> {
    let text = text.trim();
    let address = Mailbox::parse(text).ok().filter(|_| text.len() <= ADDRESS_MAX_BYTES)?;
    address.domain.as_str().eq_ignore_ascii_case(domain).then_some(address)
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
