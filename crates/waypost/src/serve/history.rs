//! The history of a running server.
//!
//! Invariant: the server starts and mail flows without it, whatever is wrong with its file.

use std::sync::Arc;

use anyhow::Result;
use events::{EventSink, Events};
use history::{History, HistoryOptions};
use net::Clock;

use crate::config::Config;

/// Opens the history; `None` if it is off or its thread cannot be started.
pub async fn start(config: &Config, clock: &Clock) -> Option<History> {
    let options = &config.file.history;
    if !options.enabled {
        return None;
    }
    let data = config.file.data_dir.clone();
    let keep = HistoryOptions {
        days: u32::try_from(options.days.0).unwrap_or(u32::MAX),
        max_bytes: options.max_mib.0.saturating_mul(1 << 20),
        subjects: options.subjects,
    };
    let now_ms = clock.now_ms();
    let opened: Result<History> = net::blocking(move || Ok(History::start(&data, keep, now_ms)?)).await;
    opened.inspect_err(|error| tracing::error!(%error, "cannot start the history; mail flows without it")).ok()
}

/// Returns a handle that gives each event to these sinks and the history, after the event that a damaged history was moved aside.
pub fn events(mut sinks: Vec<Arc<dyn EventSink>>, history: Option<&History>, now_ms: i64) -> Events {
    sinks.extend(history.map(|history| Arc::new(history.clone()) as Arc<dyn EventSink>));
    let events = Events::new(sinks);
    history.and_then(|history| history.damage_at_start(now_ms)).into_iter().for_each(|event| events.record(event));
    events
}
