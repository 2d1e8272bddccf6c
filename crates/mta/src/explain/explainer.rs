//! Explains messages, over the running server or over the data directory.
//!
//! Invariant: the running server's state is read only; what a stage would count or cache goes to copies that are dropped with the answer.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use net::{ClientTls, Clock, Network, Resolver};
use store::Store;

use crate::accept::inbound_report::ReadingLimit;
use crate::context::{Shared, Snapshot};
use crate::deliver::breakers::Breakers;
use crate::deliver::connection_limit::ConnectionLimits;
use crate::deliver::ipv6::Ipv6Fitness;
use crate::deliver::mta_sts::StsPolicies;
use crate::deliver::outbound::{Connector, Outbound};
use crate::deliver::tls_history::TlsHistory;
use crate::explain::explanation::{ExplainedDecision, Explanation};
use crate::explain::question::{ExplainRequest, Question};
use crate::explain::{content, deliveries, envelope};
use crate::receive::inbound::Inbound;
use crate::receive::listen::Sessions;
use crate::settings::LiveSettings;
use crate::support::directory_cache::LiveDirectory;
use crate::support::dkim_signers::Signing;
use crate::support::large_contents::LargeContents;
use crate::support::write_behind::WriteBehind;

/// The running server, as far as its state decides.
#[derive(Debug)]
pub(crate) struct RunningParts {
    pub inbound: Arc<Inbound>,
    pub outbound: Arc<Outbound>,
    pub sessions: Sessions,
}

#[derive(Debug)]
enum ExplainSide {
    Running(RunningParts),
    /// The data directory.
    Offline(PathBuf),
}

/// Explains what would happen to a message.
#[derive(Debug)]
pub struct Explainer {
    pub(super) shared: Shared,
    pub(super) resolver: Resolver,
    pub(super) signing: Signing,
    pub(super) large: LargeContents,
    pub(super) reading: ReadingLimit,
    tls: ClientTls,
    side: ExplainSide,
}

/// What an offline explainer is made of.
#[derive(Debug)]
pub struct OfflineParts {
    /// Settings.
    pub settings: LiveSettings,
    /// Durable state.
    pub store: Store,
    /// The directory.
    pub directory: Arc<LiveDirectory>,
    /// DNS.
    pub resolver: Resolver,
    /// TLS to other servers, for MTA-STS policies.
    pub tls: ClientTls,
    /// The data directory.
    pub data: PathBuf,
    /// The time.
    pub clock: Clock,
}

impl Explainer {
    /// Without a running server: nothing is paused, and no session is open.
    pub fn offline(parts: OfflineParts) -> Self {
        let OfflineParts { settings, store, directory, resolver, tls, data, clock } = parts;
        let shared = Shared { settings, store, clock, directory, events: events::Events::default() };
        Self::new(shared, resolver, tls, ExplainSide::Offline(data))
    }

    pub(crate) fn running(parts: RunningParts) -> Self {
        let Connector { shared, resolver, tls, .. } = &parts.outbound.connector;
        let shared = Shared { events: events::Events::default(), ..shared.clone() };
        let (resolver, tls) = (resolver.clone(), tls.clone());
        Self::new(shared, resolver, tls, ExplainSide::Running(parts))
    }

    fn new(shared: Shared, resolver: Resolver, tls: ClientTls, side: ExplainSide) -> Self {
        let (signing, large, reading) = (Signing::default(), LargeContents::default(), ReadingLimit::default());
        Self { shared, resolver, signing, large, reading, tls, side }
    }

    /// Explains a message.
    pub fn explain(&self, request: ExplainRequest) -> BoxFuture<'_, Explanation> {
        Box::pin(self.explained(request))
    }

    async fn explained(&self, request: ExplainRequest) -> Explanation {
        let snapshot = Snapshot { settings: self.shared.settings.load_full(), directory: self.shared.directory.refreshed().await };
        let question = Question::of(self, request).await;
        let mut explanation = Explanation {
            assumptions: question.assumptions.clone(),
            steps: Vec::new(),
            decision: ExplainedDecision::Accepted,
            deliveries: Vec::new(),
        };
        let connector = self.connector();
        if let Some(accepted) = envelope::explain(self, &connector, &snapshot, &question, &mut explanation).await
            && let Some(leaving) = content::explain(self, &snapshot, &question, accepted, &mut explanation).await
        {
            explanation.deliveries = deliveries::explain(self, &connector, &snapshot, leaving).await;
        }
        explanation
    }

    /// The running server's parts, if there is one.
    pub(super) fn parts(&self) -> Option<&RunningParts> {
        match &self.side {
            ExplainSide::Running(parts) => Some(parts),
            ExplainSide::Offline(_) => None,
        }
    }

    /// What finds routes: with the live circuit breakers, and with copies of what is cached and counted.
    fn connector(&self) -> Connector {
        let now_s = self.shared.clock.now_s();
        let (breakers, sts, own_ports, spread) = match &self.side {
            ExplainSide::Running(parts) => {
                let live = &parts.outbound.connector;
                (live.breakers.clone(), live.sts.copied(now_s), live.own_ports.clone(), live.spread)
            }
            ExplainSide::Offline(data) => (Arc::new(Breakers::default()), StsPolicies::open(data).copied(now_s), Vec::new(), 0),
        };
        Connector {
            shared: self.shared.clone(),
            network: Network::system(),
            resolver: self.resolver.clone(),
            tls: self.tls.clone(),
            own_ports,
            connection_limits: ConnectionLimits::default(),
            breakers,
            ipv6: Ipv6Fitness::default(),
            sts,
            tls_history: TlsHistory::default(),
            results: WriteBehind::nowhere(),
            spread,
        }
    }
}
