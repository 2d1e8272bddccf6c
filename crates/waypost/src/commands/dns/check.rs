//! `waypost dns check`: compares DNS with the plan record by record, with fixes.
//!
//! Invariant: exit code 1 only if a required record is wrong or could not be looked up; text from DNS is escaped.

use std::net::IpAddr;

use anyhow::Result;
use dns_plan::{DnsFacts, Finding, RecordState, RecordUse};
use net::DnsChecked;
use serde_json::{Value, json};

use super::causes::{Cause, causes, counted, named};
use super::show::as_json;
use crate::output::{BAD, BOLD, DIM, GOOD, Output, WARN, styled};

/// Prints the findings; returns whether all required records are known to be right.
pub(super) fn show(checked: &DnsChecked, facts: &DnsFacts, out: Output) -> Result<bool> {
    let is_good = !checked.findings.iter().any(|finding| finding.is_red() || finding.is_open());
    if out.json {
        let zones: Vec<Value> = checked.zones.iter().map(|(zone, servers)| json!({ "zone": zone, "servers": servers })).collect();
        let findings: Vec<Value> = checked.findings.iter().map(|finding| finding_as_json(finding, facts)).collect();
        out.show(&json!({ "ok": is_good, "zones": zones, "findings": findings }), |_| String::new())?;
    } else {
        crate::output::print(&text(checked))?;
    }
    Ok(is_good)
}

fn finding_as_json(finding: &Finding, facts: &DnsFacts) -> Value {
    let mut value = as_json(&finding.record, facts);
    let ttl_s = if let RecordState::Propagating(ttl_s) = finding.state { Some(ttl_s) } else { None };
    let more = json!({
        "state": finding.state.as_str(),
        "propagating_s": ttl_s,
        "found": finding.found,
        "expected": finding.record.quoted(),
        "severity": finding.severity.as_str(),
        "why": finding.why,
        "fix": finding.fix,
    });
    if let (Some(value), Some(more)) = (value.as_object_mut(), more.as_object()) {
        value.extend(more.clone());
    }
    value
}

/// Problems come last, where the operator looks first; each cause is printed once.
pub(super) fn text(checked: &DnsChecked) -> String {
    let mut lines: Vec<String> = checked.zones.iter().map(|(zone, servers)| asked(zone, servers)).collect();
    let good: Vec<&Finding> = checked.findings.iter().filter(|finding| finding.is_ok()).collect();
    let width = good.iter().map(|f| f.record.owner.len()).max().unwrap_or(0);
    let line = |f: &Finding| format!("{}  {:<width$}  {}", styled(GOOD, "ok"), f.record.owner, f.record.record_type);
    lines.extend(good.iter().map(|finding| line(finding)));
    lines.extend(causes(&checked.findings).iter().map(|cause| format!("\n{}", block(cause))));
    lines.push(format!("\n{}", verdict(checked, good.len())));
    lines.join("\n")
}

fn verdict(checked: &DnsChecked, good: usize) -> String {
    let all = checked.findings.iter();
    let (red, open) = (all.clone().filter(|f| f.is_red()).count(), all.clone().filter(|f| f.state == RecordState::Unknown).count());
    let others = checked.findings.len() - good - red - open;
    let open_words = if open == 0 { String::new() } else { format!(", {} could not be looked up", counted(open)) };
    match (red, open, others) {
        (0, 0, 0) => format!("{} {} are right", styled(GOOD, "ok:"), counted(good)),
        (0, 0, others) => format!("{} no required record is wrong; {others} could be better", styled(GOOD, "ok:")),
        (0, _, others) => format!("{} no record is known to be wrong{open_words}; {others} could be better", styled(WARN, "unknown:")),
        (1, ..) => format!("{} 1 required record is wrong, {others} others could be better{open_words}", styled(BAD, "wrong:")),
        (red, ..) => format!("{} {red} required records are wrong, {others} others could be better{open_words}", styled(BAD, "wrong:")),
    }
}

fn block(cause: &Cause<'_>) -> String {
    let row = |name: &str, text: &str| format!("  {}  {text}", styled(BOLD, format!("{name:<8}")));
    match cause {
        Cause::Missing(usage, findings) => {
            let style = if *usage == RecordUse::Needed { BAD } else { WARN };
            let mut lines =
                vec![format!("{} {} not published yet", styled(style, format!("{}:", usage.as_str())), counted(findings.len()))];
            for finding in findings {
                let fix = finding.fix.as_deref().unwrap_or_default();
                lines.push(format!("  {}\n    {}", fix.trim_start_matches("publish: "), styled(DIM, finding.record.why)));
            }
            lines.join("\n")
        }
        Cause::Unanswered(why, findings) => {
            let heading = format!("{} {} could not be looked up", styled(WARN, "unknown:"), counted(findings.len()));
            let fix = findings.first().and_then(|finding| finding.fix.clone()).unwrap_or_default();
            let fix = if findings.len() == 1 { fix } else { format!("check that the resolver and the zone's servers answer; {fix}") };
            [heading, row("records", &named(findings)), row("why", why), row("fix", &fix)].join("\n")
        }
        Cause::Single(finding) => {
            let style = if finding.is_red() { BAD } else { WARN };
            let (state, owner, kind) = (finding.state.as_str(), &finding.record.owner, finding.record.record_type.as_str());
            let mut lines = vec![format!("{}  {owner}  {kind}  {}", styled(style, state), finding.severity.as_str())];
            lines.extend(finding.found.iter().map(|found| row("found", found)));
            if finding.state != RecordState::Extra {
                lines.push(row("expected", &finding.record.quoted()));
            }
            lines.push(row("why", &finding.why));
            lines.extend(finding.fix.iter().map(|fix| row("fix", fix)));
            lines.join("\n")
        }
    }
}

fn asked(zone: &str, servers: &[IpAddr]) -> String {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let servers = if servers.is_empty() { "no known server".to_owned() } else { servers.join(", ") };
    styled(DIM, format!("zone {zone} at {servers}"))
}
