//! Compares DNS with the plan.
//!
//! Invariant: plan and judgement are those of `waypost dns check`; PTR, SPF and DKIM have checks of their own here, so that one mistake gives one finding.

use anyhow::Result;
use dns_plan::{DnsSeverity, Finding as DnsFinding, KeyStage, RecordKind, RecordState, RecordUse, plan};

use super::DoctorContext;
use crate::commands::dns::causes::{Cause, causes, counted, named};
use crate::dns_facts::{checker, read};
use control_api::api::{HealthFinding as Finding, Severity};

pub(super) async fn check(context: &mut DoctorContext) -> Result<Vec<Finding>> {
    let config = context.config.clone();
    let facts = read(&config, context.api()?).await?;
    let checked = checker(&config, true).run(&plan(&facts)).await?;
    // The SPF check words the problem itself, and takes the fix from here.
    let spf = checked.findings.iter().filter(|finding| finding.record.kind == RecordKind::Spf && !finding.is_ok());
    context.spf_fixes = spf
        .filter_map(|f| Some((f.record.owner.trim_end_matches('.').to_owned(), f.fix.clone()?.replace("publish: ", "publish "))))
        .collect();
    let is_tried = |finding: &DnsFinding| match finding.record.kind {
        RecordKind::Ptr => true,
        RecordKind::Spf => !context.addresses.is_empty(),
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
        made.push(Finding::good("dns", "the plan's records", format!("{good} are right (waypost dns check lists them)")));
    }
    let all = findings.len();
    made.extend(causes(findings).iter().map(|cause| of_cause(cause, all)));
    Ok(made)
}

fn of_cause(cause: &Cause<'_>, all: usize) -> Finding {
    match cause {
        Cause::Missing(usage, findings) => {
            let (severity, why) = match usage {
                RecordUse::Needed => (Severity::Error, "without these, mail does not arrive, or is refused elsewhere"),
                RecordUse::Better => (Severity::Warning, "these improve trust in your mail and its protection"),
                RecordUse::Programs => (Severity::Notice, "mail programs configure themselves with these"),
            };
            let found = format!("{}: {}", counted(findings.len()), named(findings));
            let fix = "waypost dns show prints them; waypost dns apply publishes them if [dns] names a provider";
            Finding::bad(severity, "dns", format!("not published, {}", usage.as_str()), found, fix).because(why)
        }
        Cause::Unanswered(why, findings) => {
            let severity = if findings.len() == all { Severity::Error } else { Severity::Warning };
            let found = format!("{}: {why}", counted(findings.len()));
            let fix = "see the finding about the resolver; waypost dns check also queries the zone's servers";
            Finding::bad(severity, "dns", "could not be looked up", found, fix).because(named(findings))
        }
        Cause::Single(finding) => single(finding),
    }
}

fn single(finding: &DnsFinding) -> Finding {
    let severity = match (&finding.state, finding.severity) {
        (RecordState::Propagating(_), _) | (_, DnsSeverity::Optional) => Severity::Notice,
        (_, DnsSeverity::Required) => Severity::Error,
        (_, DnsSeverity::Recommended) => Severity::Warning,
    };
    let about = format!("{} {}", finding.record.owner, finding.record.record_type.as_str());
    let there = if finding.found.is_empty() { String::new() } else { format!(": {}", finding.found.join(" | ")) };
    let fix = finding.fix.clone().unwrap_or_else(|| "waypost dns apply publishes it".into());
    Finding::bad(severity, "dns", about, format!("{}{there}", finding.state.as_str()), fix).because(finding.why.clone())
}
