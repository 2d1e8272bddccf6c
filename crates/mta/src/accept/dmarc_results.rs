//! Counts mail by its From domain, for domains that ask for DMARC reports (rua= of their record).
//!
//! RFC 9990 (contents of the elements). Invariant: a row holds domain names but no local parts, and its size is bounded. Mail
//! from accounts and DMARC reports are not counted: otherwise two servers would report about their reports forever.

use mail::evidence::{DkimCheck, DkimResult, DmarcPolicy, DmarcRecord, DmarcResult, Evidence, SpfResult};
use mail::{Domain, Fields, Reply};
use policy::Treatment;
use reports::dmarc::{Disposition, DkimSeen, Outcome, Override, PublishedPolicy, Reason, Row, SpfSeen};
use reports::rua_mailboxes;
use store::{DailyCount, DailyKind, DailyResult};

use crate::accept::message_auth::{Authenticated, Proof};
use crate::context::Shared;
use crate::reporting::tally::{Results, period};
use crate::settings::Settings;

/// Maximum length of a row as JSON, in octets; a longer one loses its last signatures.
const ROW_MAX_BYTES: usize = 2000;

/// What the DMARC report to a domain says about one message.
#[derive(Debug)]
pub(crate) struct Observation {
    domain: String,
    policy: PublishedPolicy,
    row: Row,
}

/// Returns what to report about a message; `None` if the domain asks for no reports.
pub(crate) fn observe(settings: &Settings, authenticated: &Authenticated, judged: &Result<Treatment, Reply>) -> Option<Box<Observation>> {
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
    Some(Box::new(Observation { policy: published(record, &domain), domain, row }))
}

/// Counts the message.
pub(crate) fn count(shared: &Shared, results: &Results, seen: Observation) {
    let Observation { domain, policy, mut row } = seen;
    let is_long = |row: &Row| serde_json::to_string(row).is_ok_and(|json| json.len() > ROW_MAX_BYTES);
    while is_long(&row) && row.dkim.pop().is_some() {}
    let (every_s, now_s) = (shared.settings.load().reporting.every_s, shared.clock.now_s());
    results.push(DailyCount {
        period: period(DailyKind::Dmarc, now_s, every_s, domain),
        // A report shows one policy: the one that applied to the last message.
        result: DailyResult::Dmarc { policy, row: Box::new(row), seen_s: now_s },
        times: 1,
    });
}

/// Whether the message claims to be a DMARC report. The caller also requires a DMARC pass, since a forger can make the same claim.
fn is_report(message: &[u8]) -> bool {
    Fields::find_first(message, "Subject").is_some_and(|field| {
        let subject = field.unfolded().to_ascii_lowercase();
        subject.trim_start().starts_with("report domain:") && subject.contains("submitter:")
    })
}

/// Returns the disposition, with the reasons if it differs from the record's policy. For mail that passes, only the pass is reported and no
/// further decision is disclosed (RFC 9990, disclosure of filtering information).
fn done(evidence: &Evidence, record: &DmarcRecord, judged: &Result<Treatment, Reply>) -> (Disposition, Vec<Reason>) {
    let dmarc = &evidence.dmarc;
    if dmarc.result == DmarcResult::Pass {
        let is_asked = dmarc.policy != DmarcPolicy::None;
        return (if is_asked { Disposition::Pass } else { Disposition::None }, Vec::new());
    }
    let (done, words) = match judged {
        Err(_) => (Disposition::Reject, "refused by the receiver's local policy"),
        Ok(Treatment::Held(_)) => (Disposition::Quarantine, "held by the receiver's local policy"),
        Ok(_) => (Disposition::None, "accepted by the receiver's local policy"),
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

/// Returns the signatures, the most relevant first (RFC 9990, DKIM signatures in aggregate reports); those without a valid domain are left
/// out.
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

/// Returns an untrusted name if it is a valid domain: then it has no local part.
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
    fn a_disposition_other_than_the_policy_has_a_reason() {
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
    fn signatures_are_ordered_by_result_and_alignment() {
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
