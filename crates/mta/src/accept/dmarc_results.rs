//! What came under the name of a domain that wants to know it (rua= of its DMARC record), in the words of the reports on it.
//!
//! RFC 9990 (contents of the elements). Invariant: no local part of an address gets here, only names of domains; what is kept of a message is bounded; mail of a login is not
//! counted, nor is a report, so that two servers do not tell each other about their reports for ever.

use mail::evidence::{DkimCheck, DkimResult, DmarcPolicy, DmarcRecord, DmarcResult, Evidence, SpfResult};
use mail::{Domain, Fields, Reply};
use policy::Treatment;
use reports::aggregate::{Disposition, DkimSeen, Outcome, Override, PublishedPolicy, Reason, Row, SpfSeen};
use reports::rua_mailboxes;
use store::{DailyCount, DailyKind};

use crate::accept::message_auth::{Authenticated, Proof};
use crate::queue::dispatch::World;
use crate::reporting::tally::period;
use crate::settings::Settings;

/// The longest row as JSON, in octets: signatures at its end are left out of a longer one.
const ROW_MAX_BYTES: usize = 2000;

/// What a domain's owner is told about one message.
#[derive(Debug)]
pub(crate) struct Seen {
    domain: String,
    policy: PublishedPolicy,
    row: Row,
}

/// What is to be told about a message; nothing where nobody asks.
pub(crate) fn seen(settings: &Settings, authenticated: &Authenticated, judged: &Result<Treatment, Reply>) -> Option<Box<Seen>> {
    let Authenticated { received, proof: Proof::Evidence(evidence), header } = authenticated else { return None };
    let dmarc = &evidence.dmarc;
    let record = dmarc.record.as_ref().filter(|_| settings.reporting.dmarc)?;
    let is_known = matches!(dmarc.result, DmarcResult::Pass | DmarcResult::Fail);
    if !is_known || rua_mailboxes(&record.report_uris).is_empty() || (dmarc.result == DmarcResult::Pass && is_report(header)) {
        return None;
    }
    let domain = name(&record.domain)?;
    let (disposition, reasons) = done(evidence, record, judged);
    let row = Row {
        source: received.facts.client.to_canonical(),
        count: 0,
        disposition,
        dkim_aligned: dmarc.dkim_aligned,
        spf_aligned: dmarc.spf_aligned,
        reasons,
        header_from: name(&dmarc.domain)?,
        envelope_from: received.reverse_path.mailbox().map(|sender| sender.domain.to_string()).unwrap_or_default(),
        envelope_to: received
            .recipients
            .first()
            .and_then(|(recipient, _)| domain_of(&recipient.forward_path.to_string()))
            .unwrap_or_default(),
        dkim: signatures(&evidence.dkim, &dmarc.domain),
        spf: name(&evidence.mail_from.domain)
            .map(|domain| SpfSeen { domain, result: spf_outcome(evidence.mail_from.result) })
            .into_iter()
            .collect(),
    };
    Some(Box::new(Seen { policy: published(record, &domain), domain, row }))
}

/// Counts the message.
pub(crate) fn tell(world: &World, seen: Seen) {
    let Seen { domain, policy, mut row } = seen;
    let json = |row: &Row| serde_json::to_string(row).unwrap_or_default();
    let mut detail = json(&row);
    while detail.len() > ROW_MAX_BYTES && row.dkim.pop().is_some() {
        detail = json(&row);
    }
    let (every_s, now_s) = (world.settings.load().reporting.every_s, world.clock.now_s());
    world.results.push(DailyCount {
        period: period(DailyKind::Dmarc, now_s, every_s, domain),
        policy: serde_json::to_string(&policy).unwrap_or_default(),
        detail,
        // The policy of a report is the one that was found last.
        reason: now_s.to_string(),
        times: 1,
    });
}

/// Whether the message says that it is a report of DMARC. That counts only where DMARC passes: a forger could say so too.
fn is_report(message: &[u8]) -> bool {
    Fields::find_first(message, "Subject").is_some_and(|field| {
        let subject = field.unfolded().to_ascii_lowercase();
        subject.trim_start().starts_with("report domain:") && subject.contains("submitter:")
    })
}

/// What was done on account of DMARC, and why where that is not what the record asks. Of mail that passes nothing is told but that: what else is done
/// with it is nothing to disclose (RFC 9990, disclosure of filtering information).
fn done(evidence: &Evidence, record: &DmarcRecord, judged: &Result<Treatment, Reply>) -> (Disposition, Vec<Reason>) {
    let dmarc = &evidence.dmarc;
    if dmarc.result == DmarcResult::Pass {
        let is_asked = dmarc.policy != DmarcPolicy::None;
        return (if is_asked { Disposition::Pass } else { Disposition::None }, Vec::new());
    }
    let (done, words) = match judged {
        Err(_) => (Disposition::Reject, "refused by rules of the receiver's own"),
        Ok(Treatment::Held(_)) => (Disposition::Quarantine, "held by rules of the receiver's own"),
        Ok(_) => (Disposition::None, "taken by rules of the receiver's own"),
    };
    let mut reasons = Vec::new();
    if record.testing && dmarc.asked != dmarc.policy {
        reasons.push(Reason { kind: Override::PolicyTestMode, comment: String::new() });
    }
    if done != disposition(dmarc.policy) {
        reasons.push(Reason { kind: Override::LocalPolicy, comment: words.into() });
    }
    (done, reasons)
}

/// The signatures, in the order in which they matter (RFC 9990, DKIM signatures in aggregate reports); one that names no domain is none.
fn signatures(checks: &[DkimCheck], author: &str) -> Vec<DkimSeen> {
    let mut seen: Vec<DkimSeen> = checks
        .iter()
        .filter_map(|check| {
            let selector = name(&check.selector).unwrap_or_default();
            Some(DkimSeen { domain: name(&check.domain)?, selector, result: dkim_outcome(check.result) })
        })
        .collect();
    let is_related = |domain: &str| domain == author || author.ends_with(&format!(".{domain}")) || domain.ends_with(&format!(".{author}"));
    seen.sort_by_key(|one| (one.result != Outcome::Pass, one.domain != author, !is_related(&one.domain)));
    seen
}

fn published(record: &DmarcRecord, domain: &str) -> PublishedPolicy {
    PublishedPolicy {
        domain: domain.to_owned(),
        p: disposition(record.policy),
        sp: record.subdomain_policy.map(disposition),
        np: record.nonexistent_policy.map(disposition),
        strict_dkim: record.dkim_strict,
        strict_spf: record.spf_strict,
        testing: record.testing,
        failure_options: record.failure_options.clone(),
    }
}

/// A name that a stranger wrote, where it is that of a domain: then there is no local part in it, nor anything else.
fn name(text: &str) -> Option<String> {
    Domain::parse(text).ok().map(|domain| domain.to_string())
}

fn domain_of(path: &str) -> Option<String> {
    name(path.rsplit_once('@')?.1.trim_end_matches('>'))
}

fn disposition(policy: DmarcPolicy) -> Disposition {
    match policy {
        DmarcPolicy::None => Disposition::None,
        DmarcPolicy::Quarantine => Disposition::Quarantine,
        DmarcPolicy::Reject => Disposition::Reject,
    }
}

fn dkim_outcome(result: DkimResult) -> Outcome {
    match result {
        DkimResult::Pass => Outcome::Pass,
        DkimResult::Fail => Outcome::Fail,
        DkimResult::Neutral => Outcome::Neutral,
        DkimResult::Policy => Outcome::Policy,
        DkimResult::TempError => Outcome::TempError,
        DkimResult::PermError => Outcome::PermError,
    }
}

fn spf_outcome(result: SpfResult) -> Outcome {
    match result {
        SpfResult::None => Outcome::None,
        SpfResult::Neutral => Outcome::Neutral,
        SpfResult::Pass => Outcome::Pass,
        SpfResult::Fail => Outcome::Fail,
        SpfResult::SoftFail => Outcome::SoftFail,
        SpfResult::TempError => Outcome::TempError,
        SpfResult::PermError => Outcome::PermError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::evidence::DmarcCheck;

    fn evidence(result: DmarcResult, asked: DmarcPolicy, policy: DmarcPolicy) -> Evidence {
        Evidence { dmarc: DmarcCheck { result, asked, policy, ..DmarcCheck::default() }, ..Evidence::default() }
    }

    #[test]
    fn what_is_not_as_asked_has_a_reason() {
        use DmarcPolicy::{None, Quarantine, Reject};
        let of = |(result, asked, policy), judged: &Result<Treatment, Reply>| {
            let record = DmarcRecord { testing: asked != policy, ..DmarcRecord::default() };
            let (done, reasons) = done(&evidence(result, asked, policy), &record, judged);
            format!("{} {}", done.as_str(), reasons.iter().map(|reason| reason.kind.as_str()).collect::<Vec<_>>().join(" "))
        };
        let (taken, held, refused) =
            (Ok(Treatment::AsIs), Ok(Treatment::Held("why".into())), Err(Reply::new(550, (5, 7, 1), "no to me@example.test")));
        let (pass, fail) = (DmarcResult::Pass, DmarcResult::Fail);
        assert_eq!(of((pass, Reject, Reject), &refused), "pass ");
        assert_eq!(of((pass, None, None), &held), "none ");
        assert_eq!(of((fail, Reject, Reject), &refused), "reject ");
        assert_eq!(of((fail, Quarantine, Quarantine), &held), "quarantine ");
        assert_eq!(of((fail, None, None), &taken), "none ");
        assert_eq!(of((fail, None, None), &refused), "reject local_policy");
        assert_eq!(of((fail, Reject, Quarantine), &held), "quarantine policy_test_mode");
        assert_eq!(of((fail, Quarantine, None), &refused), "reject policy_test_mode local_policy");
    }

    #[test]
    fn signatures_come_in_the_order_in_which_they_matter() {
        let check = |domain: &str, result| DkimCheck {
            result,
            domain: domain.into(),
            selector: "S1".into(),
            algorithm: String::new(),
            signature_prefix: String::new(),
            reason: None,
        };
        let found = signatures(
            &[
                check("a.test", DkimResult::Fail),
                check("list.test", DkimResult::Pass),
                check("someone@a.test", DkimResult::Pass),
                check("news.A.test", DkimResult::Pass),
                check("a.test", DkimResult::Pass),
            ],
            "a.test",
        );
        let found: Vec<String> = found.iter().map(|one| format!("{} {} {}", one.domain, one.selector, one.result.as_str())).collect();
        assert_eq!(found, ["a.test s1 pass", "news.a.test s1 pass", "list.test s1 pass", "a.test s1 fail"]);
        assert_eq!(domain_of("<someone@B.test>").as_deref(), Some("b.test"));
        assert!(is_report(b"Subject: Report Domain: a.test\r\n\tSubmitter: b.test\r\n\r\n") && !is_report(b"Subject: Report\r\n\r\n"));
    }
}
