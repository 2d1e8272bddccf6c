//! What takes the events of the running server: metrics, notices, the live page, history.
//!
//! Invariant: the server starts and mail flows without a history, whatever is wrong with its file.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use events::{Event, EventSink, Events};
use history::{History, HistoryOptions};
use metrics::Metrics;
use mta::Handles;
use net::Clock;
use owner_page::LiveEvents;
use tokio::sync::mpsc::Receiver;

use super::certificates::ServerCertificates;
use super::notices::settings::NoticeSettings;
use super::notices::{NoticeSink, Notices};
use crate::config::Config;

/// The observers, and the handle that gives them each event.
pub(super) struct Observers {
    pub events: Events,
    pub counted: Arc<Metrics>,
    pub live: LiveEvents,
    pub history: Option<History>,
}

/// Notices that wait for the server whose routes they use.
pub(super) struct PendingNotices {
    settings: NoticeSettings,
    events: Receiver<Arc<Event>>,
}

impl PendingNotices {
    /// Starts to send them.
    pub fn start(self, config: &Config, server: Handles, certificates: Arc<ServerCertificates>) -> Arc<Notices> {
        Arc::new(Notices::start(config, self.settings, self.events, server, certificates))
    }
}

impl Observers {
    /// Opens the history and starts to count.
    ///
    /// # Errors
    /// The settings of notices are invalid.
    pub async fn start(config: &Config, clock: &Clock) -> Result<(Self, PendingNotices)> {
        let settings = NoticeSettings::of(&config.file).map_err(|error| anyhow!(error))?;
        let (live, counted) = (LiveEvents::new(), Arc::new(Metrics::default()));
        let (noticed, to_notice) = NoticeSink::new(settings.new_senders);
        let history = open_history(config, clock).await;
        let mut sinks: Vec<Arc<dyn EventSink>> = vec![counted.clone(), noticed, Arc::new(live.clone())];
        sinks.extend(history.clone().map(|history| Arc::new(history) as Arc<dyn EventSink>));
        let events = Events::new(sinks);
        // That a damaged history was moved aside.
        history.as_ref().and_then(|history| history.damage_at_start(clock.now_ms())).into_iter().for_each(|event| events.record(event));
        Ok((Self { events, counted, live, history }, PendingNotices { settings, events: to_notice }))
    }

    /// Writes the last events.
    pub async fn close(self) {
        if let Some(history) = self.history {
            history.close().await;
        }
    }
}

/// Opens the history; `None` if it is off or its thread cannot be started.
async fn open_history(config: &Config, clock: &Clock) -> Option<History> {
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
