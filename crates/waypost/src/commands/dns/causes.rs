//! Groups DNS findings by cause: missing records by their use, and unanswered queries by their reason.
//!
//! Invariant: every finding that is not ok is in exactly one cause.

use dns_plan::{Finding, RecordState, RecordUse};

/// The common cause of several findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause<'a> {
    /// Unpublished records of one use.
    Missing(RecordUse, Vec<&'a Finding>),
    /// Records whose queries failed for the same reason.
    Unanswered(String, Vec<&'a Finding>),
    /// A finding with a cause of its own.
    Single(&'a Finding),
}

/// The causes: missing records by use, the needed first; then other problems, the most severe first; then unanswered queries.
pub fn causes<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<Cause<'a>> {
    let wrong: Vec<&Finding> = findings.into_iter().filter(|finding| !finding.is_ok()).collect();
    let mut causes = Vec::new();
    for usage in RecordUse::ALL {
        let missing: Vec<&Finding> = wrong.iter().copied().filter(|f| f.is_plainly_missing() && f.record.usage() == usage).collect();
        if !missing.is_empty() {
            causes.push(Cause::Missing(usage, missing));
        }
    }
    let mut single: Vec<&Finding> = wrong.iter().copied().filter(|f| !f.is_plainly_missing() && f.state != RecordState::Unknown).collect();
    single.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    causes.extend(single.into_iter().map(Cause::Single));
    let mut unanswered: Vec<(String, Vec<&Finding>)> = Vec::new();
    for finding in wrong.into_iter().filter(|finding| finding.state == RecordState::Unknown) {
        match unanswered.iter_mut().find(|(why, _)| *why == finding.why) {
            Some((_, of_it)) => of_it.push(finding),
            None => unanswered.push((finding.why.clone(), vec![finding])),
        }
    }
    causes.extend(unanswered.into_iter().map(|(why, of_it)| Cause::Unanswered(why, of_it)));
    causes
}

/// `3 records`.
pub fn counted(n: usize) -> String {
    if n == 1 { "1 record".into() } else { format!("{n} records") }
}

/// The names of the first few, and the number of the rest.
pub fn named(findings: &[&Finding]) -> String {
    const NAMED_MAX: usize = 4;
    let one = |finding: &&Finding| format!("{} {}", finding.record.owner, finding.record.record_type.as_str());
    let names: Vec<String> = findings.iter().take(NAMED_MAX).map(one).collect();
    let more = findings.len().saturating_sub(NAMED_MAX);
    if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dns_plan::{DnsSeverity, PlannedRecord, RecordKind, RecordType};

    fn finding(kind: RecordKind, state: RecordState, severity: DnsSeverity, why: &str) -> Finding {
        let owner = format!("{}.example.com.", kind.as_str());
        let value = "value".to_owned();
        let record = PlannedRecord { domain: None, owner, record_type: RecordType::Txt, value, ttl_s: 60, kind, severity, why: "" };
        Finding { record, state, found: Vec::new(), severity, why: why.into(), fix: None, loss: None }
    }

    #[test]
    fn a_failing_resolver_is_one_cause_and_no_wrong_record() {
        let servfail = "nobody answers: 127.0.0.1: it says SERVFAIL";
        let all: Vec<Finding> = [RecordKind::Mx, RecordKind::Spf, RecordKind::Dkim]
            .map(|kind| finding(kind, RecordState::Unknown, DnsSeverity::Required, servfail))
            .into();
        let [Cause::Unanswered(why, of_it)] = &causes(&all)[..] else { panic!("{:?}", causes(&all)) };
        assert_eq!((why.as_str(), of_it.len()), (servfail, 3));
        assert!(all.iter().all(|f| !f.is_red() && f.is_open()));
    }

    #[test]
    fn missing_records_are_grouped_by_use_with_the_needed_first() {
        let all = [
            finding(RecordKind::Srv, RecordState::Missing, DnsSeverity::Recommended, "it is not there; programs"),
            finding(RecordKind::TlsRpt, RecordState::Missing, DnsSeverity::Recommended, "it is not there; reports"),
            finding(RecordKind::Mx, RecordState::Missing, DnsSeverity::Required, "it is not there; mail"),
            finding(
                RecordKind::Dkim,
                RecordState::Missing,
                DnsSeverity::Required,
                "it stands at x.example.com.example.com.: the form adds",
            ),
            finding(RecordKind::Spf, RecordState::Ok, DnsSeverity::Required, ""),
        ];
        let shown: Vec<String> = causes(&all)
            .into_iter()
            .map(|cause| match cause {
                Cause::Missing(usage, of_it) => format!("{} {}", usage.as_str(), of_it.len()),
                Cause::Unanswered(..) => "unanswered".into(),
                Cause::Single(finding) => finding.record.owner.clone(),
            })
            .collect();
        assert_eq!(shown, ["needed now 1", "better 1", "for mail programs 1", "dkim.example.com."]);
    }
}
