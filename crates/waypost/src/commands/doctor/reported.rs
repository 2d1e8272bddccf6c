//! What other servers have reported lately: mail of ours that fails, and TLS with us that fails.
//!
//! RFC 9990, RFC 8460. Invariant: that no report has come is said and is no fault: it takes days, and only who had mail reports.

use admin::api::{DomainReports, ReportsSummary};
use anyhow::Result;

use super::Patient;
use super::finding::{Finding, Severity};

/// Over so many days: what was mended before does not count for long.
const DAYS: u32 = 7;

const CHECK: &str = "reports";

pub(super) async fn check(patient: &mut Patient) -> Result<Vec<Finding>> {
    let summary: ReportsSummary = patient.api()?.query("/v1/reports/summary", &[("days", Some(DAYS.to_string()))]).await?;
    Ok(summary.domains.iter().flat_map(of_domain).collect())
}

fn of_domain(domain: &DomainReports) -> Vec<Finding> {
    let about = domain.domain.clone();
    if domain.reports + domain.tls_reports == 0 {
        let fix = "they come a day after mail was sent, to dmarc@ and tlsrpt@ of the domain, where DNS names these: waypost dns check";
        return vec![Finding::bad(Severity::Notice, CHECK, about, format!("none has come in {DAYS} days"), fix)];
    }
    let fix = format!("waypost reports {about} says who fails and what to do");
    let mut findings = Vec::new();
    if domain.messages.ours_failing > 0 {
        let found = format!("{} messages that left here failed DMARC in {DAYS} days", domain.messages.ours_failing);
        findings.push(Finding::bad(Severity::Warning, CHECK, about.clone(), found, fix.clone()));
    }
    if domain.tls.failed > 0 {
        let found = format!("{} sessions of others with this server had no TLS as it should be", domain.tls.failed);
        findings.push(Finding::bad(Severity::Warning, CHECK, about.clone(), found, fix));
    }
    if findings.is_empty() {
        let found = format!("{} of DMARC and {} of TLS in {DAYS} days: nothing of yours fails", domain.reports, domain.tls_reports);
        findings.push(Finding::good(CHECK, about, found));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use admin::api::{MessagesByClass, TlsSessions};

    #[test]
    fn what_fails_is_told_and_silence_is_no_fault() {
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
        let severities = |domain: &DomainReports| of_domain(domain).into_iter().map(|finding| finding.severity).collect::<Vec<_>>();
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
