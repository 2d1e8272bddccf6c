//! What every wing may need of the server, and what one message sees of it.
//!
//! A wing's own context adds what only that wing and those above it touch: `notify::outbox::Outbox`, `reporting::schedule::Reporter`,
//! `deliver::outbound::Outbound`, `accept::pipeline::Pipeline`, `receive::inbound::Inbound`. Invariant: a message is judged by one [`Snapshot`], so
//! that a change in the middle of it is in force for the next one.

use std::sync::Arc;

use directory::Directory;
use events::{Event, EventKind, Events};
use net::Clock;
use store::{Store, StoreError};

use crate::settings::{LiveSettings, Settings};
use crate::support::directory_cache::LiveDirectory;

/// Settings, durable state, time, directory and events. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    /// Settings, which a reload replaces.
    pub settings: LiveSettings,
    /// Durable state.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The directory, which changes replace.
    pub directory: Arc<LiveDirectory>,
    /// Where events go.
    pub events: Events,
}

/// The settings and the directory in force when a message or a command came.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub settings: Arc<Settings>,
    pub directory: Arc<Directory>,
}

impl Shared {
    /// Records that the store failed; the log line says what could not be done.
    pub fn record_store_failure(&self, error: &StoreError) {
        self.events.record_with(|| Event::new(EventKind::StoreFailed, self.clock.now_ms()).reason(Some(error.to_string())));
    }

    /// The part of a limit for all nodes that this one has: they share it evenly, rounded up. So what clients and hosts see in sum exceeds it by less than
    /// one for each node.
    pub fn part_of(&self, limit: u32) -> u32 {
        limit.div_ceil(self.store.serving_nodes())
    }

    /// As [`Self::part_of`], of connections to a host.
    pub fn connections_per_host(&self) -> usize {
        let nodes = usize::try_from(self.store.serving_nodes()).unwrap_or(usize::MAX);
        self.settings.load().delivery.connections_per_host.div_ceil(nodes)
    }

    /// The settings and the directory in force now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { settings: self.settings.load_full(), directory: self.directory.current() }
    }
}
