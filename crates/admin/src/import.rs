//! `/v1/aliases/import` and `/export`: aliases in the form of Postfix's virtual(5).
//!
//! Invariant: an import is stored whole or not at all, and a dry run reports what the import would.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use directory::{Alias, Contents, Directory, HostedDomain, Origin, Problem, virtual_file};
use mail::Domain;
use store::DirectoryChange;

use crate::aliases::targets;
use crate::api::{Export, Import, ImportLine, ImportReport};
use crate::changes::{problem_texts, told};
use crate::error::ApiError;
use crate::extract::Body;
use crate::server::Shared;

pub(crate) async fn import(State(shared): State<Shared>, Body(import): Body<Import>) -> Result<Json<ImportReport>, ApiError> {
    let file = virtual_file::parse(&import.text).map_err(|e| {
        ApiError::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, e.to_string()).hint("correct that line; nothing was imported")
    })?;
    let _changing = shared.changing.lock().await;
    let live = shared.handles.live.current();
    let stored = shared.handles.store.directory(live.contents().delimiters.clone()).await?;
    let plan = plan(&stored, &file, import.replace);
    let mut report = plan.report;
    report.dry_run = import.dry_run;
    report.warnings.extend(check(&live, &plan.domains, &plan.aliases)?);
    let changes: Vec<DirectoryChange> = plan
        .domains
        .into_iter()
        .map(DirectoryChange::AddDomain)
        .chain(plan.aliases.into_iter().map(|(alias, _)| DirectoryChange::AddAlias { alias, replace: true }))
        .collect();
    if !import.dry_run && !changes.is_empty() {
        let changed = format!("{} domains and {} aliases were imported", report.domains.len(), report.added.len());
        shared.commit(changed, changes).await?;
    }
    Ok(Json(report))
}

struct Plan {
    domains: Vec<Domain>,
    aliases: Vec<(Alias, usize)>,
    report: ImportReport,
}

fn plan(stored: &Contents, file: &virtual_file::VirtualFile, replace: bool) -> Plan {
    let mut report = ImportReport::default();
    let line = |line: usize, text: String| ImportLine { line, text };
    report.warnings.extend(file.warnings.iter().map(|(at, text)| line(*at, text.clone())));
    let mut domains: Vec<Domain> = Vec::new();
    let named = file.aliases.iter().map(|(alias, _)| alias.source.domain());
    for domain in file.domains.iter().chain(named) {
        if !stored.domains.iter().any(|hosted| hosted.name == *domain) && !domains.contains(domain) {
            domains.push(domain.clone());
        }
    }
    report.domains = domains.iter().map(Domain::to_string).collect();
    let old: HashMap<String, &Alias> = stored.aliases.iter().map(|alias| (alias.source.key(), alias)).collect();
    let mut aliases = Vec::new();
    for (alias, at) in &file.aliases {
        let alias = Alias { origin: Origin::Database, ..alias.clone() };
        let mark = if alias.enabled { "" } else { " (disabled)" };
        let text = format!("{} → {}{mark}", alias.source, targets(&alias));
        match old.get(&alias.source.key()) {
            Some(same) if same.targets == alias.targets && same.enabled == alias.enabled => {
                report.skipped.push(line(*at, format!("{text}: is there already")));
            }
            Some(other) if !replace => {
                report.skipped.push(line(*at, format!("{text}: kept as it is, {} (--replace takes the file's)", targets(other))));
            }
            _ => {
                report.added.push(line(*at, text));
                aliases.push((alias, *at));
            }
        }
    }
    Plan { domains, aliases, report }
}

/// Refuses what would lead mail in a circle; warns of what leads nowhere.
fn check(live: &Directory, domains: &[Domain], aliases: &[(Alias, usize)]) -> Result<Vec<ImportLine>, ApiError> {
    let before = problem_texts(live);
    let lines: HashMap<String, usize> = aliases.iter().map(|(alias, at)| (alias.source.key(), *at)).collect();
    let mut contents = live.contents().clone();
    contents.domains.extend(domains.iter().map(|name| HostedDomain { name: name.clone(), enabled: true }));
    contents.aliases.retain(|alias| !lines.contains_key(&alias.source.key()));
    contents.aliases.extend(aliases.iter().map(|(alias, _)| alias.clone()));
    let candidate = Directory::new(contents);
    let mut warnings = Vec::new();
    for problem in candidate.problems() {
        let text = problem.to_string();
        let at = alias_of(&problem).and_then(|key| lines.get(&key)).copied().unwrap_or(0);
        match &problem {
            _ if before.contains(&text) => {}
            Problem::Cycle { .. } | Problem::TooDeep { .. } | Problem::TooMany { .. } => {
                let mut error = told(&candidate, &problem);
                error.error = format!("line {at}: {}", error.error);
                return Err(error.hint("correct that line; nothing was imported"));
            }
            _ => warnings.push(ImportLine { line: at, text }),
        }
    }
    Ok(warnings)
}

fn alias_of(problem: &Problem) -> Option<String> {
    match problem {
        Problem::Cycle { alias, .. }
        | Problem::Dangling { alias, .. }
        | Problem::DisabledTarget { alias, .. }
        | Problem::TooDeep { alias }
        | Problem::TooMany { alias }
        | Problem::NoTarget { alias }
        | Problem::MisplacedDomain { alias, .. }
        | Problem::NotHosted { alias }
        | Problem::Duplicate { alias } => Some(alias.key()),
    }
}

pub(crate) async fn export(State(shared): State<Shared>) -> Json<Export> {
    let directory = shared.handles.live.current();
    let contents = directory.contents();
    let domains: Vec<Domain> = contents.domains.iter().map(|domain| domain.name.clone()).collect();
    Json(Export { text: virtual_file::write(&domains, &contents.aliases) })
}
