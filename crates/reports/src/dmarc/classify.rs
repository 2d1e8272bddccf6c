//! Classifies a row of a DMARC report for the domain's owner.
//!
//! RFC 9990 (override reasons), RFC 7489 s.7.2. Invariant: every row has exactly one class.

use std::net::IpAddr;

use super::{Outcome, Override, Row};

/// The class of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Sent by this server or by a sender in SPF, and passes.
    Ours,
    /// Sent by this server, and fails: something needs repair.
    OursFailing,
    /// Our mail, forwarded by others.
    Forward,
    /// Others' mail, forwarded by this server.
    OurForward,
    /// Not authenticated: a forger, or a sender of ours that is not set up.
    Foreign,
}

impl Class {
    /// All classes, in display order.
    pub const ALL: [Self; 5] = [Self::Ours, Self::OursFailing, Self::Forward, Self::OurForward, Self::Foreign];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursFailing => "ours, failing",
            Self::Forward => "forward",
            Self::OurForward => "our forward",
            Self::Foreign => "foreign",
        }
    }
}

/// This server's addresses and domains.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Own {
    /// The addresses that it sends from.
    pub addresses: Vec<IpAddr>,
    /// The forwarding domain.
    pub forwarding: String,
    /// The hosted domains.
    pub domains: Vec<String>,
}

impl Own {
    /// The class of a row.
    pub fn classify(&self, row: &Row) -> Class {
        let passes = row.dkim_aligned || row.spf_aligned;
        if self.addresses.iter().any(|address| address.to_canonical() == row.source) {
            // The reverse-path may be missing.
            let is_forward = !row.envelope_from.is_empty() && row.envelope_from == self.forwarding && row.header_from != self.forwarding;
            return match (is_forward || !self.is_ours(&row.header_from), passes) {
                (true, _) => Class::OurForward,
                (false, true) => Class::Ours,
                (false, false) => Class::OursFailing,
            };
        }
        // Our SPF record names the address: a smarthost, or a service that sends for us.
        if row.spf_aligned {
            return Class::Ours;
        }
        let has_our_signature = row.dkim.iter().any(|dkim| dkim.result == Outcome::Pass && self.is_ours(&dkim.domain));
        if row.dkim_aligned || has_our_signature || was_forwarded(row) { Class::Forward } else { Class::Foreign }
    }

    /// Whether the domain is one of ours, or below one.
    fn is_ours(&self, domain: &str) -> bool {
        self.domains.iter().chain([&self.forwarding]).any(|own| is_within(domain, own))
    }

    /// Whether a report about this domain concerns us: it is one of ours, below one, or the organizational domain above one.
    pub fn concerns(&self, domain: &str) -> bool {
        let above = |own: &String| domain.contains('.') && is_within(own, domain);
        self.is_ours(domain) || self.domains.iter().chain([&self.forwarding]).any(above)
    }
}

/// Whether `low` is `high` or below it.
fn is_within(low: &str, high: &str) -> bool {
    !high.is_empty() && low.strip_suffix(high).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

/// Whether the receiver reports that the mail was forwarded.
fn was_forwarded(row: &Row) -> bool {
    row.reasons.iter().any(|reason| match reason.kind {
        Override::Forwarded | Override::MailingList | Override::TrustedForwarder => true,
        // Google, Microsoft and others write this for an ARC chain that they trust.
        _ => reason.comment.to_ascii_lowercase().contains("arc=pass"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{DkimSeen, Reason, read, samples::GOOGLE};
    use super::*;

    fn own() -> Own {
        Own { addresses: vec!["192.0.2.1".parse().unwrap()], forwarding: "fwd.example.com".into(), domains: vec!["example.com".into()] }
    }

    fn row(source: &str, (dkim, spf): (bool, bool), from: &str, envelope: &str) -> Row {
        let mut row = read(GOOGLE.as_bytes()).unwrap().rows.remove(0);
        (row.source, row.dkim_aligned, row.spf_aligned) = (source.parse().unwrap(), dkim, spf);
        (row.header_from, row.envelope_from) = (from.into(), envelope.into());
        row.dkim.clear();
        row
    }

    #[test]
    fn each_row_has_one_class() {
        let of = |source, passes, from, envelope| own().classify(&row(source, passes, from, envelope)).as_str();
        let (here, there) = ("192.0.2.1", "198.51.100.7");
        assert_eq!(of(here, (true, true), "example.com", "example.com"), "ours");
        assert_eq!(of(here, (false, true), "news.example.com", "example.com"), "ours");
        assert_eq!(of(here, (false, false), "example.com", "example.com"), "ours, failing");
        assert_eq!(of(here, (false, false), "foreign.test", "fwd.example.com"), "our forward");
        assert_eq!(of(here, (false, false), "notexample.com", ""), "our forward");
        assert_eq!(of(here, (true, false), "example.com", "fwd.example.com"), "our forward", "an account wrote to an alias");
        assert_eq!(of(here, (true, true), "fwd.example.com", "fwd.example.com"), "ours", "rewritten");
        assert_eq!(of(there, (true, false), "example.com", "list.test"), "forward");
        assert_eq!(of(there, (false, true), "example.com", "example.com"), "ours", "a smarthost that SPF names");
        assert_eq!(of(there, (false, false), "example.com", "example.com"), "foreign");
    }

    #[test]
    fn forwarding_reported_by_receivers_counts() {
        let with = |kind, comment: &str| {
            let mut row = row("198.51.100.7", (false, false), "example.com", "list.test");
            row.reasons = vec![Reason { kind, comment: comment.into() }];
            own().classify(&row)
        };
        for kind in [Override::Forwarded, Override::MailingList, Override::TrustedForwarder] {
            assert_eq!(with(kind, ""), Class::Forward);
        }
        assert_eq!(with(Override::LocalPolicy, "arc=pass"), Class::Forward);
        assert_eq!(with(Override::LocalPolicy, "arc=fail"), Class::Foreign);
        assert_eq!(with(Override::Other, ""), Class::Foreign);
        let mut signed = row("198.51.100.7", (false, false), "other.test", "");
        signed.dkim = vec![DkimSeen { domain: "fwd.example.com".into(), selector: "a".into(), result: Outcome::Pass }];
        assert_eq!(own().classify(&signed), Class::Forward);
        signed.dkim[0].result = Outcome::Fail;
        assert_eq!(own().classify(&signed), Class::Foreign);
    }

    #[test]
    fn a_report_concerns_a_domain_its_organizational_domain_and_subdomains() {
        for domain in ["example.com", "fwd.example.com", "a.b.example.com"] {
            assert!(own().concerns(domain), "{domain}");
        }
        let below = Own { domains: vec!["lists.example.org".into()], ..Own::default() };
        assert!(below.concerns("example.org"));
        for domain in ["org", "notexample.org", "lists.example.org.evil.test", ""] {
            assert!(!below.concerns(domain), "{domain}");
        }
    }
}
