//! An SPF record: the parser for verification and for `waypost dns check`.
//!
//! RFC 7208 s.4.5, s.5, s.6 and s.12. Invariant: a record is parsed completely before it is used, so a syntax error anywhere in
//! it is a permerror (s.4.6).

mod macros;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use macros::{MacroString, MacroValues};

use crate::evidence::SpfResult;

/// A part of a term is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// An invalid record: its first term that is invalid, or a duplicate that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTerm(pub String);

/// Maximum terms of one evaluation that query DNS (s.4.6.4).
pub const TERMS_MAX: u32 = 10;

/// Maximum terms of one evaluation without an answer in DNS (s.4.6.4: "terms", so an `mx` with several hosts counts once).
pub const VOID_TERMS_MAX: u32 = 2;

/// Maximum hosts of one `mx` and names of one `ptr` (s.4.6.4).
pub const HOSTS_MAX: usize = 10;

/// What a directive matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mechanism {
    /// Every client.
    All,
    /// The record of another name.
    Include(MacroString),
    /// The addresses of a host.
    A {
        /// The host; by default the domain itself.
        host: Option<MacroString>,
        /// How many bits of its addresses are compared.
        prefix: Prefix,
    },
    /// The addresses of a domain's MX hosts.
    Mx {
        /// The domain; by default the domain itself.
        host: Option<MacroString>,
        /// How many bits of their addresses are compared.
        prefix: Prefix,
    },
    /// The client's name.
    Ptr(Option<MacroString>),
    /// A network.
    Network {
        /// One of its addresses.
        address: IpAddr,
        /// How many leading bits are compared.
        bits: u8,
    },
    /// Whether a name has an address.
    Exists(MacroString),
}

/// How many leading bits of an address are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// Of an IPv4 address.
    pub v4: u8,
    /// Of an IPv6 address.
    pub v6: u8,
}

/// A mechanism, and the result of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The result of a match.
    pub result: SpfResult,
    /// The mechanism.
    pub mechanism: Mechanism,
    /// Its text in the record: `-all`.
    pub term: String,
}

/// An SPF record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpfRecord {
    /// The directives, in order.
    pub directives: Vec<Directive>,
    /// The name whose record is used if no mechanism matches.
    pub redirect: Option<MacroString>,
}

/// Whether a text record is an SPF record (s.4.5).
pub fn is_spf(text: &[u8]) -> bool {
    let (version, rest) = text.split_at_checked(6).unwrap_or_default();
    version.eq_ignore_ascii_case(b"v=spf1") && matches!(rest.first(), None | Some(b' '))
}

impl SpfRecord {
    /// Reads a record that [`is_spf`].
    ///
    /// # Errors
    /// The first invalid term.
    pub fn parse(text: &[u8]) -> Result<Self, BadTerm> {
        let shown = String::from_utf8_lossy(text);
        let mut record = Self::default();
        let mut explained = false;
        for term in shown.split(' ').skip(1).filter(|term| !term.is_empty()) {
            record.take(term, &mut explained).map_err(|Malformed| BadTerm(term.to_owned()))?;
        }
        Ok(record)
    }

    fn take(&mut self, term: &str, explained: &mut bool) -> Result<(), Malformed> {
        if !term.is_ascii() {
            return Err(Malformed);
        }
        match modifier(term) {
            Some((name, value)) if name.eq_ignore_ascii_case("redirect") => {
                let target = MacroString::domain(value)?;
                if self.redirect.replace(target).is_some() {
                    return Err(Malformed);
                }
            }
            Some((name, value)) if name.eq_ignore_ascii_case("exp") => {
                MacroString::domain(value)?;
                if std::mem::replace(explained, true) {
                    return Err(Malformed);
                }
            }
            Some((_, value)) => drop(MacroString::text(value)?),
            None => self.directives.push(directive(term)?),
        }
        Ok(())
    }

    /// The networks of its ip4 and ip6 mechanisms.
    pub fn networks(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        self.directives.iter().filter_map(|directive| match directive.mechanism {
            Mechanism::Network { address, bits } => Some((address, bits)),
            _ => None,
        })
    }
}

/// Whether an address is within a network.
pub fn is_within(client: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |difference: u128, width: u32| difference.checked_shr(width - u32::from(bits).min(width)).unwrap_or(0) == 0;
    match (client, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits() ^ b.to_bits(), 128),
        _ => false,
    }
}

/// The name and value of a modifier; `None` for a directive.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    (starts && is_name).then_some((name, value))
}

fn directive(term: &str) -> Result<Directive, Malformed> {
    let (result, rest) = match term.strip_prefix(['+', '-', '~', '?']) {
        Some(rest) if term.starts_with('-') => (SpfResult::Fail, rest),
        Some(rest) if term.starts_with('~') => (SpfResult::SoftFail, rest),
        Some(rest) if term.starts_with('?') => (SpfResult::Neutral, rest),
        Some(rest) => (SpfResult::Pass, rest),
        None => (SpfResult::Pass, term),
    };
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (name, argument) = rest.split_at_checked(end).ok_or(Malformed)?;
    let mechanism = match name.to_ascii_lowercase().as_str() {
        "all" if argument.is_empty() => Mechanism::All,
        "include" => Mechanism::Include(MacroString::domain(after_colon(argument)?)?),
        "exists" => Mechanism::Exists(MacroString::domain(after_colon(argument)?)?),
        "ptr" if argument.is_empty() => Mechanism::Ptr(None),
        "ptr" => Mechanism::Ptr(Some(MacroString::domain(after_colon(argument)?)?)),
        "a" => host_and_prefix(argument).map(|(host, prefix)| Mechanism::A { host, prefix })?,
        "mx" => host_and_prefix(argument).map(|(host, prefix)| Mechanism::Mx { host, prefix })?,
        "ip4" => network::<Ipv4Addr>(after_colon(argument)?, 32)?,
        "ip6" => network::<Ipv6Addr>(after_colon(argument)?, 128)?,
        _ => return Err(Malformed),
    };
    Ok(Directive { result, mechanism, term: term.to_owned() })
}

fn after_colon(argument: &str) -> Result<&str, Malformed> {
    argument.strip_prefix(':').ok_or(Malformed)
}

/// A number of bits: no sign, no leading zero, no more than an address has.
fn bits(text: &str, most: u8) -> Result<u8, Malformed> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|n| plain && *n <= most).ok_or(Malformed)
}

fn network<A: std::str::FromStr + Into<IpAddr>>(text: &str, most: u8) -> Result<Mechanism, Malformed> {
    let (address, bits) = match text.split_once('/') {
        Some((address, length)) => (address, bits(length, most)?),
        None => (text, most),
    };
    Ok(Mechanism::Network { address: address.parse::<A>().map_err(|_| Malformed)?.into(), bits })
}

/// Splits a slash and digits from the end of `text`.
fn trailing<'a>(text: &'a str, slash: &str) -> Option<(&'a str, &'a str)> {
    let (before, digits) = text.rsplit_once(slash)?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some((before, digits))
}

/// `[":" domain-spec] [ip4-cidr-length] ["/" ip6-cidr-length]`; a slash may also be in the domain-spec.
fn host_and_prefix(argument: &str) -> Result<(Option<MacroString>, Prefix), Malformed> {
    let mut prefix = Prefix { v4: 32, v6: 128 };
    let mut rest = argument;
    if let Some((before, digits)) = trailing(rest, "//") {
        prefix.v6 = bits(digits, 128)?;
        rest = before;
    }
    if let Some((before, digits)) = trailing(rest, "/") {
        prefix.v4 = bits(digits, 32)?;
        rest = before;
    }
    let host = if rest.is_empty() { None } else { Some(MacroString::domain(after_colon(rest)?)?) };
    Ok((host, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_invalid_term_invalidates_the_record() {
        for bad in
            ["v=spf1 all -al", "v=spf1 ip4:1.2.3.4/033", "v=spf1 a:", "v=spf1 all:x", "v=spf1 redirect=a.b redirect=a.b", "v=spf1 x=%(a)"]
        {
            assert!(SpfRecord::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(SpfRecord::parse(b"v=spf1 mx ~all ip:192.0.2.1"), Err(BadTerm("ip:192.0.2.1".into())));
        let good = SpfRecord::parse(b"v=spf1 a:foo/bar.example/24//64 moo=x ~ALL ").unwrap();
        assert_eq!(good.directives.len(), 2);
        assert!(matches!(&good.directives[0].mechanism, Mechanism::A { host: Some(_), prefix: Prefix { v4: 24, v6: 64 } }));
        assert!(is_spf(b"V=SPF1") && !is_spf(b"v=spf10 all") && !is_spf(b"v=sp"));
    }
}
