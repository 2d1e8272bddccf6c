//! The DMARC report to a domain: its destinations and its contents.
//!
//! RFC 9990 (changes in policy, transport). Invariant: it contains what was counted, under the policy seen last; a report without rows is not sent.

use mail::{Domain, Mailbox};
use reports::Envelope;
use reports::aggregate::{AggregateReport, PublishedPolicy, Row};
use store::{DailyCount, DailyKind, DailyPeriod, DailyReportDue, DailyResult, StoreError};

use crate::reporting::dmarc_destinations::{Destinations, destinations};
use crate::reporting::schedule::{Reporter, contact, finish, report_id, report_messages, retry_later};
use crate::settings::Settings;

/// Sends a report that is due: looks up its destinations and queues its messages. A due report with a target is for that address only, after an
/// unanswered DNS query about it.
pub(crate) async fn handle(reporter: &Reporter, due: DailyReportDue) -> Result<(), StoreError> {
    let Ok(domain) = Domain::parse(&due.period.domain) else { return finish(reporter, due, Vec::new(), Vec::new()).await };
    let only = Mailbox::parse(&due.target).ok();
    let Destinations { to, unanswered } = match destinations(reporter, &domain, only.as_ref()).await {
        Ok(destinations) => destinations,
        Err(error) => return retry_later(reporter, due, &format!("{error} about the DMARC record of {domain}")).await,
    };
    if only.is_some() && !unanswered.is_empty() {
        return retry_later(reporter, due, "DNS gave no answer about whether that address permits reports").await;
    }
    let remaining = unanswered.iter().map(ToString::to_string).collect();
    if to.is_empty() {
        return finish(reporter, due, Vec::new(), remaining).await;
    }
    let counts = reporter.outbox.shared.store.daily_counts(due.period.clone()).await?;
    let Some(mut report) = report(&reporter.outbox.shared.settings.load(), &due.period, &counts) else {
        return finish(reporter, due, Vec::new(), remaining).await;
    };
    drop(counts);
    let packing = tokio::task::spawn_blocking(move || {
        let packed = report.packed();
        (report, packed)
    });
    let Ok((report, packed)) = packing.await else { return retry_later(reporter, due, "internal error: it could not be compressed").await };
    let mut messages = Vec::new();
    for to in &to {
        let compose = |envelope: Envelope<'_>| report.mail(envelope, &packed);
        messages.extend(report_messages(reporter, DailyKind::Dmarc, &domain, to, &report.report_id, compose).await);
    }
    finish(reporter, due, messages, remaining).await
}

fn report(settings: &Settings, period: &DailyPeriod, counts: &[DailyCount]) -> Option<AggregateReport> {
    let (policy, rows) = contents(counts)?;
    Some(AggregateReport {
        organisation: settings.forward.srs.domain.to_string(),
        contact: contact(settings),
        report_id: report_id(settings, period),
        begin_s: period.begin_s,
        end_s: period.end_s - 1,
        generator: Some(concat!("Waypost ", env!("CARGO_PKG_VERSION")).into()),
        policy,
        rows,
        ..AggregateReport::default()
    })
}

/// The rows, and the policy seen last: it may change within a day.
fn contents(counts: &[DailyCount]) -> Option<(PublishedPolicy, Vec<Row>)> {
    let mut last: Option<(i64, &PublishedPolicy)> = None;
    let mut rows: Vec<Row> = Vec::with_capacity(counts.len());
    for DailyCount { result, times, .. } in counts {
        let DailyResult::Dmarc { policy, row, seen_s } = result else { continue };
        if last.is_none_or(|(last_s, _)| last_s <= *seen_s) {
            last = Some((*seen_s, policy));
        }
        rows.push(Row { count: *times, ..Row::clone(row) });
    }
    last.map(|(_, policy)| (policy.clone(), rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::aggregate::Disposition;

    #[test]
    fn rows_are_reported_under_the_last_policy() {
        let count = |p: Disposition, source: &str, times, last_s: i64| {
            let policy = PublishedPolicy { domain: "far.test".into(), p, ..PublishedPolicy::default() };
            let row = Row {
                source: source.parse().unwrap(),
                count: 0,
                disposition: Disposition::None,
                dkim_aligned: false,
                spf_aligned: false,
                reasons: Vec::new(),
                header_from: "far.test".into(),
                envelope_from: String::new(),
                envelope_to: String::new(),
                dkim: Vec::new(),
                spf: Vec::new(),
            };
            DailyCount {
                period: DailyPeriod { kind: DailyKind::Dmarc, begin_s: 0, end_s: 1, domain: "far.test".into() },
                result: DailyResult::Dmarc { policy, row: Box::new(row), seen_s: last_s },
                times,
            }
        };
        let counts = [
            count(Disposition::None, "192.0.2.1", 3, 9),
            count(Disposition::Reject, "192.0.2.1", 2, 10),
            count(Disposition::None, "192.0.2.2", 2, 8),
        ];
        let (policy, rows) = contents(&counts).unwrap();
        assert_eq!((policy.p, rows.iter().map(|row| row.count).collect::<Vec<_>>()), (Disposition::Reject, vec![3, 2, 2]));
        assert_eq!(contents(&[]), None);
    }
}
