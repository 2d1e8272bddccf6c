//! The DNS plan with the state of each record at the last comparison.
//!
//! Invariant: DNS is compared at most once in [`AGAIN_MS`]; a record keeps its state only as long as its value stays the same.

use std::collections::HashMap;

use control_api::DnsInputs;
use control_api::api::{DnsRecordView, DnsView};
use dns_plan::{DnsFacts, Finding, PlannedRecord, RecordState, RecordType, RecordUse, plan, zone_among, zone_lines};
use net::Clock;
use tokio::sync::Mutex;

use crate::config::Config;
use crate::dns_facts::{checker, of_inputs};

/// Minimum interval between two comparisons, in milliseconds.
const AGAIN_MS: i64 = 5000;

/// The last comparison.
#[derive(Debug, Default)]
pub struct DnsState(Mutex<Option<Compared>>);

#[derive(Debug)]
struct Compared {
    at_ms: i64,
    /// By owner, type and value.
    findings: HashMap<String, Finding>,
}

impl DnsState {
    /// The plan with its states; compares first if `inputs` say so.
    pub async fn view(&self, config: &Config, inputs: DnsInputs) -> Result<DnsView, String> {
        let (compare, now_ms) = (inputs.compare, Clock::system().now_ms());
        let facts = of_inputs(config, inputs);
        let records = plan(&facts);
        let mut state = self.0.lock().await;
        if compare && state.as_ref().is_none_or(|last| now_ms - last.at_ms > AGAIN_MS) {
            let checked = checker(config, false).run(&records).await.map_err(|error| error.to_string())?;
            let findings = checked.findings.into_iter().map(|finding| (key(&finding.record), finding)).collect();
            *state = Some(Compared { at_ms: Clock::system().now_ms(), findings });
        }
        let mut views: Vec<(RecordUse, DnsRecordView)> =
            records.iter().map(|record| (record.usage(), shown(record, &facts, state.as_ref()))).collect();
        views.sort_by_key(|(usage, _)| *usage);
        let published: Vec<PlannedRecord> =
            records.into_iter().filter(|record| record.record_type != RecordType::Ptr && record.is_complete()).collect();
        Ok(DnsView {
            checked_ms: state.as_ref().map(|last| last.at_ms),
            records: views.into_iter().map(|(_, view)| view).collect(),
            zone_file: zone_lines(&published),
            addresses: facts.addresses.iter().map(ToString::to_string).collect(),
        })
    }
}

fn key(record: &PlannedRecord) -> String {
    format!("{} {} {}", record.owner, record.record_type, record.value)
}

fn shown(record: &PlannedRecord, facts: &DnsFacts, compared: Option<&Compared>) -> DnsRecordView {
    let finding = compared.and_then(|compared| compared.findings.get(&key(record)));
    DnsRecordView {
        domain: record.domain.as_ref().map(ToString::to_string),
        zone: zone_among(&record.owner, &facts.domains),
        name: record.owner.clone(),
        record_type: record.record_type.as_str().into(),
        value: record.value.clone(),
        ttl_s: record.ttl_s,
        kind: record.kind.as_str().into(),
        severity: record.severity.as_str().into(),
        urgency: record.usage().as_str().into(),
        why: record.why.into(),
        line: if record.is_complete() { record.zone_line() } else { String::new() },
        state: finding.map(|finding| finding.state.as_str().to_owned()),
        found: finding.map(|finding| finding.found.clone()).unwrap_or_default(),
        problem: finding.filter(|finding| finding.state != RecordState::Ok).map(|finding| finding.why.clone()),
        fix: finding.and_then(|finding| finding.fix.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_plan_is_shown_in_the_order_to_publish_it_before_dns_was_asked() {
        let dir = tempfile::tempdir().unwrap();
        let config =
            crate::config::parse(&dir.path().join("w.toml"), "hostname = \"mx.example.test\"\n[dns]\naddresses = [\"192.0.2.7\"]\n");
        let inputs = DnsInputs {
            domains: vec!["example.test".parse().unwrap()],
            nodes: Vec::new(),
            keys: Vec::new(),
            tlsa: Vec::new(),
            compare: false,
        };
        let view = DnsState::default().view(&config.unwrap(), inputs).await.unwrap();
        let first = view.records.first().unwrap();
        assert_eq!((first.kind.as_str(), first.urgency.as_str(), &first.state), ("mx", "needed now", &None));
        assert!(view.records.iter().any(|record| record.record_type == "PTR" && record.value == "mx.example.test."));
        assert!(view.zone_file.contains("MX") && !view.zone_file.contains("PTR"), "{}", view.zone_file);
        assert_eq!((view.checked_ms, view.addresses), (None, vec!["192.0.2.7".to_owned()]));
    }
}
