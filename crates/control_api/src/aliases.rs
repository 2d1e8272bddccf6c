//! `/api/v1/aliases`: aliases and their targets.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use directory::{Alias, AliasOptions, AliasSource, Aliases, Directory, Origin, Target};
use mail::{Domain, Mailbox};
use mta::LiveDirectory;
use store::DirectoryChange;

use crate::actor::Actor;
use crate::api::{
    AliasFilter, AliasPage, AliasPatch, AliasTest, AliasView, Changed, Enable, FailedTarget, ImportLine, NewAlias, Page, TestQuery,
    TestStep, VirtualFileView,
};
use crate::changes::{DirectoryEditor, check_alias, existing};
use crate::control::Control;
use crate::error::ApiError;
use crate::extract::{Body, Params, parsed, parsed_name};
use crate::paging::{cut, page_limit};
use crate::pauses::pauses_of;
use crate::targets::TargetChecker;

pub(crate) fn view(directory: &Directory, alias: &Alias) -> AliasView {
    AliasView {
        source: alias.source.to_string(),
        targets: alias.targets.iter().map(Target::to_string).collect(),
        enabled: alias.enabled,
        origin: match alias.origin {
            Origin::Database => "database".into(),
            Origin::File => "file".into(),
        },
        options: directory.contents().alias_options.get(&alias.source.key()).cloned().unwrap_or_default(),
    }
}

pub(crate) async fn list(
    actor: Actor,
    State(live): State<Arc<LiveDirectory>>,
    Params(filter): Params<AliasFilter>,
) -> Result<Json<AliasPage>, ApiError> {
    let limit = page_limit(filter.limit)?;
    let domain: Option<Domain> = filter.domain.map(|name| parsed("a domain", &name)).transpose()?;
    let text = filter.q.map(|text| text.to_lowercase());
    let directory = live.current();
    let aliases = &directory.contents().aliases;
    let is_first = filter.cursor.is_none();
    let is_all = domain.is_none() && text.is_none() && actor.domains.is_none() && actor.limited_to().is_none();
    let from = filter.cursor.map_or(Ok(0), |cursor| place_after(aliases, &cursor))?;
    let wanted = |alias: &&Alias| {
        domain.as_ref().is_none_or(|domain| alias.source.domain() == domain)
            && text.as_ref().is_none_or(|text| mentions(&directory, alias, text))
            && actor.sees(&directory, alias)
    };
    let found = aliases.from_place(from).enumerate().filter(|(_, alias)| wanted(alias));
    let Page { items, next_cursor } = cut(limit, found, |(place, alias)| match alias.origin {
        Origin::Database => alias.source.key(),
        Origin::File => format!("{FILE_CURSOR}{}", from + place),
    });
    let total = match (is_all, is_first) {
        (true, _) => Some(aliases.len()),
        (false, true) => Some(aliases.iter().filter(wanted).count()),
        (false, false) => None,
    };
    Ok(Json(AliasPage { items: items.into_iter().map(|(_, alias)| view(&directory, alias)).collect(), next_cursor, total }))
}

/// The start of a cursor in the virtual file, whose aliases are in the order of its lines; no address starts like this.
const FILE_CURSOR: &str = "line ";

/// Returns the place of the first alias after this cursor.
fn place_after(aliases: &Aliases, cursor: &str) -> Result<usize, ApiError> {
    match cursor.strip_prefix(FILE_CURSOR) {
        Some(place) => Ok(parsed::<usize>("a cursor", place)?.saturating_add(1)),
        None => Ok(aliases.place_after(cursor)),
    }
}

/// Whether the alias has this text (in lower case) in its address, a target or an option.
fn mentions(directory: &Directory, alias: &Alias, text: &str) -> bool {
    let has = |value: &str| value.to_lowercase().contains(text);
    let options = || directory.contents().alias_options.get(&alias.source.key()).is_some_and(|options| has(&options.in_words()));
    has(&alias.source.to_string()) || alias.targets.iter().any(|target| has(&target.to_string())) || options()
}

pub(crate) async fn show(
    actor: Actor,
    State(live): State<Arc<LiveDirectory>>,
    Path(source): Path<String>,
) -> Result<Json<AliasView>, ApiError> {
    let directory = live.current();
    let alias = existing(&actor, &directory, &parsed("an alias", &source)?)?;
    Ok(Json(view(&directory, alias)))
}

/// Returns the lines of the virtual file that are not in effect.
pub(crate) async fn virtual_file(State(live): State<Arc<LiveDirectory>>) -> Json<VirtualFileView> {
    Json(live.virtual_faults().map_or_else(VirtualFileView::default, |faults| VirtualFileView {
        path: Some(faults.path.display().to_string()),
        unread: faults.whole,
        faults: faults.lines.into_iter().map(|(line, text)| ImportLine { line, text }).collect(),
    }))
}

/// Parses an alias as operators write it.
pub(crate) fn parse(source: &str, targets: &[String]) -> Result<Alias, ApiError> {
    const WHAT: &str = "an address (me@example.com) or a catch-all (@example.com)";
    std::iter::once(source).chain(targets.iter().map(String::as_str)).try_for_each(refuse_wildcard)?;
    Ok(Alias {
        source: parsed_name(WHAT, source)?,
        targets: targets.iter().map(|target| parsed_name(WHAT, target)).collect::<Result<_, _>>()?,
        enabled: true,
        origin: Origin::Database,
    })
}

/// Refuses `*@example.com`: it means the whole domain, but is the address of a user called `*`.
pub(crate) fn refuse_wildcard(text: &str) -> Result<(), ApiError> {
    match text.strip_prefix("*@") {
        Some(domain) => Err(ApiError::bad(format!("`{text}` is the address of a user called `*`"))
            .hint(format!("for every address of the domain, use @{domain}"))),
        None => Ok(()),
    }
}

pub(crate) async fn add(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    State(checker): State<TargetChecker>,
    Body(new): Body<NewAlias>,
) -> Result<Json<Changed>, ApiError> {
    let alias = parse(&new.source, &new.targets)?;
    actor.check_domain(alias.source.domain())?;
    let edit = editor.begin(&actor).await;
    let directory = edit.directory();
    if let Some(old) = directory.lookup(&alias.source.to_string()).filter(|old| old.origin == Origin::Database)
        && !new.replace
    {
        return Err(
            ApiError::conflict(format!("the alias already exists: {} → {}", old.source, targets(old))).hint("to replace it, use --replace")
        );
    }
    check_alias(&directory, &alias)?;
    let said = format!("{} → {}", alias.source, targets(&alias));
    let change = DirectoryChange::AddAlias { alias: alias.clone(), replace: new.replace };
    let mut changed = edit.commit(said, vec![change]).await?;
    drop(edit);
    changed.warnings.extend(checker.look_at(&alias.targets).await.into_iter().filter(|look| look.is_wrong).map(|look| look.to_string()));
    Ok(Json(changed))
}

pub(crate) fn targets(alias: &Alias) -> String {
    alias.targets.iter().map(Target::to_string).collect::<Vec<_>>().join(", ")
}

fn refuse_file(alias: &Alias) -> Result<(), ApiError> {
    match alias.origin {
        Origin::Database => Ok(()),
        Origin::File => Err(ApiError::conflict(format!("{} is defined in the virtual file", alias.source))
            .hint("change it there, which takes effect at once; or add an alias here, which takes precedence over the file")),
    }
}

pub(crate) async fn enable(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    Path(source): Path<String>,
    Body(enable): Body<Enable>,
) -> Result<Json<Changed>, ApiError> {
    let source: AliasSource = parsed("an alias", &source)?;
    let edit = editor.begin(&actor).await;
    let directory = edit.directory();
    let alias = existing(&actor, &directory, &source)?;
    refuse_file(alias)?;
    if enable.enabled {
        check_alias(&directory, &Alias { enabled: true, ..alias.clone() })?;
    }
    let word = if enable.enabled { "enabled" } else { "disabled" };
    let change = DirectoryChange::EnableAlias(source.clone(), enable.enabled);
    Ok(Json(edit.commit(format!("{word} {source}"), vec![change]).await?))
}

/// Sets options of an alias, also of one in the virtual file.
pub(crate) async fn set_options(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    Path(source): Path<String>,
    Body(AliasPatch(patch)): Body<AliasPatch>,
) -> Result<Json<Changed>, ApiError> {
    let source: AliasSource = parsed("an alias", &source)?;
    let edit = editor.begin(&actor).await;
    let directory = edit.directory();
    existing(&actor, &directory, &source)?;
    let options = directory.contents().alias_options.get(&source.key()).cloned().unwrap_or_default();
    let options = options.patched(&patch).map_err(ApiError::bad)?;
    let words = if options.is_empty() { "as the configuration says".to_owned() } else { options.in_words() };
    Ok(Json(edit.commit(format!("{source}: {words}"), vec![DirectoryChange::SetAliasOptions(source, options)]).await?))
}

pub(crate) async fn remove(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    Path(source): Path<String>,
) -> Result<Json<Changed>, ApiError> {
    let source: AliasSource = parsed("an alias", &source)?;
    let edit = editor.begin(&actor).await;
    let directory = edit.directory();
    refuse_file(existing(&actor, &directory, &source)?)?;
    Ok(Json(
        edit.commit(
            format!("removed {source}"),
            vec![DirectoryChange::SetAliasOptions(source.clone(), AliasOptions::default()), DirectoryChange::RemoveAlias(source)],
        )
        .await?,
    ))
}

pub(crate) async fn test(
    State(live): State<Arc<LiveDirectory>>,
    State(checker): State<TargetChecker>,
    State(control): State<Arc<dyn Control>>,
    Params(query): Params<TestQuery>,
) -> Result<Json<AliasTest>, ApiError> {
    let address: Mailbox = parsed("an address", &query.address)?;
    let directory = live.current();
    let mut answer = AliasTest {
        address: address.to_string(),
        hosted: directory.hosts(&address.domain),
        targets: Vec::new(),
        failed: Vec::new(),
        steps: Vec::new(),
        paused: Vec::new(),
        doubts: Vec::new(),
    };
    match directory.explain(&address) {
        // A foreign address expands to itself, but mail to it is refused.
        Ok(_) if !answer.hosted => {
            answer.failed.push(FailedTarget { address: address.to_string(), reason: format!("{} is not hosted here", address.domain) })
        }
        Ok(expansion) => {
            let targets: Vec<Target> = expansion.targets.iter().cloned().map(Target::Address).collect();
            answer.doubts = checker.look_at(&targets).await.iter().map(ToString::to_string).collect();
            let text = |mailboxes: &[Mailbox]| mailboxes.iter().map(Mailbox::to_string).collect();
            answer.targets = text(&expansion.targets);
            answer.paused = pauses_of(control.as_ref(), &expansion.targets);
            answer.failed =
                expansion.failed.iter().map(|(at, error)| FailedTarget { address: at.to_string(), reason: error.to_string() }).collect();
            answer.steps = expansion
                .steps
                .iter()
                .map(|s| TestStep { address: s.address.to_string(), key: s.key.clone(), results: text(&s.results), depth: s.depth })
                .collect();
        }
        Err(error) => answer.failed.push(FailedTarget { address: address.to_string(), reason: error.to_string() }),
    }
    Ok(Json(answer))
}
