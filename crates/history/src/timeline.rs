//! The events of a message, and the messages that a filter selects.
//!
//! A message for several targets leaves as several queue IDs, it may be queued again in another form, and DSNs report on it: all of them are one timeline.
//! Invariant: a timeline is complete whichever of its queue IDs it is asked by, up to [`MEMBERS_MAX`] of them and [`EVENTS_MAX`] events.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use events::{Event, Fact};
use mail::QueueId;
use rusqlite::Connection;

use crate::clue::Clue;
use crate::error::HistoryError;
use crate::filter::Filter;
use crate::found::Found;
use crate::recorded::{Page, Recorded};
use crate::scan::{Order, Scanner};

/// Maximum events of one timeline.
const EVENTS_MAX: usize = 2000;

/// Maximum queue IDs of one timeline.
const MEMBERS_MAX: usize = 64;

/// How much earlier than its queue ID says a message's first event may be, in milliseconds.
const EARLIER_MS: i64 = 60_000;

/// The events of one message.
pub(crate) struct Timeline {
    /// The queue ID that the message was received under.
    pub root: QueueId,
    /// The events, in the order in which they were recorded.
    pub events: Vec<Recorded>,
}

/// Returns the events about a queue ID, and about the messages that it came from and that came from it.
pub(crate) fn timeline(scanner: &Scanner<'_>, id: QueueId) -> Result<Timeline, HistoryError> {
    let mut events: BTreeMap<i64, Recorded> = BTreeMap::new();
    let (mut known, mut waiting) = (BTreeSet::new(), BTreeSet::from([id]));
    while let Some(next) = waiting.pop_first() {
        if known.len() >= MEMBERS_MAX || events.len() >= EVENTS_MAX {
            break;
        }
        known.insert(next);
        let mut filter = Filter::of_clue(Clue::of_message(next));
        filter.since_ms = Some(next.made_ms().saturating_sub(EARLIER_MS));
        scanner.scan(&filter, Order::Oldest { after: 0 }, &mut |recorded| {
            waiting.extend(relatives(&recorded.event).filter(|other| !known.contains(other)));
            events.insert(recorded.id, recorded);
            if events.len() >= EVENTS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    // IDs rise: what came from a message has a greater one.
    let events: Vec<Recorded> = events.into_values().collect();
    let root = events.iter().flat_map(|recorded| relatives(&recorded.event)).min().unwrap_or(id);
    Ok(Timeline { root, events })
}

/// The queue IDs that an event names.
fn relatives(event: &Event) -> impl Iterator<Item = QueueId> {
    let named = event.facts.iter().filter(|(fact, _)| matches!(fact, Fact::About | Fact::Copies));
    event.queue_id.into_iter().chain(named.flat_map(|(_, ids)| ids.split(' ').filter_map(|id| id.parse().ok())))
}

/// Returns the messages that a filter selects, and events that belong to no message, newest first, from before a cursor on.
pub(crate) fn find(db: &Connection, filter: &Filter, cursor: Option<i64>, limit: usize) -> Result<Page<Found>, HistoryError> {
    let scanner = Scanner::new(db)?;
    let before = cursor.unwrap_or(i64::MAX);
    let mut items: Vec<Found> = Vec::new();
    let mut seen: BTreeSet<QueueId> = BTreeSet::new();
    let mut failed = None;
    let next = scanner.scan(filter, Order::Newest { before }, &mut |recorded| {
        match recorded.event.queue_id {
            None => items.push(Found::of_event(&recorded)),
            Some(id) if seen.contains(&id) => return ControlFlow::Continue(()),
            Some(id) => match timeline(&scanner, id) {
                Ok(Timeline { root, events }) => {
                    seen.extend(events.iter().filter_map(|other| other.event.queue_id));
                    // Otherwise a page before this one has the message, by a newer event.
                    if !events.iter().any(|other| other.id >= before && filter.matches(&other.event)) {
                        items.extend(Found::of_message(root, &events));
                    }
                }
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            },
        }
        if items.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(Page { items, next }),
    }
}
