//! `waypost reports`: DMARC and TLS reports of other servers, with advice.
//!
//! Invariant: control characters in reports are never printed.

use anyhow::Result;
use control_api::api::{
    DomainReports, FailingSource, MessagesByClass, Page, ReportView, ReportsSummary, RowView, TlsPolicyView, TlsSessions, WholeReport,
};
use mail::one_line;

use crate::cli::{ReportsArgs, ReportsCommand};
use crate::output::{BAD, BOLD, DIM, GOOD, Output, WARN, styled, table};
use crate::transport::Transport;

pub(super) async fn run(api: &mut Transport, command: ReportsArgs, out: Output) -> Result<()> {
    match command.command {
        None => {
            let query = [("days", Some(command.days.to_string())), ("domain", command.domain)];
            let summary: ReportsSummary = api.query("/api/v1/reports/summary", &query).await?;
            Ok(out.show(&summary, show_summary)?)
        }
        Some(ReportsCommand::List { limit, before, domain }) => {
            let query = [("limit", Some(limit.to_string())), ("cursor", before.map(|n| n.to_string())), ("domain", domain)];
            let reports: Page<ReportView> = api.query("/api/v1/reports", &query).await?;
            Ok(out.show(&reports.items, |reports| list(reports, limit))?)
        }
        Some(ReportsCommand::Show { id }) => {
            let report: WholeReport = api.get(&format!("/api/v1/reports/{id}")).await?;
            Ok(out.show(&report, show)?)
        }
    }
}

/// `2026-11-24`.
fn day(unix_s: i64) -> String {
    // "Tue, 24 Nov 2026 00:00:00 +0000"
    mail::rfc5322_date(unix_s).split(' ').skip(1).take(3).collect::<Vec<_>>().join(" ")
}

fn counts(messages: &MessagesByClass) -> Vec<String> {
    let MessagesByClass { ours, ours_failing, forward, our_forward, foreign } = messages;
    [ours, ours_failing, forward, our_forward, foreign].iter().map(ToString::to_string).collect()
}

const CLASSES: [&str; 5] = ["ours", "ours, failing", "forward", "our forward", "foreign"];

fn show_summary(summary: &ReportsSummary) -> String {
    if summary.domains.is_empty() {
        return styled(DIM, "no hosted domains, and no reports");
    }
    let mut parts: Vec<String> = summary.domains.iter().map(|domain| of_domain(domain, summary.days)).collect();
    if summary.is_cut {
        parts.push(styled(WARN, "too many reports to sum up, the oldest are left out; use a smaller --days"));
    }
    parts.join("\n\n")
}

fn of_domain(domain: &DomainReports, days: u32) -> String {
    let policy = if domain.policy.is_empty() { String::new() } else { format!(", p={}", one_line(&domain.policy)) };
    let mut lines = vec![format!(
        "{}  {}",
        styled(BOLD, one_line(&domain.domain)),
        styled(DIM, format!("{} DMARC reports and {} TLS reports in {days} days{policy}", domain.reports, domain.tls_reports))
    )];
    if domain.reports > 0 {
        let mut rows: Vec<Vec<String>> = domain
            .organisations
            .iter()
            .map(|organisation| [vec![one_line(&organisation.name)], counts(&organisation.messages)].concat())
            .collect();
        rows.push([vec!["all".to_owned()], counts(&domain.messages)].concat());
        lines.push(indented(&table(&[&["messages by"][..], &CLASSES].concat(), &rows)));
    }
    if domain.messages_left_out > 0 {
        lines.push(format!("  and {} messages of rows that are invalid or beyond the limit", domain.messages_left_out));
    }
    lines.extend(domain.failing.iter().map(failing));
    if domain.failing_left_out > 0 {
        lines.push(format!("  and {} more failing sources", domain.failing_left_out));
    }
    if domain.tls_reports > 0 {
        lines.push(tls("  ", &domain.tls));
    }
    match domain.advice.as_slice() {
        [] => lines.push(format!("  {} nothing to do", styled(GOOD, "ok:"))),
        advice => lines.extend(advice.iter().map(|what| format!("  {} {}", styled(WARN, "to do:"), one_line(what)))),
    }
    lines.join("\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn failing(source: &FailingSource) -> String {
    let style = if source.class == "foreign" { WARN } else { BAD };
    let name = source.name.as_ref().map(|name| format!(" ({})", one_line(name))).unwrap_or_default();
    format!(
        "  {} {}{name}: {} messages as {} since {}: {}",
        styled(style, &source.class),
        source.address,
        source.messages,
        one_line(&source.header_from),
        day(source.first_s),
        one_line(&source.why),
    )
}

fn tls(indent: &str, sessions: &TlsSessions) -> String {
    let mut lines = vec![format!("{indent}TLS: {} sessions succeeded, {} failed", sessions.successful, sessions.failed)];
    for failure in &sessions.failures {
        let reason = if failure.reason.is_empty() { String::new() } else { format!(": {}", one_line(&failure.reason)) };
        let host = if failure.mx_host.is_empty() { String::new() } else { format!(" with {}", one_line(&failure.mx_host)) };
        lines.push(format!("{indent}  {} {}{host}{reason}", failure.sessions, styled(BAD, one_line(&failure.result))));
    }
    lines.join("\n")
}

fn list(reports: &[ReportView], limit: u32) -> String {
    if reports.is_empty() {
        return styled(DIM, "no reports");
    }
    let row = |report: &ReportView| {
        let days = format!("{} - {}", day(report.begin_s), day(report.end_s));
        vec![
            report.id.to_string(),
            report.kind.clone(),
            one_line(&report.domain),
            one_line(&report.organisation),
            one_line(&report.submitter),
            days,
            report.rows.to_string(),
        ]
    };
    let mut text = table(&["id", "kind", "domain", "by", "sent by", "days", "rows"], &reports.iter().map(row).collect::<Vec<_>>());
    if let Some(last) = reports.last().filter(|_| reports.len() >= usize::try_from(limit).unwrap_or(usize::MAX)) {
        text.push_str(&format!("\n{}", styled(DIM, format!("more: waypost reports list --before {}", last.id))));
    }
    text
}

fn show(whole: &WholeReport) -> String {
    let report = &whole.report;
    let mut lines = vec![styled(BOLD, format!("report {} ({}) about {}", report.id, report.kind, one_line(&report.domain)))];
    let mut field = |name: &str, value: String| lines.push(format!("  {name:<11}{value}"));
    field("by", format!("{}, sent by {}", one_line(&report.organisation), one_line(&report.submitter)));
    field("report id", one_line(&report.report_id));
    field("from", mail::rfc5322_date(report.begin_s));
    field("until", mail::rfc5322_date(report.end_s));
    field("received", mail::rfc5322_date(report.received_ms / 1000));
    if !report.policy.is_empty() {
        field("policy", format!("p={}", one_line(&report.policy)));
    }
    if report.rows_left_out > 0 {
        field("left out", format!("{} rows, {} messages", report.rows_left_out, report.messages_left_out));
    }
    lines.extend(whole.rows.iter().map(row));
    lines.extend(whole.policies.iter().map(policy));
    lines.join("\n")
}

fn row(row: &RowView) -> String {
    let word = |aligned: bool| if aligned { "pass" } else { "fail" };
    let path = if row.envelope_from.is_empty() { String::new() } else { format!(", reverse-path {}", one_line(&row.envelope_from)) };
    let mut lines = vec![format!(
        "  {} messages from {} as {}{path}: {}; DKIM {}, SPF {}, {}",
        row.count,
        row.source,
        one_line(&row.header_from),
        styled(BOLD, &row.class),
        word(row.dkim_aligned),
        word(row.spf_aligned),
        row.disposition,
    )];
    lines.extend(row.details.iter().map(|line| format!("    {}", one_line(line))));
    lines.join("\n")
}

fn policy(policy: &TlsPolicyView) -> String {
    format!("  policy {} of {}\n{}", one_line(&policy.kind), one_line(&policy.domain), tls("    ", &policy.sessions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_advice_and_no_control_characters() {
        let source = FailingSource {
            address: "203.0.113.9".into(),
            name: Some("evil\u{1b}[2J.test".into()),
            class: "foreign".into(),
            header_from: "example.com".into(),
            messages: 12,
            first_s: 1_763_856_000,
            last_s: 1_763_942_399,
            why: "no DKIM signature".into(),
        };
        let domain = DomainReports {
            domain: "example.com".into(),
            reports: 1,
            tls_reports: 1,
            policy: "none".into(),
            messages: MessagesByClass { foreign: 12, ..MessagesByClass::default() },
            organisations: Vec::new(),
            failing: vec![source],
            failing_left_out: 3,
            messages_left_out: 0,
            tls: TlsSessions { successful: 5, failed: 0, failures: Vec::new() },
            advice: vec!["raise it".into()],
        };
        let text = show_summary(&ReportsSummary { days: 30, is_cut: false, domains: vec![domain] });
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert!(plain.contains("foreign 203.0.113.9 (evil [2J.test): 12 messages as example.com since 23 Nov 2025"), "{plain}");
        assert!(plain.contains("TLS: 5 sessions succeeded, 0 failed") && plain.contains("to do: raise it"), "{plain}");
        assert!(!plain.contains('\u{1b}'));
    }
}
