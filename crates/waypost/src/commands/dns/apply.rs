//! `waypost dns apply`: shows the changes, asks for consent, publishes them, and verifies them in DNS.
//!
//! RFC 2136 s.2.5. Invariant: adds and removes single values; each step is on disk before the next.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use dns_plan::{DnsFacts, PlannedRecord, Question, RecordState, RecordType, plan};
use dns_providers::ZoneEditor;
use serde_json::json;

use super::changes::{Blocked, Changes, Present, RecordChange, Rights, affected_names, decide};
use super::written::{WrittenRecord, WrittenRecords};
use super::{provider, select_records};
use crate::cli::DnsApplyArgs;
use crate::config::Config;
use crate::dns_facts::checker;
use crate::output::{BAD, DIM, GOOD, Output, WARN, ask, note, print, styled};

/// Polling of the zone's servers, which providers update with a delay: attempts and interval.
const ATTEMPTS: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(3);

/// The zone of each name, looked up once.
type Zones = BTreeMap<String, String>;

pub(super) async fn run(config: &Config, facts: &DnsFacts, args: &DnsApplyArgs, out: Output) -> Result<ExitCode> {
    let Some(name) = args.provider.or(config.file.dns.provider) else {
        bail!(
            "no provider given\n  hint: use --provider rfc2136, cloudflare, digitalocean, hetzner, route53 or another (waypost config reference lists them); or set dns.provider in {}",
            config.path.display()
        );
    };
    let editor = provider::editor(config, name)?;
    let mut records = select_records(facts, args.domain.as_deref())?;
    skip_unsupported(&editor, &mut records);
    let wanted = checker(config, false);
    let checked = wanted.run(&records).await?;
    let mut written = WrittenRecords::read(&config.file.data_dir)?;
    let mut zones = Zones::new();
    let mut present = Present::new();
    for place in affected_names(&checked.findings, &written) {
        let Some(zone) = zone_of(config, &mut zones, &place.name).await? else { continue };
        let listed = editor.list(&place, &zone).await;
        let listed =
            listed.with_context(|| format!("the records {} {} cannot be listed", place.name.trim_end_matches('.'), place.record_type))?;
        present.insert(place, listed);
    }
    let rights = Rights { written: &written, replace: &args.replace };
    let changes = decide(&plan(facts), &checked.findings, &present, &rights);
    show(&changes, out)?;
    if changes.list.is_empty() {
        return Ok(if changes.blocked.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if !args.yes {
        match ask(&format!("Make {} changes?", changes.list.len()))? {
            Some(true) => {}
            Some(false) => return Ok(ExitCode::FAILURE),
            None => bail!(
                "this needs a confirmation, but standard input is not a terminal\n  hint: review the changes above, then run the command again with --yes"
            ),
        }
    }
    let mut ours: Vec<PlannedRecord> = Vec::new();
    for change in &changes.list {
        let zone = zone_of(config, &mut zones, &change.owner).await?;
        let zone = zone.ok_or_else(|| {
            anyhow!("the zone of {} cannot be found\n  hint: check that it is delegated: dig SOA {}", change.owner, change.owner)
        })?;
        ours.extend(apply_change(&editor, change, &zone, &mut written).await?);
    }
    let is_seen = is_published(config, &ours, out).await?;
    Ok(if is_seen && changes.blocked.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn zone_of(config: &Config, zones: &mut Zones, name: &str) -> Result<Option<String>> {
    if let Some(zone) = zones.get(name) {
        return Ok(Some(zone.clone()));
    }
    let found = checker(config, false).zone_of(name).await?;
    let zone = found.map(|(zone, _)| zone.trim_end_matches('.').to_owned());
    if let Some(zone) = &zone {
        zones.insert(name.to_owned(), zone.clone());
    }
    Ok(zone)
}

/// Removes the records that the provider does not support, with a note.
fn skip_unsupported(editor: &ZoneEditor, records: &mut Vec<PlannedRecord>) {
    records.iter().filter(|record| !editor.supports(record.record_type)).for_each(|record| note(&skipped_note(record)));
    records.retain(|record| editor.supports(record.record_type));
}

fn skipped_note(record: &PlannedRecord) -> String {
    format!("{} {} {} skipped: the provider does not support this type", styled(WARN, "note:"), record.owner, record.record_type)
}

/// Makes a change; returns the published record, if any.
async fn apply_change(
    editor: &ZoneEditor,
    change: &RecordChange,
    zone: &str,
    written: &mut WrittenRecords,
) -> Result<Option<PlannedRecord>> {
    let name = change.owner.trim_end_matches('.');
    let step = |what: &str| format!("{name} {} could not be {what}; dns-written.json lists the changes made before", change.record_type);
    for (record_type, value) in &change.remove {
        editor.remove(&Question::new(name, *record_type), value, zone).await.with_context(|| step("removed"))?;
        written.remove(&change.owner, record_type.as_str(), value);
        written.save()?;
    }
    let Some(planned) = &change.add else { return Ok(None) };
    let set = Question::new(name, planned.record_type);
    if !editor.add(&set, &planned.value, planned.ttl_s, zone).await.with_context(|| step("added"))? {
        note(&skipped_note(planned));
        return Ok(None);
    }
    let (owner, record_type) = (change.owner.clone(), planned.record_type.to_string());
    written.add(WrittenRecord { zone: zone.to_owned(), owner, record_type, value: planned.value.clone() });
    written.save()?;
    Ok(Some(planned.clone()))
}

/// Whether the zones' servers have the written records.
async fn is_published(config: &Config, ours: &[PlannedRecord], out: Output) -> Result<bool> {
    let wanted = checker(config, false);
    let mut missing = Vec::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(INTERVAL).await;
        }
        let checked = wanted.run(ours).await?;
        let is_late = |state: &RecordState| matches!(state, RecordState::Missing | RecordState::Differs | RecordState::Unknown);
        missing = checked.findings.into_iter().filter(|finding| is_late(&finding.state)).map(|f| f.record).collect();
        if missing.is_empty() {
            break;
        }
    }
    if !out.json {
        let names: Vec<String> = missing.iter().map(|record| format!("{} {}", record.owner, record.record_type)).collect();
        print(&match names.as_slice() {
            [] => format!("{} {} records published, and verified at the zone's servers", styled(GOOD, "ok:"), ours.len()),
            _ => format!(
                "{} not yet at the zone's servers: {}\n  to check again: waypost dns check",
                styled(WARN, "note:"),
                names.join(", ")
            ),
        })?;
    }
    Ok(missing.is_empty())
}

fn show(changes: &Changes, out: Output) -> Result<()> {
    if out.json {
        let change = |change: &RecordChange| {
            json!({
                "name": change.owner,
                "type": change.record_type.as_str(),
                "remove": change.remove.iter().map(|(_, value)| value).collect::<Vec<_>>(),
                "add": change.add.as_ref().map(|record| &record.value),
            })
        };
        let blocked = |b: &Blocked| json!({ "name": b.owner, "type": b.record_type.as_str(), "values": b.values });
        let list: Vec<_> = changes.list.iter().map(change).collect();
        let blocked: Vec<_> = changes.blocked.iter().map(blocked).collect();
        return Ok(out.show(&json!({ "changes": list, "blocked": blocked }), |_| String::new())?);
    }
    let width = changes.list.iter().map(|change| change.owner.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for change in &changes.list {
        let sign = match (&change.add, change.remove.is_empty()) {
            (Some(_), true) => styled(GOOD, "+"),
            (Some(_), false) => styled(WARN, "~"),
            (None, _) => styled(BAD, "-"),
        };
        let line = |value: &str, record_type: RecordType| format!("{sign} {:<width$}  {record_type:<5}  {value}", change.owner);
        match &change.add {
            Some(record) => lines.push(line(&record.quoted(), record.record_type)),
            None => lines.extend(change.remove.iter().map(|(kind, value)| line(&safe(value), *kind))),
        }
        if change.add.is_some() {
            lines.extend(change.remove.iter().map(|(kind, value)| styled(DIM, format!("    replaces {kind} {}", safe(value)))));
        }
    }
    if changes.list.is_empty() {
        lines.push("nothing to change".into());
    }
    print(&lines.join("\n"))?;
    for blocked in &changes.blocked {
        let values: Vec<String> = blocked.values.iter().map(|value| safe(value)).collect();
        let (owner, kind) = (&blocked.owner, blocked.record_type);
        note(&format!(
            "{} {owner} {kind} is left alone, because this command did not write {}\n  hint: --replace {} removes it{}",
            styled(WARN, "note:"),
            values.join(" and "),
            owner.trim_end_matches('.'),
            match values.iter().any(|value| value.to_ascii_lowercase().contains("v=spf1")) {
                true => ", and with it the permission of other senders; waypost dns check prints a merged record",
                false => "",
            }
        ));
    }
    Ok(())
}

/// Escapes text from DNS.
fn safe(text: &str) -> String {
    text.chars().flat_map(|c| if c == ' ' || c.is_ascii_graphic() { vec![c] } else { c.escape_default().collect() }).take(300).collect()
}
