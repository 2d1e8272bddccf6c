//! `/events`: tells open pages that something happened, by server-sent events; the page then fetches its list again.
//!
//! WHATWG HTML s.9.2. Invariants: an event carries no content, only the name of its group, so that a page shows what the API lets its visitor see;
//! a slow reader loses events, and nothing waits for it.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::routing::get;
use events::{Event, EventSink, Group};
use futures_util::StreamExt;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use crate::screen::{PageState, Screen};

/// Events that a reader may be behind.
const BEHIND_MAX: usize = 256;

/// The events as they happen: a sink of the server, and the source of `/events`. Clones share it.
#[derive(Clone)]
pub struct LiveEvents(broadcast::Sender<Arc<Event>>);

impl LiveEvents {
    /// Returns a source without readers.
    pub fn new() -> Self {
        Self(broadcast::channel(BEHIND_MAX).0)
    }
}

impl Default for LiveEvents {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LiveEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveEvents").field("readers", &self.0.receiver_count()).finish()
    }
}

impl EventSink for LiveEvents {
    fn record(&self, event: &Arc<Event>) {
        // Without a reader there is nothing to do.
        let _ = self.0.send(event.clone());
    }
}

pub(crate) fn routes() -> Router<PageState> {
    Router::new().route("/events", get(stream))
}

async fn stream(State(state): State<PageState>, _screen: Screen) -> impl IntoResponse {
    let stream = BroadcastStream::new(state.live().0.subscribe()).map(|event| {
        // A reader that is behind fetches everything again.
        let group = event.map_or("all", |event| group_name(event.kind.group()));
        Ok::<_, Infallible>(Sent::default().event(group).data("1"))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(20)))
}

/// Returns the name of a group, as in the attribute `data-live` of a list.
fn group_name(group: Group) -> &'static str {
    match group {
        Group::Session => "session",
        Group::Message => "message",
        Group::Delivery => "delivery",
        Group::Login => "login",
        Group::Change => "change",
        Group::Server => "server",
    }
}
