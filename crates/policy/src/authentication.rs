//! May this message be believed, and will its target believe it?
//!
//! RFC 9989 (DMARC), RFC 7372 (codes), RFC 7208 s.8. Invariant: no list of friends stands above a domain's own p=reject, and mail that claims
//! to be from a domain of ours without proof never leaves with our name on it.

use directory::{Directory, StrictDomain};
use mail::evidence::{DkimResult, DmarcPolicy, DmarcResult, Evidence, SpfResult};
use mail::{Domain, Reply, ReversePath};

/// What becomes of mail that neither SPF nor DKIM vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unauthenticated {
    /// It is refused.
    Reject,
    /// It is held for its owner to look at.
    Hold,
    /// It is forwarded all the same.
    Accept,
}

/// What is done with a message that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment {
    /// It goes on as it is.
    AsIs,
    /// It goes on as it is, and is given another From field where the target refuses it for its own.
    Rewritable,
    /// It goes on within a message of ours.
    Wrapped,
    /// It is held, for this reason.
    Held(String),
}

/// Whether two domains belong together: they are the same, or one stands below the other. RFC 9989 s.5 asks DNS where an organisation
/// begins; this is the answer where it is not needed exactly.
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

/// A name of one label is no organisation.
fn high_enough(domain: &str) -> bool {
    domain.contains('.')
}

/// The hosted domain that a name stands below.
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

/// Whether SPF or a DKIM signature of a related domain passes.
pub(crate) fn vouched_for(evidence: &Evidence, domain: &str) -> bool {
    let spf = evidence.mail_from.result == SpfResult::Pass && related(&evidence.mail_from.domain, domain);
    spf || evidence.dkim.iter().any(|dkim| dkim.result == DkimResult::Pass && related(&dkim.domain, domain))
}

/// Whether a proof may be there that DNS did not let us see: then nothing is refused for good.
pub(crate) fn is_unsure(evidence: &Evidence) -> bool {
    evidence.mail_from.result == SpfResult::TempError || evidence.dkim.iter().any(|dkim| dkim.result == DkimResult::TempError)
}

/// Whether the sender may be told of a failure: SPF or DKIM vouches for the reverse-path, so that a report hits no stranger.
pub fn may_report(evidence: &Evidence, reverse_path: &ReversePath) -> bool {
    reverse_path.mailbox().is_some_and(|sender| vouched_for(evidence, sender.domain.as_str()))
}

/// Decides whether a message from another server is to be believed, and what is done with it.
pub fn decide_treatment(
    evidence: &Evidence,
    from: &[Domain],
    reverse_path: &ReversePath,
    directory: &Directory,
    unauthenticated: Unauthenticated,
    strict: StrictDomain,
) -> Result<Treatment, Reply> {
    let refused = |enhanced, text: String| Err(Reply::new(550, enhanced, text));
    if let Some(ours) = from.iter().find(|domain| directory.hosts(domain) && !vouched_for(evidence, domain.as_str())) {
        if is_unsure(evidence) {
            return Err(try_again("SPF or DKIM"));
        }
        let text = format!("mail from {ours} must be submitted with a login, or carry a DKIM signature of {ours}");
        return refused((5, 7, 1), text);
    }
    let dmarc = &evidence.dmarc;
    // Our signature as a forwarder is aligned with whatever belongs to the same organisation: it would turn this failure into a pass.
    let below = from.iter().find_map(|domain| Some((domain, hosted_above(domain, directory)?)));
    if let (Some((domain, ours)), DmarcResult::Fail, DmarcPolicy::None) = (below, dmarc.result, dmarc.policy) {
        return Ok(Treatment::Held(format!("it claims to be from {domain}, below {ours}, and neither SPF nor DKIM vouches for that")));
    }
    match (dmarc.result, dmarc.policy) {
        (DmarcResult::Fail, DmarcPolicy::Reject) => {
            let text =
                format!("neither SPF nor DKIM vouches for {0}, and the DMARC policy of {0} asks that such mail be refused", dmarc.domain);
            return refused((5, 7, 1), text);
        }
        (DmarcResult::Fail, DmarcPolicy::Quarantine) => {
            return Ok(Treatment::Held(format!("DMARC of {} fails, and its policy is quarantine", dmarc.domain)));
        }
        (DmarcResult::TempError, _) => return Err(try_again("DMARC")),
        _ => {}
    }
    let spf = evidence.mail_from.result;
    let vouched = spf == SpfResult::Pass || evidence.dkim.iter().any(|dkim| dkim.result == DkimResult::Pass);
    if !vouched && *reverse_path != ReversePath::Null && unauthenticated != Unauthenticated::Accept {
        if is_unsure(evidence) {
            return Err(try_again("SPF or DKIM"));
        }
        if unauthenticated == Unauthenticated::Hold {
            return Ok(Treatment::Held("neither SPF nor DKIM vouches for it".into()));
        }
        return refused(
            (5, 7, 26),
            "neither SPF nor DKIM vouches for this message; publish an SPF record for the sender's domain, or sign with DKIM".into(),
        );
    }
    fragile(evidence, strict)
}

/// After forwarding SPF cannot align any more: what is aligned at the target is what a DKIM signature aligns.
fn fragile(evidence: &Evidence, strict: StrictDomain) -> Result<Treatment, Reply> {
    let dmarc = &evidence.dmarc;
    if dmarc.result != DmarcResult::Pass || dmarc.dkim_aligned || dmarc.policy == DmarcPolicy::None {
        return Ok(Treatment::AsIs);
    }
    Ok(match strict {
        StrictDomain::AsIs => Treatment::AsIs,
        StrictDomain::Rewrite => Treatment::Rewritable,
        StrictDomain::Wrap => Treatment::Wrapped,
        StrictDomain::Hold => {
            Treatment::Held(format!("{} is not signed with DKIM and has a strict DMARC policy: the target would refuse it", dmarc.domain))
        }
        StrictDomain::Reject => {
            let text = format!(
                "mail to this address is forwarded, and mail from {0} cannot be: {0} has a strict DMARC policy and the message no DKIM signature of it",
                dmarc.domain
            );
            return Err(Reply::new(550, (5, 7, 26), text));
        }
    })
}

fn try_again(what: &str) -> Reply {
    Reply::new(451, (4, 4, 3), format!("DNS gave no answer while {what} of this message was checked; try again later"))
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
    fn what_stands_below_a_hosted_domain_gains_nothing_by_our_signature() {
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
    fn mail_without_any_proof_meets_the_setting() {
        let nothing = evidence(None, &[], (DmarcResult::None, DmarcPolicy::None));
        let of = |unauthenticated| decide(&nothing, "foreign.test", StrictDomain::Rewrite, unauthenticated);
        assert!(of(Unauthenticated::Reject).unwrap_err().starts_with("550 5.7.26 "));
        assert!(matches!(of(Unauthenticated::Hold), Ok(Treatment::Held(_))));
        assert_eq!(of(Unauthenticated::Accept), Ok(Treatment::AsIs));
    }

    #[test]
    fn spf_alone_does_not_survive_forwarding() {
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
    fn reports_go_to_known_senders_only() {
        let path = |text: &str| ReversePath::Mailbox(Mailbox::parse(text).unwrap());
        let by_spf = evidence(Some("bounces.foreign.test"), &[], (DmarcResult::None, DmarcPolicy::None));
        assert!(may_report(&by_spf, &path("x@foreign.test")));
        assert!(!may_report(&by_spf, &path("x@victim.test")));
        assert!(!may_report(&evidence(None, &["test"], (DmarcResult::None, DmarcPolicy::None)), &path("x@victim.test")));
        assert!(may_report(&evidence(None, &["foreign.test"], (DmarcResult::None, DmarcPolicy::None)), &path("x@foreign.test")));
        assert!(!may_report(&by_spf, &ReversePath::Null));
    }
}
