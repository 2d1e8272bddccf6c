//! Where events go.
//!
//! Invariant: a sink takes an event without waiting for anything and without failing.

use std::fmt;
use std::sync::Arc;

use crate::Event;

/// Takes events: history, metrics, notices, live views.
pub trait EventSink: Send + Sync {
    /// Takes an event. It must return at once.
    fn record(&self, event: &Arc<Event>);
}

/// All sinks. Clones share them.
#[derive(Clone, Default)]
pub struct Events(Arc<[Arc<dyn EventSink>]>);

impl Events {
    /// Returns a handle that gives each event to all of these.
    pub fn new(sinks: Vec<Arc<dyn EventSink>>) -> Self {
        Self(sinks.into())
    }

    /// Whether anything takes events.
    pub fn is_on(&self) -> bool {
        !self.0.is_empty()
    }

    /// Records the event that `make` returns, which is not called if nothing takes events.
    pub fn record_with(&self, make: impl FnOnce() -> Event) {
        if self.is_on() {
            self.record(make());
        }
    }

    /// Records an event.
    pub fn record(&self, event: Event) {
        if self.0.is_empty() {
            return;
        }
        let event = Arc::new(event);
        for sink in self.0.iter() {
            sink.record(&event);
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("sinks", &self.0.len()).finish()
    }
}
