//! The addresses that take reports of DMARC and of TLS, and who may send one.
//!
//! RFC 9990 (a report passes DMARC itself), RFC 8460 s.5.3. Invariant: an alias of the owner's under such a name stands above it, a catch-all does not;
//! what nobody vouches for is no report.

use directory::Directory;
use mail::evidence::{DmarcResult, Evidence};
use mail::{Domain, Mailbox, Reply};

use crate::authentication::{is_unsure, vouched_for};

/// The user of each domain who takes aggregate reports of DMARC.
pub const DMARC_USER: &str = "dmarc";

/// The user of each domain who takes reports of TLS.
pub const TLS_USER: &str = "tlsrpt";

/// Whether mail to this address is read as a report: it is one of the two of a hosted domain, or of the domain under which forwards leave.
pub fn takes_reports(directory: &Directory, forwarding: &Domain, mailbox: &Mailbox) -> bool {
    let is_ours = mailbox.domain == *forwarding || directory.hosts(&mailbox.domain);
    let is_user = [DMARC_USER, TLS_USER].iter().any(|user| mailbox.local.as_str().eq_ignore_ascii_case(user));
    is_ours && is_user && directory.lookup(&mailbox.to_string()).is_none()
}

/// Who sends a report: the domain of its From field, where SPF or DKIM vouches for it.
pub fn check_report_submitter(evidence: &Evidence, from: &[Domain]) -> Result<Domain, Reply> {
    let [domain] = from else {
        return Err(Reply::new(550, (5, 6, 0), "a report has one From address"));
    };
    let passes = evidence.dmarc.result == DmarcResult::Pass || vouched_for(evidence, domain.as_str());
    if passes {
        return Ok(domain.clone());
    }
    if is_unsure(evidence) || evidence.dmarc.result == DmarcResult::TempError {
        return Err(Reply::new(451, (4, 4, 3), "DNS gave no answer while SPF or DKIM of this report was checked; try again later"));
    }
    let text = format!("this address takes reports that SPF or DKIM vouches for; nothing does for {domain}");
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
    fn an_alias_of_that_name_wins_and_a_catch_all_does_not() {
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
    fn somebody_vouches_for_a_report_or_it_is_refused() {
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
