//! Results of authentication, in words.
//!
//! RFC 8601 s.2.7. Invariant: each text is a clause that begins with what it is about.

use std::net::IpAddr;

use mail::evidence::{
    ArcResult, ChainCheck, ChainHop, ChainResult, DkimCheck, DkimResult, DmarcCheck, DmarcPolicy, DmarcResult, Evidence, HopSent,
    IprevResult, SpfCheck, SpfResult,
};
use msgauth::SpfTerm;

/// SPF of one domain, with the terms that decided it.
pub fn spf(check: &SpfCheck, client: IpAddr, terms: &[SpfTerm]) -> String {
    let domain = if check.domain.is_empty() { "an empty name" } else { &check.domain };
    let said = match check.result {
        SpfResult::None => return format!("SPF: {domain} has no record"),
        SpfResult::TempError => return format!("SPF: DNS does not answer about {domain}"),
        SpfResult::PermError => return format!("SPF: the record of {domain} is invalid, or needs too many lookups"),
        SpfResult::Pass => "passes",
        SpfResult::Fail => "fails",
        SpfResult::SoftFail => "fails softly",
        SpfResult::Neutral => "is neutral",
    };
    let decided = match terms {
        [] => "no term of its record matches".to_owned(),
        [first, ..] if first.domain == check.domain => first.term.clone(),
        [first, ..] => format!("{} in the record of {}", first.term, first.domain),
    };
    format!("SPF of {domain} {said} for {client}: {decided}")
}

/// The name of the client's address.
pub fn iprev(client: IpAddr, result: IprevResult, name: Option<&str>) -> String {
    match (result, name) {
        (IprevResult::Pass, Some(name)) => format!("reverse DNS: {client} is {name}, and back"),
        (IprevResult::TempError, _) => format!("reverse DNS: DNS does not answer about {client}"),
        _ => format!("reverse DNS: {client} has no name that leads back to it"),
    }
}

/// One signature.
pub fn dkim(check: &DkimCheck) -> String {
    let said = match check.result {
        DkimResult::Pass => "verifies",
        DkimResult::Fail => "does not verify",
        DkimResult::Neutral => "cannot be evaluated",
        DkimResult::Policy => "is not accepted",
        DkimResult::TempError => "cannot be checked: DNS does not answer about its key",
        DkimResult::PermError => "is invalid, or its key is",
    };
    let why = check.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("DKIM: the signature of {} ({}) {said}{why}", check.domain, check.selector)
}

/// The DKIM2 chain, if there is one: the result, then hop by hop.
pub fn chain(check: &ChainCheck) -> Vec<String> {
    let why = check.reason.as_deref().unwrap_or("no reason is known");
    let first = match check.result {
        ChainResult::None => return Vec::new(),
        ChainResult::Pass if check.hops.len() == 1 => "DKIM2: the chain of one hop verifies, up to this envelope".to_owned(),
        ChainResult::Pass => format!("DKIM2: the chain of {} hops verifies, up to this envelope", check.hops.len()),
        ChainResult::Fail => format!("DKIM2: the chain does not verify: {why}"),
        ChainResult::TempError => format!("DKIM2: the chain cannot be checked now: {why}"),
        ChainResult::PermError => format!("DKIM2: the chain is invalid: {why}"),
    };
    let is_proven = check.result == ChainResult::Pass;
    let mut revision = 1;
    let hops = check.hops.iter().map(|hop| {
        let is_changed = std::mem::replace(&mut revision, hop.revision) < hop.revision;
        told_hop(hop, is_proven, is_changed)
    });
    std::iter::once(first).chain(hops).collect()
}

fn told_hop(hop: &ChainHop, is_proven: bool, is_changed: bool) -> String {
    let ChainHop { number, domain, sent, .. } = hop;
    let claims = if is_proven { "" } else { "claims: " };
    let changed = if is_changed { "changed it, told how to undo that, and " } else { "" };
    match sent {
        HopSent::Envelope { from, to } => format!("DKIM2 hop {number}: {claims}{domain} {changed}sent it from {from} to {}", to.join(" ")),
        HopSent::Domain(next) => format!("DKIM2 hop {number}: {claims}{domain} {changed}passed it to {next}, on the same system"),
    }
}

/// DKIM, DKIM2, DMARC and ARC, one line for each signature, hop and result.
pub fn signatures(evidence: &Evidence) -> Vec<String> {
    let mut lines: Vec<String> = evidence.dkim.iter().map(dkim).collect();
    if lines.is_empty() {
        lines.push("DKIM: no signature".into());
    }
    lines.extend(chain(&evidence.dkim2));
    lines.push(dmarc(&evidence.dmarc));
    lines.extend(arc(evidence.arc).map(ToOwned::to_owned));
    lines
}

/// DMARC.
pub fn dmarc(check: &DmarcCheck) -> String {
    let domain = &check.domain;
    if domain.is_empty() {
        return "DMARC: the From field names no valid address, so there is no domain whose policy could be asked for".into();
    }
    let policy = policy(check.policy);
    let by = match (check.spf_aligned, check.dkim_aligned) {
        (true, true) => "by SPF and DKIM",
        (true, false) => "by SPF",
        _ => "by DKIM",
    };
    match check.result {
        DmarcResult::None => format!("DMARC: {domain} has no policy"),
        DmarcResult::Pass => format!("DMARC of {domain} (policy {policy}) passes {by}"),
        DmarcResult::Fail => format!("DMARC of {domain} (policy {policy}) fails: neither SPF nor DKIM passes for it"),
        DmarcResult::TempError => format!("DMARC: DNS does not answer about {domain}"),
        DmarcResult::PermError => format!("DMARC: the record of {domain} is invalid"),
    }
}

/// The word of a policy.
pub fn policy(policy: DmarcPolicy) -> &'static str {
    match policy {
        DmarcPolicy::None => "none",
        DmarcPolicy::Quarantine => "quarantine",
        DmarcPolicy::Reject => "reject",
    }
}

/// The chain, if there is one.
pub fn arc(result: ArcResult) -> Option<&'static str> {
    match result {
        ArcResult::None => None,
        ArcResult::Pass => Some("ARC: the chain verifies; it changes nothing here"),
        ArcResult::Fail => Some("ARC: the chain does not verify"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spf_names_the_record_that_decided() {
        let check = SpfCheck { result: SpfResult::Pass, domain: "foreign.test".into() };
        let term = |domain: &str, term: &str| SpfTerm { domain: domain.into(), term: term.into() };
        let client = "192.0.2.7".parse().unwrap();
        let included = [term("_spf.mail.test", "ip4:192.0.2.0/24"), term("foreign.test", "include:_spf.mail.test")];
        assert_eq!(
            spf(&check, client, &included),
            "SPF of foreign.test passes for 192.0.2.7: ip4:192.0.2.0/24 in the record of _spf.mail.test"
        );
        let failed = SpfCheck { result: SpfResult::Fail, ..check.clone() };
        assert_eq!(spf(&failed, client, &[term("foreign.test", "-all")]), "SPF of foreign.test fails for 192.0.2.7: -all");
        let none = SpfCheck { result: SpfResult::None, ..check };
        assert_eq!(spf(&none, client, &[]), "SPF: foreign.test has no record");
    }

    #[test]
    fn a_chain_is_told_hop_by_hop() {
        let sent = |from: &str, to: &str| HopSent::Envelope { from: from.into(), to: vec![to.into()] };
        let hop = |number, domain: &str, revision, sent| ChainHop { number, domain: domain.into(), revision, sent };
        let hops = vec![
            hop(1, "a.test", 1, sent("<x@a.test>", "<me@b.test>")),
            hop(2, "b.test", 1, HopSent::Domain("fwd.c.test".into())),
            hop(3, "fwd.c.test", 2, sent("<>", "<y@d.test>")),
        ];
        let check = ChainCheck { result: ChainResult::Pass, hops, ..ChainCheck::default() };
        assert_eq!(
            chain(&check),
            [
                "DKIM2: the chain of 3 hops verifies, up to this envelope",
                "DKIM2 hop 1: a.test sent it from <x@a.test> to <me@b.test>",
                "DKIM2 hop 2: b.test passed it to fwd.c.test, on the same system",
                "DKIM2 hop 3: fwd.c.test changed it, told how to undo that, and sent it from <> to <y@d.test>",
            ]
        );
        let failed = ChainCheck { result: ChainResult::Fail, reason: Some("the reason".into()), ..check };
        assert_eq!(
            chain(&failed)[..2],
            ["DKIM2: the chain does not verify: the reason", "DKIM2 hop 1: claims: a.test sent it from <x@a.test> to <me@b.test>"]
        );
        assert!(chain(&ChainCheck::default()).is_empty());
    }

    #[test]
    fn dmarc_says_by_what_it_passes() {
        let check = DmarcCheck { result: DmarcResult::Pass, domain: "x.test".into(), policy: DmarcPolicy::Reject, ..DmarcCheck::default() };
        let of = |spf_aligned, dkim_aligned| dmarc(&DmarcCheck { spf_aligned, dkim_aligned, ..check.clone() });
        assert_eq!(of(true, false), "DMARC of x.test (policy reject) passes by SPF");
        assert_eq!(of(true, true), "DMARC of x.test (policy reject) passes by SPF and DKIM");
        assert_eq!(dmarc(&DmarcCheck { domain: "x.test".into(), ..DmarcCheck::default() }), "DMARC: x.test has no policy");
        assert!(dmarc(&DmarcCheck::default()).contains("no valid address"));
    }
}
