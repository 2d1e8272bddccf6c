//! Whether a message from another server is authentic, and whether its target will accept it after forwarding.
//!
//! RFC 9989 (DMARC), RFC 7372 (codes), RFC 7208 s.8. Invariant: no allowlist overrides a domain's own p=reject, and mail that claims
//! to be from a domain of ours without proof never leaves under our name.

use directory::{Directory, StrictDomain};
use mail::evidence::{DkimResult, DmarcPolicy, DmarcResult, Evidence, SpfResult};
use mail::{Domain, Reply, ReversePath};

/// What happens to mail that neither SPF nor DKIM authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unauthenticated {
    /// Refused.
    Reject,
    /// Held for the operator.
    Hold,
    /// Forwarded anyway.
    Accept,
}

/// How an accepted message is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment {
    /// Forwarded unchanged.
    AsIs,
    /// Forwarded unchanged; sent again under another From field if the target refuses its own.
    Rewritable,
    /// Forwarded inside a message of ours.
    Wrapped,
    /// Held, for this reason.
    Held(String),
}

/// Whether two domains are the same, or one is below the other. RFC 9989 s.5 finds the organizational domain in DNS; here an approximation
/// is enough.
fn related(a: &str, b: &str) -> bool {
    let below = |low: &str, high: &str| {
        let cut = low.len().checked_sub(high.len());
        cut.is_some_and(|cut| {
            let (front, back) = (low.get(..cut).unwrap_or_default(), low.get(cut..).unwrap_or_default());
            back.eq_ignore_ascii_case(high) && (front.is_empty() || front.ends_with('.'))
        })
    };
    high_enough(a) && high_enough(b) && (below(a, b) || below(b, a))
}

/// A name of one label is not an organization.
fn high_enough(domain: &str) -> bool {
    domain.contains('.')
}

/// The hosted domain above this name.
fn hosted_above<'a>(domain: &'a Domain, directory: &Directory) -> Option<&'a str> {
    let mut above = domain.as_str();
    while let Some((_, rest)) = above.split_once('.') {
        above = rest;
        if Domain::parse(above).is_ok_and(|name| directory.hosts(&name)) {
            return Some(above);
        }
    }
    None
}

/// Whether SPF or a DKIM signature passes for a related domain.
pub(crate) fn is_authenticated_as(evidence: &Evidence, domain: &str) -> bool {
    let spf = evidence.mail_from.result == SpfResult::Pass && related(&evidence.mail_from.domain, domain);
    spf || evidence.dkim.iter().any(|dkim| dkim.result == DkimResult::Pass && related(&dkim.domain, domain))
}

/// Whether an error of DNS may hide a proof: then nothing is refused permanently.
pub(crate) fn is_unsure(evidence: &Evidence) -> bool {
    evidence.mail_from.result == SpfResult::TempError || evidence.dkim.iter().any(|dkim| dkim.result == DkimResult::TempError)
}

/// Whether a DSN may be sent: SPF or DKIM authenticates the reverse-path, so that no DSN goes to a forged address.
pub fn may_report(evidence: &Evidence, reverse_path: &ReversePath) -> bool {
    reverse_path.mailbox().is_some_and(|sender| is_authenticated_as(evidence, sender.domain.as_str()))
}

/// Decides whether a message from another server is accepted, and how it is treated.
pub fn decide_treatment(
    evidence: &Evidence,
    from: &[Domain],
    reverse_path: &ReversePath,
    directory: &Directory,
    unauthenticated: Unauthenticated,
    strict: StrictDomain,
) -> Result<Treatment, Reply> {
    let refused = |enhanced, text: String| Err(Reply::new(550, enhanced, text));
    if let Some(ours) = from.iter().find(|domain| directory.hosts(domain) && !is_authenticated_as(evidence, domain.as_str())) {
        if is_unsure(evidence) {
            return Err(try_again("SPF or DKIM"));
        }
        let text = format!("mail from {ours} must be submitted with a login, or carry a DKIM signature of {ours}");
        return refused((5, 7, 1), text);
    }
    let dmarc = &evidence.dmarc;
    // Our signature aligns with every domain of the same organization: it would turn this failure into a pass.
    let below = from.iter().find_map(|domain| Some((domain, hosted_above(domain, directory)?)));
    if let (Some((domain, ours)), DmarcResult::Fail, DmarcPolicy::None) = (below, dmarc.result, dmarc.policy) {
        return Ok(Treatment::Held(format!(
            "it claims to be from {domain}, a subdomain of {ours}, and neither SPF nor DKIM authenticates it"
        )));
    }
    match (dmarc.result, dmarc.policy) {
        (DmarcResult::Fail, DmarcPolicy::Reject) => {
            let text =
                format!("the message fails DMARC: neither SPF nor DKIM passes for {0}, and the policy of {0} is reject", dmarc.domain);
            return refused((5, 7, 1), text);
        }
        (DmarcResult::Fail, DmarcPolicy::Quarantine) => {
            return Ok(Treatment::Held(format!("it fails DMARC of {}, whose policy is quarantine", dmarc.domain)));
        }
        (DmarcResult::TempError, _) => return Err(try_again("DMARC")),
        _ => {}
    }
    let spf = evidence.mail_from.result;
    let is_authenticated = spf == SpfResult::Pass || evidence.dkim.iter().any(|dkim| dkim.result == DkimResult::Pass);
    if !is_authenticated && *reverse_path != ReversePath::Null && unauthenticated != Unauthenticated::Accept {
        if is_unsure(evidence) {
            return Err(try_again("SPF or DKIM"));
        }
        if unauthenticated == Unauthenticated::Hold {
            return Ok(Treatment::Held("neither SPF nor DKIM passes".into()));
        }
        return refused(
            (5, 7, 26),
            "neither SPF nor DKIM passes for this message; publish an SPF record for the sender's domain, or sign with DKIM".into(),
        );
    }
    treat_for_target(evidence, strict)
}

/// After forwarding, SPF no longer aligns: at the target only an aligned DKIM signature counts.
fn treat_for_target(evidence: &Evidence, strict: StrictDomain) -> Result<Treatment, Reply> {
    let dmarc = &evidence.dmarc;
    if dmarc.result != DmarcResult::Pass || dmarc.dkim_aligned || dmarc.policy == DmarcPolicy::None {
        return Ok(Treatment::AsIs);
    }
    Ok(match strict {
        StrictDomain::AsIs => Treatment::AsIs,
        StrictDomain::Rewrite => Treatment::Rewritable,
        StrictDomain::Wrap => Treatment::Wrapped,
        StrictDomain::Hold => Treatment::Held(format!(
            "it has no DKIM signature of {0}, which has a strict DMARC policy: the target would refuse it",
            dmarc.domain
        )),
        StrictDomain::Reject => {
            let text = format!(
                "mail to this address is forwarded, and {0} has a strict DMARC policy: the message needs a DKIM signature of {0}",
                dmarc.domain
            );
            return Err(Reply::new(550, (5, 7, 26), text));
        }
    })
}

fn try_again(what: &str) -> Reply {
    Reply::new(451, (4, 4, 3), format!("DNS did not answer while {what} of this message was checked; try again later"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use directory::{Contents, HostedDomain};
    use mail::Mailbox;
    use mail::evidence::{DkimCheck, DmarcCheck, SpfCheck};

    fn evidence(spf: Option<&str>, dkim: &[&str], dmarc: (DmarcResult, DmarcPolicy)) -> Evidence {
        let signature = |domain: &&str| DkimCheck {
            result: DkimResult::Pass,
            domain: (*domain).into(),
            selector: "s".into(),
            algorithm: "rsa-sha256".into(),
            signature_prefix: "abc".into(),
            reason: None,
        };
        Evidence {
            mail_from: SpfCheck {
                result: if spf.is_some() { SpfResult::Pass } else { SpfResult::Fail },
                domain: spf.unwrap_or_default().into(),
            },
            dkim: dkim.iter().map(signature).collect(),
            dmarc: DmarcCheck {
                result: dmarc.0,
                policy: dmarc.1,
                domain: "foreign.test".into(),
                spf_aligned: spf == Some("foreign.test"),
                dkim_aligned: dkim.contains(&"foreign.test"),
                ..DmarcCheck::default()
            },
            ..Evidence::default()
        }
    }

    fn decide(evidence: &Evidence, from: &str, strict: StrictDomain, unauthenticated: Unauthenticated) -> Result<Treatment, String> {
        let directory = Directory::new(Contents {
            domains: vec![HostedDomain { name: "example.test".parse().unwrap(), enabled: true }],
            ..Contents::default()
        });
        let sender = ReversePath::Mailbox(Mailbox::parse("her@foreign.test").unwrap());
        decide_treatment(evidence, &[from.parse().unwrap()], &sender, &directory, unauthenticated, strict).map_err(|r| r.to_string())
    }

    #[test]
    fn threat_43_a_hosted_from_needs_proof() {
        let of = |evidence: &Evidence| decide(evidence, "example.test", StrictDomain::Rewrite, Unauthenticated::Accept);
        let none = (DmarcResult::None, DmarcPolicy::None);
        assert!(of(&evidence(Some("foreign.test"), &["foreign.test"], none)).unwrap_err().starts_with("550 5.7.1 "));
        assert!(of(&evidence(None, &["notexample.test"], none)).is_err());
        assert_eq!(of(&evidence(None, &["example.test"], none)), Ok(Treatment::AsIs), "our own signature, back from a list");
        let mut unsure = evidence(None, &["example.test"], none);
        unsure.dkim[0].result = DkimResult::TempError;
        assert!(of(&unsure).unwrap_err().starts_with("451 4.4.3 "), "DNS did not show the key");
        assert_eq!(of(&evidence(Some("news.example.test"), &[], none)), Ok(Treatment::AsIs), "a service that our SPF record names");
    }

    #[test]
    fn mail_from_subdomains_of_hosted_domains_needs_proof() {
        let failed = evidence(Some("foreign.test"), &["foreign.test"], (DmarcResult::Fail, DmarcPolicy::None));
        let of = |from: &str, evidence: &Evidence| decide(evidence, from, StrictDomain::Rewrite, Unauthenticated::Reject);
        for below in ["news.example.test", "a.b.Example.test"] {
            assert!(matches!(of(below, &failed), Ok(Treatment::Held(why)) if why.contains("example.test")), "{below}");
        }
        for other in ["notexample.test", "foreign.test", "example.test.foreign.test"] {
            assert_eq!(of(other, &failed), Ok(Treatment::AsIs), "{other}");
        }
        let right = evidence(None, &["news.example.test"], (DmarcResult::Pass, DmarcPolicy::None));
        assert_eq!(of("news.example.test", &right), Ok(Treatment::AsIs));
    }

    #[test]
    fn threat_44_p_reject_is_refused() {
        for unauthenticated in [Unauthenticated::Accept, Unauthenticated::Hold] {
            let failed = evidence(Some("list.test"), &["list.test"], (DmarcResult::Fail, DmarcPolicy::Reject));
            let refused = decide(&failed, "foreign.test", StrictDomain::AsIs, unauthenticated).unwrap_err();
            assert!(refused.starts_with("550 5.7.1 "), "{refused}");
        }
        let failed = evidence(None, &[], (DmarcResult::Fail, DmarcPolicy::Quarantine));
        assert!(matches!(decide(&failed, "foreign.test", StrictDomain::AsIs, Unauthenticated::Accept), Ok(Treatment::Held(_))));
        let unsure = evidence(None, &[], (DmarcResult::TempError, DmarcPolicy::None));
        assert!(decide(&unsure, "foreign.test", StrictDomain::AsIs, Unauthenticated::Accept).unwrap_err().starts_with("451 4.4.3 "));
    }

    #[test]
    fn unauthenticated_mail_follows_the_setting() {
        let nothing = evidence(None, &[], (DmarcResult::None, DmarcPolicy::None));
        let of = |unauthenticated| decide(&nothing, "foreign.test", StrictDomain::Rewrite, unauthenticated);
        assert!(of(Unauthenticated::Reject).unwrap_err().starts_with("550 5.7.26 "));
        assert!(matches!(of(Unauthenticated::Hold), Ok(Treatment::Held(_))));
        assert_eq!(of(Unauthenticated::Accept), Ok(Treatment::AsIs));
    }

    #[test]
    fn mail_with_spf_only_needs_treatment_before_forwarding() {
        let only_spf = evidence(Some("foreign.test"), &[], (DmarcResult::Pass, DmarcPolicy::Reject));
        let of = |strict| decide(&only_spf, "foreign.test", strict, Unauthenticated::Reject);
        assert_eq!(of(StrictDomain::Rewrite), Ok(Treatment::Rewritable));
        assert_eq!(of(StrictDomain::Wrap), Ok(Treatment::Wrapped));
        assert!(matches!(of(StrictDomain::Hold), Ok(Treatment::Held(_))));
        assert!(of(StrictDomain::Reject).unwrap_err().starts_with("550 5.7.26 "));
        assert_eq!(of(StrictDomain::AsIs), Ok(Treatment::AsIs));
        let signed = evidence(Some("foreign.test"), &["foreign.test"], (DmarcResult::Pass, DmarcPolicy::Reject));
        assert_eq!(decide(&signed, "foreign.test", StrictDomain::Hold, Unauthenticated::Reject), Ok(Treatment::AsIs));
        let lenient = evidence(Some("foreign.test"), &[], (DmarcResult::Pass, DmarcPolicy::None));
        assert_eq!(decide(&lenient, "foreign.test", StrictDomain::Hold, Unauthenticated::Reject), Ok(Treatment::AsIs));
    }

    #[test]
    fn dsns_go_to_authenticated_senders_only() {
        let path = |text: &str| ReversePath::Mailbox(Mailbox::parse(text).unwrap());
        let by_spf = evidence(Some("bounces.foreign.test"), &[], (DmarcResult::None, DmarcPolicy::None));
        assert!(may_report(&by_spf, &path("x@foreign.test")));
        assert!(!may_report(&by_spf, &path("x@victim.test")));
        assert!(!may_report(&evidence(None, &["test"], (DmarcResult::None, DmarcPolicy::None)), &path("x@victim.test")));
        assert!(may_report(&evidence(None, &["foreign.test"], (DmarcResult::None, DmarcPolicy::None)), &path("x@foreign.test")));
        assert!(!may_report(&by_spf, &ReversePath::Null));
    }
}
