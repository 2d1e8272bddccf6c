//! `/api/v1/history/follow`: events as they are recorded, one JSON object a line, for as long as the client reads.
//!
//! Resumable: with `after` it begins with the events after that one. Invariant: no event between two lines is left out; a client that falls behind gets
//! what it missed from the file.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use history::{Filter, History, HistoryError, Recorded};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::actor::Actor;
use crate::api::HistoryQuery;
use crate::error::ApiError;
use crate::extract::Params;
use crate::history::{on, selection, view};

/// Events that are read from the file at once.
const MISSED: usize = 500;

/// Interval of empty lines, by which a closed connection is noticed.
const BEAT: Duration = Duration::from_secs(15);

/// Events for one client.
struct Follow {
    actor: Actor,
    history: History,
    live: Receiver<Recorded>,
    filter: Filter,
    /// The last event that was sent or passed over; `None` until the first.
    last_id: Option<i64>,
    /// Whether events after the last one may be in the file only.
    is_behind: bool,
    waiting: VecDeque<Recorded>,
}

pub(crate) async fn follow(
    actor: Actor,
    State(history): State<Option<History>>,
    Params(query): Params<HistoryQuery>,
) -> Result<Response, ApiError> {
    let (filter, _, _) = selection(&actor, &query)?;
    let history = on(history)?;
    if !history.is_live() {
        return Err(ApiError::conflict("no server is running, so that nothing new will happen").hint("start it: systemctl start waypost"));
    }
    let live = history.follow();
    let is_behind = query.after.is_some();
    let follow = Follow { actor, history, live, filter, last_id: query.after, is_behind, waiting: VecDeque::new() };
    let lines = stream::unfold(follow, |mut follow| async move {
        let line = follow.line().await?;
        Some((Ok::<_, std::convert::Infallible>(line), follow))
    });
    Ok(([(CONTENT_TYPE, "application/jsonl")], Body::from_stream(lines)).into_response())
}

impl Follow {
    /// Returns the next line; `None` at the end.
    async fn line(&mut self) -> Option<Bytes> {
        loop {
            if let Some(recorded) = self.waiting.pop_front() {
                self.last_id = Some(recorded.id);
                let mut line = serde_json::to_vec(&view(&self.actor, recorded.id, &recorded.event)).ok()?;
                line.push(b'\n');
                return Some(line.into());
            }
            if self.is_behind {
                // A history that cannot be read ends the stream; the client comes again.
                self.read_missed().await.ok()?;
                continue;
            }
            match tokio::time::timeout(BEAT, self.live.recv()).await {
                Err(_) => return Some(Bytes::from_static(b"\n")),
                Ok(Ok(recorded)) if self.last_id.is_some_and(|last| recorded.id <= last) => {}
                Ok(Ok(recorded)) if self.filter.matches(&recorded.event) => self.waiting.push_back(recorded),
                Ok(Ok(recorded)) => self.last_id = Some(recorded.id),
                Ok(Err(RecvError::Lagged(_))) => self.is_behind = true,
                Ok(Err(RecvError::Closed)) => return None,
            }
        }
    }

    async fn read_missed(&mut self) -> Result<(), HistoryError> {
        let Some(after) = self.last_id else {
            self.is_behind = false;
            return Ok(());
        };
        let missed = self.history.events_after(self.filter.clone(), after, MISSED).await?;
        self.is_behind = missed.len() >= MISSED;
        self.waiting.extend(missed);
        Ok(())
    }
}
