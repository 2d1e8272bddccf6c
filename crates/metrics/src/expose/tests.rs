//! Both formats, from events to text.

use std::collections::BTreeSet;

use events::{Event, EventSink, Fact};
use net::LookupCounts;
use store::BatchCounts;

use super::*;
use crate::state::ProcessState;

fn state() -> ServerState {
    ServerState {
        version: "1.2.3",
        sessions: vec![("mx", 3), ("submission", 0)],
        totals: Some(QueueTotals { messages: 7, ..QueueTotals::default() }),
        load: Some(Arc::new(QueueLoad {
            lanes: vec![LaneLoad { lane: Some("inbox.test".into()), recipients: 5, oldest_ms: 90_500 }],
            by_age: vec![("1m", 4), ("older", 1)],
        })),
        certificates: vec![("mx.example.test".into(), 1_800_000_000)],
        disk: Some([10, 100]),
        dns: LookupCounts { answered: 4, failed: 1, total_ms: 1500 },
        batches: BatchCounts { committed: 3, failed: 0, total_us: 2_500_000, operations: 9, sizes: vec![1, 1, 0, 1] },
        history_dropped: Some(0),
        process: Some(ProcessState { cpu_ms: 1250, resident_bytes: 1 << 20, open_fds: 9, max_fds: 1024 }),
        started_s: 1_700_000_000,
        ..ServerState::default()
    }
}

fn counted() -> Arc<Metrics> {
    let metrics = Arc::new(Metrics::default());
    let events = [
        Event::new(EventKind::RecipientRefused, 0).reply("550 5.1.1 no such address here"),
        Event::new(EventKind::RecipientRefused, 0).reply("550 5.7.1 \"} 1\nwaypost_bugs_caught_total 99"),
        Event::new(EventKind::MessageAccepted, 0)
            .fact(Fact::Flow, "forward")
            .fact(Fact::Spf, "pass (foreign.test)")
            .fact(Fact::Dmarc, "fail p=reject")
            .fact(Fact::Tls, "TLSv1_3 with X")
            .fact(Fact::SizeBytes, 2000)
            .fact(Fact::TookMs, 12),
        Event::new(EventKind::Deferred, 0)
            .fact(Fact::Flow, "forward")
            .reply("452 4.2.2 full")
            .fact(Fact::Meaning, "gmail-full")
            .fact(Fact::Attempt, 1)
            .fact(Fact::AgeMs, 700),
        Event::new(EventKind::Delivered, 0).fact(Fact::Flow, "forward").fact(Fact::Attempt, 2).fact(Fact::AgeMs, 61_000),
        Event::new(EventKind::LoginRefused, 0).reply("535 5.7.8 no"),
    ];
    events.into_iter().for_each(|event| metrics.record(&Arc::new(event)));
    metrics
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "{line:?} is not in:\n{text}");
}

#[test]
fn prometheus_text_says_what_happened() {
    let text = expose(counted(), state(), Exposition::Prometheus);
    for line in [
        "# TYPE waypost_recipients_refused_total counter",
        "waypost_recipients_refused_total{cause=\"unknown-address\"} 1",
        "waypost_recipients_refused_total{cause=\"policy\"} 1",
        "waypost_messages_accepted_total{how=\"queued\",flow=\"forward\"} 1",
        "waypost_spf_total{result=\"pass\"} 1",
        "waypost_dmarc_total{result=\"fail\"} 1",
        "waypost_messages_received_tls_total{version=\"1.3\"} 1",
        "waypost_deliveries_total{result=\"deferred\",flow=\"forward\"} 1",
        "waypost_delivery_troubles_total{result=\"deferred\",cause=\"mailbox-full\"} 1",
        "waypost_deliveries_tls_total{version=\"none\",verified=\"none\"} 1",
        "waypost_logins_total{result=\"refused\"} 1",
        "waypost_accept_seconds_bucket{le=\"0.01\"} 0",
        "waypost_accept_seconds_bucket{le=\"0.025\"} 1",
        "waypost_accept_seconds_bucket{le=\"+Inf\"} 1",
        "waypost_accept_seconds_sum 0.012",
        "waypost_first_attempt_seconds_count 1",
        "waypost_delivery_seconds_sum 61.0",
        "waypost_message_size_bytes_sum 2000.0",
        "waypost_sessions{listener=\"mx\"} 3.0",
        "waypost_queue_recipients{lane=\"inbox.test\"} 5.0",
        "waypost_queue_oldest_seconds{lane=\"inbox.test\"} 90.5",
        "waypost_certificate_expiry_timestamp_seconds{name=\"mx.example.test\"} 1800000000.0",
        "waypost_dns_lookups_total{result=\"failed\"} 1",
        "waypost_dns_lookup_seconds_total 1.5",
        "waypost_store_batch_operations_bucket{le=\"2\"} 2",
        "waypost_store_batch_operations_bucket{le=\"+Inf\"} 3",
        "waypost_store_batch_operations_sum 9.0",
        "waypost_build_info{version=\"1.2.3\"} 1",
        "waypost_bugs_caught_total 0",
        "process_cpu_seconds_total 1.25",
    ] {
        has(&text, line);
    }
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
}

#[test]
fn openmetrics_differs_in_its_descriptions_and_its_end() {
    let text = expose(counted(), state(), Exposition::OpenMetrics);
    for line in [
        "# TYPE waypost_recipients_refused counter",
        "waypost_recipients_refused_total{cause=\"unknown-address\"} 1",
        "# TYPE waypost_accept_seconds histogram",
        "# UNIT waypost_accept_seconds seconds",
        "waypost_accept_seconds_bucket{le=\"0.025\"} 1",
        "# TYPE waypost_build info",
        "waypost_build_info{version=\"1.2.3\"} 1",
    ] {
        has(&text, line);
    }
    assert!(text.ends_with("# EOF\n"));
}

/// The lines that are samples, without values.
fn names(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split([' ', '{']).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_metric_of_the_catalogue_is_exposed() {
    let metrics = counted();
    let row = policy::reply_rows()[0];
    metrics.record(&Arc::new(Event::new(EventKind::Failed, 0).fact(Fact::Meaning, row)));
    let exposed = names(&expose(metrics, state(), Exposition::Prometheus));
    for row in CATALOGUE {
        let name = row.name();
        let shown = if row.kind == MetricKind::Histogram { format!("{name}_sum") } else { name };
        assert!(exposed.contains(&shown), "{shown}");
    }
}

#[test]
fn what_is_not_known_is_left_out() {
    let exposed = names(&expose(Arc::default(), ServerState::default(), Exposition::Prometheus));
    for missing in ["waypost_queue_messages", "waypost_disk_free_bytes", "waypost_history_events_dropped_total", "process_open_fds"] {
        assert!(!exposed.contains(missing), "{missing}");
    }
}

#[test]
fn labels_come_from_closed_lists_only() {
    let metrics = Arc::new(Metrics::default());
    let hostile = "x\"}\n# EOF\n<script>";
    for kind in EventKind::ALL {
        let event = Event::new(*kind, 0).reply(hostile).from(hostile).to(hostile).host(hostile).reason(Some(hostile));
        let event = Fact::ALL.iter().fold(event, |event, fact| event.fact(*fact, hostile));
        metrics.record(&Arc::new(event));
    }
    let before = names(&expose(Arc::default(), state(), Exposition::Prometheus));
    let text = expose(metrics, state(), Exposition::Prometheus);
    assert!(!text.contains("script") && !text.contains("# EOF"), "{text}");
    assert_eq!(names(&text), before);
    has(&text, "waypost_spf_total{result=\"other\"} 7");
}
