//! Evaluates an SPF record over known answers.
//!
//! RFC 7208 s.4.6.4 (limits), RFC 7208 s.5. The record is parsed by `mail::spf`, as for incoming mail, so that both agree. Invariant: it
//! queries nothing; it returns the missing question, and is run again with the answer.

use std::net::IpAddr;

use mail::evidence::SpfResult;
use mail::spf::{HOSTS_MAX, MacroString, Mechanism, Prefix, SpfRecord, TERMS_MAX, VOID_TERMS_MAX, is_spf, is_within};

use super::finding::escaped;
use super::{Answer, Data, Question, RecordType};

/// Maximum depth of includes.
const DEPTH_MAX: usize = 12;

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// This question must be asked first.
    Need(Question),
    /// Receivers cannot evaluate it either.
    Broken(String),
    /// DNS did not answer.
    NoAnswer(String),
}

/// One evaluation.
pub(super) struct Evaluation<'a> {
    /// The address; without one nothing matches, so that every term is evaluated.
    address: Option<IpAddr>,
    /// The known answers.
    lookup: &'a dyn Fn(&Question) -> Option<Answer>,
    /// Terms that queried DNS.
    terms: u32,
    /// Those without an answer in DNS.
    void_terms: u32,
    /// Whether the current term is already counted among them.
    is_void: bool,
}

/// The SPF records among texts.
pub(super) fn records<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    texts.filter(|text| is_spf(text.as_bytes())).collect()
}

/// The terms after the version.
pub(super) fn terms(record: &str) -> impl Iterator<Item = &str> {
    record.split_ascii_whitespace().skip(1)
}

/// Whether a term allows every server to send.
pub(super) fn allows_all(term: &str) -> bool {
    term.eq_ignore_ascii_case("all") || term.eq_ignore_ascii_case("+all")
}

/// Parses the record, or returns why receivers cannot.
fn read(record: &str) -> Result<SpfRecord, Stop> {
    let broken = |term: String| {
        let name = term.trim_start_matches(['+', '-', '~', '?']).split([':', '/', '=']).next().unwrap_or_default().to_ascii_lowercase();
        let is_known = ["all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists", "redirect", "exp"].contains(&name.as_str());
        let what = if is_known { "a term that cannot be read, or that occurs twice" } else { "a term that does not exist" };
        Stop::Broken(format!("it has {what}: {}", escaped(&term)))
    };
    SpfRecord::parse(record.as_bytes()).map_err(|bad| broken(bad.0))
}

impl<'a> Evaluation<'a> {
    /// An evaluation for this address, or for none.
    pub fn new(address: Option<IpAddr>, lookup: &'a dyn Fn(&Question) -> Option<Answer>) -> Self {
        Self { address, lookup, terms: 0, void_terms: 0, is_void: false }
    }

    /// Evaluates the record of `domain`.
    pub fn run(&mut self, record: &str, domain: &str) -> Result<SpfResult, Stop> {
        self.check(&read(record)?, domain, 0)
    }

    fn check(&mut self, record: &SpfRecord, domain: &str, depth: usize) -> Result<SpfResult, Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::Broken("its includes form a loop".into()));
        }
        for directive in &record.directives {
            if self.matches(&directive.mechanism, domain, depth)? {
                return Ok(directive.result);
            }
        }
        let Some(target) = &record.redirect else { return Ok(SpfResult::Neutral) };
        self.count()?;
        // With macros the name depends on the message, so it is not evaluated further.
        let Some(target) = target.literal() else { return Ok(SpfResult::Neutral) };
        let record = self.record_of(target)?;
        self.check(&record, target, depth + 1)
    }

    fn matches(&mut self, mechanism: &Mechanism, domain: &str, depth: usize) -> Result<bool, Stop> {
        match mechanism {
            Mechanism::All => return Ok(true),
            Mechanism::Network { address, bits } => return Ok(self.address.is_some_and(|client| is_within(client, *address, *bits))),
            _ => self.count()?,
        }
        let target = match mechanism {
            Mechanism::Include(spec) | Mechanism::Exists(spec) => spec.literal(),
            Mechanism::A { host, .. } | Mechanism::Mx { host, .. } | Mechanism::Ptr(host) => {
                host.as_ref().map_or(Some(domain), MacroString::literal)
            }
            _ => None,
        };
        let Some(target) = target else { return Ok(false) };
        match mechanism {
            Mechanism::Include(_) => {
                let record = self.record_of(target)?;
                let inner = self.check(&record, target, depth + 1)?;
                Ok(self.address.is_some() && inner == SpfResult::Pass)
            }
            Mechanism::A { prefix, .. } => self.host_matches(target, *prefix),
            Mechanism::Mx { prefix, .. } => self.exchanger_matches(target, *prefix),
            Mechanism::Exists(_) => {
                let found = !self.ask(target, RecordType::A)?.is_empty();
                Ok(self.address.is_some() && found)
            }
            _ => Ok(false),
        }
    }

    fn exchanger_matches(&mut self, domain: &str, prefix: Prefix) -> Result<bool, Stop> {
        let found = self.ask(domain, RecordType::Mx)?;
        let hosts: Vec<String> =
            found.into_iter().filter_map(|data| if let Data::Mx(_, host) = data { Some(host) } else { None }).collect();
        if hosts.len() > HOSTS_MAX {
            return Err(Stop::Broken(format!("{} has more than {HOSTS_MAX} MX hosts", escaped(domain))));
        }
        let mut matched = false;
        for host in hosts.iter().filter(|host| *host != ".") {
            matched |= self.host_matches(host, prefix)?;
        }
        Ok(matched)
    }

    fn host_matches(&mut self, host: &str, prefix: Prefix) -> Result<bool, Stop> {
        let Some(client) = self.address else { return Ok(false) };
        let (kind, bits) = if client.is_ipv6() { (RecordType::Aaaa, prefix.v6) } else { (RecordType::A, prefix.v4) };
        let found = self.ask(host, kind)?;
        Ok(found.iter().any(|data| matches!(data, Data::Address(address) if is_within(client, *address, bits))))
    }

    fn record_of(&mut self, domain: &str) -> Result<SpfRecord, Stop> {
        let found = self.ask(domain, RecordType::Txt)?;
        let texts = found.iter().filter_map(|data| if let Data::Text(text) = data { Some(text.as_str()) } else { None });
        let shown = escaped(domain);
        match records(texts).as_slice() {
            [one] => read(one).map_err(|stop| match stop {
                Stop::Broken(why) => Stop::Broken(format!("{shown}, which it includes: {why}")),
                stop => stop,
            }),
            [] => Err(Stop::Broken(format!("{shown}, which it includes, has no SPF record"))),
            _ => Err(Stop::Broken(format!("{shown}, which it includes, has several SPF records"))),
        }
    }

    fn ask(&mut self, name: &str, record_type: RecordType) -> Result<Vec<Data>, Stop> {
        let question = Question::new(name, record_type);
        match (self.lookup)(&question) {
            None => Err(Stop::Need(question)),
            Some(Answer::Failed(why)) => Err(Stop::NoAnswer(format!("no answer about {}: {why}", escaped(name)))),
            Some(answer) => {
                let data: Vec<Data> =
                    answer.records().iter().map(|found| found.data.clone()).filter(|data| !matches!(data, Data::Alias(_))).collect();
                if data.is_empty() {
                    self.void_terms += u32::from(!std::mem::replace(&mut self.is_void, true));
                    if self.void_terms > VOID_TERMS_MAX {
                        return Err(Stop::Broken(format!("more than {VOID_TERMS_MAX} of its terms have names that do not exist")));
                    }
                }
                Ok(data)
            }
        }
    }

    fn count(&mut self) -> Result<(), Stop> {
        self.terms += 1;
        self.is_void = false;
        if self.terms > TERMS_MAX {
            return Err(Stop::Broken(format!("it needs more than {TERMS_MAX} lookups")));
        }
        Ok(())
    }
}

/// The single addresses in a record.
pub(super) fn named_addresses(record: &str) -> Vec<IpAddr> {
    let record = SpfRecord::parse(record.as_bytes()).unwrap_or_default();
    let is_one = |(address, bits): &(IpAddr, u8)| *bits == if address.is_ipv4() { 32 } else { 128 };
    record.networks().filter(is_one).map(|(address, _)| address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Found;

    use SpfResult as Says;

    fn says(record: &str, address: Option<&str>) -> (Result<Says, Stop>, u32) {
        let records = |data: Vec<Data>| Some(Answer::Records(data.into_iter().map(|data| Found { data, ttl_s: 60 }).collect()));
        let lookup = |question: &Question| match (question.name.as_str(), question.record_type) {
            ("example.com.", RecordType::Mx) => records(vec![Data::Mx(10, "mx.example.com.".into())]),
            ("mx.example.com.", RecordType::A) => records(vec![Data::Address("192.0.2.10".parse().unwrap())]),
            ("relay.example.", RecordType::Txt) => records(vec![Data::Text("v=spf1 ip4:198.51.100.0/24 ?all".into())]),
            ("loop.example.", RecordType::Txt) => records(vec![Data::Text("v=spf1 include:loop.example".into())]),
            ("many.example.", RecordType::Mx) => records((1..=4).map(|n| Data::Mx(n, format!("h{n}.many.example."))).collect()),
            ("unasked.example.", _) => None,
            _ => Some(Answer::Nothing(60)),
        };
        let mut evaluation = Evaluation::new(address.map(|a| a.parse().unwrap()), &lookup);
        (evaluation.run(record, "example.com"), evaluation.terms)
    }

    #[test]
    fn evaluation_agrees_with_receivers() {
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
    fn limits_are_enforced() {
        assert!(matches!(says("v=spf1 include:loop.example -all", None).0, Err(Stop::Broken(why)) if why.contains("10 lookups")));
        assert!(
            matches!(says("v=spf1 a:x.test a:y.test a:z.test -all", Some("203.0.113.1")).0, Err(Stop::Broken(why)) if why.contains("do not exist"))
        );
        assert!(matches!(says("v=spf1 include:nothing.test -all", None).0, Err(Stop::Broken(why)) if why.contains("no SPF record")));
        assert!(matches!(says("v=spf1 ipv4:192.0.2.1 -all", None).0, Err(Stop::Broken(why)) if why.contains("ipv4")));
        assert_eq!(says("v=spf1 include:unasked.example -all", None).0, Err(Stop::Need(Question::new("unasked.example", RecordType::Txt))));
    }

    #[test]
    fn hosts_without_an_address_are_one_void_term() {
        // RFC 7208 s.4.6.4 limits terms: an IPv6 client, and four MX hosts that have IPv4 addresses only.
        let (ipv6, record) = (Some("2001:db8::10"), "v=spf1 mx:many.example ip6:2001:db8::10 -all");
        assert_eq!(says(record, ipv6).0, Ok(Says::Pass));
        let three = "v=spf1 mx:many.example a:x.test a:y.test ip6:2001:db8::10 -all";
        assert!(matches!(says(three, ipv6).0, Err(Stop::Broken(why)) if why.contains("do not exist")));
    }

    #[test]
    fn an_error_after_the_matching_term_is_an_error() {
        for term in ["ip:192.0.2.1", "include:", "include:foo", "ip4:192.0.2.1/33", "redirect=a.test redirect=b.test", "exp=%{x}", "a:foo"]
        {
            let record = format!("v=spf1 mx ~all {term}");
            assert!(matches!(says(&record, Some("192.0.2.10")).0, Err(Stop::Broken(_))), "{record}");
        }
    }
}
