//! What deliveries use: connections to other hosts, and what a job needs until it is settled.
//!
//! Invariant: the code that opens connections gets the [`Connector`] and neither the lanes nor the outbox.

use std::sync::Arc;

use net::{ClientTls, Network, Resolver};
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

/// Length of a lease, longer than any job can last; a restart releases all claims.
const LEASE_MS: i64 = 24 * 3_600_000;

/// What opens connections to other hosts.
#[derive(Debug)]
pub(crate) struct Connector {
    pub shared: Shared,
    pub network: Network,
    pub resolver: Resolver,
    pub tls: ClientTls,
    /// Our own MX ports: a route to one of them on this host is a loop.
    pub own_ports: Vec<u16>,
    /// Limits connections, by host.
    pub connection_limits: ConnectionLimits,
    /// The circuit breakers.
    pub breakers: Arc<Breakers>,
    /// Whether mail may leave over IPv6.
    pub ipv6: Ipv6Fitness,
    /// The MTA-STS policies of others.
    pub sts: StsPolicies,
    /// Which hosts offer TLS.
    pub tls_history: TlsHistory,
    /// TLS results, for the reports to other domains.
    pub results: Results,
    /// Random start of the rotation of hosts with equal preference.
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
    /// Detects steps of the wall clock.
    pub clock_steps: ClockSteps,
    /// Whether the server is shutting down.
    pub closing: Closing,
    /// Notified when a host refuses mail for failed authentication.
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

/// Returns when a claim made now expires, in Unix milliseconds.
pub(crate) fn lease_ms(now_ms: i64) -> i64 {
    now_ms.saturating_add(LEASE_MS)
}
