//! The next hops of a domain: its hosts, in the order in which they are tried.
//!
//! RFC 5321 s.5.1, RFC 7505 (null MX). Invariant: the result has neither our own name nor a host that is equally or less
//! preferred: such a route would loop.

use std::fmt;

use mail::Domain;

use crate::trouble::{Scope, Trouble};

/// One MX record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MxRecord {
    /// Lower is preferred.
    pub preference: u16,
    /// The host; `None` is the root (null MX): the domain accepts no mail.
    pub host: Option<Domain>,
}

/// A host to try.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// Its name, or an address literal.
    pub host: Domain,
    /// The TCP port.
    pub port: u16,
}

/// Hosts in the order in which they are tried; never empty. Domains with the same hosts share a lane.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NextHops(Vec<NextHop>);

impl NextHops {
    /// One host only: a smarthost, or an address literal.
    pub fn only(hop: NextHop) -> Self {
        Self(vec![hop])
    }

    /// The hosts.
    pub fn hosts(&self) -> &[NextHop] {
        &self.0
    }

    /// The most preferred host; logs name the lane by it.
    pub fn first(&self) -> Option<&Domain> {
        self.0.first().map(|hop| &hop.host)
    }
}

/// The answer of DNS, if it is not a list of hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteFailure {
    /// The name does not exist.
    NoSuchDomain,
    /// The name exists, with neither MX nor address.
    NoAddress,
    /// No answer, or a server failure.
    Temporary(String),
}

impl fmt::Display for RouteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchDomain => f.write_str("the name does not exist"),
            Self::NoAddress => f.write_str("there is no such record"),
            Self::Temporary(text) => write!(f, "DNS did not answer: {text}"),
        }
    }
}

impl RouteFailure {
    /// The trouble that this is for mail to the domain.
    pub fn into_trouble(self, domain: &Domain) -> Trouble {
        match self {
            Self::NoSuchDomain => Trouble::permanent(Scope::Host, 1, 2, format!("the domain {domain} does not exist")),
            Self::NoAddress => Trouble::permanent(Scope::Host, 1, 2, format!("the domain {domain} has no mail server and no address")),
            Self::Temporary(text) => Trouble::dns(format!("DNS did not answer about {domain}: {text}")),
        }
    }
}

/// Orders the hosts of a domain. No record at all means the domain itself (implicit MX). Hosts of equal preference are rotated by `random`;
/// the same number gives the same order, and so the same lane.
pub fn rank_mx_hosts(
    domain: &Domain,
    mut records: Vec<MxRecord>,
    own_names: &[Domain],
    port: u16,
    random: u32,
) -> Result<NextHops, Trouble> {
    if records.is_empty() {
        records.push(MxRecord { preference: 0, host: Some(domain.clone()) });
    }
    if records.iter().all(|r| r.host.is_none()) {
        let text = format!("the domain {domain} accepts no mail (null MX)");
        return Err(Trouble::permanent(Scope::Host, 1, 10, text));
    }
    let is_own = |r: &MxRecord| r.host.as_ref().is_some_and(|h| own_names.contains(h));
    let own_preference = records.iter().filter(|r| is_own(r)).map(|r| r.preference).min();
    records.retain(|r| r.host.is_some() && own_preference.is_none_or(|own| r.preference < own));
    records.sort_by(|a, b| (a.preference, &a.host).cmp(&(b.preference, &b.host)));
    let mut hops: Vec<NextHop> = Vec::with_capacity(records.len());
    for group in records.chunk_by(|a, b| a.preference == b.preference) {
        let turn = usize::try_from(random).unwrap_or(0) % group.len().max(1);
        let spread = group.iter().skip(turn).chain(group.get(..turn).unwrap_or_default());
        for host in spread.filter_map(|r| r.host.as_ref()) {
            let hop = NextHop { host: host.clone(), port };
            if !hops.contains(&hop) {
                hops.push(hop);
            }
        }
    }
    if hops.is_empty() {
        let text = format!("mail for {domain} loops back to us: its best MX is this server, which does not host it");
        return Err(Trouble::looped(text));
    }
    Ok(NextHops(hops))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mx(preference: u16, host: &str) -> MxRecord {
        MxRecord { preference, host: (host != ".").then(|| Domain::parse(host).unwrap()) }
    }

    fn hosts(records: Vec<MxRecord>) -> Result<Vec<String>, String> {
        let (domain, own) = (Domain::parse("far.test").unwrap(), Domain::parse("mx.own.test").unwrap());
        match rank_mx_hosts(&domain, records, &[own], 25, 1) {
            Ok(hops) => Ok(hops.hosts().iter().map(|h| h.host.to_string()).collect()),
            Err(t) => Err(t.enhanced.to_string()),
        }
    }

    #[test]
    fn hosts_are_tried_by_preference() {
        assert_eq!(hosts(vec![mx(20, "b.test"), mx(10, "a.test")]).unwrap(), ["a.test", "b.test"]);
        assert_eq!(hosts(vec![mx(10, "b.test"), mx(10, "a.test"), mx(20, "c.test")]).unwrap(), ["b.test", "a.test", "c.test"]);
        assert_eq!(hosts(vec![]).unwrap(), ["far.test"]);
        assert_eq!(hosts(vec![mx(10, "a.test"), mx(20, "c.test"), mx(20, "b.test")]).unwrap(), ["a.test", "c.test", "b.test"]);
    }

    #[test]
    fn null_mx_and_our_own_name_are_permanent_failures() {
        assert_eq!(hosts(vec![mx(0, ".")]), Err("5.1.10".into()));
        assert_eq!(hosts(vec![mx(10, "mx.own.test"), mx(20, "b.test")]), Err("5.4.6".into()));
        assert_eq!(hosts(vec![mx(10, "a.test"), mx(20, "mx.own.test"), mx(20, "b.test")]).unwrap(), ["a.test"]);
        assert_eq!(hosts(vec![mx(0, "."), mx(10, "a.test")]).unwrap(), ["a.test"]);
    }
}
