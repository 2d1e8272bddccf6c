//! An alias: what it answers to and where its mail goes.
//!
//! Postfix virtual(5). Invariant: each text form reads back as the value that wrote it.

use std::fmt;
use std::str::FromStr;

use mail::{AddressError, Domain, Mailbox};

/// What an alias answers to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AliasSource {
    /// `me@example.com`.
    Address(Mailbox),
    /// `@example.com`: each address of the domain that has no alias of its own.
    CatchAll(Domain),
}

/// Where the mail of an alias goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// `foo@gmail.com`.
    Address(Mailbox),
    /// `@other.example`: the same user there. It has this meaning only as the first target; in Postfix only as
    /// the sole one.
    Domain(Domain),
}

/// Where an alias was written down.
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
    /// What it answers to.
    pub source: AliasSource,
    /// Where its mail goes.
    pub targets: Vec<Target>,
    /// Whether it takes mail. A disabled alias still exists: its address does not fall to the catch-all.
    pub enabled: bool,
    /// Where it was written down.
    pub origin: Origin,
}

impl AliasSource {
    /// The domain that it belongs to.
    pub fn domain(&self) -> &Domain {
        match self {
            Self::Address(mailbox) => &mailbox.domain,
            Self::CatchAll(domain) => domain,
        }
    }

    /// The text in lower case: the key under which it is looked up.
    pub fn key(&self) -> String {
        match self {
            Self::Address(mailbox) => mailbox.key(),
            Self::CatchAll(domain) => catch_all_key(domain),
        }
    }
}

/// The key of a domain's catch-all.
pub(crate) fn catch_all_key(domain: &Domain) -> String {
    format!("@{domain}").to_ascii_lowercase()
}

impl Target {
    /// The domain that the mail goes to.
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
    fn texts_read_back() {
        for text in ["me@example.com", "@example.com", "\"two words\"@example.com", "@[192.0.2.1]"] {
            assert_eq!(text.parse::<AliasSource>().unwrap().to_string(), text);
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in ["", "@", "me", "me@", "*", "a@b@c", "@a b"] {
            assert!(text.parse::<AliasSource>().is_err(), "{text}");
        }
    }

    #[test]
    fn keys_have_no_case() {
        assert_eq!("ME@Example.COM".parse::<AliasSource>().unwrap().key(), "me@example.com");
        assert_eq!("@[IPv6:2001:DB8::1]".parse::<AliasSource>().unwrap().key(), "@[ipv6:2001:db8::1]");
    }
}
