//! `/api/v1/aliases`: aliases and their targets.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use directory::{Alias, AliasOptions, AliasSource, Directory, Origin, Target};
use hyper::body::Frame;
use mail::{Domain, Mailbox};
use mta::LiveDirectory;
use serde_json::{Map, Value};
use store::DirectoryChange;

use crate::actor::Actor;
use crate::api::{
    AliasFilter, AliasTest, AliasView, Changed, Enable, FailedTarget, ImportLine, NewAlias, TestQuery, TestStep, VirtualFileView,
};
use crate::changes::{DirectoryEditor, check_alias, existing};
use crate::control::Control;
use crate::error::ApiError;
use crate::extract::{Body, Params, parsed, parsed_name};
use crate::pauses::pauses_of;
use crate::targets::TargetChecker;

/// Size of the pieces in which the list is written, in octets.
const PIECE_BYTES: usize = 32 * 1024;

fn view(directory: &Directory, alias: &Alias) -> AliasView {
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
) -> Result<Response, ApiError> {
    let domain: Option<Domain> = filter.domain.map(|name| parsed("a domain", &name)).transpose()?;
    let body = AliasList { directory: live.current(), actor, domain, next: Some(0), is_first: true };
    Ok(([(CONTENT_TYPE, "application/json")], axum::body::Body::new(body)).into_response())
}

/// The list, written piece by piece: as a whole, it could take more memory than the directory.
struct AliasList {
    directory: Arc<Directory>,
    actor: Actor,
    domain: Option<Domain>,
    /// The position of the next alias; `None` at the end.
    next: Option<usize>,
    is_first: bool,
}

impl AliasList {
    fn piece(&mut self, next: usize) -> Result<Vec<u8>, serde_json::Error> {
        let mut piece = if next == 0 { b"[".to_vec() } else { Vec::new() };
        let mut place = next;
        let directory = self.directory.clone();
        for alias in directory.contents().aliases.from_place(next) {
            place += 1;
            let is_other = self.domain.as_ref().is_some_and(|domain| alias.source.domain() != domain);
            if is_other || !self.actor.sees(&directory, alias) {
                continue;
            }
            if !std::mem::take(&mut self.is_first) {
                piece.push(b',');
            }
            serde_json::to_writer(&mut piece, &view(&directory, alias))?;
            if piece.len() >= PIECE_BYTES {
                self.next = Some(place);
                return Ok(piece);
            }
        }
        piece.push(b']');
        self.next = None;
        Ok(piece)
    }
}

impl hyper::body::Body for AliasList {
    type Data = Bytes;
    type Error = serde_json::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, serde_json::Error>>> {
        let piece = self.next.map(|next| self.piece(next));
        Poll::Ready(piece.map(|piece| piece.map(|piece| Frame::data(piece.into()))))
    }
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
    Body(patch): Body<Map<String, Value>>,
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
