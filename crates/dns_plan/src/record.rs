//! A record of the plan: what it holds, what it is for, how much hangs on it.
//!
//! RFC 1035 s.3.2.2, RFC 1035 s.3.5 and RFC 3596 s.2.5 (names of addresses). Invariant: owners end with a dot and are in lower case; the value of a
//! TXT record is its text, without quotes and in one piece.

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
    /// Another name of a name.
    Cname,
    /// Where mail goes.
    Mx,
    /// Text.
    Txt,
    /// Where a service is.
    Srv,
    /// The key of a service.
    Tlsa,
    /// Who may issue certificates.
    Caa,
    /// The name of an address.
    Ptr,
}

impl RecordType {
    /// As zone files have it.
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

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// Where mail for a domain goes.
    Mx,
    /// The address of this server, or of the forwarding domain.
    HostAddress,
    /// The name of an address.
    Ptr,
    /// Who sends for a name.
    Spf,
    /// A key for signatures.
    Dkim,
    /// What becomes of mail that nothing vouches for.
    Dmarc,
    /// That there is a policy about TLS.
    MtaSts,
    /// Where that policy is.
    MtaStsHost,
    /// Who gets reports about TLS.
    TlsRpt,
    /// The key of this server's certificate.
    Tlsa,
    /// Where clients submit and read mail.
    Srv,
    /// Where clients find their configuration.
    Autoconfig,
    /// Who may issue certificates for this server.
    Caa,
    /// A name that takes no mail.
    NullMx,
}

impl RecordKind {
    /// The word for JSON.
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

/// How much hangs on a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DnsSeverity {
    /// Of use to some.
    Optional,
    /// Mail works without it, but worse.
    Recommended,
    /// Without it mail is lost or refused.
    Required,
}

impl DnsSeverity {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Optional => "optional",
            Self::Recommended => "recommended",
            Self::Required => "required",
        }
    }
}

/// For whom a record is, and so which are published first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordUse {
    /// Without it mail is lost or refused.
    Needed,
    /// With it mail is believed and protected better.
    Better,
    /// Mail programs set themselves up by it.
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
    /// The hosted domain that it is for; nothing where it is for the server as a whole.
    pub domain: Option<Domain>,
    /// Its owner, with the dot at the end.
    pub owner: String,
    /// Its type.
    pub record_type: RecordType,
    /// What it holds: the text of a TXT record, otherwise as a zone file has it.
    pub value: String,
    /// How long others may keep it, in seconds.
    pub ttl_s: u32,
    /// What it is for.
    pub kind: RecordKind,
    /// How much hangs on it.
    pub severity: DnsSeverity,
    /// Why it is there.
    pub why: &'static str,
}

impl PlannedRecord {
    /// For whom it is.
    pub fn usage(&self) -> RecordUse {
        match (self.kind, self.severity) {
            (RecordKind::Srv | RecordKind::Autoconfig, _) => RecordUse::Programs,
            (_, DnsSeverity::Required) => RecordUse::Needed,
            _ => RecordUse::Better,
        }
    }

    /// The value as a zone file has it, a text in one piece.
    pub fn quoted(&self) -> String {
        if self.record_type == RecordType::Txt { format!("\"{}\"", self.value) } else { self.value.clone() }
    }

    /// Whether it can be published as it is: an address may not be known yet.
    pub fn is_complete(&self) -> bool {
        self.record_type != RecordType::A || !self.value.contains('(')
    }
}

/// The zone of a name, as far as the hosted domains tell: the shortest of them that it is in, or else the name without its first label.
pub fn zone_among(owner: &str, domains: &[Domain]) -> String {
    let name = owner.trim_end_matches('.');
    let is_in = |domain: &&Domain| name == domain.as_str() || name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'));
    let hosted = domains.iter().filter(is_in).min_by_key(|domain| domain.as_str().len());
    hosted.map_or_else(|| name.split_once('.').map_or(name, |(_, rest)| rest).to_owned(), ToString::to_string)
}

/// The name under which the name of an address stands.
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
    fn addresses_have_names() {
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
