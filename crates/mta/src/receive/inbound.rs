//! What sessions may use.
//!
//! Invariant: a session reaches the queue only through the pipeline.

use std::sync::Arc;

use net::{ServerTls, TrustedProxies};

use crate::accept::hourly_limit::HourlyLimit;
use crate::accept::over_limit::SendLimits;
use crate::accept::pipeline::{Pipeline, Verifier};
use crate::context::Shared;
use crate::deliver::breakers::Breakers;
use crate::receive::auth::authenticator::Authenticator;
use crate::receive::content_quota::ContentQuota;
use crate::receive::known_networks::KnownNetworks;
use crate::receive::own_checks::OwnChecks;
use crate::receive::pressure::Pressure;
use crate::support::node_switch::NodeSwitch;
use crate::support::shutdown::Closing;

/// What a session may use.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub shared: Shared,
    /// Takes complete messages.
    pub pipeline: Arc<Pipeline>,
    /// Authenticates messages from clients without a login.
    pub verifier: Verifier,
    pub logins: Arc<Authenticator>,
    /// Counts what accounts send.
    pub send_limits: Arc<SendLimits>,
    /// Our certificates.
    pub tls: Option<ServerTls>,
    /// The load balancers whose word about a client's address is believed.
    pub proxies: TrustedProxies,
    /// Memory for incoming content.
    pub arriving: ContentQuota,
    /// Whether the server is under stress.
    pub pressure: Pressure,
    /// Networks that have used the server before.
    pub known: KnownNetworks,
    /// Whether the server takes new mail.
    pub node: NodeSwitch,
    /// The names of the server's own checks.
    pub own_checks: OwnChecks,
    /// DSNs, by return address.
    pub bounces: HourlyLimit,
    /// The circuit breakers, which know the mailboxes that accept nothing now.
    pub breakers: Arc<Breakers>,
    pub closing: Closing,
}
