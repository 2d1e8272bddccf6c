//! `waypost trace` and `waypost log`: what the history has, in words.
//!
//! Invariant: both are clients of the API; text that came from mail stays in its line.

mod log;
mod moment;
mod trace;

use anyhow::Result;
use events::{Event, Level, one_event};
use serde::{Deserialize, Serialize};

use crate::output::{BAD, DIM, WARN, styled};
use crate::transport::{Transport, with_query};

pub(super) use log::log;
pub(super) use trace::trace;

/// An event of the API.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct EventOf {
    id: i64,
    #[serde(flatten)]
    event: Event,
}

/// A page of events.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct EventsOf {
    items: Vec<EventOf>,
    #[serde(default)]
    next_cursor: Option<String>,
}

/// Returns a text in the colour of a level.
fn coloured(level: Level, text: &str) -> String {
    match level {
        Level::Info => text.to_owned(),
        Level::Warning => styled(WARN, text),
        Level::Error => styled(BAD, text),
    }
}

/// Returns an event as one line: time, queue ID, words.
fn line(event: &Event) -> String {
    let id = event.queue_id.map(|id| id.to_string()).unwrap_or_default();
    let time = styled(DIM, moment::time(event.at_ms));
    format!("{time}  {}  {}", styled(DIM, format!("{id:<13}")), coloured(event.kind.level(), &one_event(event)))
}

/// Prints events as they happen, as lines of text or JSON, until the server stops.
async fn follow(api: &mut Transport, query: &[(&str, Option<String>)], is_json: bool) -> Result<()> {
    let path = with_query("/api/v1/history/follow", query);
    api.lines(&path, |text| {
        let event: EventOf = serde_json::from_str(text)?;
        Ok(crate::output::print(&if is_json { text.to_owned() } else { line(&event.event) })?)
    })
    .await
}
