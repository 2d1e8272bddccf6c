//! `waypost alias`: aliases, their import and export, and their test.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use control_api::api::{
    AliasTest, AliasView, Changed, Enable, Export, Import as Request, ImportLine, ImportReport, NewAlias, SendersChange, VirtualFileView,
};

use serde_json::json;

use super::{changed, warn};
use crate::cli::{AliasCommand, AliasImportCommand};
use crate::output::{BAD, BOLD, DIM, GOOD, Output, WARN, styled, table};
use crate::transport::{Transport, segment};

pub(super) async fn run(api: &mut Transport, command: AliasCommand, out: Output) -> Result<ExitCode> {
    match command {
        AliasCommand::Add { source, targets, replace } => {
            let done: Changed = api.post("/api/v1/aliases", &NewAlias { source, targets, replace }).await?;
            changed(out, &done)?;
        }
        AliasCommand::List { domain } => {
            let aliases: Vec<AliasView> = api.list("/api/v1/aliases", &[("domain", domain)]).await?;
            out.show(&aliases, |aliases| list(aliases))?;
            let file: VirtualFileView = api.get("/api/v1/aliases/virtual-file").await?;
            if !out.json {
                warn(&virtual_file_faults(&file));
            }
        }
        AliasCommand::Remove { source } => {
            let done: Changed = api.delete(&path(&source)).await?;
            changed(out, &done)?;
        }
        AliasCommand::Disable { source } => enable(api, &source, false, out).await?,
        AliasCommand::Enable { source } => enable(api, &source, true, out).await?,
        AliasCommand::Strict { source, what } => {
            let strict_domain = Some(what).filter(|what| what != "default");
            let patch = json!({ "strict_domain": strict_domain });
            let done: Changed = api.patch(&format!("{}/options", path(&source)), &patch).await?;
            changed(out, &done)?;
        }
        AliasCommand::Note { source, text } => {
            let patch = json!({ "note": Some(text.trim()).filter(|text| !text.is_empty()) });
            let done: Changed = api.patch(&format!("{}/options", path(&source)), &patch).await?;
            changed(out, &done)?;
        }
        AliasCommand::Senders { source, block, unblock, allow, disallow } => {
            let change = SendersChange { block, unblock, allow, disallow };
            let done: Changed = api.patch(&format!("{}/senders", path(&source)), &change).await?;
            changed(out, &done)?;
        }
        AliasCommand::Import(AliasImportCommand::Virtual { file, origin, dry_run, replace }) => {
            let text = read(&file)?;
            let report: ImportReport = api.post("/api/v1/aliases/import", &Request { text, origin, replace, dry_run }).await?;
            out.show(&report, |report| imported(report, &file))?;
        }
        AliasCommand::Export { .. } => {
            let export: Export = api.get("/api/v1/aliases/export").await?;
            out.show(&export, |export| export.text.clone())?;
        }
        AliasCommand::Test { address } => {
            let test: AliasTest = api.query("/api/v1/aliases/test", &[("address", Some(address))]).await?;
            out.show(&test, tree)?;
            return Ok(if test.targets.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(source: &str) -> String {
    format!("/api/v1/aliases/{}", segment(source))
}

async fn enable(api: &mut Transport, source: &str, enabled: bool, out: Output) -> Result<()> {
    let done: Changed = api.patch(&path(source), &Enable { enabled }).await?;
    changed(out, &done)
}

fn list(aliases: &[AliasView]) -> String {
    if aliases.is_empty() {
        return styled(DIM, "no aliases; add one: waypost alias add me@example.com foo@gmail.com");
    }
    let notes = |a: &AliasView| {
        [(!a.enabled, "disabled"), (a.origin == "file", "from the virtual file"), (a.targets.is_empty(), "its line is invalid")]
    };
    let row = |a: &AliasView| {
        let mut notes: Vec<String> = notes(a).into_iter().filter(|(is, _)| *is).map(|(_, note)| note.to_owned()).collect();
        notes.extend(Some(a.options.in_words()).filter(|words| !words.is_empty()));
        vec![a.source.clone(), a.targets.join(", "), notes.join(", ")]
    };
    table(&["alias", "goes to", ""], &aliases.iter().map(row).collect::<Vec<_>>())
}

/// Reads a file; octets that are not UTF-8 invalidate only their own line.
fn read(file: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("standard input cannot be read")?;
    } else {
        bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line for each fault of the virtual file.
fn virtual_file_faults(file: &VirtualFileView) -> Vec<String> {
    let path = file.path.as_deref().unwrap_or_default();
    let whole = file.unread.iter().map(|why| format!("{path}: {why}"));
    whole.chain(file.faults.iter().map(|fault| format!("{path}:{}: {}", fault.line, fault.text))).collect()
}

fn imported(report: &ImportReport, file: &Path) -> String {
    let would = |did: &str, would: &str| if report.dry_run { would.to_owned() } else { did.to_owned() };
    let mut lines = Vec::new();
    for domain in &report.domains {
        lines.push(format!("{} {domain}", styled(GOOD, would("domain added:", "domain to add:"))));
    }
    let mut part = |style, word: String, items: &[ImportLine]| {
        for item in items {
            let place = if item.line == 0 { String::new() } else { format!("{}:{}: ", file.display(), item.line) };
            lines.push(format!("{place}{} {}", styled(style, &word), item.text));
        }
    };
    part(GOOD, would("added:", "to add:"), &report.added);
    part(DIM, "skipped:".into(), &report.skipped);
    part(BAD, "rejected:".into(), &report.left_out);
    part(WARN, "warning:".into(), &report.warnings);
    let (added, skipped, left_out, warned) = (report.added.len(), report.skipped.len(), report.left_out.len(), report.warnings.len());
    let end = if report.dry_run { "; nothing changed (--dry-run)" } else { "" };
    lines.push(format!("{added} {}, {skipped} skipped, {left_out} rejected, {warned} warnings{end}", would("added", "to add")));
    lines.join("\n")
}

/// The steps as a tree, then the targets.
fn tree(test: &AliasTest) -> String {
    let mut lines = vec![styled(BOLD, &test.address)];
    for step in &test.steps {
        let indent = "   ".repeat(step.depth);
        for (place, result) in step.results.iter().enumerate() {
            let branch = if place + 1 == step.results.len() { "└─" } else { "├─" };
            let by = if step.address.eq_ignore_ascii_case(&step.key) { String::new() } else { format!(" for {}", step.address) };
            lines.push(format!("{indent}{branch} {result}  {}", styled(DIM, format!("(alias {}{by})", step.key))));
        }
    }
    for failed in &test.failed {
        lines.push(format!("{} {}: {}", styled(BAD, "nowhere:"), failed.address, failed.reason));
    }
    for doubt in &test.doubts {
        lines.push(format!("{} {doubt}", styled(WARN, "warning:")));
    }
    match test.targets.as_slice() {
        [] => lines.push(format!("{} mail to {} is refused", styled(BAD, "refused:"), test.address)),
        targets => lines.push(format!("{} {}", styled(GOOD, "goes to:"), targets.join(", "))),
    }
    lines.extend(test.paused.iter().map(super::queue::paused));
    lines.join("\n")
}
