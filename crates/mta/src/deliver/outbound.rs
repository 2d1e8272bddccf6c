//! What deliveries touch: the ways to other hosts, and what a job needs until it is settled.
//!
//! Invariant: whoever opens a connection gets the [`Connector`] and neither the queue nor the outbox.

use std::sync::Arc;

use net::{ClientTls, Resolver};
use tokio::sync::Notify;

use crate::context::Shared;
use crate::deliver::breakers::Breakers;
use crate::deliver::clock_step::ClockSteps;
use crate::deliver::connection_limit::ConnectionLimits;
use crate::deliver::ipv6::Ipv6Fitness;
use crate::deliver::lane::Lanes;
use crate::deliver::mta_sts::StsPolicies;
use crate::deliver::tls_history::TlsHistory;
use crate::deliver::window::Window;
use crate::notify::outbox::Outbox;
use crate::reporting::tally::Results;
use crate::support::large_contents::LargeContents;
use crate::support::shutdown::Closing;

/// A claim lasts longer than any job can; a restart releases it.
const LEASE_MS: i64 = 24 * 3_600_000;

/// What opens connections to other hosts.
#[derive(Debug)]
pub(crate) struct Connector {
    pub shared: Shared,
    pub resolver: Resolver,
    pub tls: ClientTls,
    /// The ports on which we take mail from other servers: a route to one of them on this machine is a loop.
    pub own_ports: Vec<u16>,
    /// Connections, by host.
    pub connection_limits: ConnectionLimits,
    /// What hosts have asked us to stop.
    pub breakers: Arc<Breakers>,
    /// Whether mail may leave over IPv6.
    pub ipv6: Ipv6Fitness,
    /// The MTA-STS policies of others.
    pub sts: StsPolicies,
    /// Which hosts offer TLS.
    pub tls_history: TlsHistory,
    /// How TLS with others went, for the reports to them.
    pub results: Results,
    /// Where this run begins to spread hosts of equal preference.
    pub spread: u32,
}

/// What a delivery needs.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub connector: Connector,
    /// Sends DSNs, and wakes the dispatcher.
    pub outbox: Outbox,
    pub lanes: Lanes,
    /// Room in memory for jobs.
    pub window: Window,
    /// Room for large contents in memory.
    pub large: Arc<LargeContents>,
    /// Whether the wall clock was set.
    pub clock_steps: ClockSteps,
    /// Whether the server closes.
    pub closing: Closing,
    /// Notified when a host does not believe who we are.
    pub doubts: Arc<Notify>,
}

impl Outbound {
    /// Settings, store, clock and directory.
    pub fn shared(&self) -> &Shared {
        &self.connector.shared
    }

    /// The circuit breakers.
    pub fn breakers(&self) -> &Breakers {
        &self.connector.breakers
    }
}

/// When a claim made now ends, Unix milliseconds.
pub(crate) fn lease_ms(now_ms: i64) -> i64 {
    now_ms.saturating_add(LEASE_MS)
}
