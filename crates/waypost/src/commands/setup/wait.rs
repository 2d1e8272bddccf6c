//! Waits until the required records are in DNS.
//!
//! Invariant: waits only for required records, at most for the time given.

use std::time::Duration;

use anyhow::Result;
use dns_plan::{Finding, PlannedRecord, RecordKind, plan};

use crate::config::Config;
use crate::dns_facts::{checker, read};
use crate::output::{DIM, GOOD, Output, WARN, note, styled};
use crate::transport::Transport;

/// Polling interval.
const EVERY: Duration = Duration::from_secs(10);

/// Maximum missing records named.
const NAMED_MAX: usize = 3;

/// Waits at most `limit`. Returns whether all required records are in DNS.
pub async fn wait(config: &Config, limit: Duration, out: Output) -> Result<bool> {
    let clock = net::Clock::system();
    let end_ms = clock.now_ms().saturating_add(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
    // Read once, because other commands need the data directory meanwhile.
    let records = plan(&read(config, &mut Transport::open(config).await?).await?);
    let mut before = String::new();
    loop {
        let wrong = find_missing(config, &records).await?;
        let names: Vec<String> = wrong.iter().map(|finding| format!("{} {}", finding.record.owner, finding.record.record_type)).collect();
        if names.is_empty() {
            print_new(out, &mut before, styled(GOOD, "DNS: all required records are published"));
            return Ok(true);
        }
        let named = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        let more = if names.len() > NAMED_MAX { format!(" and {} more", names.len() - NAMED_MAX) } else { String::new() };
        let left_ms = end_ms - clock.now_ms();
        if left_ms <= 0 {
            print_new(
                out,
                &mut before,
                format!("{} still missing or wrong: {named}{more}; for details: waypost dns check", styled(WARN, "DNS:")),
            );
            return Ok(false);
        }
        print_new(out, &mut before, styled(DIM, format!("DNS: waiting for {named}{more}; Ctrl-C stops")));
        tokio::time::sleep(EVERY.min(Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)))).await;
    }
}

/// The required records that are missing or wrong.
async fn find_missing(config: &Config, records: &[PlannedRecord]) -> Result<Vec<Finding>> {
    let checked = checker(config, false).run(records).await?;
    // The hoster sets the PTR record, which may take days; the doctor checks it.
    Ok(checked
        .findings
        .into_iter()
        .filter(|finding| (finding.is_red() || finding.is_open()) && finding.record.kind != RecordKind::Ptr)
        .collect())
}

/// Prints a line that differs from the last.
fn print_new(out: Output, before: &mut String, text: String) {
    if !out.json && *before != text {
        note(&text);
        *before = text;
    }
}
