//! `/api/v1/aliases/import` and `/export`: aliases in the format of Postfix's virtual(5).
//!
//! Invariant: all valid lines are imported in one change, every other line is reported with the reason, and a dry run reports what the import would.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use directory::{Alias, AliasSource, Contents, Directory, HostedDomain, Origin, Problem, virtual_file};
use mail::Domain;
use mta::LiveDirectory;
use store::DirectoryChange;

use crate::actor::Actor;
use crate::aliases::targets;
use crate::api::{Export, Import, ImportLine, ImportReport};
use crate::changes::{DirectoryEditor, problem_error, problem_texts};
use crate::error::ApiError;
use crate::extract::{Body, parsed};

pub(crate) async fn import(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    Body(import): Body<Import>,
) -> Result<Json<ImportReport>, ApiError> {
    let origin: Option<Domain> = import.origin.map(|name| parsed("a domain", &name)).transpose()?;
    let file = virtual_file::parse(import.text.trim_start_matches('\u{feff}'), origin.as_ref());
    let edit = editor.begin(&actor).await;
    let directory = edit.directory();
    let stored = edit.stored(directory.contents().delimiters.clone()).await?;
    let mut plan = plan(&stored, &file, import.replace);
    let warnings = leave_out_loops(&directory, &mut plan);
    let mut report = plan.report;
    report.dry_run = import.dry_run;
    report.warnings.extend(warnings);
    report.left_out.sort_by_key(|left_out| left_out.line);
    let is_new = |source: &AliasSource| import.replace || !stored.alias_options.contains_key(&source.key());
    let options = file.alias_options.into_iter().filter(|(source, _)| is_new(source));
    let options: Vec<DirectoryChange> = options.map(|(source, options)| DirectoryChange::SetAliasOptions(source, options)).collect();
    let changes: Vec<DirectoryChange> = plan
        .domains
        .into_iter()
        .map(DirectoryChange::AddDomain)
        .chain(plan.aliases.into_iter().map(|(alias, _)| DirectoryChange::AddAlias { alias, replace: true }))
        .chain(options)
        .collect();
    if !import.dry_run && !changes.is_empty() {
        let changed = format!("imported {} domains and {} aliases", report.domains.len(), report.added.len());
        edit.commit(changed, changes).await?;
    }
    Ok(Json(report))
}

struct ImportPlan {
    domains: Vec<Domain>,
    aliases: Vec<(Alias, usize)>,
    report: ImportReport,
}

fn plan(stored: &Contents, file: &virtual_file::VirtualFile, replace: bool) -> ImportPlan {
    let mut report = ImportReport::default();
    let line = |line: usize, text: String| ImportLine { line, text };
    report.warnings.extend(file.warnings.iter().map(|(at, text)| line(*at, text.clone())));
    report.left_out.extend(file.faults.iter().map(|(at, text)| line(*at, text.clone())));
    let mut domains: Vec<Domain> = Vec::new();
    // An alias without a target is an invalid line.
    let usable = || file.aliases.iter().filter(|(alias, _)| !alias.targets.is_empty());
    let named = usable().map(|(alias, _)| alias.source.domain());
    for domain in file.domains.iter().chain(named) {
        if !stored.domains.iter().any(|hosted| hosted.name == *domain) && !domains.contains(domain) {
            domains.push(domain.clone());
        }
    }
    report.domains = domains.iter().map(Domain::to_string).collect();
    let old: HashMap<String, &Alias> = stored.aliases.iter().map(|alias| (alias.source.key(), alias)).collect();
    let mut aliases = Vec::new();
    for (alias, at) in usable() {
        let alias = Alias { origin: Origin::Database, ..alias.clone() };
        let mark = if alias.enabled { "" } else { " (disabled)" };
        let text = format!("{} → {}{mark}", alias.source, targets(&alias));
        match old.get(&alias.source.key()) {
            Some(same) if same.targets == alias.targets && same.enabled == alias.enabled => {
                report.skipped.push(line(*at, format!("{text}: exists already")));
            }
            Some(other) if !replace => {
                report.skipped.push(line(*at, format!("{text}: kept as {} (--replace to overwrite)", targets(other))));
            }
            _ => {
                report.added.push(line(*at, text));
                aliases.push((alias, *at));
            }
        }
    }
    ImportPlan { domains, aliases, report }
}

/// Leaves out aliases that make a loop. Returns warnings about those that lead nowhere.
fn leave_out_loops(live: &Directory, plan: &mut ImportPlan) -> Vec<ImportLine> {
    let before = problem_texts(live);
    loop {
        let lines: HashMap<String, usize> = plan.aliases.iter().map(|(alias, at)| (alias.source.key(), *at)).collect();
        let candidate = candidate(live, plan, &lines);
        let mut refused: HashSet<String> = HashSet::new();
        let mut warnings = Vec::new();
        for problem in candidate.problems().iter().filter(|problem| !before.contains(&problem.to_string())) {
            let key = alias_of(problem);
            let at = key.as_ref().and_then(|key| lines.get(key)).copied().unwrap_or(0);
            let is_loop = matches!(problem, Problem::Cycle { .. } | Problem::TooDeep { .. } | Problem::TooMany { .. });
            match key.filter(|key| is_loop && lines.contains_key(key)) {
                Some(key) if refused.insert(key.clone()) => {
                    plan.report.left_out.push(ImportLine { line: at, text: problem_error(&candidate, problem).error });
                }
                Some(_) => {}
                None => warnings.push(ImportLine { line: at, text: problem.to_string() }),
            }
        }
        if refused.is_empty() {
            return warnings;
        }
        let refused_lines: HashSet<usize> = refused.iter().filter_map(|key| lines.get(key)).copied().collect();
        plan.aliases.retain(|(alias, _)| !refused.contains(&alias.source.key()));
        plan.report.added.retain(|added| !refused_lines.contains(&added.line));
    }
}

/// Returns the directory as it will be after the import.
fn candidate(live: &Directory, plan: &ImportPlan, lines: &HashMap<String, usize>) -> Directory {
    let mut contents = live.contents().clone();
    contents.domains.extend(plan.domains.iter().map(|name| HostedDomain { name: name.clone(), enabled: true }));
    contents.aliases.retain(|alias| !lines.contains_key(&alias.source.key()));
    contents.aliases.extend(plan.aliases.iter().map(|(alias, _)| alias.clone()));
    Directory::new(contents)
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

pub(crate) async fn export(State(live): State<Arc<LiveDirectory>>) -> Json<Export> {
    let directory = live.current();
    let contents = directory.contents();
    let domains: Vec<Domain> = contents.domains.iter().map(|domain| domain.name.clone()).collect();
    Json(Export { text: virtual_file::write(&domains, &contents.aliases, &contents.alias_options) })
}
