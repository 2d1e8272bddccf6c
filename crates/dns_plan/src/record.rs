//! A record of the plan: its data, its purpose, its importance.
//!
//! RFC 1035 s.3.2.2, RFC 1035 s.3.5 and RFC 3596 s.2.5 (names of addresses). Invariant: owner names end with a dot and are in lower case; the value of a
//! TXT record is its text, without quotes and unsplit.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use mail::Domain;

/// The type of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordType {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// An alias of a name.
    Cname,
    /// The hosts for a domain's mail.
    Mx,
    /// Text.
    Txt,
    /// The host and port of a service.
    Srv,
    /// The key of a service.
    Tlsa,
    /// The authorities that may issue certificates.
    Caa,
    /// The name of an address.
    Ptr,
}

impl RecordType {
    /// Its name in zone files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Txt => "TXT",
            Self::Srv => "SRV",
            Self::Tlsa => "TLSA",
            Self::Caa => "CAA",
            Self::Ptr => "PTR",
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The purpose of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// The hosts for a domain's mail.
    Mx,
    /// The address of this server, or of the forwarding domain.
    HostAddress,
    /// The name of an address.
    Ptr,
    /// The servers that may send for a name.
    Spf,
    /// A DKIM key.
    Dkim,
    /// The policy for mail that fails authentication.
    Dmarc,
    /// The announcement of an MTA-STS policy.
    MtaSts,
    /// The host of that policy.
    MtaStsHost,
    /// The address for TLS reports.
    TlsRpt,
    /// The key of this server's certificate.
    Tlsa,
    /// The servers where mail programs send and read mail.
    Srv,
    /// The host with settings for mail programs.
    Autoconfig,
    /// The authority that may issue certificates for this server.
    Caa,
    /// A name that accepts no mail.
    NullMx,
}

impl RecordKind {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::HostAddress => "host-address",
            Self::Ptr => "ptr",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
            Self::MtaSts => "mta-sts",
            Self::MtaStsHost => "mta-sts-host",
            Self::TlsRpt => "tls-rpt",
            Self::Tlsa => "tlsa",
            Self::Srv => "srv",
            Self::Autoconfig => "autoconfig",
            Self::Caa => "caa",
            Self::NullMx => "null-mx",
        }
    }
}

/// The importance of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DnsSeverity {
    /// Useful to some.
    Optional,
    /// Mail works without it, but worse.
    Recommended,
    /// Without it, mail is lost or refused.
    Required,
}

impl DnsSeverity {
    /// Its name in JSON and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Optional => "optional",
            Self::Recommended => "recommended",
            Self::Required => "required",
        }
    }
}

/// The use of a record, in the order in which to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordUse {
    /// Without it, mail is lost or refused.
    Needed,
    /// Improves trust in your mail, and its protection.
    Better,
    /// Mail programs configure themselves with it.
    Programs,
}

impl RecordUse {
    /// All of them, the most important first.
    pub const ALL: [Self; 3] = [Self::Needed, Self::Better, Self::Programs];

    /// The heading.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Needed => "needed now",
            Self::Better => "better",
            Self::Programs => "for mail programs",
        }
    }
}

/// A record to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRecord {
    /// The hosted domain that it is for; `None` for the server as a whole.
    pub domain: Option<Domain>,
    /// Its owner name, with the final dot.
    pub owner: String,
    /// Its type.
    pub record_type: RecordType,
    /// Its data: the text of a TXT record, otherwise as in a zone file.
    pub value: String,
    /// Its TTL, in seconds.
    pub ttl_s: u32,
    /// Its purpose.
    pub kind: RecordKind,
    /// Its importance.
    pub severity: DnsSeverity,
    /// Why it is needed.
    pub why: &'static str,
}

impl PlannedRecord {
    /// Its use.
    pub fn usage(&self) -> RecordUse {
        match (self.kind, self.severity) {
            (RecordKind::Srv | RecordKind::Autoconfig, _) => RecordUse::Programs,
            (_, DnsSeverity::Required) => RecordUse::Needed,
            _ => RecordUse::Better,
        }
    }

    /// The value as in a zone file, a text unsplit.
    pub fn quoted(&self) -> String {
        if self.record_type == RecordType::Txt { format!("\"{}\"", self.value) } else { self.value.clone() }
    }

    /// Whether it can be published: an address may not be known yet.
    pub fn is_complete(&self) -> bool {
        self.record_type != RecordType::A || !self.value.contains('(')
    }
}

/// The probable zone of a name: the shortest hosted domain that contains it, otherwise the name without its first label.
pub fn zone_among(owner: &str, domains: &[Domain]) -> String {
    let name = owner.trim_end_matches('.');
    let is_in = |domain: &&Domain| name == domain.as_str() || name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'));
    let hosted = domains.iter().filter(is_in).min_by_key(|domain| domain.as_str().len());
    hosted.map_or_else(|| name.split_once('.').map_or(name, |(_, rest)| rest).to_owned(), ToString::to_string)
}

/// The owner name of an address's PTR record.
pub fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(v6) => {
            let mut name = String::new();
            for octet in v6.octets().iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
            name.push_str("ip6.arpa.");
            name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_reverse_names() {
        assert_eq!(reverse_name("192.0.2.10".parse().unwrap()), "10.2.0.192.in-addr.arpa.");
        let v6 = reverse_name("2001:db8::10".parse().unwrap());
        assert_eq!(v6, "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.");
    }

    #[test]
    fn a_name_is_in_the_shortest_hosted_domain() {
        let domains: Vec<Domain> = ["sub.example.com", "example.com"].map(|d| d.parse().unwrap()).into();
        assert_eq!(zone_among("_dmarc.sub.example.com.", &domains), "example.com");
        assert_eq!(zone_among("example.com.", &domains), "example.com");
        assert_eq!(zone_among("mx.notexample.com.", &domains), "notexample.com");
    }
}
