//! Runs the stages from a received message to the responsibility for it: one pipeline for mail from other servers, from accounts and from
//! local programs.
//!
//! RFC 5321 s.6.1. Invariant: whichever stage refuses, the content is discarded and the client gets the reason; no content is discarded
//! once this server or a target has accepted the message.

use std::sync::Arc;

use mail::Reply;
use net::Resolver;
use policy::{AcceptedRecipient, Treatment};
use store::{Committed, Content, NewMessage, StoreError};

use crate::accept::alter::alter;
use crate::accept::auto_replies;
use crate::accept::auto_reply_limit;
use crate::accept::decide::{accept, decide, judge};
use crate::accept::decision_log::{Described, Findings};
use crate::accept::dmarc_results::{self, Observation, observe};
use crate::accept::filter::{Downtime, Filtered, filter, unfiltered};
use crate::accept::gmail_confirmation::Confirmations;
use crate::accept::held_room::check_room_to_hold;
use crate::accept::hourly_limit::HourlyLimit;
use crate::accept::inbound_report::{ReadingLimit, store_report};
use crate::accept::message_auth::{Authenticated, Proof, authenticate};
use crate::accept::prepare::{Prepared, prepare};
use crate::accept::received::Received;
use crate::accept::responsibility::Responsibility;
use crate::accept::returned_chain::returned_chain;
use crate::accept::sign::{author, recheck, sign_and_recheck};
use crate::accept::submission_fixup::correct;
use crate::context::{Shared, Snapshot};
use crate::queue::cut_through::deliver_while_waiting;
use crate::queue::dispatch::Dispatch;
use crate::queue::enqueue::enqueue;
use crate::queue::not_taken::NotTaken;
use crate::reporting::tally::Results;
use crate::settings::Settings;
use crate::support::content_place::ContentPlace;
use crate::support::dkim_signers::Signing;
use crate::support::large_contents::{ContentOrigin, LargeContents};
use crate::support::shutdown::Closing;

/// Where accepted mail goes.
#[derive(Debug)]
pub(crate) enum Outlet {
    /// The running server sends it.
    Dispatch(Dispatch),
    /// No server runs: it waits in the store for the next start.
    Store,
}

/// Authenticates a message from another server, and counts the result for DMARC reports.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub resolver: Resolver,
    pub results: Results,
}

/// Where a message came from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// From another server.
    Server(&'a Verifier),
    /// From an account: the client has logged in.
    Account,
    /// From a local program; its user and From field have been checked.
    Program,
}

/// What the stages use.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub shared: Shared,
    pub outlet: Outlet,
    pub large: Arc<LargeContents>,
    pub signing: Arc<Signing>,
    /// Rate-limits log lines about a spam filter that is down.
    pub downtime: Downtime,
    /// Counts automatic replies by sender and alias.
    pub auto_replies: HourlyLimit,
    pub confirmations: Confirmations,
    /// Limits the reports read at a time.
    pub reading: ReadingLimit,
    pub closing: Closing,
}

/// What the log line, the event and the DMARC report need, whatever the decision.
struct Progress {
    /// The content to discard if the message is refused.
    content: Content,
    /// What the log line and the event say.
    found: Findings,
    /// Its row in the DMARC report to the From field's domain.
    seen: Option<Box<Observation>>,
}

impl Pipeline {
    /// Creates a pipeline to this outlet, with all counts at zero.
    pub fn new(shared: Shared, outlet: Outlet, closing: Closing) -> Self {
        Self {
            shared,
            outlet,
            large: Arc::default(),
            signing: Arc::default(),
            downtime: Downtime::default(),
            auto_replies: HourlyLimit::default(),
            confirmations: Confirmations::default(),
            reading: ReadingLimit::default(),
            closing,
        }
    }

    /// Accepts the message, or returns the reply that refuses it. `counted` holds the memory that was reserved to receive it.
    pub async fn run<M>(&self, origin: Origin<'_>, snapshot: &Snapshot, received: Received, counted: M) -> Result<Responsibility, Reply> {
        let _hold = self.closing.hold();
        let described = Described::of(&self.shared, &received);
        let mut progress = Progress { content: received.content.clone(), found: Findings::default(), seen: None };
        let taken = self.stages(origin, snapshot, received, &mut progress, counted).await;
        described.log(&self.shared, matches!(origin, Origin::Program), &taken, progress.found);
        // A 4xx is not final: the sender will retry.
        let is_final = taken.as_ref().map_or_else(NotTaken::is_final, |_| true);
        if let (Origin::Server(verifier), Some(seen)) = (origin, progress.seen.filter(|_| is_final)) {
            dmarc_results::count(&self.shared, &verifier.results, *seen);
        }
        taken.map_err(|not_taken| {
            if let NotTaken::Refused(_) = not_taken {
                self.shared.store.discard(&progress.content);
            }
            not_taken.into_reply()
        })
    }

    async fn stages<M>(
        &self,
        origin: Origin<'_>,
        snapshot: &Snapshot,
        mut received: Received,
        progress: &mut Progress,
        counted: M,
    ) -> Result<Responsibility, NotTaken> {
        let Shared { store, clock, .. } = &self.shared;
        let Snapshot { settings, directory } = snapshot;
        if let Origin::Account = origin {
            let corrected = correct(ContentPlace::Store(store), clock, &self.large, &mut received).await;
            progress.content = received.content.clone();
            corrected?;
        }
        let authenticated = self.authenticate(origin, received).await?;
        progress.found.examine(&self.shared, settings, &authenticated);
        if let [(_, AcceptedRecipient::Reports(_))] = authenticated.received.recipients.as_slice() {
            let committed = store_report(store, &self.large, &self.reading, snapshot, authenticated).await?;
            return Ok(Responsibility::Kept(committed));
        }
        if let Some(dropped) = auto_replies::drop_auto_reply(store, &authenticated.received) {
            return Ok(Responsibility::Dropped(dropped));
        }
        let filtered = self.filter(authenticated, settings).await;
        progress.found.score = filtered.answer.score;
        let judged = judge(&filtered.authenticated, directory, &settings.forward);
        progress.seen = observe(settings, &filtered.authenticated, &judged);
        let treatment = decide(&filtered, judged, directory)?;
        let authenticated = filtered.authenticated;
        // DNS queries come first, so that no content waits for them in memory.
        let recheck = match origin {
            Origin::Server(verifier) => recheck(verifier.resolver.authenticator(), &authenticated).await,
            Origin::Account | Origin::Program => None,
        };
        let whole = self.large.load(&authenticated.received.content, ContentOrigin::from(&authenticated.proof)).await?;
        let mut accepted = accept(authenticated, treatment, whole);
        if let Origin::Server(verifier) = origin {
            accepted.returned = returned_chain(verifier.resolver.authenticator(), &accepted, snapshot, &self.signing).await;
        }
        if let Treatment::Held(reason) = &accepted.treatment {
            progress.found.held = Some(reason.clone());
        }
        auto_reply_limit::check(&self.auto_replies, clock, &accepted)?;
        self.confirmations.look(&self.shared, &accepted);
        let accepted = alter(ContentPlace::Store(store), snapshot, clock, accepted).await?;
        progress.content = accepted.received.content.clone();
        let author = author(&accepted);
        let prepared = prepare(accepted, settings, clock);
        progress.found.leaving(&prepared.messages);
        let signed = sign_and_recheck(&self.signing, snapshot, author.as_ref(), recheck.as_ref(), prepared).await;
        let prepared = signed.map_err(|broken| broken.reported(&self.shared))?;
        progress.found.signed(&prepared);
        self.pass_on(origin, settings, prepared, counted).await
    }

    async fn authenticate(&self, origin: Origin<'_>, received: Received) -> Result<Authenticated, StoreError> {
        match origin {
            Origin::Server(verifier) => authenticate(received, verifier.resolver.authenticator(), &self.large).await,
            Origin::Account => Authenticated::submitted(received, Proof::Login).await,
            Origin::Program => Authenticated::submitted(received, Proof::Local).await,
        }
    }

    /// Asks the spam filter, if the server is running.
    async fn filter(&self, authenticated: Authenticated, settings: &Settings) -> Filtered {
        match self.outlet {
            Outlet::Dispatch(_) => filter(authenticated, settings, &self.downtime, &self.shared).await,
            Outlet::Store => unfiltered(authenticated),
        }
    }

    /// Delivers the messages while the client waits (cut-through), or queues them.
    async fn pass_on<M>(
        &self,
        origin: Origin<'_>,
        settings: &Settings,
        prepared: Prepared<'_>,
        counted: M,
    ) -> Result<Responsibility, NotTaken> {
        let Shared { store, clock, .. } = &self.shared;
        if let Some((token, sender)) = &prepared.token {
            store.remember_sender(token.clone(), sender, clock.now_ms()).await?;
        }
        check_room_to_hold(store, settings, &prepared.messages).await?;
        // From here on dispatch limits the memory in use, so that a slow target does not block clients that send to others.
        drop(counted);
        let Prepared { messages, whole, is_forward, .. } = prepared;
        match &self.outlet {
            Outlet::Dispatch(dispatch) if settings.forward.cut_through && is_forward && !matches!(origin, Origin::Program) => {
                Ok(deliver_while_waiting(dispatch, messages, whole, settings.forward.deadline_s).await?.into())
            }
            _ => Ok(Responsibility::Ours(self.commit(messages).await?)),
        }
    }

    async fn commit(&self, messages: Vec<NewMessage>) -> Result<Committed, StoreError> {
        match &self.outlet {
            Outlet::Dispatch(dispatch) => enqueue(dispatch, messages).await,
            Outlet::Store => self.shared.store.commit(messages, 0).await,
        }
    }
}
