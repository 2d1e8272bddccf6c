//! Every record of the plan, as DNS has it.
//!
//! Invariant: the plan and its judges are those of `waypost dns check`; what has a check of its own here (the names of addresses, SPF of each address,
//! signatures) is left to that, so that one mistake makes one finding.

use anyhow::Result;
use policy::dns_plan::{DnsSeverity, Finding as DnsFinding, KeyStage, RecordKind, RecordUse, State, plan};

use super::Patient;
use super::finding::{Finding, Severity};
use crate::dns::causes::{Cause, causes, counted, named};
use crate::dns::{check, read};

pub(super) async fn check(patient: &mut Patient) -> Result<Vec<Finding>> {
    let config = patient.config.clone();
    let facts = read(&config, patient.api()?).await?;
    let checked = check::of_config(&config, true).run(&plan(&facts)).await?;
    // The check of SPF says what is wrong in its own words, and what to do about it by these.
    let spf = checked.findings.iter().filter(|finding| finding.record.kind == RecordKind::Spf && !finding.is_ok());
    patient.spf_fixes = spf
        .filter_map(|f| Some((f.record.owner.trim_end_matches('.').to_owned(), f.fix.clone()?.replace("publish: ", "publish "))))
        .collect();
    let is_tried = |finding: &DnsFinding| match finding.record.kind {
        RecordKind::Ptr => true,
        RecordKind::Spf => !patient.addresses.is_empty(),
        RecordKind::Dkim => facts
            .keys
            .iter()
            .any(|key| key.stage == KeyStage::Active && finding.record.owner == format!("{}._domainkey.{}.", key.selector, key.domain)),
        _ => false,
    };
    let findings: Vec<&DnsFinding> = checked.findings.iter().filter(|finding| !is_tried(finding)).collect();
    let good = findings.iter().filter(|finding| finding.is_ok()).count();
    let mut made = Vec::new();
    if good > 0 {
        made.push(Finding::good("dns", "the plan's records", format!("{good} are as they should be (waypost dns check shows each)")));
    }
    let all = findings.len();
    made.extend(causes(findings).iter().map(|cause| of_cause(cause, all)));
    Ok(made)
}

fn of_cause(cause: &Cause<'_>, all: usize) -> Finding {
    match cause {
        Cause::Missing(usage, findings) => {
            let (severity, why) = match usage {
                RecordUse::Needed => (Severity::Error, "without these mail does not come in, or is refused elsewhere"),
                RecordUse::Better => (Severity::Warning, "with these mail is believed and protected more"),
                RecordUse::Programs => (Severity::Notice, "mail programs set themselves up by these"),
            };
            let found = format!("{}: {}", counted(findings.len()), named(findings));
            let fix = "waypost dns show prints them; waypost dns apply publishes them, where a provider is named under [dns]";
            Finding::bad(severity, "dns", format!("not published, {}", usage.as_str()), found, fix).because(why)
        }
        Cause::Unanswered(why, findings) => {
            let severity = if findings.len() == all { Severity::Error } else { Severity::Warning };
            let found = format!("{}: {why}", counted(findings.len()));
            let fix = "see what is said of the resolver; waypost dns check asks the servers of the zone too";
            Finding::bad(severity, "dns", "could not be looked up", found, fix).because(named(findings))
        }
        Cause::Single(finding) => single(finding),
    }
}

fn single(finding: &DnsFinding) -> Finding {
    let severity = match (&finding.state, finding.severity) {
        (State::Propagating(_), _) | (_, DnsSeverity::Optional) => Severity::Notice,
        (_, DnsSeverity::Required) => Severity::Error,
        (_, DnsSeverity::Recommended) => Severity::Warning,
    };
    let about = format!("{} {}", finding.record.owner, finding.record.record_type.as_str());
    let there = if finding.found.is_empty() { String::new() } else { format!(": {}", finding.found.join(" | ")) };
    let fix = finding.fix.clone().unwrap_or_else(|| "waypost dns apply publishes it".into());
    Finding::bad(severity, "dns", about, format!("{}{there}", finding.state.as_str()), fix).because(finding.why.clone())
}
