//! The tasks that look at what mail depends on: DNS, disk, everything that `waypost doctor` checks.
//!
//! Invariant: they end when the value is dropped.

use control_api::ApiContext;
use mta::Server;

use super::health::{self, Health, HealthTask};
use super::{disk_watch, dns_watch};
use crate::config::Config;

/// The running watches.
pub(super) struct Watches {
    _dns: Option<dns_watch::Watch>,
    _health: HealthTask,
    _disk: disk_watch::DiskWatch,
}

impl Watches {
    /// Starts all of them.
    pub fn start(config: &Config, health: Health, context: &ApiContext, server: &Server) -> Self {
        let router = control_api::operator_router(context.clone());
        let dns = dns_watch::DnsWatch {
            path: config.path.clone(),
            store: context.store.clone(),
            router: router.clone(),
            postmaster: server.postmaster(),
            doubts: server.doubts(),
            events: context.events.clone(),
        };
        Self {
            _health: health::start(health, config.path.clone(), router),
            _dns: dns_watch::start(config, dns),
            _disk: disk_watch::start(context.store.clone(), context.clock.clone(), context.events.clone()),
        }
    }
}
