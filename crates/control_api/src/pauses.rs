//! `/v1/pauses`: the mailboxes and hosts that get nothing for now since a host asked for that, and how a pause is ended.

use axum::Json;
use axum::extract::State;
use mail::{Domain, Mailbox};
use policy::{Pause, ReplyScope};

use crate::api::{Changed, PauseView, Resume};
use crate::error::ApiError;
use crate::extract::Body;
use crate::server::Shared;

fn view(pause: Pause) -> PauseView {
    let is_mailbox = pause.scope == ReplyScope::Target;
    let resume = pause.about.split(' ').next().unwrap_or_default().to_owned();
    PauseView { kind: pause.scope.to_string(), is_mailbox, about: pause.about, until_ms: pause.until_ms, why: pause.why, resume }
}

/// The pauses; none where no server runs.
pub(crate) fn pauses(shared: &Shared) -> Vec<PauseView> {
    shared.handles.pauses.as_ref().map(|pauses| pauses.list().into_iter().map(view).collect()).unwrap_or_default()
}

/// Of these mailboxes.
pub(crate) fn pauses_of(shared: &Shared, mailboxes: &[Mailbox]) -> Vec<PauseView> {
    let keys: Vec<String> = mailboxes.iter().map(|mailbox| mailbox.to_string().to_ascii_lowercase()).collect();
    pauses(shared).into_iter().filter(|pause| pause.is_mailbox && keys.contains(&pause.about)).collect()
}

pub(crate) async fn list(State(shared): State<Shared>) -> Json<Vec<PauseView>> {
    Json(pauses(&shared))
}

pub(crate) async fn resume(State(shared): State<Shared>, Body(resume): Body<Resume>) -> Result<Json<Changed>, ApiError> {
    let about = resume.about.trim();
    let Some(pauses) = &shared.handles.pauses else {
        return Err(ApiError::conflict("no server runs, so nothing is paused").hint("start it: waypost serve"));
    };
    if pauses.resume(about) == 0 {
        return Err(ApiError::missing(format!("{about} is not paused")).hint("waypost queue paused shows what is"));
    }
    // What waits for a mailbox has been put off until the end of the pause, and longer.
    let domain = Mailbox::parse(about).map(|mailbox| mailbox.domain).or_else(|_| Domain::parse(about)).ok();
    let due = match domain {
        Some(domain) => shared.handles.store.retry(None, Some(domain), shared.handles.clock.now_ms()).await?,
        None => 0,
    };
    pauses.wake();
    tracing::info!(about, due, "a pause was ended, by request");
    Ok(Json(Changed {
        changed: format!("{about} gets mail again; {due} recipients that were waiting are tried now"),
        warnings: Vec::new(),
    }))
}
