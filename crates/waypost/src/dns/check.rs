//! `waypost dns check`: what DNS says, record by record, with what to do about it.
//!
//! Invariant: exit code 1 exactly where something required is wrong; what DNS says is shown escaped.

use std::net::IpAddr;

use anstyle::Style;
use anyhow::Result;
use net::{DnsCheck, DnsChecked};
use policy::dns_plan::{DnsFacts, Finding, State};
use serde_json::{Value, json};

use super::show::as_json;
use crate::config::Config;
use crate::output::{BAD, BOLD, DIM, GOOD, Output, WARN, styled};

/// The check as the configuration has it.
pub fn of_config(config: &Config, quick: bool) -> DnsCheck {
    let dns = &config.file.dns;
    DnsCheck {
        configured: dns.servers.iter().map(|server| server.0).collect(),
        others: dns.resolvers.iter().map(|server| server.0).collect(),
        port: u16::try_from(dns.port.0).unwrap_or(53),
        quick,
    }
}

/// Prints what was found; true where nothing required is wrong.
pub(super) fn show(checked: &DnsChecked, facts: &DnsFacts, out: Output) -> Result<bool> {
    let is_good = !checked.findings.iter().any(Finding::is_red);
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
    let ttl_s = if let State::Propagating(ttl_s) = finding.state { Some(ttl_s) } else { None };
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

fn style(finding: &Finding) -> Style {
    match finding.state {
        State::Ok => GOOD,
        _ if finding.is_red() => BAD,
        _ => WARN,
    }
}

/// What is wrong comes last, where the eye is.
pub(super) fn text(checked: &DnsChecked) -> String {
    let mut lines: Vec<String> = checked.zones.iter().map(|(zone, servers)| asked(zone, servers)).collect();
    let widths = checked.findings.iter().map(|f| f.record.owner.len()).max().unwrap_or(0);
    let line = |finding: &Finding| {
        let state = finding.state.as_str();
        let (owner, kind) = (&finding.record.owner, finding.record.record_type);
        let matters = if finding.is_ok() { "" } else { finding.severity.as_str() };
        let padding = " ".repeat("propagating".len().saturating_sub(state.len()));
        format!("{}{padding}  {owner:<widths$}  {kind:<5}  {matters}", styled(style(finding), state)).trim_end().to_owned()
    };
    let (good, bad): (Vec<&Finding>, Vec<&Finding>) = checked.findings.iter().partition(|finding| finding.is_ok());
    lines.extend(good.iter().map(|finding| line(finding)));
    for finding in &bad {
        lines.push(format!("\n{}\n{}", line(finding), details(finding)));
    }
    let red = bad.iter().filter(|finding| finding.is_red()).count();
    lines.push(match (bad.len(), red) {
        (0, _) => format!("\n{} {} records are as they should be", styled(GOOD, "ok:"), good.len()),
        (all, 0) => format!("\n{} nothing required is wrong; {all} could be better", styled(GOOD, "ok:")),
        (all, red) => format!("\n{} {red} required records are wrong, {} others could be better", styled(BAD, "wrong:"), all - red),
    });
    lines.join("\n")
}

fn asked(zone: &str, servers: &[IpAddr]) -> String {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let servers = if servers.is_empty() { "no server is known".to_owned() } else { servers.join(", ") };
    styled(DIM, format!("zone {zone} at {servers}"))
}

fn details(finding: &Finding) -> String {
    let mut rows = Vec::new();
    rows.extend(finding.found.iter().map(|found| ("found", found.clone())));
    if !matches!(finding.state, State::Extra) {
        rows.push(("expected", finding.record.quoted()));
    }
    rows.push(("why", finding.why.clone()));
    rows.extend(finding.fix.iter().map(|fix| ("fix", fix.clone())));
    rows.iter().map(|(name, text)| format!("  {}  {text}", styled(BOLD, format!("{name:<8}")))).collect::<Vec<_>>().join("\n")
}
