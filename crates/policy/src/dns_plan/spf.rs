//! An SPF record, evaluated over answers that are there already.
//!
//! RFC 7208 s.4.6.4 (limits), RFC 7208 s.5. Invariant: it asks nothing; what it lacks is named, and it is evaluated again once that is known.

use std::net::IpAddr;

use super::{Answer, Data, Question, RecordType};

/// Terms that ask DNS: no more than so many.
pub(super) const LOOKUPS_MAX: usize = 10;

/// Questions without an answer: no more than so many.
pub(super) const VOIDS_MAX: usize = 2;

/// Records that include each other end here at the latest.
const DEPTH_MAX: usize = 12;

/// What a record says of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// This must be asked first.
    Need(Question),
    /// Receivers cannot evaluate it either.
    Broken(String),
    /// Somebody did not answer.
    NoAnswer(String),
}

/// One evaluation.
pub(super) struct Evaluation<'a> {
    /// The address; without one nothing matches, so that every term is looked at.
    pub address: Option<IpAddr>,
    /// What is known.
    pub lookup: &'a dyn Fn(&Question) -> Option<Answer>,
    /// Terms that asked DNS.
    pub lookups: usize,
    /// Questions without an answer.
    pub voids: usize,
}

/// The SPF records among texts.
pub(super) fn records<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let is_spf = |text: &&str| text.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case("v=spf1"));
    texts.filter(is_spf).collect()
}

/// The terms after the version.
pub(super) fn terms(record: &str) -> impl Iterator<Item = &str> {
    record.split_ascii_whitespace().skip(1)
}

/// Whether a term lets everybody send.
pub(super) fn allows_all(term: &str) -> bool {
    term.eq_ignore_ascii_case("all") || term.eq_ignore_ascii_case("+all")
}

impl Evaluation<'_> {
    /// What the record of `domain` says.
    pub fn run(&mut self, record: &str, domain: &str) -> Result<Says, Stop> {
        self.check(record, domain, 0)
    }

    fn check(&mut self, record: &str, domain: &str, depth: usize) -> Result<Says, Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::Broken("its includes go round in a circle".into()));
        }
        let mut redirect = None;
        for term in terms(record) {
            if let Some((name, value)) = term.split_once('=').filter(|(name, _)| !name.contains([':', '/'])) {
                if name.eq_ignore_ascii_case("redirect") {
                    redirect = Some(value);
                }
                continue;
            }
            let (says, mechanism) = qualified(term);
            if self.matches(mechanism, domain, depth)? {
                return Ok(says);
            }
        }
        let Some(target) = redirect else { return Ok(Says::Neutral) };
        self.count()?;
        let record = self.record_of(target)?;
        self.check(&record, target, depth + 1)
    }

    fn matches(&mut self, mechanism: &str, domain: &str, depth: usize) -> Result<bool, Stop> {
        let (name, rest) = mechanism.split_at_checked(mechanism.find([':', '/']).unwrap_or(mechanism.len())).unwrap_or((mechanism, ""));
        let value = rest.strip_prefix(':').unwrap_or("");
        let target = value.split('/').next().filter(|target| !target.is_empty()).unwrap_or(domain).to_owned();
        let lengths = if rest.starts_with('/') { rest } else { rest.find('/').and_then(|n| rest.get(n..)).unwrap_or("") };
        match name.to_ascii_lowercase().as_str() {
            "all" => Ok(true),
            "ip4" | "ip6" => network(value).map(|net| self.address.is_some_and(|address| is_within(address, net))),
            "include" => {
                self.count()?;
                let record = self.record_of(value)?;
                let inner = self.check(&record, value, depth + 1)?;
                Ok(self.address.is_some() && inner == Says::Pass)
            }
            "a" => {
                self.count()?;
                self.host_matches(&target, lengths)
            }
            "mx" => {
                self.count()?;
                let hosts: Vec<String> = self
                    .ask(&target, RecordType::Mx)?
                    .into_iter()
                    .filter_map(|data| if let Data::Mx(_, host) = data { Some(host) } else { None })
                    .collect();
                let mut matched = false;
                for host in hosts.iter().filter(|host| *host != ".") {
                    matched |= self.host_matches(host, lengths)?;
                }
                Ok(matched)
            }
            "exists" => {
                self.count()?;
                // With macros the name depends on the message, so it is looked at no further.
                let found = !target.contains('%') && !self.ask(&target, RecordType::A)?.is_empty();
                Ok(self.address.is_some() && found)
            }
            "ptr" => self.count().map(|()| false),
            other => Err(Stop::Broken(format!("it has a term that does not exist: {}", super::finding::escaped(other)))),
        }
    }

    fn host_matches(&mut self, host: &str, lengths: &str) -> Result<bool, Stop> {
        if host.contains('%') {
            return Ok(false);
        }
        let Some(wanted) = self.address else { return Ok(false) };
        let kind = if wanted.is_ipv6() { RecordType::Aaaa } else { RecordType::A };
        let found = self.ask(host, kind)?;
        let (v4, v6) = lengths.split_once("//").unwrap_or((lengths, ""));
        let length = |text: &str, full: u32| text.trim_start_matches('/').parse().unwrap_or(full);
        let length = if wanted.is_ipv4() { length(v4, 32) } else { length(v6, 128) };
        Ok(found.iter().any(|data| matches!(data, Data::Address(address) if is_within(wanted, (*address, length)))))
    }

    fn record_of(&mut self, domain: &str) -> Result<String, Stop> {
        if domain.contains('%') {
            return Ok("v=spf1".into());
        }
        let found = self.ask(domain, RecordType::Txt)?;
        let texts = found.iter().filter_map(|data| if let Data::Text(text) = data { Some(text.as_str()) } else { None });
        let shown = super::finding::escaped(domain);
        match records(texts).as_slice() {
            [one] => Ok((*one).to_owned()),
            [] => Err(Stop::Broken(format!("{shown}, which it includes, has no SPF record"))),
            _ => Err(Stop::Broken(format!("{shown}, which it includes, has several SPF records"))),
        }
    }

    fn ask(&mut self, name: &str, record_type: RecordType) -> Result<Vec<Data>, Stop> {
        let question = Question::new(name, record_type);
        match (self.lookup)(&question) {
            None => Err(Stop::Need(question)),
            Some(Answer::Failed(why)) => Err(Stop::NoAnswer(format!("{} is not answered: {why}", super::finding::escaped(name)))),
            Some(answer) => {
                let data: Vec<Data> =
                    answer.records().iter().map(|found| found.data.clone()).filter(|data| !matches!(data, Data::Alias(_))).collect();
                if data.is_empty() {
                    self.voids += 1;
                    if self.voids > VOIDS_MAX {
                        return Err(Stop::Broken(format!("more than {VOIDS_MAX} of its names do not exist")));
                    }
                }
                Ok(data)
            }
        }
    }

    fn count(&mut self) -> Result<(), Stop> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX {
            return Err(Stop::Broken(format!("it needs more than {LOOKUPS_MAX} look-ups")));
        }
        Ok(())
    }
}

fn qualified(term: &str) -> (Says, &str) {
    match term.split_at_checked(1) {
        Some(("+", rest)) => (Says::Pass, rest),
        Some(("-", rest)) => (Says::Fail, rest),
        Some(("~", rest)) => (Says::SoftFail, rest),
        Some(("?", rest)) => (Says::Neutral, rest),
        _ => (Says::Pass, term),
    }
}

/// A network: its address and how many bits of it count.
fn network(text: &str) -> Result<(IpAddr, u32), Stop> {
    let broken = || Stop::Broken(format!("{} is not an address", super::finding::escaped(text)));
    let (address, length) = text.split_once('/').unzip();
    let address: IpAddr = address.unwrap_or(text).parse().map_err(|_| broken())?;
    let full = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Ok(full), |length| length.parse().map_err(|_| broken()))?;
    if length > full { Err(broken()) } else { Ok((address, length)) }
}

fn is_within(address: IpAddr, (net, length): (IpAddr, u32)) -> bool {
    match (address, net) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (u32::from(a) ^ u32::from(n)).checked_shr(32_u32.saturating_sub(length)).unwrap_or(0) == 0,
        (IpAddr::V6(a), IpAddr::V6(n)) => (u128::from(a) ^ u128::from(n)).checked_shr(128_u32.saturating_sub(length)).unwrap_or(0) == 0,
        _ => false,
    }
}

/// The addresses that a record names.
pub(super) fn named_addresses(record: &str) -> Vec<IpAddr> {
    let named = |term: &str| term.strip_prefix("ip4:").or_else(|| term.strip_prefix("ip6:"))?.parse().ok();
    terms(record).filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns_plan::Found;

    fn says(record: &str, address: Option<&str>) -> (Result<Says, Stop>, usize) {
        let records = |data: Vec<Data>| Some(Answer::Records(data.into_iter().map(|data| Found { data, ttl_s: 60 }).collect()));
        let lookup = |question: &Question| match (question.name.as_str(), question.record_type) {
            ("example.com.", RecordType::Mx) => records(vec![Data::Mx(10, "mx.example.com.".into())]),
            ("mx.example.com.", RecordType::A) => records(vec![Data::Address("192.0.2.10".parse().unwrap())]),
            ("relay.example.", RecordType::Txt) => records(vec![Data::Text("v=spf1 ip4:198.51.100.0/24 ?all".into())]),
            ("loop.example.", RecordType::Txt) => records(vec![Data::Text("v=spf1 include:loop.example".into())]),
            ("unasked.example.", _) => None,
            _ => Some(Answer::Nothing(60)),
        };
        let mut evaluation = Evaluation { address: address.map(|a| a.parse().unwrap()), lookup: &lookup, lookups: 0, voids: 0 };
        (evaluation.run(record, "example.com"), evaluation.lookups)
    }

    #[test]
    fn it_says_what_receivers_will_say() {
        let ours = Some("192.0.2.10");
        assert_eq!(says("v=spf1 mx ~all", ours), (Ok(Says::Pass), 1));
        assert_eq!(says("v=spf1 a:mx.example.com/24 -all", Some("192.0.2.99")), (Ok(Says::Pass), 1));
        assert_eq!(says("v=spf1 ip6:2001:db8::/32 ip4:192.0.2.10 -all", ours), (Ok(Says::Pass), 0));
        assert_eq!(says("v=spf1 mx -all", Some("192.0.2.11")), (Ok(Says::Fail), 1));
        assert_eq!(says("v=spf1 include:relay.example ~all", Some("198.51.100.7")), (Ok(Says::Pass), 1));
        assert_eq!(says("v=spf1 redirect=relay.example", Some("198.51.100.7")), (Ok(Says::Pass), 1));
        assert_eq!(says("v=spf1 mx include:relay.example ~all", None), (Ok(Says::SoftFail), 2));
    }

    #[test]
    fn its_limits_hold() {
        assert!(matches!(says("v=spf1 include:loop.example -all", None).0, Err(Stop::Broken(why)) if why.contains("10 look-ups")));
        assert!(
            matches!(says("v=spf1 a:x.test a:y.test a:z.test -all", Some("203.0.113.1")).0, Err(Stop::Broken(why)) if why.contains("do not exist"))
        );
        assert!(matches!(says("v=spf1 include:nothing.test -all", None).0, Err(Stop::Broken(why)) if why.contains("no SPF record")));
        assert!(matches!(says("v=spf1 ipv4:192.0.2.1 -all", None).0, Err(Stop::Broken(why)) if why.contains("ipv4")));
        assert_eq!(says("v=spf1 include:unasked.example -all", None).0, Err(Stop::Need(Question::new("unasked.example", RecordType::Txt))));
    }
}
