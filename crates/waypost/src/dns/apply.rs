//! `waypost dns apply`: the changes are shown, agreed to, made, and seen in DNS.
//!
//! RFC 2136 s.2.5. Invariant: single values are added and removed; what was done is on disk before the next step.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use dns_providers::ZoneEditor;
use dns_plan::{DnsFacts, PlannedRecord, Question, RecordType, State, plan};
use serde_json::json;

use super::changes::{Blocked, Change, Changes, Present, Rights, decide, places};
use super::written::{Entry, Written};
use super::{check, planned, provider};
use crate::cli::DnsApplyArgs;
use crate::config::Config;
use crate::output::{BAD, DIM, GOOD, Output, WARN, ask, note, print, styled};

/// Providers need a while until their servers know: it is looked so often, with such a pause.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_secs(3);

/// Zones of names, asked for once.
type Zones = BTreeMap<String, String>;

pub(super) async fn run(config: &Config, facts: &DnsFacts, args: &DnsApplyArgs, out: Output) -> Result<ExitCode> {
    let Some(name) = args.provider.or(config.file.dns.provider) else {
        bail!(
            "no provider is named\n  hint: --provider rfc2136, cloudflare, digitalocean, hetzner, route53 or another (waypost config reference lists them); or dns.provider in {}",
            config.path.display()
        );
    };
    let editor = provider::editor(config, name)?;
    let mut records = planned(facts, args.domain.as_deref())?;
    leave_out(&editor, &mut records);
    let wanted = check::of_config(config, false);
    let checked = wanted.run(&records).await?;
    let mut written = Written::read(&config.file.data_dir)?;
    let mut zones = Zones::new();
    let mut present = Present::new();
    for place in places(&checked.findings, &written) {
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
        match ask(&format!("make {} changes?", changes.list.len()))? {
            Some(true) => {}
            Some(false) => return Ok(ExitCode::FAILURE),
            None => bail!("nobody can be asked\n  hint: look at the changes above, then run it with --yes"),
        }
    }
    let mut ours: Vec<PlannedRecord> = Vec::new();
    for change in &changes.list {
        let zone = zone_of(config, &mut zones, &change.owner).await?;
        let zone =
            zone.ok_or_else(|| anyhow!("the zone of {} cannot be found\n  hint: is it delegated? dig SOA {}", change.owner, change.owner))?;
        ours.extend(make(&editor, change, &zone, &mut written).await?);
    }
    let is_seen = seen(config, &ours, out).await?;
    Ok(if is_seen && changes.blocked.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn zone_of(config: &Config, zones: &mut Zones, name: &str) -> Result<Option<String>> {
    if let Some(zone) = zones.get(name) {
        return Ok(Some(zone.clone()));
    }
    let found = check::of_config(config, false).zone_of(name).await?;
    let zone = found.map(|(zone, _)| zone.trim_end_matches('.').to_owned());
    if let Some(zone) = &zone {
        zones.insert(name.to_owned(), zone.clone());
    }
    Ok(zone)
}

/// What the provider cannot keep is said, and left out.
fn leave_out(editor: &ZoneEditor, records: &mut Vec<PlannedRecord>) {
    records.iter().filter(|record| !editor.supports(record.record_type)).for_each(|record| note(&left_out(record)));
    records.retain(|record| editor.supports(record.record_type));
}

fn left_out(record: &PlannedRecord) -> String {
    format!("{} {} {} is left out: the provider keeps no records of this type", styled(WARN, "note:"), record.owner, record.record_type)
}

/// Makes a change; returns the record that stands there now, if any.
async fn make(editor: &ZoneEditor, change: &Change, zone: &str, written: &mut Written) -> Result<Option<PlannedRecord>> {
    let name = change.owner.trim_end_matches('.');
    let step = |what: &str| format!("{name} {} could not be {what}; what was done before stands in dns-written.json", change.record_type);
    for (record_type, value) in &change.remove {
        editor.remove(&Question::new(name, *record_type), value, zone).await.with_context(|| step("removed"))?;
        written.remove(&change.owner, record_type.as_str(), value);
        written.save()?;
    }
    let Some(planned) = &change.add else { return Ok(None) };
    let set = Question::new(name, planned.record_type);
    if !editor.add(&set, &planned.value, planned.ttl_s, zone).await.with_context(|| step("added"))? {
        note(&left_out(planned));
        return Ok(None);
    }
    let (owner, record_type) = (change.owner.clone(), planned.record_type.to_string());
    written.add(Entry { zone: zone.to_owned(), owner, record_type, value: planned.value.clone() });
    written.save()?;
    Ok(Some(planned.clone()))
}

/// Whether the zones' servers have what was written.
async fn seen(config: &Config, ours: &[PlannedRecord], out: Output) -> Result<bool> {
    let wanted = check::of_config(config, false);
    let mut missing = Vec::new();
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let checked = wanted.run(ours).await?;
        let is_late = |state: &State| matches!(state, State::Missing | State::Differs | State::Unknown);
        missing = checked.findings.into_iter().filter(|finding| is_late(&finding.state)).map(|f| f.record).collect();
        if missing.is_empty() {
            break;
        }
    }
    if !out.json {
        let names: Vec<String> = missing.iter().map(|record| format!("{} {}", record.owner, record.record_type)).collect();
        print(&match names.as_slice() {
            [] => format!("{} {} records are written, and the zone's servers have them", styled(GOOD, "ok:"), ours.len()),
            _ => format!(
                "{} not yet as written at the zone's servers: {}\n  look again: waypost dns check",
                styled(WARN, "note:"),
                names.join(", ")
            ),
        })?;
    }
    Ok(missing.is_empty())
}

fn show(changes: &Changes, out: Output) -> Result<()> {
    if out.json {
        let change = |change: &Change| {
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
            lines.extend(change.remove.iter().map(|(kind, value)| styled(DIM, format!("    instead of {kind} {}", safe(value)))));
        }
    }
    if changes.list.is_empty() {
        lines.push("nothing is to be changed".into());
    }
    print(&lines.join("\n"))?;
    for blocked in &changes.blocked {
        let values: Vec<String> = blocked.values.iter().map(|value| safe(value)).collect();
        let (owner, kind) = (&blocked.owner, blocked.record_type);
        note(&format!(
            "{} {owner} {kind} is left alone: others have written {}\n  hint: --replace {} takes it away{}",
            styled(WARN, "note:"),
            values.join(" and "),
            owner.trim_end_matches('.'),
            match values.iter().any(|value| value.to_ascii_lowercase().contains("v=spf1")) {
                true => ", with the right of others to send; waypost dns check prints one record for all",
                false => "",
            }
        ));
    }
    Ok(())
}

/// A stranger's text.
fn safe(text: &str) -> String {
    text.chars().flat_map(|c| if c == ' ' || c.is_ascii_graphic() { vec![c] } else { c.escape_default().collect() }).take(300).collect()
}
