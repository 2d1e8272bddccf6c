//! The TLS report to a domain: its destinations and its contents.
//!
//! RFC 8460 s.3, RFC 8460 s.5.3, RFC 8460 s.5.4. Invariant: a report that HTTPS delivered just before a crash is sent again under the same
//! report-id.

use events::EventKind;
use mail::Domain;
use net::{HttpsOptions, ReportUpload, upload_report};
use reports::tls::{FailureDetails, MEDIA_TYPE, PolicyResult, Summary, TlsReport};
use reports::{Envelope, HttpsAddress, ReportAddress, gzip, tls_report_addresses};
use store::{DailyCount, DailyKind, DailyPeriod, DailyReportDue, DailyResult, StoreError};

use crate::reporting::schedule::{Reporter, contact, finish, record, report_id, report_messages, retry_later};
use crate::settings::Settings;

/// Sends a report that is due: looks up its destinations, or posts it to the one HTTPS address it is due for.
pub(crate) async fn handle(reporter: &Reporter, due: DailyReportDue) -> Result<(), StoreError> {
    let Ok(domain) = Domain::parse(&due.period.domain) else { return finish(reporter, due, Vec::new(), Vec::new()).await };
    let counts = reporter.outbox.shared.store.daily_counts(due.period.clone()).await?;
    let report = report(&reporter.outbox.shared.settings.load(), &due.period, &counts);
    match HttpsAddress::parse(&due.target) {
        Some(address) => post(reporter, due, &domain, &report, address).await,
        None => send(reporter, due, &domain, &report).await,
    }
}

/// Looks up the destinations and queues the messages.
async fn send(reporter: &Reporter, due: DailyReportDue, domain: &Domain, report: &TlsReport) -> Result<(), StoreError> {
    let Ok(name) = Domain::parse(&format!("_smtp._tls.{domain}")) else { return finish(reporter, due, Vec::new(), Vec::new()).await };
    let texts = match reporter.resolver.txt(&name).await {
        Ok(texts) => texts,
        Err(error) => return retry_later(reporter, due, &format!("DNS gave no answer about {name}: {error}")).await,
    };
    let (mut messages, mut remaining) = (Vec::new(), Vec::new());
    for address in tls_report_addresses(&texts) {
        match address {
            ReportAddress::Mail(to) => {
                let packed = gzip(report.to_json().as_bytes());
                let compose = |envelope: Envelope<'_>| report.mail(envelope, &packed);
                messages.extend(report_messages(reporter, DailyKind::Tls, domain, &to, &report.id, compose).await);
            }
            ReportAddress::Https(address) => remaining.push(address.url),
        }
    }
    finish(reporter, due, messages, remaining).await
}

/// Delivers the report over HTTPS.
async fn post(
    reporter: &Reporter,
    due: DailyReportDue,
    domain: &Domain,
    report: &TlsReport,
    address: HttpsAddress,
) -> Result<(), StoreError> {
    let delivery = reporter.outbox.shared.settings.load().delivery.clone();
    let at = HttpsOptions { port: address.port, ipv6: delivery.ipv6, loopback: delivery.loopback };
    let body = gzip(report.to_json().as_bytes()).into();
    let delivery = ReportUpload { host: &address.host, target: &address.target, media_type: MEDIA_TYPE, body };
    match upload_report(&reporter.resolver, &reporter.tls, delivery, at).await {
        Ok(()) => {
            let kind = EventKind::ReportDelivered;
            tracing::info!(%domain, url = address.url, report = report.id, "TLS {}", kind.words());
            record(&reporter.outbox.shared, kind, DailyKind::Tls, domain.as_str(), |event| {
                event.to(address.url.as_str()).host(address.host.as_str())
            });
            finish(reporter, due, Vec::new(), Vec::new()).await
        }
        Err(error) => retry_later(reporter, due, &error.to_string()).await,
    }
}

fn report(settings: &Settings, period: &DailyPeriod, counts: &[DailyCount]) -> TlsReport {
    TlsReport {
        organization: settings.forward.srs.domain.to_string(),
        begin_unix_s: period.begin_s,
        end_unix_s: period.end_s - 1,
        contact: contact(settings),
        id: report_id(settings, period),
        policies: policies(counts),
    }
}

/// The results by policy; `counts` are ordered by policy.
fn policies(counts: &[DailyCount]) -> Vec<PolicyResult> {
    let mut results: Vec<PolicyResult> = Vec::new();
    for DailyCount { result, times, .. } in counts {
        let DailyResult::Tls { policy, failure } = result else { continue };
        if results.last().is_none_or(|last| last.policy != *policy) {
            results.push(PolicyResult { policy: policy.clone(), summary: Summary::default(), failures: Vec::new() });
        }
        let Some(last) = results.last_mut() else { continue };
        match failure {
            None => last.summary.successful += times,
            Some(failure) => {
                last.summary.failed += times;
                last.failures.push(FailureDetails { sessions: *times, ..failure.clone() });
            }
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::tls::{Policy, PolicyType, ResultType};

    #[test]
    fn results_are_grouped_by_policy() {
        let period = DailyPeriod { kind: DailyKind::Tls, begin_s: 0, end_s: 1, domain: "far.test".into() };
        let count = |kind: PolicyType, failure: Option<ResultType>, times| DailyCount {
            period: period.clone(),
            result: DailyResult::Tls {
                policy: Policy { kind, domain: "far.test".into(), ..Policy::default() },
                failure: failure.map(|result| FailureDetails { result, reason: "why".into(), ..FailureDetails::default() }),
            },
            times,
        };
        let found = policies(&[
            count(PolicyType::Sts, None, 3),
            count(PolicyType::Sts, Some(ResultType::CertificateExpired), 2),
            count(PolicyType::Sts, Some(ResultType::ValidationFailure), 1),
            count(PolicyType::Tlsa, Some(ResultType::DnssecInvalid), 5),
        ]);
        let [sts, tlsa] = &found[..] else { panic!("{found:?}") };
        assert_eq!((&sts.policy.kind, sts.summary), (&PolicyType::Sts, Summary { successful: 3, failed: 3 }));
        assert_eq!((sts.failures[0].sessions, sts.failures[0].reason.as_str()), (2, "why"));
        assert_eq!((&tlsa.failures[0].result, tlsa.summary.failed), (&ResultType::DnssecInvalid, 5));
    }
}
