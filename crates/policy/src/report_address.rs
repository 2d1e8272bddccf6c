//! The addresses for DMARC and TLS reports, and the senders that are accepted there.
//!
//! RFC 9990 (a report passes DMARC itself), RFC 8460 s.5.3. Invariant: an alias of that name takes precedence, a catch-all does not; a report that
//! is not authenticated is refused.

use directory::Directory;
use mail::evidence::{DmarcResult, Evidence};
use mail::{Domain, Mailbox, Reply};

use crate::authentication::{is_authenticated_as, is_unsure};

/// The local part for DMARC reports, at each domain.
pub const DMARC_USER: &str = "dmarc";

/// The local part for TLS reports, at each domain.
pub const TLS_USER: &str = "tlsrpt";

/// Whether mail to this address is read as a report: one of the two at a hosted domain or at the forwarding domain.
pub fn takes_reports(directory: &Directory, forwarding: &Domain, mailbox: &Mailbox) -> bool {
    let is_ours = mailbox.domain == *forwarding || directory.hosts(&mailbox.domain);
    let is_user = [DMARC_USER, TLS_USER].iter().any(|user| mailbox.local.as_str().eq_ignore_ascii_case(user));
    is_ours && is_user && directory.lookup(&mailbox.to_string()).is_none()
}

/// Returns the submitter of a report: the domain of its From field, if SPF or DKIM authenticates it.
pub fn check_report_submitter(evidence: &Evidence, from: &[Domain]) -> Result<Domain, Reply> {
    let [domain] = from else {
        return Err(Reply::new(550, (5, 6, 0), "a report must have exactly one From address"));
    };
    let passes = evidence.dmarc.result == DmarcResult::Pass || is_authenticated_as(evidence, domain.as_str());
    if passes {
        return Ok(domain.clone());
    }
    if is_unsure(evidence) || evidence.dmarc.result == DmarcResult::TempError {
        return Err(Reply::new(451, (4, 4, 3), "DNS did not answer while SPF or DKIM of this report was checked; try again later"));
    }
    let text = format!("this address accepts authenticated reports only: neither SPF nor DKIM passes for {domain}");
    Err(Reply::new(550, (5, 7, 1), text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use directory::{Alias, Contents, HostedDomain, Origin};
    use mail::evidence::{DkimCheck, DkimResult, SpfCheck, SpfResult};

    fn domain(text: &str) -> Domain {
        text.parse().unwrap()
    }

    #[test]
    fn an_alias_takes_precedence_and_a_catch_all_does_not() {
        let alias = |source: &str, enabled| Alias {
            source: source.parse().unwrap(),
            targets: vec!["me@gmail.com".parse().unwrap()],
            enabled,
            origin: Origin::Database,
        };
        let directory = Directory::new(Contents {
            domains: vec![
                HostedDomain { name: domain("example.test"), enabled: true },
                HostedDomain { name: domain("off.test"), enabled: false },
            ],
            aliases: vec![alias("@example.test", true), alias("tlsrpt@example.test", false)].into(),
            ..Contents::default()
        });
        let takes = |address: &str| takes_reports(&directory, &domain("fwd.test"), &Mailbox::parse(address).unwrap());
        assert!(takes("dmarc@example.test") && takes("DMARC@Example.Test") && takes("tlsrpt@fwd.test") && takes("dmarc@fwd.test"));
        for other in ["tlsrpt@example.test", "dmarc@off.test", "dmarc@foreign.test", "dmarc+x@example.test", "me@example.test"] {
            assert!(!takes(other), "{other}");
        }
    }

    #[test]
    fn reports_need_an_aligned_spf_or_dkim_pass() {
        let dkim = |result, domain: &str| DkimCheck {
            result,
            domain: domain.into(),
            selector: "s".into(),
            algorithm: "rsa-sha256".into(),
            signature_prefix: "abc".into(),
            reason: None,
        };
        let judge = |evidence: &Evidence| check_report_submitter(evidence, &[domain("google.com")]).map_err(|r| r.to_string());
        let signed = |result, by: &str| Evidence { dkim: vec![dkim(result, by)], ..Evidence::default() };
        assert_eq!(judge(&signed(DkimResult::Pass, "google.com")).unwrap().as_str(), "google.com");
        assert!(judge(&signed(DkimResult::Pass, "evil.test")).unwrap_err().starts_with("550 5.7.1 "));
        assert!(judge(&signed(DkimResult::Fail, "google.com")).unwrap_err().starts_with("550 5.7.1 "));
        assert!(judge(&signed(DkimResult::TempError, "google.com")).unwrap_err().starts_with("451 4.4.3 "));
        let mut spf =
            Evidence { mail_from: SpfCheck { result: SpfResult::Pass, domain: "bounce.google.com".into() }, ..Evidence::default() };
        assert!(judge(&spf).is_ok());
        spf.mail_from.domain = "com".into();
        assert!(judge(&spf).is_err());
        assert!(check_report_submitter(&spf, &[]).is_err() && check_report_submitter(&spf, &[domain("a.test"), domain("b.test")]).is_err());
    }
}
