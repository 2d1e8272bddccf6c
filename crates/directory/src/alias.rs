//! An alias: its source and its targets.
//!
//! Postfix virtual(5). Invariant: a value is read back from its text form.

use std::fmt;
use std::str::FromStr;

use mail::{AddressError, Domain, Mailbox};

/// The address or domain of an alias.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AliasSource {
    /// `me@example.com`.
    Address(Mailbox),
    /// `@example.com`: every address of the domain without an alias of its own.
    CatchAll(Domain),
}

/// The target of an alias.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// `foo@gmail.com`.
    Address(Mailbox),
    /// `@other.example`: the same user there. Allowed only as the first target; in Postfix only as the sole one.
    Domain(Domain),
}

/// Where an alias is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// In Waypost's database, through the CLI or the API.
    Database,
    /// In a file in the form of Postfix's virtual(5).
    File,
}

/// One alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Its source.
    pub source: AliasSource,
    /// Its targets.
    pub targets: Vec<Target>,
    /// Whether it accepts mail. A disabled alias still exists: the catch-all does not take its address.
    pub enabled: bool,
    /// Where it is defined.
    pub origin: Origin,
}

impl AliasSource {
    /// Returns its domain.
    pub fn domain(&self) -> &Domain {
        match self {
            Self::Address(mailbox) => &mailbox.domain,
            Self::CatchAll(domain) => domain,
        }
    }

    /// Returns the lookup key: the text in lower case.
    pub fn key(&self) -> String {
        match self {
            Self::Address(mailbox) => mailbox.key(),
            Self::CatchAll(domain) => catch_all_key(domain),
        }
    }
}

/// Returns the key of a domain's catch-all.
pub(crate) fn catch_all_key(domain: &Domain) -> String {
    format!("@{domain}").to_ascii_lowercase()
}

impl Target {
    /// Returns its domain.
    pub fn domain(&self) -> &Domain {
        match self {
            Self::Address(mailbox) => &mailbox.domain,
            Self::Domain(domain) => domain,
        }
    }
}

/// Reads `@domain` or `local@domain`.
pub(crate) fn read<T>(text: &str, domain: impl Fn(Domain) -> T, address: impl Fn(Mailbox) -> T) -> Result<T, AddressError> {
    match text.strip_prefix('@') {
        Some(name) => Domain::parse(name).map(domain).map_err(AddressError::Domain),
        None => Mailbox::parse(text).map(address),
    }
}

impl FromStr for AliasSource {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        read(text, Self::CatchAll, Self::Address)
    }
}

impl FromStr for Target {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        read(text, Self::Domain, Self::Address)
    }
}

impl fmt::Display for AliasSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(mailbox) => mailbox.fmt(f),
            Self::CatchAll(domain) => write!(f, "@{domain}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(mailbox) => mailbox.fmt(f),
            Self::Domain(domain) => write!(f, "@{domain}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_targets_are_read_back() {
        for text in ["me@example.com", "@example.com", "\"two words\"@example.com", "@[192.0.2.1]"] {
            assert_eq!(text.parse::<AliasSource>().unwrap().to_string(), text);
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in ["", "@", "me", "me@", "*", "a@b@c", "@a b"] {
            assert!(text.parse::<AliasSource>().is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_in_lower_case() {
        assert_eq!("ME@Example.COM".parse::<AliasSource>().unwrap().key(), "me@example.com");
        assert_eq!("@[IPv6:2001:DB8::1]".parse::<AliasSource>().unwrap().key(), "@[ipv6:2001:db8::1]");
    }
}
