//! Compares DNS with the plan: records that are right, missing, wrong, extra, or still propagating.
//!
//! RFC 1034 s.4.2 (servers of a zone), RFC 2181 s.5. Invariant: a record is wrong only if a server of its zone says so, or if none of them answers
//! and a resolver says so.

use std::collections::BTreeSet;

use super::judge::{Context, Verdict, judge, mail_host};
use super::mistakes::{doubled, is_proxy};
use super::{
    Answer, Answers, Data, DnsSeverity, DomainLoss, Finding, Found, PlannedRecord, Question, RecordKind, RecordState, RecordType, Source,
    zone_among,
};

/// The findings, and the questions to ask before they are complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// A finding for each record of the plan, and for each extra record.
    pub findings: Vec<Finding>,
    /// The questions to ask; after them, compare again.
    pub needs: Vec<Question>,
}

/// Returns the questions to ask first.
pub fn questions(plan: &[PlannedRecord]) -> Vec<Question> {
    let mut questions = BTreeSet::new();
    for record in plan {
        questions.insert(Question::new(&record.owner, record.record_type));
        if record.kind == RecordKind::HostAddress {
            questions.extend([RecordType::A, RecordType::Aaaa].map(|kind| Question::new(&record.owner, kind)));
        }
        // Names that lead to another server of the same mail are right.
        if record.kind == RecordKind::Mx {
            questions.extend([RecordType::A, RecordType::Aaaa].map(|kind| Question::new(mail_host(record), kind)));
        }
    }
    questions.into_iter().collect()
}

/// Compares the answers with the plan.
pub fn compare(plan: &[PlannedRecord], answers: &Answers) -> Checked {
    let mut domains: Vec<mail::Domain> = Vec::new();
    for domain in plan.iter().filter_map(|record| record.domain.as_ref()) {
        if !domains.contains(domain) {
            domains.push(domain.clone());
        }
    }
    let context = Context { plan, answers, domains };
    let mut checked = Checked { findings: Vec::new(), needs: Vec::new() };
    for record in plan {
        if let Some(finding) = one(&context, record, &mut checked.needs) {
            checked.findings.push(finding);
        }
    }
    let extras = extras(&context, &checked.findings);
    checked.findings.extend(extras);
    checked.needs.sort();
    checked.needs.dedup();
    checked.needs.retain(|question| !answers.has(question));
    checked
}

fn one(context: &Context<'_>, record: &PlannedRecord, needs: &mut Vec<Question>) -> Option<Finding> {
    let question = Question::new(&record.owner, record.record_type);
    let all = context.answers.to(&question);
    if all.is_empty() {
        needs.push(question);
        return None;
    }
    let answered = |authoritative: bool| -> Vec<&Answer> {
        let fits = |source: &Source, answer: &Answer| source.is_authoritative() == authoritative && !matches!(answer, Answer::Failed(_));
        all.iter().filter(|(source, answer)| fits(source, answer)).map(|(_, answer)| answer).collect()
    };
    let (zone, others) = (answered(true), answered(false));
    let (truth, rest) = if zone.is_empty() { (others, Vec::new()) } else { (zone, others) };
    let verdicts: Vec<(&Answer, Verdict)> = truth.iter().map(|answer| (*answer, judge(context, record, answer))).collect();
    needs.extend(
        verdicts.iter().filter_map(|(_, verdict)| if let Verdict::Need(question) = verdict { Some(question.clone()) } else { None }),
    );
    let Some((answer, worst)) = verdicts.iter().find(|(_, verdict)| *verdict != Verdict::Same) else {
        let Some(answer) = truth.first() else { return Some(unknown(record, all)) };
        let late =
            rest.iter().filter(|answer| !matches!(judge(context, record, answer), Verdict::Same | Verdict::Need(_) | Verdict::Unknown(_)));
        return Some(match late.max_by_key(|answer| answer.ttl_s()) {
            Some(late) => propagating(record, late),
            None => Finding { fix: None, ..made(record, RecordState::Ok, answer.records(), record.why.into()) },
        });
    };
    if verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Same) {
        // Some servers of the zone, or some resolvers, already have it.
        return Some(propagating(record, answer));
    }
    judged(context, record, answer, worst, needs)
}

fn judged(context: &Context<'_>, record: &PlannedRecord, answer: &Answer, worst: &Verdict, needs: &mut Vec<Question>) -> Option<Finding> {
    let found = answer.records();
    let because = |why: &str| format!("{why}; {}", record.why);
    Some(match worst {
        Verdict::Need(_) | Verdict::Same => return None,
        Verdict::Unknown(why) => made(record, RecordState::Unknown, found, why.clone()),
        Verdict::Differs(why) => made(record, RecordState::Differs, found, because(why)),
        Verdict::Lost(loss, why) => lost(record, *loss, found, because(why)),
        Verdict::Lesser(severity, why) => Finding { severity: *severity, ..made(record, RecordState::Differs, found, because(why)) },
        Verdict::Missing(why) => {
            let zone = zone_among(&record.owner, &context.domains);
            let question = Question::new(&doubled(&record.owner, &zone), record.record_type);
            let is_there = context
                .answers
                .best(&question)
                .map(|answer| judge(context, record, answer) == Verdict::Same && !answer.records().is_empty());
            if is_there.is_none() && record.record_type != RecordType::Ptr {
                needs.push(question.clone());
            }
            match is_there {
                Some(true) => {
                    let why = format!("it is at {}: the provider's form appends {zone} itself", question.name);
                    made(record, RecordState::Missing, found, because(&why))
                }
                _ => made(record, RecordState::Missing, found, because(why)),
            }
        }
    })
}

fn unknown(record: &PlannedRecord, all: &[(Source, Answer)]) -> Finding {
    let first = all.iter().min_by_key(|(source, _)| !source.is_authoritative());
    let why = first.and_then(|(_, answer)| if let Answer::Failed(why) = answer { Some(why.as_str()) } else { None });
    let why = format!("no answer: {}", super::finding::escaped(why.unwrap_or("no server was queried")));
    let fix = format!("check that the zone's name servers are up, and query it by hand: dig {} {}", record.owner, record.record_type);
    Finding { fix: Some(fix), ..made(record, RecordState::Unknown, &[], why) }
}

fn propagating(record: &PlannedRecord, late: &Answer) -> Finding {
    let ttl_s = late.ttl_s();
    let why = format!("it is right at the zone's name servers; some resolvers still have the old record, for at most {ttl_s} s");
    Finding { fix: Some("wait".into()), ..made(record, RecordState::Propagating(ttl_s), late.records(), why) }
}

fn made(record: &PlannedRecord, state: RecordState, found: &[Found], why: String) -> Finding {
    let shown = |found: &Found| match record.kind {
        // Of several texts at a name, only those that could be meant.
        RecordKind::Spf if matches!(&found.data, Data::Text(text) if !text.to_ascii_lowercase().contains("spf")) => None,
        _ => Some(found.data.shown()),
    };
    let fix = match (record.record_type, &state) {
        (RecordType::Ptr, _) => {
            format!("ask the hoster of the address to set its PTR record (reverse DNS) to {}", record.value.trim_end_matches('.'))
        }
        (_, RecordState::Missing) => format!("publish: {}", record.zone_line()),
        (_, RecordState::Unknown) => "try again".into(),
        _ if record.kind == RecordKind::Spf => instead_of_spf(record, found),
        _ => format!("replace it with: {}", record.zone_line()),
    };
    Finding {
        record: record.clone(),
        state,
        found: found.iter().filter_map(shown).collect(),
        severity: record.severity,
        why,
        fix: Some(fix),
        loss: None,
    }
}

/// The finding of a domain whose mail does not come here any more.
fn lost(record: &PlannedRecord, loss: DomainLoss, found: &[Found], why: String) -> Finding {
    let state = if loss == DomainLoss::Unregistered { RecordState::Missing } else { RecordState::Differs };
    let domain = record.owner.trim_end_matches('.');
    let fix = match loss {
        DomainLoss::Unregistered => format!(
            "renew {domain} at its registrar: once it is free, anybody can register it and gets its mail; if you gave it up: waypost domain remove {domain}"
        ),
        DomainLoss::Elsewhere => format!(
            "if nobody moved it, look at its name servers and its registration, which registrars replace when it lapses; then replace it with: {}; \
             if it moved on purpose: waypost domain remove {domain}",
            record.zone_line()
        ),
    };
    Finding { fix: Some(fix), loss: Some(loss), ..made(record, state, found, why) }
}

/// The record that replaces the existing ones; it keeps other servers that send for the domain.
fn instead_of_spf(record: &PlannedRecord, found: &[Found]) -> String {
    let texts = found.iter().filter_map(|found| if let Data::Text(text) = &found.data { Some(text.as_str()) } else { None });
    let there = super::spf::records(texts);
    let text = super::spf_merge::merged(&record.value, &there);
    if text == record.value {
        return format!("replace it with: {}", record.zone_line());
    }
    let merged = PlannedRecord { value: super::finding::escaped(&text), ..record.clone() };
    let many = if super::spf_merge::lookups(&text) > 10 { "; it needs more than 10 lookups, so some must be removed" } else { "" };
    format!("publish one record for all servers that send for it; remove those that no longer do{many}: {}", merged.zone_line())
}

/// Extra records next to those of the plan.
fn extras(context: &Context<'_>, findings: &[Finding]) -> Vec<Finding> {
    let mut extras = Vec::new();
    let mut seen = BTreeSet::new();
    for record in findings.iter().filter(|f| matches!(f.state, RecordState::Ok | RecordState::Propagating(_))).map(|f| &f.record) {
        let kinds: &[RecordType] = match record.kind {
            RecordKind::Mx | RecordKind::NullMx => &[RecordType::Mx],
            RecordKind::HostAddress if record.is_complete() => &[RecordType::A, RecordType::Aaaa],
            _ => &[],
        };
        for record_type in kinds {
            let question = Question::new(&record.owner, *record_type);
            let (Some(answer), true) = (context.answers.best(&question), seen.insert(question.clone())) else { continue };
            let planned: Vec<&PlannedRecord> =
                context.plan.iter().filter(|r| r.owner == record.owner && r.record_type == *record_type).collect();
            // A wrong record already has a finding.
            let all_there = planned.iter().all(|p| judge(context, p, answer) == Verdict::Same);
            extras.extend(
                answer
                    .records()
                    .iter()
                    .filter(|found| all_there && !is_planned(context, found, &planned))
                    .filter_map(|found| extra(record, found)),
            );
        }
    }
    extras
}

/// A name with addresses of several servers that share the mail is as good as planned.
fn is_planned(context: &Context<'_>, found: &Found, planned: &[&PlannedRecord]) -> bool {
    planned.iter().any(|record| match &found.data {
        Data::Mx(_, host) => mail_host(record).eq_ignore_ascii_case(host),
        Data::Address(address) => record.value == address.to_string() || context.other_addresses().contains(address),
        _ => true,
    })
}

fn extra(record: &PlannedRecord, found: &Found) -> Option<Finding> {
    let (severity, why) = match &found.data {
        Data::Mx(..) if record.kind == RecordKind::NullMx => {
            (DnsSeverity::Recommended, "a name that accepts no mail must not have another MX record")
        }
        Data::Mx(..) => (DnsSeverity::Required, "some of the mail goes to another server: perhaps a record of an earlier provider"),
        Data::Address(address) if is_proxy(*address) => {
            (DnsSeverity::Required, "it leads to Cloudflare's proxy, which does not relay mail: disable the proxy for this name (DNS only)")
        }
        Data::Address(address) if address.is_ipv6() => (
            DnsSeverity::Recommended,
            "it is not a known address of this server: add it to dns.addresses, or remove the record until the address has a PTR record",
        ),
        Data::Address(_) => {
            (DnsSeverity::Recommended, "it is not a known address of this server: add it to dns.addresses, or remove the record")
        }
        _ => return None,
    };
    let shown = found.data.shown();
    let fix = Some(format!(
        "remove: {} {} {shown}",
        record.owner,
        if let Data::Address(a) = &found.data { if a.is_ipv6() { "AAAA" } else { "A" } } else { "MX" }
    ));
    Some(Finding { record: record.clone(), state: RecordState::Extra, found: vec![shown], severity, why: why.into(), fix, loss: None })
}
