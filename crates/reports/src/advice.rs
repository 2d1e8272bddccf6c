//! Advice on the reports about a domain.
//!
//! RFC 9989 s.5 (policies), RFC 8460 s.4.3 (TLS failures). Invariant: each item names a command or a setting, or says that there is nothing to do.

use crate::dmarc::Class;
use crate::summary::DomainSummary;

/// Minimum period of reports before a stricter policy is advised, in seconds.
const ENOUGH_S: i64 = 7 * 86_400;

/// Maximum sources named.
const NAMED_MAX: usize = 3;

/// What to do, most urgent first.
pub fn advice(domain: &str, summary: &DomainSummary) -> Vec<String> {
    let mut all = Vec::new();
    for (class, address, source) in summary.worst(NAMED_MAX) {
        if class == Class::OursFailing {
            let why = &source.why;
            all.push(format!("mail of {domain} from this server ({address}) fails DMARC ({why}): waypost dns check {domain}"));
        }
    }
    if summary.count(Class::Foreign) > 0 {
        all.push(format!(
            "a foreign source is a forger, or a sender of yours that is not set up: add its SPF record to dns.spf_includes, or give it a DKIM key of {domain}"
        ));
    }
    all.extend(advise_policy(domain, summary));
    all.extend(advise_tls(domain, summary));
    all
}

/// The next step with the DMARC policy.
fn advise_policy(domain: &str, summary: &DomainSummary) -> Option<String> {
    let Some(period) = summary.period else {
        return Some(format!(
            "no DMARC report has arrived: check that DNS names dmarc@{domain} (waypost dns check {domain}); receivers report once a day, and only about mail that they received"
        ));
    };
    let next = match summary.policy.as_str() {
        "none" => "quarantine",
        "quarantine" => "reject",
        _ => return None,
    };
    if summary.count(Class::OursFailing) > 0 {
        return None;
    }
    if period.end_s - period.begin_s < ENOUGH_S || summary.count(Class::Ours) + summary.count(Class::Forward) == 0 {
        return Some(format!("none of your mail fails so far; once reports cover a week of it, the policy can become p={next}"));
    }
    let foreign = if summary.count(Class::Foreign) > 0 { ", once no foreign source is yours" } else { "" };
    Some(format!(
        "none of your mail fails: raise the policy{foreign}: set dmarc = \"{next}\" in [dns] of the configuration, then waypost dns apply {domain}"
    ))
}

fn advise_tls(domain: &str, summary: &DomainSummary) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (result, mx_host) in summary.tls_failures.keys() {
        let what = match result.as_str() {
            "certificate-expired" | "certificate-not-trusted" | "certificate-host-mismatch" => {
                format!("TLS with {mx_host} fails ({result}): waypost cert status; waypost cert renew")
            }
            "starttls-not-supported" => {
                format!("{mx_host} did not offer STARTTLS: waypost doctor, and look for a firewall that alters SMTP")
            }
            "tlsa-invalid" | "dnssec-invalid" | "dane-required" => {
                format!("DANE of {mx_host} fails ({result}): waypost dns check {domain}; a TLSA record must follow the certificate's key")
            }
            "sts-policy-fetch-error" | "sts-policy-invalid" | "sts-webpki-invalid" => {
                format!("the MTA-STS policy of {domain} cannot be used ({result}): waypost dns check {domain}; waypost doctor")
            }
            _ => format!("TLS with {mx_host} fails ({result}): waypost doctor"),
        };
        if !all.contains(&what) && all.len() < NAMED_MAX {
            all.push(what);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dmarc::{Own, read, samples};
    use crate::summary::Period;

    fn summary(policy: &str, days: i64, source: &str) -> DomainSummary {
        let own = Own { addresses: vec!["192.0.2.1".parse().unwrap()], domains: vec!["example.com".into()], ..Own::default() };
        let mut summary = DomainSummary::default();
        let mut report = read(samples::YAHOO.as_bytes()).unwrap();
        report.rows[0].source = source.parse().unwrap();
        let good = read(samples::GOOGLE.as_bytes()).unwrap().rows.remove(0);
        summary.add_report(Period { begin_s: 0, end_s: days * 86_400 }, policy, 0);
        for row in [&good, &report.rows[0]] {
            summary.add_row(&own, "Yahoo", Period { begin_s: 0, end_s: 1 }, row);
        }
        summary
    }

    fn advised(summary: &DomainSummary) -> String {
        advice("example.com", summary).join("\n")
    }

    #[test]
    fn a_stricter_policy_is_advised_only_without_failures() {
        let clean = |policy, days| {
            let mut summary = summary(policy, days, "203.0.113.9");
            summary.messages.remove(&Class::Foreign);
            advised(&summary)
        };
        assert!(clean("none", 8).contains("set dmarc = \"quarantine\" in [dns]"), "{}", clean("none", 8));
        assert!(clean("quarantine", 8).contains("dmarc = \"reject\""));
        assert_eq!(clean("reject", 8), "");
        assert!(clean("none", 3).contains("cover a week"));
        assert!(advised(&summary("none", 8, "203.0.113.9")).contains("once no foreign source is yours"));
        let failing = advised(&summary("none", 8, "192.0.2.1"));
        assert!(
            failing.contains("(192.0.2.1) fails DMARC (no DKIM signature; SPF of example.com: softfail): waypost dns check example.com"),
            "{failing}"
        );
        assert!(!failing.contains("raise"), "{failing}");
        assert!(advised(&DomainSummary::default()).contains("no DMARC report"));
    }

    #[test]
    fn each_tls_failure_is_advised_once() {
        let mut summary = summary("reject", 8, "203.0.113.9");
        for host in ["mx.example.com", "mx.example.com"] {
            summary.add_tls_failure("certificate-expired", host, 3, "");
        }
        summary.add_tls_failure("sts-policy-invalid", "", 1, "");
        let text = advised(&summary);
        assert_eq!(text.matches("waypost cert renew").count(), 1, "{text}");
        assert!(text.contains("the MTA-STS policy of example.com cannot be used"), "{text}");
    }
}
