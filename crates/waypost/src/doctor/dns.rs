//! Every record of the plan, as DNS has it.
//!
//! Invariant: the plan and its judges are those of `waypost dns check`; the names of addresses have a check of their own.

use anyhow::Result;
use policy::dns_plan::{DnsSeverity, Finding as DnsFinding, RecordKind, State, plan};

use super::Patient;
use super::finding::{Finding, Severity};
use crate::dns::{check, read};

pub(super) async fn check(patient: &mut Patient) -> Result<Vec<Finding>> {
    let facts = read(&patient.config, &mut patient.api).await?;
    let checked = check::of_config(&patient.config, true).run(&plan(&facts)).await?;
    let (good, wrong): (Vec<&DnsFinding>, Vec<&DnsFinding>) =
        checked.findings.iter().filter(|finding| finding.record.kind != RecordKind::Ptr).partition(|finding| finding.is_ok());
    let mut findings: Vec<Finding> = wrong.into_iter().map(one).collect();
    if !good.is_empty() {
        findings.insert(
            0,
            Finding::good("dns", "the plan's records", format!("{} are as they should be (waypost dns check shows each)", good.len())),
        );
    }
    Ok(findings)
}

fn one(finding: &DnsFinding) -> Finding {
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
