//! An SPF record, read.
//!
//! RFC 7208 s.4.5, s.5, s.6 and s.12. Invariant: a record is read whole before any of it is used, so a syntax error anywhere in
//! it is a permerror whatever stands before it (s.4.6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mail::evidence::SpfResult;

use crate::spf::macros::Spec;

/// A record that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What a directive compares the client with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mechanism {
    All,
    Include(Spec),
    A { host: Option<Spec>, prefix: Prefix },
    Mx { host: Option<Spec>, prefix: Prefix },
    Ptr(Option<Spec>),
    Network { address: IpAddr, bits: u8 },
    Exists(Spec),
}

/// How many leading bits of an address count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub v4: u8,
    pub v6: u8,
}

/// A mechanism and what it means that it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directive {
    pub result: SpfResult,
    pub mechanism: Mechanism,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Record {
    pub directives: Vec<Directive>,
    pub redirect: Option<Spec>,
}

/// Whether a text record is an SPF record (s.4.5).
pub(crate) fn is_spf(text: &[u8]) -> bool {
    let (version, rest) = text.split_at_checked(6).unwrap_or_default();
    version.eq_ignore_ascii_case(b"v=spf1") && matches!(rest.first(), None | Some(b' '))
}

impl Record {
    /// Reads a record that [`is_spf`].
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii()).ok_or(Malformed)?;
        let mut record = Self::default();
        let mut explained = false;
        for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
            match modifier(term) {
                Some((name, value)) if name.eq_ignore_ascii_case("redirect") => {
                    let target = Spec::domain(value)?;
                    if record.redirect.replace(target).is_some() {
                        return Err(Malformed);
                    }
                }
                Some((name, value)) if name.eq_ignore_ascii_case("exp") => {
                    Spec::domain(value)?;
                    if std::mem::replace(&mut explained, true) {
                        return Err(Malformed);
                    }
                }
                Some((_, value)) => {
                    Spec::text(value)?;
                }
                None => record.directives.push(directive(term)?),
            }
        }
        Ok(record)
    }
}

/// The name and value of a modifier; nothing for what can only be a directive.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let goes_on = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    (starts && goes_on).then_some((name, value))
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
        "include" => Mechanism::Include(Spec::domain(after_colon(argument)?)?),
        "exists" => Mechanism::Exists(Spec::domain(after_colon(argument)?)?),
        "ptr" if argument.is_empty() => Mechanism::Ptr(None),
        "ptr" => Mechanism::Ptr(Some(Spec::domain(after_colon(argument)?)?)),
        "a" => host_and_prefix(argument).map(|(host, prefix)| Mechanism::A { host, prefix })?,
        "mx" => host_and_prefix(argument).map(|(host, prefix)| Mechanism::Mx { host, prefix })?,
        "ip4" => network::<Ipv4Addr>(after_colon(argument)?, 32)?,
        "ip6" => network::<Ipv6Addr>(after_colon(argument)?, 128)?,
        _ => return Err(Malformed),
    };
    Ok(Directive { result, mechanism })
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

/// The ends of `text` in a slash and digits, and what stands before.
fn trailing<'a>(text: &'a str, slash: &str) -> Option<(&'a str, &'a str)> {
    let (before, digits) = text.rsplit_once(slash)?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some((before, digits))
}

/// `[":" domain-spec] [ip4-cidr-length] ["/" ip6-cidr-length]`; a slash may also stand in the domain-spec.
fn host_and_prefix(argument: &str) -> Result<(Option<Spec>, Prefix), Malformed> {
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
    let host = if rest.is_empty() { None } else { Some(Spec::domain(after_colon(rest)?)?) };
    Ok((host, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_term_spoils_the_record() {
        for bad in
            ["v=spf1 all -al", "v=spf1 ip4:1.2.3.4/033", "v=spf1 a:", "v=spf1 all:x", "v=spf1 redirect=a.b redirect=a.b", "v=spf1 x=%(a)"]
        {
            assert_eq!(Record::parse(bad.as_bytes()), Err(Malformed), "{bad}");
        }
        let good = Record::parse(b"v=spf1 a:foo/bar.example/24//64 moo=x ~ALL ").unwrap();
        assert_eq!(good.directives.len(), 2);
        assert!(matches!(&good.directives[0].mechanism, Mechanism::A { host: Some(_), prefix: Prefix { v4: 24, v6: 64 } }));
        assert!(is_spf(b"V=SPF1") && !is_spf(b"v=spf10 all") && !is_spf(b"v=sp"));
    }
}
