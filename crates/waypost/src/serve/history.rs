//! The history of a running server.
//!
//! Invariant: the server starts and mail flows without it, whatever is wrong with its file.

use anyhow::Result;
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
