//! An event in the history, with its number.

use std::sync::Arc;

use events::Event;
use serde::Serialize;

/// An event in the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Its number, which rises from event to event; a cursor.
    pub id: i64,
    /// The event.
    #[serde(flatten, serialize_with = "flat")]
    pub event: Arc<Event>,
}

fn flat<S: serde::Serializer>(event: &Arc<Event>, serializer: S) -> Result<S::Ok, S::Error> {
    event.as_ref().serialize(serializer)
}

/// One page of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` on the last page.
    #[serde(rename = "next_cursor")]
    pub next: Option<i64>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next: None }
    }
}
