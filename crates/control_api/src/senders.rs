//! `/api/v1/aliases/{source}/senders`: senders that an alias blocks, or never holds.
//!
//! Invariant: additions and removals apply to the lists in force, so that two changes at once lose nothing.

use axum::Json;
use axum::extract::{Path, State};
use directory::{AliasOptions, AliasSource, SenderList, SenderPattern};
use store::DirectoryChange;

use crate::actor::Actor;
use crate::api::{Changed, SendersChange};
use crate::changes::{DirectoryEditor, existing};
use crate::error::ApiError;
use crate::extract::{Body, parsed, parsed_name};

/// Adds and removes senders.
pub(crate) async fn change(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    Path(source): Path<String>,
    Body(change): Body<SendersChange>,
) -> Result<Json<Changed>, ApiError> {
    let source: AliasSource = parsed("an alias", &source)?;
    let edit = editor.begin(&actor).await;
    let directory = edit.directory();
    existing(&actor, &directory, &source)?;
    let options = directory.contents().alias_options.get(&source.key()).cloned().unwrap_or_default();
    let options = AliasOptions {
        blocked: changed(options.blocked, &change.block, &change.unblock)?,
        allowed: changed(options.allowed, &change.allow, &change.disallow)?,
        ..options
    };
    let words = words(&change);
    if words.is_empty() {
        return Err(ApiError::bad("no sender is named").hint("name one in block, unblock, allow or disallow"));
    }
    Ok(Json(edit.commit(format!("{source}: {words}"), vec![DirectoryChange::SetAliasOptions(source, options)]).await?))
}

/// Returns the list with these added and those removed; `None` if nothing is left.
fn changed(list: Option<SenderList>, add: &[String], remove: &[String]) -> Result<Option<SenderList>, ApiError> {
    let patterns = |texts: &[String]| texts.iter().map(|text| parsed_name("a sender", text)).collect::<Result<Vec<SenderPattern>, _>>();
    let (add, remove) = (patterns(add)?, patterns(remove)?);
    let before: Vec<String> = list.map(Vec::from).unwrap_or_default();
    let is_kept = |text: &String| !remove.iter().any(|pattern| pattern.to_string() == *text);
    let all: Vec<String> = before.into_iter().filter(is_kept).chain(add.iter().map(SenderPattern::to_string)).collect();
    if all.is_empty() { Ok(None) } else { SenderList::try_from(all).map(Some).map_err(ApiError::conflict) }
}

fn words(change: &SendersChange) -> String {
    let named = [
        ("blocked", &change.block),
        ("no longer blocked", &change.unblock),
        ("never held", &change.allow),
        ("held if doubtful", &change.disallow),
    ];
    let parts =
        named.into_iter().filter(|(_, senders)| !senders.is_empty()).map(|(what, senders)| format!("{what}: {}", senders.join(" ")));
    parts.collect::<Vec<_>>().join("; ")
}
