//! `/api/v1/pauses`: mailboxes and hosts whose deliveries are paused at the request of a host (circuit breakers), and their resumption.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use mail::Mailbox;
use mta::Resumption;
use policy::{Pause, ReplyScope};
use store::Store;

use crate::actor::Actor;
use crate::api::{Changed, Page, PageQuery, PauseView, Resume};
use crate::control::Control;
use crate::error::ApiError;
use crate::extract::{Body, Params};
use crate::paging::page;
use crate::recorder::Recorder;

fn view(pause: Pause) -> PauseView {
    let is_mailbox = pause.scope == ReplyScope::Target;
    let resume = pause.about.split(' ').next().unwrap_or_default().to_owned();
    PauseView { kind: pause.scope.to_string(), is_mailbox, about: pause.about, until_ms: pause.until_ms, why: pause.why, resume }
}

/// Returns the pauses; none without a running server.
pub(crate) fn pauses(control: &dyn Control) -> Vec<PauseView> {
    control.pauses().map(|pauses| pauses.list().into_iter().map(view).collect()).unwrap_or_default()
}

/// Returns the pauses of these mailboxes.
pub(crate) fn pauses_of(control: &dyn Control, mailboxes: &[Mailbox]) -> Vec<PauseView> {
    let keys: Vec<String> = mailboxes.iter().map(|mailbox| mailbox.to_string().to_ascii_lowercase()).collect();
    pauses(control).into_iter().filter(|pause| pause.is_mailbox && keys.contains(&pause.about)).collect()
}

pub(crate) async fn list(
    State(control): State<Arc<dyn Control>>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<PauseView>>, ApiError> {
    Ok(Json(page(&query, pauses(control.as_ref()), |pause| format!("{} {}", pause.about, pause.kind))?))
}

pub(crate) async fn resume(
    actor: Actor,
    State(recorder): State<Recorder>,
    State(control): State<Arc<dyn Control>>,
    State(store): State<Store>,
    Body(resume): Body<Resume>,
) -> Result<Json<Changed>, ApiError> {
    let about = resume.about.trim();
    let Some(pauses) = control.pauses() else {
        return Err(ApiError::conflict("the server is not running, so nothing is paused").hint("start it: waypost serve"));
    };
    let Resumption { here, is_shared, due } = pauses.resume_everywhere(&store, about).await?;
    let place = match (here, is_shared) {
        (0, false) => return Err(ApiError::missing(format!("{about} is not paused")).hint("waypost queue paused shows all pauses")),
        (0, true) => ", which this node has not paused, on the other nodes",
        (_, false) => "",
        (_, true) => " on all nodes",
    };
    let changed = format!("resumed {about}{place}; {due} waiting recipients are tried now");
    recorder.server(&actor, "pause", &changed);
    Ok(Json(Changed { changed, warnings: Vec::new() }))
}
