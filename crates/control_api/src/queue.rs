//! `/api/v1/queue`: queued messages, why they wait, and until when.
//!
//! Invariant: the cost of a page does not depend on the length of the queue.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use mail::{Domain, QueueId};
use net::Clock;
use store::{LaneLoad, ListFilter, ListedMessage, Store};

use crate::actor::Actor;
use crate::api::{
    Changed, Count, DropQuery, Page, QueueAge, QueueLane, QueueLanes, QueueQuery, QueuedMessage, QueuedRecipient, Retry, Totals,
};
use crate::control::Control;
use crate::error::ApiError;
use crate::extract::{Body, Params, parsed};
use crate::paging::{cut, page_limit};
use crate::recorder::Recorder;

fn view(listed: ListedMessage) -> QueuedMessage {
    let recipients = listed.recipients.into_iter().map(|r| QueuedRecipient {
        index: r.index,
        to: r.mailbox,
        via: r.known_as,
        state: r.state.as_str().to_owned(),
        attempts: r.attempts,
        next_attempt_ms: r.next_attempt_ms,
        reason: r.reason,
    });
    QueuedMessage {
        id: listed.message.id.to_string(),
        flow: listed.message.flow.as_str().to_owned(),
        from: listed.message.reverse_path.to_bare(),
        size_bytes: listed.size_bytes,
        arrived_ms: listed.message.arrived_ms,
        expires_ms: listed.message.expires_ms,
        author: None,
        subject: None,
        recipients: recipients.collect(),
    }
}

pub(crate) async fn list(State(store): State<Store>, Params(query): Params<QueueQuery>) -> Result<Json<Page<QueuedMessage>>, ApiError> {
    Ok(Json(page(&store, query, None).await?))
}

/// Returns one page: held messages, others, or all.
pub(crate) async fn page(store: &Store, query: QueueQuery, held: Option<bool>) -> Result<Page<QueuedMessage>, ApiError> {
    let limit = page_limit(query.limit)?;
    let after = query.cursor.map(|id| parsed("a queue ID", &id)).transpose()?;
    // One more than requested shows whether there is a next page.
    let filter = ListFilter { after, limit: limit + 1, only: None, address: query.address.map(|a| a.to_lowercase()), held };
    let listed = store.list(filter).await?;
    Ok(cut(limit, listed.into_iter().map(view), |message| message.id.clone()))
}

fn missing(id: QueueId) -> ApiError {
    ApiError::missing(format!("message {id} is not in the queue")).hint("it may have been delivered; waypost queue list shows the queue")
}

async fn find(store: &Store, id: QueueId) -> Result<ListedMessage, ApiError> {
    let filter = ListFilter { after: None, limit: 1, only: Some(id), address: None, held: None };
    store.list(filter).await?.pop().ok_or_else(|| missing(id))
}

pub(crate) async fn show(State(store): State<Store>, Path(id): Path<String>) -> Result<Json<QueuedMessage>, ApiError> {
    Ok(Json(view(find(&store, parsed("a queue ID", &id)?).await?)))
}

pub(crate) async fn totals(State(store): State<Store>) -> Result<Json<Totals>, ApiError> {
    let totals = store.totals().await?;
    Ok(Json(Totals {
        messages: totals.messages,
        recipients: totals.recipients,
        set_aside: totals.set_aside,
        held: totals.held,
        held_bytes: totals.held_bytes,
    }))
}

/// Returns what waits, by lane and by age.
pub(crate) async fn lanes(State(store): State<Store>, State(clock): State<Clock>) -> Result<Json<QueueLanes>, ApiError> {
    let load = store.load(clock.now_ms()).await?;
    let lane = |lane: &LaneLoad| QueueLane { lane: lane.lane.clone(), recipients: lane.recipients, oldest_ms: lane.oldest_ms };
    let age = |(age, recipients): &(&str, u64)| QueueAge { age: (*age).to_owned(), recipients: *recipients };
    Ok(Json(QueueLanes { lanes: load.lanes.iter().map(lane).collect(), ages: load.by_age.iter().map(age).collect() }))
}

pub(crate) async fn retry(
    actor: Actor,
    State(recorder): State<Recorder>,
    State(store): State<Store>,
    State(clock): State<Clock>,
    State(control): State<Arc<dyn Control>>,
    Body(retry): Body<Retry>,
) -> Result<Json<Count>, ApiError> {
    let named = usize::from(retry.id.is_some()) + usize::from(retry.domain.is_some()) + usize::from(retry.all);
    if named != 1 {
        return Err(ApiError::bad("exactly one of id, domain and all is required"));
    }
    let id: Option<QueueId> = retry.id.map(|id| parsed("a queue ID", &id)).transpose()?;
    let lane: Option<Domain> = retry.domain.map(|name| parsed("a domain", &name)).transpose()?;
    if let Some(id) = id {
        find(&store, id).await?;
    }
    let recipients = store.retry(id, lane, clock.now_ms()).await?;
    recorder.server(&actor, "queue", &format!("retry of {recipients} recipients"));
    control.retry();
    Ok(Json(Count { recipients }))
}

pub(crate) async fn remove(
    actor: Actor,
    State(recorder): State<Recorder>,
    State(store): State<Store>,
    Path(id): Path<String>,
    Params(query): Params<DropQuery>,
) -> Result<Json<Changed>, ApiError> {
    let id: QueueId = parsed("a queue ID", &id)?;
    let found = find(&store, id).await?;
    let what = match query.recipient {
        None => format!("dropped message {id} with {} recipients", found.recipients.len()),
        Some(place) => {
            let Some(recipient) = found.recipients.iter().find(|r| r.index == place) else {
                return Err(ApiError::missing(format!("message {id} has no recipient {place}"))
                    .hint(format!("waypost queue show {id} shows their numbers")));
            };
            format!("dropped recipient {} of message {id}", recipient.mailbox)
        }
    };
    store.remove(id, query.recipient).await?;
    recorder.dropped(&actor, id, &what);
    Ok(Json(Changed { changed: what, warnings: Vec::new() }))
}
