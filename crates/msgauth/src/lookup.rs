//! DNS lookups of message authentication.
//!
//! RFC 1035 s.3.1, RFC 8020 s.2. Invariant: "does not exist" and "no answer" (SERVFAIL, timeout, a referral) are told apart, and
//! an invalid name is not looked up.

use std::fmt::Write as _;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::dns::Dns;

/// Why there are no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The name does not exist.
    Name,
    /// The name has no such record, or is invalid.
    Record,
    /// No answer.
    Temporary,
}

/// The answer to one lookup: at least one record, or why there is none.
pub(crate) type Answer<T> = Result<Vec<T>, Missing>;

/// A resolver.
pub(crate) trait Lookup: Sync {
    /// TXT records, the strings of each joined.
    fn txt(&self, name: &str) -> impl Future<Output = Answer<Vec<u8>>> + Send;
    /// IPv4 addresses.
    fn a(&self, name: &str) -> impl Future<Output = Answer<Ipv4Addr>> + Send;
    /// IPv6 addresses.
    fn aaaa(&self, name: &str) -> impl Future<Output = Answer<Ipv6Addr>> + Send;
    /// Mail exchangers, the most preferred first.
    fn mx(&self, name: &str) -> impl Future<Output = Answer<String>> + Send;
    /// The PTR names of an address.
    fn ptr(&self, address: IpAddr) -> impl Future<Output = Answer<String>> + Send;

    /// The addresses of the same family as `like`.
    fn same_family(&self, name: &str, like: IpAddr) -> impl Future<Output = Answer<IpAddr>> + Send {
        async move {
            match like {
                IpAddr::V4(_) => Ok(self.a(name).await?.into_iter().map(IpAddr::V4).collect()),
                IpAddr::V6(_) => Ok(self.aaaa(name).await?.into_iter().map(IpAddr::V6).collect()),
            }
        }
    }
}

/// A valid DNS name: labels of 1 to 63 octets, 253 in all, an internationalized one as A-labels.
pub(crate) fn fqdn(name: &str) -> Option<Name> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let ascii = if name.is_ascii() { name.to_ascii_lowercase() } else { mail::Domain::parse(name).ok()?.to_string() };
    if ascii.is_empty() || ascii.len() > 253 || ascii.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return None;
    }
    let mut name = Name::from_labels(ascii.split('.').map(str::as_bytes)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// The reverse DNS name of an address.
pub(crate) fn reverse_name(address: IpAddr) -> String {
    let mut name = String::with_capacity(72);
    match address {
        IpAddr::V4(a) => {
            for octet in a.octets().iter().rev() {
                let _ = write!(name, "{octet}.");
            }
            name.push_str("in-addr.arpa");
        }
        IpAddr::V6(a) => {
            for octet in a.octets().iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
            name.push_str("ip6.arpa");
        }
    }
    name
}

async fn records<T>(resolver: &Dns, name: &str, kind: RecordType, pick: impl Fn(&RData) -> Option<T> + Send) -> Answer<T> {
    let known = resolver.lookup_text(name, kind).await;
    let lookup = (*known).as_ref().map_err(|missing| *missing)?;
    let found: Vec<T> = lookup.answers().iter().filter_map(|record| pick(&record.data)).collect();
    if found.is_empty() { Err(Missing::Record) } else { Ok(found) }
}

pub(crate) fn missing(error: &NetError) -> Missing {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { soa: None, ns: Some(servers), .. })) if !servers.is_empty() => {
            Missing::Temporary
        }
        error if error.is_nx_domain() => Missing::Name,
        error if error.is_no_records_found() => Missing::Record,
        _ => Missing::Temporary,
    }
}

/// A name as text; special octets are escaped, so that it cannot be taken for another.
fn text_of(name: &Name) -> String {
    let is_plain = |label: &[u8]| label.iter().all(|byte| byte.is_ascii_graphic() && !b".\\".contains(byte));
    let text = if name.iter().all(is_plain) {
        let labels: Vec<_> = name.iter().map(String::from_utf8_lossy).collect();
        labels.join(".")
    } else {
        name.to_ascii()
    };
    text.trim_end_matches('.').to_ascii_lowercase()
}

impl Lookup for Dns {
    async fn txt(&self, name: &str) -> Answer<Vec<u8>> {
        let joined = |data: &RData| if let RData::TXT(txt) = data { Some(txt.txt_data.concat()) } else { None };
        records(self, name, RecordType::TXT, joined).await
    }

    async fn a(&self, name: &str) -> Answer<Ipv4Addr> {
        records(self, name, RecordType::A, |data| if let RData::A(a) = data { Some(a.0) } else { None }).await
    }

    async fn aaaa(&self, name: &str) -> Answer<Ipv6Addr> {
        records(self, name, RecordType::AAAA, |data| if let RData::AAAA(a) = data { Some(a.0) } else { None }).await
    }

    async fn mx(&self, name: &str) -> Answer<String> {
        let exchange = |data: &RData| if let RData::MX(mx) = data { Some((mx.preference, text_of(&mx.exchange))) } else { None };
        let mut found = records(self, name, RecordType::MX, exchange).await?;
        found.sort_by_key(|(preference, _)| *preference);
        Ok(found.into_iter().map(|(_, host)| host).collect())
    }

    async fn ptr(&self, address: IpAddr) -> Answer<String> {
        let name = |data: &RData| if let RData::PTR(name) = data { Some(text_of(name)) } else { None };
        records(self, &reverse_name(address), RecordType::PTR, name).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_names_are_not_looked_up() {
        assert_eq!(fqdn("Example.Org").unwrap().to_ascii(), "example.org.");
        assert!(fqdn("a..b").is_none());
        assert!(fqdn("").is_none());
        assert!(fqdn(&"x".repeat(64)).is_none());
        assert!(fqdn(&"x.".repeat(127)).is_some());
        assert!(fqdn(&"x.".repeat(128)).is_none());
    }

    #[test]
    fn reverse_names_are_built() {
        assert_eq!(reverse_name("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa");
        assert!(reverse_name("2001:db8::1".parse().unwrap()).starts_with("1.0.0.0."));
        assert!(reverse_name("2001:db8::1".parse().unwrap()).ends_with("8.b.d.0.1.0.0.2.ip6.arpa"));
    }
}
