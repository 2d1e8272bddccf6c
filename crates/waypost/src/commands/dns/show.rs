//! `waypost dns show`: prints the plan as a table, as lines of a zone file, or as the fields of a provider's form.
//!
//! RFC 1035 s.5.1. Invariant: the output can be pasted unchanged.

use anyhow::{Result, anyhow};
use dns_plan::{DnsFacts, PlannedRecord, ProviderForm, RecordType, RecordUse, provider_fields, zone_among, zone_lines};
use serde_json::{Value, json};

use crate::output::{BOLD, DIM, Output, print, styled, table};

pub(super) fn run(records: &[PlannedRecord], facts: &DnsFacts, format: &str, out: Output) -> Result<()> {
    if out.json {
        let list: Vec<Value> = records.iter().map(|record| as_json(record, facts)).collect();
        return Ok(out.show(&list, |_| String::new())?);
    }
    match format {
        "zone" => print(&zone_lines(records))?,
        "table" => print(&in_rows(records))?,
        word => {
            let provider = ProviderForm::parse(word).ok_or_else(|| anyhow!("unknown format {word}\n  hint: use {}", known()))?;
            print(&forms(provider, records, facts))?;
        }
    }
    Ok(())
}

fn known() -> String {
    let words: Vec<&str> = ProviderForm::ALL.iter().map(|(word, _)| *word).collect();
    format!("zone, table, or one of {}", words.join(", "))
}

/// A record as JSON.
pub(super) fn as_json(record: &PlannedRecord, facts: &DnsFacts) -> Value {
    json!({
        "domain": record.domain.as_ref().map(ToString::to_string),
        "zone": zone_among(&record.owner, &facts.domains),
        "name": record.owner,
        "type": record.record_type.as_str(),
        "value": record.value,
        "ttl_s": record.ttl_s,
        "kind": record.kind.as_str(),
        "severity": record.severity.as_str(),
        "why": record.why,
        "line": record.zone_line(),
    })
}

/// The needed records first. The value column is last, because values are long.
pub fn in_rows(records: &[PlannedRecord]) -> String {
    let row = |r: &PlannedRecord| vec![r.owner.clone(), r.record_type.to_string(), r.quoted()];
    let mut parts = Vec::new();
    for usage in RecordUse::ALL {
        let rows: Vec<Vec<String>> = records.iter().filter(|r| r.usage() == usage).map(row).collect();
        if !rows.is_empty() {
            parts.push(format!("{}\n{}", styled(BOLD, heading(usage)), table(&["name", "type", "value"], &rows)));
        }
    }
    parts.join("\n\n")
}

fn heading(usage: RecordUse) -> &'static str {
    match usage {
        RecordUse::Needed => "Needed now: without these, mail does not arrive, or is refused elsewhere",
        RecordUse::Better => "Better: these improve trust in your mail and its protection",
        RecordUse::Programs => "For mail programs: they configure themselves with these",
    }
}

fn forms(provider: ProviderForm, records: &[PlannedRecord], facts: &DnsFacts) -> String {
    let mut parts = Vec::new();
    for record in records.iter().filter(|record| record.record_type != RecordType::Ptr) {
        let zone = zone_among(&record.owner, &facts.domains);
        let fields = provider_fields(provider, record, &zone);
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines: Vec<String> = fields.iter().map(|(name, value)| format!("  {name:<width$}  {value}")).collect();
        let heading = format!("{} {}", styled(BOLD, &record.owner), styled(DIM, format!("in {zone}: {}", record.why)));
        parts.push(format!("{heading}\n{}", lines.join("\n")));
    }
    let pointers = records.iter().filter(|record| record.record_type == RecordType::Ptr);
    parts.extend(
        pointers.map(|r| format!("{}\n  set by the hoster of the address: {}", styled(BOLD, &r.owner), r.value.trim_end_matches('.'))),
    );
    parts.join("\n\n")
}
