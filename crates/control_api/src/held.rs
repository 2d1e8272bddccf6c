//! `/api/v1/held` and `/api/v1/failed`: held mail, and deliveries that failed without a DSN.
//!
//! Invariant: a held message is released or dropped as a whole, and only once.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use mail::QueueId;
use mta::Headline;
use store::{FailedDelivery, ListFilter, Store};

use crate::actor::Actor;
use crate::api::{Changed, FailedView, Page, PageQuery, QueueQuery, QueuedMessage, Release};
use crate::control::Control;
use crate::error::ApiError;
use crate::extract::{Body, Params, parsed};
use crate::paging::{cut, page_limit};
use crate::queue::page;
use crate::recorder::Recorder;

pub(crate) async fn list(State(store): State<Store>, Params(query): Params<QueueQuery>) -> Result<Json<Page<QueuedMessage>>, ApiError> {
    let mut page = page(&store, query, Some(true)).await?;
    for message in &mut page.items {
        add_headline(&store, message).await;
    }
    Ok(Json(page))
}

/// Adds author and subject, unless the content cannot be read.
async fn add_headline(store: &Store, message: &mut QueuedMessage) {
    let Ok(id) = message.id.parse() else { return };
    if let Ok(content) = store.content(id).await {
        let headline = Headline::of(content.front());
        (message.author, message.subject) = (Some(headline.author), Some(headline.subject));
    }
}

async fn check_held(store: &Store, id: QueueId) -> Result<(), ApiError> {
    let filter = ListFilter { after: None, limit: 1, only: Some(id), address: None, held: Some(true) };
    match store.list(filter).await?.pop() {
        Some(_) => Ok(()),
        None => Err(ApiError::missing(format!("message {id} is not held")).hint("waypost held list shows the held messages")),
    }
}

pub(crate) async fn show(State(store): State<Store>, Path(id): Path<String>) -> Result<Json<QueuedMessage>, ApiError> {
    check_held(&store, parsed("a queue ID", &id)?).await?;
    let Json(mut message) = crate::queue::show(State(store.clone()), Path(id)).await?;
    add_headline(&store, &mut message).await;
    Ok(Json(message))
}

pub(crate) async fn release(
    actor: Actor,
    State(recorder): State<Recorder>,
    State(store): State<Store>,
    State(control): State<Arc<dyn Control>>,
    Path(id): Path<String>,
    Body(how): Body<Release>,
) -> Result<Json<Changed>, ApiError> {
    let id: QueueId = parsed("a queue ID", &id)?;
    check_held(&store, id).await?;
    let leaves_as = control.release(id, how.wrapped).await?;
    control.retry();
    let form = if how.wrapped { "wrapped in a message of this server" } else { "unchanged" };
    let changed = format!("released message {id}, {form}");
    recorder.released(&actor, id, leaves_as, &changed);
    Ok(Json(Changed { changed, warnings: Vec::new() }))
}

pub(crate) async fn remove(
    actor: Actor,
    State(store): State<Store>,
    State(recorder): State<Recorder>,
    Path(id): Path<String>,
) -> Result<Json<Changed>, ApiError> {
    let id: QueueId = parsed("a queue ID", &id)?;
    check_held(&store, id).await?;
    store.remove(id, None).await?;
    let changed = format!("dropped held message {id}");
    recorder.dropped(&actor, id, &changed);
    Ok(Json(Changed { changed, warnings: Vec::new() }))
}

pub(crate) async fn failed(State(store): State<Store>, Params(query): Params<PageQuery>) -> Result<Json<Page<FailedView>>, ApiError> {
    let limit = page_limit(query.limit)?;
    let before: Option<i64> = query.cursor.map(|cursor| parsed("a cursor", &cursor)).transpose()?;
    let view = |f: FailedDelivery| FailedView {
        id: f.message.to_string(),
        at_ms: f.at_ms,
        from: f.from,
        to: f.to,
        target: f.target,
        status: f.status,
        reason: f.reason,
    };
    let Page { items, next_cursor } = cut(limit, store.failed(before, limit + 1).await?, |(n, _)| n.to_string());
    Ok(Json(Page { items: items.into_iter().map(|(_, failed)| view(failed)).collect(), next_cursor }))
}
