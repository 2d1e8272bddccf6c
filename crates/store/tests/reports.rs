//! Received reports on a real disk: stored once, found again, and bounded.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

mod world;

use reports::dmarc::{Disposition, DkimSeen, DmarcReport, Outcome, Override, PublishedPolicy, Reason, Row, SpfSeen};
use reports::tls::{FailureDetails, Policy, PolicyResult, ResultType, Summary, TlsReport};
use store::{KeptRows, NewReport, ReportContent, ReportFilter, Store};
use world::{World, over_engines};

const DAY_MS: i64 = 86_400_000;

fn row(source: &str) -> Row {
    Row {
        source: source.parse().unwrap(),
        count: 7,
        disposition: Disposition::Quarantine,
        dkim_aligned: false,
        spf_aligned: true,
        reasons: vec![Reason { kind: Override::LocalPolicy, comment: "arc=pass as[1].d=x.test".into() }],
        header_from: "example.test".into(),
        envelope_from: String::new(),
        envelope_to: "far.test".into(),
        dkim: vec![DkimSeen { domain: "example.test".into(), selector: String::new(), result: Outcome::TempError }],
        spf: vec![SpfSeen { domain: String::new(), result: Outcome::SoftFail }],
    }
}

fn aggregate(submitter: &str, id: &str, rows: Vec<Row>, received_ms: i64) -> NewReport {
    let policy = PublishedPolicy { domain: "Example.Test".into(), p: Disposition::Reject, ..PublishedPolicy::default() };
    let report = DmarcReport {
        organisation: "Far".into(),
        report_id: id.into(),
        begin_s: 0,
        end_s: i64::MAX / 2,
        policy,
        rows,
        ..Default::default()
    };
    NewReport { submitter: submitter.into(), received_ms, content: ReportContent::Aggregate(report) }
}

async fn count(store: &Store, domain: Option<&str>) -> usize {
    let filter = ReportFilter { limit: 10_000, domain: domain.map(Into::into), ..ReportFilter::default() };
    store.reports(filter).await.unwrap().len()
}

async fn a_report_is_stored_once_and_read_back(world: World) {
    let store = world.open().await;
    let rows = vec![row("192.0.2.1"), row("2001:db8::1")];
    for _ in 0..2 {
        store.keep_report(aggregate("far.test", "1", rows.clone(), DAY_MS)).await.unwrap();
    }
    // A report under another organisation's name replaces none of its reports.
    store.keep_report(aggregate("evil.test", "1", vec![], DAY_MS)).await.unwrap();
    let listed = store.reports(ReportFilter { limit: 10, ..ReportFilter::default() }).await.unwrap();
    assert_eq!(listed.iter().map(|r| (r.submitter.as_str(), r.rows)).collect::<Vec<_>>(), [("evil.test", 0), ("far.test", 2)]);
    assert_eq!((listed[1].domain.as_str(), listed[1].policy.as_str()), ("example.test", "reject"));
    assert_eq!(listed[1].end_s, DAY_MS / 1000, "nothing ends in the future");
    let (_, found) = store.report(listed[1].n).await.unwrap().unwrap();
    assert_eq!(found, KeptRows::Dmarc(rows));
    assert!(store.report(99).await.unwrap().is_none());
    let kept: i64 = world.number("SELECT count(*) FROM received_dmarc_row");
    assert_eq!(kept, 2, "the second copy leaves nothing");
    assert_eq!((count(&store, Some("example.test")).await, count(&store, Some("other.test")).await), (2, 0));
}

async fn failures_of_a_tls_report_are_bounded(world: World) {
    let store = world.open().await;
    let failure = FailureDetails {
        result: ResultType::CertificateExpired,
        mx_host: "mx.example.test\u{1b}[2J".into(),
        sessions: 3,
        ..FailureDetails::default()
    };
    let policy = |failures: usize| PolicyResult {
        policy: Policy { domain: "example.test".into(), ..Policy::default() },
        summary: Summary { successful: 4, failed: 3 },
        failures: vec![failure.clone(); failures],
    };
    let report = TlsReport {
        organization: "Far".into(),
        begin_unix_s: 0,
        end_unix_s: 1,
        contact: String::new(),
        id: "1".into(),
        policies: vec![policy(1), policy(20_000), policy(5)],
    };
    let new = NewReport { submitter: "far.test".into(), received_ms: DAY_MS, content: ReportContent::Tls(report) };
    store.keep_report(new).await.unwrap();
    let listed = store.reports(ReportFilter { limit: 10, ..ReportFilter::default() }).await.unwrap();
    assert_eq!((listed[0].rows, listed[0].rows_left_out), (10_003, 10_006));
    let Some((_, KeptRows::Tls(policies))) = store.report(listed[0].n).await.unwrap() else { panic!("no TLS report") };
    assert_eq!(policies.iter().map(|p| p.failures.len()).collect::<Vec<_>>(), [1, 9_999, 0]);
    assert_eq!(
        (policies[0].failures[0].result.as_str(), policies[0].failures[0].mx_host.as_str()),
        ("certificate-expired", "mx.example.test [2J")
    );
    assert_eq!((policies[2].successful, policies[2].failed), (4, 3));
}

async fn old_reports_are_removed_and_no_sender_displaces_others(world: World) {
    let store = world.open().await;
    store.keep_report(aggregate("old.test", "1", vec![row("192.0.2.1")], DAY_MS)).await.unwrap();
    store.keep_report(aggregate("far.test", "1", vec![row("192.0.2.1")], 300 * DAY_MS)).await.unwrap();
    let many = vec![row("192.0.2.9"); 10_000];
    for id in 0..25 {
        store.keep_report(aggregate("loud.test", &id.to_string(), many.clone(), 402 * DAY_MS)).await.unwrap();
    }
    let listed = store.reports(ReportFilter { limit: 100, ..ReportFilter::default() }).await.unwrap();
    let of = |submitter: &str| listed.iter().filter(|r| r.submitter == submitter).count();
    assert_eq!((of("old.test"), of("far.test"), of("loud.test")), (0, 1, 20));
    let left: i64 = world.number("SELECT count(*) FROM received_dmarc_row");
    assert_eq!(left, 200_001, "rows go with their report");
}

over_engines!(
    a_report_is_stored_once_and_read_back,
    failures_of_a_tls_report_are_bounded,
    old_reports_are_removed_and_no_sender_displaces_others,
);
