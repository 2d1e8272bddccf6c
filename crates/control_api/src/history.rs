//! `/api/v1/history`: events, messages by any clue, totals, use of aliases.
//!
//! Invariant: the mailbox behind an alias, and the reply that may name it, are shown to the operator and to owners only; for others a clue does not even
//! match them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use directory::AliasSource;
use events::{Event, EventKind, Group, Level};
use history::{AliasUse, Clue, Filter, Found, History, HistoryError, Sighting, UseCount, without_targets};
use mail::QueueId;
use mta::LiveDirectory;
use net::Clock;

use crate::actor::Actor;
use crate::api::{
    AliasCounts, AliasSender, AliasUseQuery, AliasUseView, AliasUses, FoundMessage, FoundPage, HistoryEvent, HistoryPage, HistoryQuery,
    HistoryTotal, HistoryTotals, TotalsQuery,
};
use crate::error::ApiError;
use crate::extract::{Params, parsed};
use crate::paging::page_limit;

/// Maximum aliases of one request.
const ALIASES_MAX: usize = 100;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Returns events, newest first.
pub(crate) async fn list(
    actor: Actor,
    State(history): State<Option<History>>,
    State(clock): State<Clock>,
    Params(query): Params<HistoryQuery>,
) -> Result<Json<HistoryPage>, ApiError> {
    let (filter, cursor, limit) = selection(&actor, &query)?;
    let page = on(history)?.events(filter, cursor, limit).await?;
    let items = page.items.iter().map(|recorded| view(&actor, recorded.id, &recorded.event)).collect();
    Ok(Json(HistoryPage { items, next_cursor: page.next.map(|next| next.to_string()), now_ms: clock.now_ms() }))
}

/// Returns messages with their results, newest first.
pub(crate) async fn messages(
    actor: Actor,
    State(history): State<Option<History>>,
    State(clock): State<Clock>,
    Params(query): Params<HistoryQuery>,
) -> Result<Json<FoundPage>, ApiError> {
    let (filter, cursor, limit) = selection(&actor, &query)?;
    let page = on(history)?.find(filter, cursor, limit).await?;
    let items = page.items.into_iter().map(|found| found_view(&actor, found)).collect();
    Ok(Json(FoundPage { items, next_cursor: page.next.map(|next| next.to_string()), now_ms: clock.now_ms() }))
}

/// Returns the events of one message, oldest first.
pub(crate) async fn message(
    actor: Actor,
    State(history): State<Option<History>>,
    State(clock): State<Clock>,
    Path(id): Path<String>,
) -> Result<Json<HistoryPage>, ApiError> {
    let id: QueueId = parsed("a queue ID", &id)?;
    let events = on(history)?.timeline(id).await?;
    if events.is_empty() {
        return Err(ApiError::missing(format!("the history has no message {id}"))
            .hint("it may be older than history.days, or waypost queue show may have it"));
    }
    let items = events.iter().map(|recorded| view(&actor, recorded.id, &recorded.event)).collect();
    Ok(Json(HistoryPage { items, next_cursor: None, now_ms: clock.now_ms() }))
}

/// Returns how many events of each kind there were, by hour or day.
pub(crate) async fn totals(
    State(history): State<Option<History>>,
    State(clock): State<Clock>,
    Params(query): Params<TotalsQuery>,
) -> Result<Json<HistoryTotals>, ApiError> {
    let step_ms = match query.step.as_deref() {
        None | Some("hour") => HOUR_MS,
        Some("day") => DAY_MS,
        Some(other) => return Err(ApiError::bad(format!("`{other}` is not a step")).hint("use hour or day")),
    };
    let now_ms = clock.now_ms();
    let totals = on(history)?.totals(query.since_ms.unwrap_or(now_ms - DAY_MS), step_ms).await?;
    let view = |total: history::Total| HistoryTotal {
        from_ms: total.from_ms,
        kind: total.kind.name().into(),
        flow: total.flow,
        count: total.count,
    };
    Ok(Json(HistoryTotals { items: totals.into_iter().map(view).collect(), now_ms }))
}

/// Returns how some aliases are used.
pub(crate) async fn aliases(
    actor: Actor,
    State(history): State<Option<History>>,
    State(live): State<Arc<LiveDirectory>>,
    State(clock): State<Clock>,
    Params(query): Params<AliasUseQuery>,
) -> Result<Json<AliasUses>, ApiError> {
    let names: Vec<&str> = query.sources.split(',').filter(|name| !name.is_empty()).collect();
    if names.len() > ALIASES_MAX {
        return Err(ApiError::bad(format!("{} aliases are more than {ALIASES_MAX}", names.len())).hint("ask for them in several requests"));
    }
    let directory = live.current();
    let is_seen = |name: &&str| {
        let source: Option<AliasSource> = name.parse().ok();
        let alias = source.and_then(|source| directory.contents().aliases.get(&source.key()));
        alias.is_some_and(|alias| actor.sees(&directory, alias))
    };
    let names: Vec<String> = names.into_iter().filter(is_seen).map(str::to_owned).collect();
    let uses = on(history)?.alias_uses(names.clone(), clock.now_ms()).await?;
    let items = names.into_iter().map(|alias| use_view(uses.get(&alias), alias)).collect();
    Ok(Json(AliasUses { items, next_cursor: None }))
}

/// Returns how one alias is used.
pub(crate) async fn alias(
    actor: Actor,
    history: State<Option<History>>,
    live: State<Arc<LiveDirectory>>,
    clock: State<Clock>,
    Path(source): Path<String>,
) -> Result<Json<AliasUseView>, ApiError> {
    let query = AliasUseQuery { sources: source.clone() };
    let found = aliases(actor, history, live, clock, Params(query)).await?;
    found.0.items.into_iter().next().map(Json).ok_or_else(|| ApiError::missing(format!("there is no alias {source}")))
}

/// Returns the history, or why there is none.
pub(crate) fn on(history: Option<History>) -> Result<History, ApiError> {
    history
        .ok_or_else(|| ApiError::conflict("the history is off").hint("set enabled = true in [history] of the configuration, then restart"))
}

/// Reads what is selected, the cursor and the limit.
pub(crate) fn selection(actor: &Actor, query: &HistoryQuery) -> Result<(Filter, Option<i64>, usize), ApiError> {
    let given = |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let clue = given(&query.clue).map(|clue| Clue::parse(&clue)).transpose().map_err(|error| ApiError::bad(error.to_string()))?;
    let mut filter =
        Filter { clue, since_ms: query.since_ms, until_ms: query.until_ms, without_targets: !sees_targets(actor), ..Filter::default() };
    for name in given(&query.kinds).iter().flat_map(|names| names.split(',')) {
        let kind = EventKind::of_name(name.trim());
        filter.kinds.push(kind.ok_or_else(|| {
            ApiError::bad(format!("`{name}` is not a kind of event")).hint("docs/events.md has their names, such as delivered or failed")
        })?);
    }
    if let Some(name) = given(&query.group) {
        let group = Group::ALL.iter().find(|group| group.name() == name);
        let names = || Group::ALL.iter().map(|group| group.name()).collect::<Vec<_>>().join(", ");
        filter = filter.group(
            *group.ok_or_else(|| ApiError::bad(format!("`{name}` is not a group of events")).hint(format!("use one of {}", names())))?,
        );
    }
    if let Some(name) = given(&query.level) {
        let level = Level::ALL.iter().find(|level| level.as_str() == name);
        filter = filter.level(*level.ok_or_else(|| ApiError::bad(format!("`{name}` is not a level")).hint("use info, warning or error"))?);
    }
    let cursor = given(&query.cursor).map(|cursor| parsed("a cursor", &cursor)).transpose()?;
    Ok((filter, cursor, usize::try_from(page_limit(query.limit)?).unwrap_or(usize::MAX)))
}

fn sees_targets(actor: &Actor) -> bool {
    actor.is_admin()
}

/// Returns an event as the actor may see it.
pub(crate) fn view(actor: &Actor, id: i64, event: &Event) -> HistoryEvent {
    let public;
    let event = if sees_targets(actor) {
        event
    } else {
        public = without_targets(event);
        &public
    };
    HistoryEvent {
        id,
        at_ms: event.at_ms,
        kind: event.kind.name().into(),
        queue_id: event.queue_id.map(|id| id.to_string()),
        message_id: event.message_id.clone(),
        from: event.from.clone(),
        to: event.to.clone(),
        target: event.target.clone(),
        client: event.client.map(|client| client.to_string()),
        host: event.host.clone(),
        login: event.login.clone(),
        reply: event.reply.clone(),
        reason: event.reason.clone(),
        facts: event.facts.iter().map(|(fact, value)| [fact.name().to_owned(), value.clone()]).collect(),
    }
}

fn found_view(actor: &Actor, found: Found) -> FoundMessage {
    let is_shown = sees_targets(actor) || found.result.group() != Group::Delivery;
    FoundMessage {
        queue_id: found.queue_id.map(|id| id.to_string()),
        at_ms: found.at_ms,
        last_ms: found.last_ms,
        message_id: found.message_id,
        from: found.from,
        to: found.to,
        result: found.result.name().into(),
        reply: found.reply.filter(|_| is_shown),
        reason: found.reason.filter(|_| is_shown),
        events: found.events,
    }
}

fn use_view(used: Option<&AliasUse>, alias: String) -> AliasUseView {
    let counts = |count: UseCount| AliasCounts { accepted: count.accepted, refused: count.refused };
    let sender = |seen: &Sighting| Some(AliasSender { from: seen.from.clone(), at_ms: seen.at_ms });
    match used {
        None => AliasUseView { alias, ..AliasUseView::default() },
        Some(used) => AliasUseView {
            alias,
            today: counts(used.today),
            week: counts(used.week),
            month: counts(used.month),
            first: sender(&used.first),
            last: sender(&used.last),
        },
    }
}

impl From<HistoryError> for ApiError {
    fn from(error: HistoryError) -> Self {
        let text = error.to_string();
        match error.is_damage() {
            true => Self::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, text)
                .hint("the server moves a damaged history aside with the next event, and begins a new one; mail is not affected"),
            false => Self::internal(text).hint("first check the disk and the permissions of history.db in the data directory"),
        }
    }
}
