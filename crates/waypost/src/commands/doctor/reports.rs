//! DMARC and TLS reports of the last days: failures of our mail, and of TLS with this server.
//!
//! RFC 9990, RFC 8460. Invariant: the absence of reports is a notice, no fault: they take days, and only servers that got mail send them.

use anyhow::Result;
use control_api::api::{DomainReports, ReportsSummary};

use super::DoctorContext;
use control_api::api::{HealthFinding as Finding, Severity};

/// Days to look back: few, so that a fixed problem disappears soon.
const DAYS: u32 = 7;

const CHECK: &str = "reports";

pub(super) async fn check(context: &mut DoctorContext) -> Result<Vec<Finding>> {
    let summary: ReportsSummary = context.api()?.query("/api/v1/reports/summary", &[("days", Some(DAYS.to_string()))]).await?;
    Ok(summary.domains.iter().flat_map(judge_domain).collect())
}

fn judge_domain(domain: &DomainReports) -> Vec<Finding> {
    let about = domain.domain.clone();
    if domain.reports + domain.tls_reports == 0 {
        let fix = "none needed: they arrive a day after mail was sent, at dmarc@ and tlsrpt@, if DNS names these: waypost dns check";
        return vec![Finding::bad(Severity::Notice, CHECK, about, format!("no DMARC or TLS report in {DAYS} days"), fix)];
    }
    let fix = format!("waypost reports {about} shows what fails and what to do");
    let mut findings = Vec::new();
    if domain.messages.ours_failing > 0 {
        let found = format!("{} messages from this server failed DMARC in {DAYS} days", domain.messages.ours_failing);
        findings.push(Finding::bad(Severity::Warning, CHECK, about.clone(), found, fix.clone()));
    }
    if domain.tls.failed > 0 {
        let found = format!("{} sessions of other servers with this one failed in TLS", domain.tls.failed);
        findings.push(Finding::bad(Severity::Warning, CHECK, about.clone(), found, fix));
    }
    if findings.is_empty() {
        let found = format!("{} DMARC reports and {} TLS reports in {DAYS} days: no failures of yours", domain.reports, domain.tls_reports);
        findings.push(Finding::good(CHECK, about, found));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use control_api::api::{MessagesByClass, TlsSessions};

    #[test]
    fn failures_are_warnings_and_missing_reports_a_notice() {
        let silent = DomainReports {
            domain: "example.test".into(),
            reports: 0,
            tls_reports: 0,
            policy: String::new(),
            messages: MessagesByClass::default(),
            organisations: Vec::new(),
            failing: Vec::new(),
            failing_left_out: 0,
            messages_left_out: 0,
            tls: TlsSessions::default(),
            advice: Vec::new(),
        };
        let severities = |domain: &DomainReports| judge_domain(domain).into_iter().map(|finding| finding.severity).collect::<Vec<_>>();
        assert_eq!(severities(&silent), [Severity::Notice]);
        let good = DomainReports { reports: 2, ..silent.clone() };
        assert_eq!(severities(&good), [Severity::Good]);
        let bad = DomainReports {
            messages: MessagesByClass { ours_failing: 3, ..MessagesByClass::default() },
            tls: TlsSessions { failed: 1, ..TlsSessions::default() },
            ..good
        };
        assert_eq!(severities(&bad), [Severity::Warning, Severity::Warning]);
    }
}
