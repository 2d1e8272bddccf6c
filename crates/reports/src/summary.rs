//! Sums up the reports about a domain.
//!
//! RFC 9990, RFC 8460. Invariant: bounded: sources, organisations and kinds of failures beyond their maximum are counted, not kept.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::dmarc::{Class, Outcome, Own, Row, word};

/// Maximum sources of a domain that are listed separately.
const SOURCES_MAX: usize = 5_000;

/// Maximum organisations, and maximum kinds of TLS failures.
const NAMES_MAX: usize = 500;

/// A period, Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its start.
    pub begin_s: i64,
    /// Its end.
    pub end_s: i64,
}

/// Messages by class.
pub type Messages = BTreeMap<Class, u64>;

/// The summary for a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainSummary {
    /// Number of DMARC reports.
    pub reports: u64,
    /// Number of TLS reports.
    pub tls_reports: u64,
    /// p= of the report that ends last.
    pub policy: String,
    /// The period that the reports cover.
    pub period: Option<Period>,
    /// The end of the latest.
    newest_s: i64,
    /// Messages by class.
    pub messages: Messages,
    /// Messages by reporting organisation.
    pub organisations: BTreeMap<String, Messages>,
    /// Sources of mail that fails and is not a forward.
    pub failing: BTreeMap<(Class, IpAddr), Source>,
    /// Messages of such sources beyond the maximum.
    pub others_failing: u64,
    /// Messages in rows that were left out.
    pub messages_left_out: u64,
    /// TLS sessions that met the policy.
    pub tls_successful: u64,
    /// TLS sessions that did not.
    pub tls_failed: u64,
    /// TLS failures by kind and mail host.
    pub tls_failures: BTreeMap<(String, String), TlsFailure>,
}

/// A source of failing mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Number of messages.
    pub messages: u64,
    /// The From domain of the first of them.
    pub header_from: String,
    /// First seen, Unix seconds.
    pub first_s: i64,
    /// Last seen.
    pub last_s: i64,
    /// Why the latest failed.
    pub why: String,
}

/// TLS sessions with the same failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFailure {
    /// Number of sessions.
    pub sessions: u64,
    /// The latest reason.
    pub reason: String,
}

impl DomainSummary {
    /// Adds a DMARC report: its period, and the policy that it saw.
    pub fn add_report(&mut self, period: Period, policy: &str, messages_left_out: u64) {
        self.reports += 1;
        self.messages_left_out = self.messages_left_out.saturating_add(messages_left_out);
        let covered = self.period.unwrap_or(period);
        self.period = Some(Period { begin_s: covered.begin_s.min(period.begin_s), end_s: covered.end_s.max(period.end_s) });
        if self.policy.is_empty() || period.end_s > self.newest_s {
            self.newest_s = period.end_s;
            policy.clone_into(&mut self.policy);
        }
    }

    /// Adds a row of a DMARC report.
    pub fn add_row(&mut self, own: &Own, organisation: &str, period: Period, row: &Row) {
        let class = own.classify(row);
        add(&mut self.messages, class, row.count);
        if self.organisations.len() < NAMES_MAX || self.organisations.contains_key(organisation) {
            add(self.organisations.entry(organisation.to_owned()).or_default(), class, row.count);
        }
        if !matches!(class, Class::OursFailing | Class::Foreign) {
            return;
        }
        let key = (class, row.source);
        if self.failing.len() >= SOURCES_MAX && !self.failing.contains_key(&key) {
            self.others_failing = self.others_failing.saturating_add(row.count);
            return;
        }
        let new = || Source { header_from: row.header_from.clone(), first_s: period.begin_s, last_s: i64::MIN, ..Source::default() };
        let source = self.failing.entry(key).or_insert_with(new);
        source.messages = source.messages.saturating_add(row.count);
        source.first_s = source.first_s.min(period.begin_s);
        if period.end_s > source.last_s {
            (source.last_s, source.why) = (period.end_s, explain(row));
        }
    }

    /// Adds the session counts of a TLS report.
    pub fn add_tls(&mut self, successful: u64, failed: u64) {
        self.tls_successful = self.tls_successful.saturating_add(successful);
        self.tls_failed = self.tls_failed.saturating_add(failed);
    }

    /// Adds failed sessions of a TLS report.
    pub fn add_tls_failure(&mut self, result: &str, mx_host: &str, sessions: u64, reason: &str) {
        let key = (result.to_owned(), mx_host.to_owned());
        if self.tls_failures.len() >= NAMES_MAX && !self.tls_failures.contains_key(&key) {
            return;
        }
        let failure = self.tls_failures.entry(key).or_default();
        failure.sessions = failure.sessions.saturating_add(sessions);
        if !reason.is_empty() {
            reason.clone_into(&mut failure.reason);
        }
    }

    /// Number of messages of a class.
    pub fn count(&self, class: Class) -> u64 {
        self.messages.get(&class).copied().unwrap_or(0)
    }

    /// The failing sources: ours first, then by number of messages.
    pub fn worst(&self, limit: usize) -> Vec<(Class, IpAddr, &Source)> {
        let mut worst: Vec<_> = self.failing.iter().map(|((class, address), source)| (*class, *address, source)).collect();
        worst.sort_by_key(|(class, address, source)| (*class, std::cmp::Reverse(source.messages), *address));
        worst.truncate(limit);
        worst
    }
}

fn add(messages: &mut Messages, class: Class, count: u64) {
    let so_far = messages.entry(class).or_default();
    *so_far = so_far.saturating_add(count);
}

/// The reporter's own name, followed by the sending domain if that differs.
pub fn reporter(organisation: &str, submitter: &str) -> String {
    let (name, domain) = (word(organisation), word(submitter));
    let is_the_same = !name.is_empty() && (name.contains(&domain) || domain.contains(&name));
    if is_the_same { organisation.to_owned() } else { format!("{organisation} ({submitter})") }
}

/// What the receiver saw, in one line.
fn explain(row: &Row) -> String {
    let signatures: Vec<String> =
        row.dkim.iter().take(3).map(|dkim| format!("DKIM of {}: {}", dkim.domain, result_text(dkim.result))).collect();
    let spf: Vec<String> = row.spf.iter().take(1).map(|spf| format!("SPF of {}: {}", spf.domain, result_text(spf.result))).collect();
    let signatures = if signatures.is_empty() { vec!["no DKIM signature".to_owned()] } else { signatures };
    signatures.into_iter().chain(spf).collect::<Vec<_>>().join("; ")
}

/// A pass in a failing row is one of another domain.
fn result_text(result: Outcome) -> &'static str {
    if result == Outcome::Pass { "pass, but not aligned" } else { result.as_str() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dmarc::{read, samples};

    #[test]
    fn rows_are_summed_by_class_organisation_and_source() {
        let own = Own {
            addresses: vec!["192.0.2.1".parse().unwrap()],
            forwarding: "fwd.example.com".into(),
            domains: vec!["example.com".into()],
        };
        let mut summary = DomainSummary::default();
        for sample in [samples::GOOGLE, samples::YAHOO, samples::MICROSOFT, samples::YAHOO] {
            let report = read(sample.as_bytes()).unwrap();
            let period = Period { begin_s: report.begin_s, end_s: report.end_s };
            summary.add_report(period, report.policy.p.as_str(), 0);
            report.rows.iter().for_each(|row| summary.add_row(&own, &report.organisation, period, row));
        }
        let counts: Vec<(&str, u64)> = Class::ALL.iter().map(|class| (class.as_str(), summary.count(*class))).collect();
        assert_eq!(counts, [("ours", 1), ("ours, failing", 0), ("forward", 41), ("our forward", 2), ("foreign", 24)]);
        assert_eq!(summary.organisations["google.com"][&Class::Forward], 41);
        let worst = summary.worst(10);
        assert_eq!((worst.len(), worst[0].1.to_string().as_str(), worst[0].2.messages), (1, "203.0.113.99", 24));
        assert_eq!(worst[0].2.why, "no DKIM signature; SPF of example.com: softfail");
        assert_eq!(summary.policy, "none", "that of the report that ends last");
        assert_eq!(summary.period, Some(Period { begin_s: 1_763_856_000, end_s: 1_763_942_400 }));
    }

    #[test]
    fn sources_beyond_the_maximum_are_counted() {
        let mut row = read(samples::YAHOO.as_bytes()).unwrap().rows.remove(0);
        let mut summary = DomainSummary::default();
        for n in 0..6000u32 {
            row.source = std::net::Ipv4Addr::from(n).into();
            summary.add_row(&Own::default(), &n.to_string(), Period { begin_s: 0, end_s: 1 }, &row);
            summary.add_tls_failure("x", &n.to_string(), 1, "");
        }
        assert_eq!((summary.failing.len(), summary.others_failing), (5000, 12_000));
        assert_eq!((summary.organisations.len(), summary.tls_failures.len()), (500, 500));
        assert_eq!(summary.count(Class::Foreign), 72_000);
    }

    #[test]
    fn a_reporter_is_named_with_its_domain_if_that_differs() {
        assert_eq!(reporter("google.com", "google.com"), "google.com");
        assert_eq!(reporter("Yahoo", "yahooinc.com"), "Yahoo");
        assert_eq!(reporter("google.com", "evil.test"), "google.com (evil.test)");
        assert_eq!(reporter("Enterprise Outlook", "microsoft.com"), "Enterprise Outlook (microsoft.com)");
    }
}
