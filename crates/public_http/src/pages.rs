//! The pages: from host and path to what is shown.
//!
//! RFC 9110 s.15.5.20, RFC 8461 s.3.3. Pure: no sockets, no files. Invariants: a page is decided by the request and by [`Facts`], and by nothing
//! else; a host that is not ours gets nothing; whether an address exists cannot be told from any page.

use std::fmt;
use std::sync::Arc;

use mail::Mailbox;

use crate::servers::Servers;
use crate::{autoconfig, autodiscover, profile};

/// The longest address that is looked at, in octets.
const ADDRESS_MAX_BYTES: usize = 320;

/// A request, as pages see it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// POST; else GET or HEAD.
    pub is_post: bool,
    /// The host that is asked, lower case, without a port.
    pub host: &'a str,
    /// The path, as it came.
    pub path: &'a str,
    /// What stands behind the `?`.
    pub query: Option<&'a str>,
    /// The body, at most 64 KiB.
    pub body: &'a [u8],
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// 200, or 421 for a host that is not ours.
    pub status: u16,
    /// Its media type.
    pub content_type: &'static str,
    /// What it says.
    pub body: Vec<u8>,
}

impl Page {
    /// One that was found.
    pub(crate) fn new(content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status: 200, content_type, body }
    }

    fn text(body: String) -> Self {
        Self::new("text/plain; charset=utf-8", body.into_bytes())
    }
}

/// What does not change from request to request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The server's own name.
    pub hostname: String,
    /// The port with TLS from the start, where accounts submit mail.
    pub submissions: Option<u16>,
    /// The port with STARTTLS.
    pub submission: Option<u16>,
    /// Where everybody reads mail, if the operator says so in public.
    pub imap_host: Option<String>,
    /// The text of the MTA-STS policy.
    pub mta_sts: String,
}

/// What the pages may know. Everything that is answered here is public.
pub trait Facts: Send + Sync {
    /// What is the same for all.
    fn shown(&self) -> Arc<Shown>;
    /// Whether mail for this domain is taken here.
    fn hosts(&self, domain: &str) -> bool;
    /// Where the owner of an address reads mail, if that may be told to everybody.
    fn imap_host_of(&self, address: &Mailbox) -> Option<String>;
    /// A profile with the server's signature; `None` where it cannot sign.
    fn signed(&self, profile: &[u8]) -> Option<Vec<u8>>;
}

/// All pages.
#[derive(Clone)]
pub struct Pages(pub Arc<dyn Facts>);

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages")
    }
}

/// What a host name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Server,
    Autoconfig,
    Autodiscover,
    MtaSts,
    Domain,
}

impl Pages {
    /// The page for a request; `None` where there is none.
    pub fn page(&self, asked: &Asked<'_>) -> Option<Page> {
        let shown = self.0.shown();
        let roles = self.roles(&shown, asked.host);
        if roles.is_empty() {
            let body = b"this host is not served here\n".to_vec();
            return Some(Page { status: 421, content_type: "text/plain; charset=utf-8", body });
        }
        roles.into_iter().find_map(|(role, domain)| self.page_of(&shown, role, domain, asked))
    }

    fn roles<'a>(&self, shown: &Shown, host: &'a str) -> Vec<(Role, &'a str)> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let prefixes =
            [("mta-sts.", Role::MtaSts), ("autoconfig.", Role::Autoconfig), ("autodiscover.", Role::Autodiscover), ("", Role::Domain)];
        let hosted = |(prefix, role)| host.strip_prefix(prefix).filter(|domain| self.0.hosts(domain)).map(|domain| (role, domain));
        let mut roles: Vec<_> = prefixes.into_iter().filter_map(hosted).collect();
        if host.eq_ignore_ascii_case(&shown.hostname) {
            roles.push((Role::Server, host));
        }
        roles
    }

    fn page_of(&self, shown: &Shown, role: Role, domain: &str, asked: &Asked<'_>) -> Option<Page> {
        let path = asked.path.to_ascii_lowercase();
        match (asked.is_post, path.as_str(), role) {
            (_, "/autodiscover/autodiscover.xml", Role::Autodiscover | Role::Domain) => {
                let servers = |address: &Mailbox| self.servers(shown, Some(address));
                Some(autodiscover::page(domain, asked.is_post.then_some(asked.body), servers))
            }
            (true, ..) => None,
            // For whoever watches whether the server is up.
            (_, "/", _) => Some(Page::text(format!("{} is a mail server\n", shown.hostname))),
            (_, "/mail/config-v1.1.xml", Role::Autoconfig)
            | (_, "/.well-known/autoconfig/mail/config-v1.1.xml", Role::Autoconfig | Role::Domain) => {
                autoconfig::page(domain, &self.servers(shown, address(asked.query, domain).as_ref()))
            }
            (_, "/mobileconfig", Role::Autoconfig) => {
                let address = address(asked.query, domain)?;
                let wanted = profile::Profile::of(&address, self.servers(shown, Some(&address)))?;
                Some(Page::new(profile::CONTENT_TYPE, self.0.signed(&wanted.text()?)?))
            }
            // RFC 8461 s.3.3: exactly this host and path, and text/plain.
            (_, "/.well-known/mta-sts.txt", Role::MtaSts) => Some(Page::new("text/plain", shown.mta_sts.clone().into_bytes())),
            _ => None,
        }
    }

    /// An address that does not exist gets what the domain gets.
    fn servers(&self, shown: &Shown, address: Option<&Mailbox>) -> Servers {
        let imap = address.and_then(|address| self.0.imap_host_of(address)).or_else(|| shown.imap_host.clone());
        Servers::new(&shown.hostname, (shown.submissions, shown.submission), imap)
    }
}

/// The address that is asked for, where it is one of this domain.
fn address(query: Option<&str>, domain: &str) -> Option<Mailbox> {
    let pairs = form_urlencoded::parse(query?.as_bytes());
    let value = pairs.into_iter().find_map(|(key, value)| key.eq_ignore_ascii_case("emailaddress").then_some(value))?;
    address_of(&value, domain)
}

/// The text as an address of this domain.
pub(crate) fn address_of(text: &str, domain: &str) -> Option<Mailbox> {
    let text = text.trim();
    let address = Mailbox::parse(text).ok().filter(|_| text.len() <= ADDRESS_MAX_BYTES)?;
    address.domain.as_str().eq_ignore_ascii_case(domain).then_some(address)
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
