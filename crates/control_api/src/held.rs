//! `/v1/held` and `/v1/failed`: mail that a person must look at, and deliveries that failed without anybody having been told.
//!
//! Invariant: a held message is released or dropped as a whole, and never twice.

use axum::Json;
use axum::extract::{Path, State};
use mail::QueueId;
use mta::Headline;
use store::{FailedDelivery, ListFilter};

use crate::api::{Changed, FailedView, QueuePage, QueueQuery, QueuedMessage, Release};
use crate::error::ApiError;
use crate::extract::{Body, Params, parsed};
use crate::queue::{PAGE, PAGE_MAX, page};
use crate::server::Shared;

pub(crate) async fn list(State(shared): State<Shared>, Params(query): Params<QueueQuery>) -> Result<Json<QueuePage>, ApiError> {
    let Json(mut page) = page(&shared, query, Some(true)).await?;
    for message in &mut page.messages {
        headline(&shared, message).await;
    }
    Ok(Json(page))
}

/// Adds author and subject. Content that cannot be read is no reason to show no list.
async fn headline(shared: &Shared, message: &mut QueuedMessage) {
    let Ok(id) = message.id.parse() else { return };
    if let Ok(content) = shared.handles.store.content(id).await {
        let headline = Headline::of(content.front());
        (message.author, message.subject) = (Some(headline.author), Some(headline.subject));
    }
}

async fn held(shared: &Shared, id: QueueId) -> Result<(), ApiError> {
    let filter = ListFilter { after: None, limit: 1, only: Some(id), address: None, held: Some(true) };
    match shared.handles.store.list(filter).await?.pop() {
        Some(_) => Ok(()),
        None => Err(ApiError::missing(format!("no message {id} is held")).hint("waypost held list shows what is")),
    }
}

pub(crate) async fn show(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<QueuePage>, ApiError> {
    held(&shared, parsed("a queue id", &id)?).await?;
    let Json(mut page) = crate::queue::show(State(shared.clone()), Path(id)).await?;
    for message in &mut page.messages {
        headline(&shared, message).await;
    }
    Ok(Json(page))
}

pub(crate) async fn release(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Body(how): Body<Release>,
) -> Result<Json<Changed>, ApiError> {
    let id: QueueId = parsed("a queue id", &id)?;
    held(&shared, id).await?;
    (shared.handles.release)(id, how.wrapped).await?;
    tracing::info!(%id, wrapped = how.wrapped, "released, by request");
    (shared.handles.retry)();
    let form = if how.wrapped { "within a message of this server" } else { "as it came" };
    Ok(Json(Changed { changed: format!("message {id} goes on, {form}"), warnings: Vec::new() }))
}

pub(crate) async fn remove(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<Changed>, ApiError> {
    let id: QueueId = parsed("a queue id", &id)?;
    held(&shared, id).await?;
    shared.handles.store.remove(id, None).await?;
    tracing::info!(%id, "held message dropped, by request");
    Ok(Json(Changed { changed: format!("held message {id} is dropped"), warnings: Vec::new() }))
}

pub(crate) async fn failed(State(shared): State<Shared>, Params(query): Params<QueueQuery>) -> Result<Json<Vec<FailedView>>, ApiError> {
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let view = |f: FailedDelivery| FailedView {
        id: f.message.to_string(),
        at_ms: f.at_ms,
        from: f.from,
        to: f.to,
        target: f.target,
        status: f.status,
        reason: f.reason,
    };
    Ok(Json(shared.handles.store.failed(limit).await?.into_iter().map(view).collect()))
}
