//! What the running server hands out: to its page, its control socket, and the tasks beside the mail flow.

use std::sync::Arc;

use net::{ClientTls, Clock, Resolver};
use store::Store;
use tokio::sync::Notify;

use crate::accept::gmail_confirmation::Confirmations;
use crate::accept::local::{LocalNames, Submitter};
use crate::context::Shared;
use crate::deliver::direct::DirectSender;
use crate::deliver::outbound::{Connector, Outbound};
use crate::deliver::pauses::Pauses;
use crate::explain::explainer::{Explainer, RunningParts};
use crate::notify::postmaster::Postmaster;
use crate::receive::auth::page_logins::PageLogins;
use crate::receive::own_checks::OwnChecks;
use crate::server::Server;
use crate::support::directory_cache::LiveDirectory;
use crate::support::panic_edge::{bugs_caught, signatures_broken};
use events::Events;

/// The state of the server.
#[derive(Debug, Clone, Copy)]
pub struct Status {
    /// Sessions with clients.
    pub sessions: usize,
    /// Sessions by the kind of their listener.
    pub sessions_by_listener: [(&'static str, usize); 4],
    /// Recipients in memory.
    pub in_flight: usize,
    /// Delivery workers.
    pub workers: usize,
    /// Connections to other servers.
    pub connections: usize,
    /// Bugs caught since the start; please report any.
    pub bugs: u64,
    /// Messages refused because we would have broken a signature; please report any.
    pub signatures_broken: u64,
    /// Failures of MTA-STS policies in testing mode since the start.
    pub sts_testing_failures: u64,
}

/// What a task beside the mail flow needs of it.
#[derive(Debug)]
pub struct Handles {
    /// Writes letters to the postmaster.
    pub postmaster: Postmaster,
    /// Sends letters past the queue.
    pub direct: DirectSender,
    /// The paused hosts and mailboxes.
    pub pauses: Pauses,
    /// DNS.
    pub resolver: Resolver,
    /// TLS to other servers.
    pub tls: ClientTls,
    /// Durable state.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The directory in force.
    pub directory: Arc<LiveDirectory>,
    /// Where events go.
    pub events: Events,
}

/// The paused hosts and mailboxes of deliveries.
pub(super) fn pauses_of(outbound: &Outbound) -> Pauses {
    let Connector { breakers, shared, .. } = &outbound.connector;
    Pauses { breakers: breakers.clone(), clock: shared.clock.clone(), wake: outbound.outbox.wake.clone() }
}

impl Server {
    /// Returns what takes mail of local programs.
    pub fn submitter(&self, names: LocalNames) -> Submitter {
        Submitter::online(self.inbound.pipeline.clone(), self.inbound.send_limits.clone(), names)
    }

    /// Returns what checks the logins of the owner's page.
    pub fn page_logins(&self) -> PageLogins {
        PageLogins::new(self.inbound.logins.clone())
    }

    /// Returns the names of the server's own checks.
    pub fn own_checks(&self) -> OwnChecks {
        self.inbound.own_checks.clone()
    }

    /// Returns Gmail's confirmation mails.
    pub fn confirmations(&self) -> Confirmations {
        self.inbound.pipeline.confirmations.clone()
    }

    /// Notified when a host refuses mail for failed authentication: our DNS records may be wrong.
    pub fn doubts(&self) -> Arc<Notify> {
        self.outbound.doubts.clone()
    }

    /// Returns what writes letters to the postmaster.
    pub fn postmaster(&self) -> Postmaster {
        Postmaster(self.outbound.outbox.clone())
    }

    /// Returns what explains messages.
    pub fn explainer(&self) -> Explainer {
        let (inbound, outbound, sessions) = (self.inbound.clone(), self.outbound.clone(), self.sessions.clone());
        Explainer::running(RunningParts { inbound, outbound, sessions })
    }

    /// Returns what a task beside the mail flow needs of it.
    pub fn handles(&self) -> Handles {
        let Connector { shared, resolver, tls, .. } = &self.outbound.connector;
        let Shared { store, clock, directory, events, .. } = shared.clone();
        Handles {
            postmaster: self.postmaster(),
            direct: DirectSender(self.outbound.clone()),
            pauses: self.pauses(),
            resolver: resolver.clone(),
            tls: tls.clone(),
            store,
            clock,
            directory,
            events,
        }
    }

    /// Returns the paused hosts and mailboxes.
    pub fn pauses(&self) -> Pauses {
        pauses_of(&self.outbound)
    }

    /// Returns a function that retries due mail now.
    pub fn retrier(&self) -> Arc<dyn Fn() + Send + Sync> {
        let dispatch = self.dispatch.clone();
        Arc::new(move || dispatch.retry_now())
    }

    /// Returns a function that reports the state of the server.
    pub fn status(&self) -> Arc<dyn Fn() -> Status + Send + Sync> {
        let (outbound, sessions) = (self.outbound.clone(), self.sessions.clone());
        Arc::new(move || {
            let (workers, connections) = outbound.lanes.totals();
            Status {
                sessions: sessions.count(),
                sessions_by_listener: sessions.by_kind(),
                in_flight: outbound.window.recipients(),
                workers,
                connections,
                bugs: bugs_caught(),
                signatures_broken: signatures_broken(),
                sts_testing_failures: outbound.connector.sts.testing_failures(),
            }
        })
    }
}
