//! A mail domain: a host name, kept in lower-case A-label form, or an address literal.
//!
//! RFC 5321 s.2.3.5 and s.4.1.3, RFC 5891 s.5. Invariant: a `Domain` contains only letters, digits, `-`, `_`
//! and `.`, or is a bracketed address literal, so it can be written to a connection, a log or a file without escaping.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// A domain name in lower-case A-label form, or an address literal such as `[192.0.2.1]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Arc<str>);

/// Why a text is not a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainError {
    /// It is empty.
    Empty,
    /// A label or the whole name is longer than DNS allows (63 and 253 octets).
    TooLong,
    /// A character that is not allowed in a host name.
    BadCharacter,
    /// A bracketed literal that is not an IPv4 or IPv6 address.
    BadLiteral,
}

impl fmt::Display for DomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the domain is empty",
            Self::TooLong => "the domain is longer than DNS allows",
            Self::BadCharacter => "the domain has a character that is not allowed in a host name",
            Self::BadLiteral => "the address literal is not an IP address",
        })
    }
}

impl std::error::Error for DomainError {}

impl Domain {
    /// Reads a domain or an address literal. Internationalized names become A-labels.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        if let Some(inner) = text.strip_prefix('[') {
            return Self::parse_literal(inner.strip_suffix(']').ok_or(DomainError::BadLiteral)?);
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        let ascii =
            if text.is_ascii() { text.to_ascii_lowercase() } else { idna::domain_to_ascii(text).map_err(|_| DomainError::BadCharacter)? };
        if ascii.len() > 253 {
            return Err(DomainError::TooLong);
        }
        for label in ascii.split('.') {
            check_label(label)?;
        }
        Ok(Self(ascii.into()))
    }

    fn parse_literal(inner: &str) -> Result<Self, DomainError> {
        let v6 = inner.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"));
        let address = if v6 {
            inner.get(5..).and_then(|a| Ipv6Addr::from_str(a).ok()).map(IpAddr::V6)
        } else {
            Ipv4Addr::from_str(inner).ok().map(IpAddr::V4)
        };
        address.map(Self::literal).ok_or(DomainError::BadLiteral)
    }

    /// The literal of an address.
    pub fn literal(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(a) => Self(format!("[{a}]").into()),
            IpAddr::V6(a) => Self(format!("[IPv6:{a}]").into()),
        }
    }

    /// The address, if this is an address literal.
    pub fn address(&self) -> Option<IpAddr> {
        let inner = self.0.strip_prefix('[')?.strip_suffix(']')?;
        match inner.strip_prefix("IPv6:") {
            Some(v6) => v6.parse().ok().map(IpAddr::V6),
            None => inner.parse().ok().map(IpAddr::V4),
        }
    }

    /// The text: lower-case A-labels, or the literal with its brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name has at least two labels, or is a literal.
    pub fn is_fully_qualified(&self) -> bool {
        self.0.starts_with('[') || self.0.contains('.')
    }
}

fn check_label(label: &str) -> Result<(), DomainError> {
    if label.is_empty() {
        return Err(DomainError::Empty);
    }
    if label.len() > 63 {
        return Err(DomainError::TooLong);
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if label.bytes().all(allowed) && !label.starts_with('-') && !label.ends_with('-') { Ok(()) } else { Err(DomainError::BadCharacter) }
}

impl FromStr for Domain {
    type Err = DomainError;
    fn from_str(text: &str) -> Result<Self, DomainError> {
        Self::parse(text)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_a_labels() {
        for (text, want) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("[192.0.2.1]", "[192.0.2.1]"),
            ("[ipv6:2001:DB8::1]", "[IPv6:2001:db8::1]"),
            ("_dmarc.example.com", "_dmarc.example.com"),
        ] {
            assert_eq!(Domain::parse(text).unwrap().as_str(), want, "{text}");
        }
    }

    #[test]
    fn invalid_host_names_are_refused() {
        let long_label = format!("{}.example", "a".repeat(64));
        for text in ["", ".", "a..b", "a b", "-a.example", "a;b", "a\r\nb", "[]", "[1.2.3]", "[IPv6:x]", &long_label] {
            assert!(Domain::parse(text).is_err(), "{text:?}");
        }
    }
}
