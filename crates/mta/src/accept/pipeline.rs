//! The stages from a received message to the responsibility for it, in their order: one pipeline for mail from other servers, from accounts and
//! from programs of this machine.
//!
//! RFC 5321 s.6.1. Invariant: whichever stage refuses, the content is discarded and the client gets the reason; nothing is discarded once we or a
//! target have taken the message.

use std::sync::Arc;

use mail::evidence::DkimResult;
use mail::{Domain, QueueId, Reply};
use net::Resolver;
use policy::{AcceptedRecipient, Treatment};
use store::{Committed, Content, NewMessage, StoreError};

use crate::accept::auto_replies;
use crate::accept::auto_reply_limit;
use crate::accept::bounce_limit::HourlyLimit;
use crate::accept::decide::{Accepted, accept, decide, from_addresses, judge};
use crate::accept::dmarc_results::{self, Observation, observe};
use crate::accept::filter::{Downtime, Filtered, filter, unfiltered};
use crate::accept::forged_results::without_forged_results;
use crate::accept::gmail_confirmation::Confirmations;
use crate::accept::inbound_report::{ReadingLimit, store_report};
use crate::accept::message_auth::{Authenticated, Proof, authenticate};
use crate::accept::prepare::{Prepared, prepare};
use crate::accept::received::Received;
use crate::accept::responsibility::Responsibility;
use crate::accept::sanitize_dsn::sanitize;
use crate::accept::sign::{Recheck, sign_and_recheck};
use crate::accept::submission_fixup::correct;
use crate::accept::wrapped::wrap;
use crate::context::{Shared, Snapshot};
use crate::queue::cut_through::deliver_while_waiting;
use crate::queue::dispatch::Dispatch;
use crate::queue::enqueue::enqueue;
use crate::queue::not_taken::NotTaken;
use crate::reporting::tally::Results;
use crate::settings::Settings;
use crate::support::dkim_signers::Signing;
use crate::support::large_contents::{LargeContents, ContentOrigin};
use crate::support::shutdown::Closing;

/// Recipients that a line of the log names.
const NAMED_MAX: usize = 5;

/// Where accepted mail goes.
#[derive(Debug)]
pub(crate) enum Outlet {
    /// The running server sends it.
    Dispatch(Dispatch),
    /// No server runs: it waits in the store for the next start.
    Store,
}

/// Finds out who sent a message, and counts that for the DMARC reports to other domains.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub resolver: Resolver,
    pub results: Results,
}

/// How a message came.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// From another server.
    Server(&'a Verifier),
    /// From an account, over a session that has logged in.
    Account,
    /// From a program of this machine, whose user and From field are checked already.
    Program,
}

/// What the stages touch.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub shared: Shared,
    pub outlet: Outlet,
    pub large: Arc<LargeContents>,
    pub signing: Arc<Signing>,
    /// How long the spam filter has been down.
    pub downtime: Downtime,
    /// Automatic replies, by sender and alias.
    pub auto_replies: HourlyLimit,
    pub confirmations: Confirmations,
    /// Bounds the reports that are read at a time.
    pub reading: ReadingLimit,
    pub closing: Closing,
}

/// What is known of a message whatever becomes of it.
struct Progress {
    /// The content to discard where the message is not taken.
    content: Content,
    /// The spam filter's score.
    score: Option<f64>,
    /// Why it is held.
    held: Option<String>,
    /// What the DMARC report to the domain in its From field says about it.
    seen: Option<Box<Observation>>,
}

/// What the log says of a message whatever becomes of it.
struct Described {
    id: QueueId,
    from: String,
    to: String,
    client: std::net::IpAddr,
    login: Option<String>,
    recipients: usize,
    size_bytes: u64,
}

impl Described {
    fn of(received: &Received) -> Self {
        let names: Vec<String> = received.recipients.iter().take(NAMED_MAX).map(|(to, _)| to.forward_path.to_string()).collect();
        Self {
            id: received.id,
            from: received.reverse_path.to_string(),
            to: names.join(" "),
            client: received.facts.client,
            login: received.facts.login.clone(),
            recipients: received.recipients.len(),
            size_bytes: received.content.size_bytes(),
        }
    }

    fn log(&self, origin: Origin<'_>, taken: &Result<Responsibility, NotTaken>, progress: &Progress) {
        let Self { id, from, to, client, login, recipients, size_bytes } = self;
        let (score, reason) = (progress.score, progress.held.as_deref());
        let is_local = matches!(origin, Origin::Program);
        match taken {
            Ok(responsibility) => {
                let how = match responsibility {
                    Responsibility::Ours(_) if reason.is_some() => "message held",
                    Responsibility::Ours(_) if is_local => "message of a local user accepted",
                    Responsibility::Ours(_) => "message accepted",
                    Responsibility::Kept(_) => "report taken",
                    Responsibility::TakenOver(_) => "message handed over",
                    Responsibility::Dropped(_) => "automatic reply to a return address dropped",
                };
                tracing::info!(%id, from, to, %client, login, recipients, size_bytes, score, reason, "{how}");
            }
            Err(NotTaken::Refused(reply)) => {
                let how = if is_local { "message of a local user refused" } else { "message refused" };
                tracing::info!(%id, from, to, %client, login, score, %reply, "{how}");
            }
            Err(NotTaken::Store(error)) => {
                tracing::error!(%id, from, to, %client, %error, "message not accepted: cannot store it");
            }
        }
    }
}

impl Pipeline {
    /// A pipeline into this outlet, with nothing counted yet.
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

    /// Takes the message, or returns the reply that says why not. `counted` is the memory that its arrival holds.
    pub async fn run<M>(&self, origin: Origin<'_>, snapshot: &Snapshot, received: Received, counted: M) -> Result<Responsibility, Reply> {
        let _hold = self.closing.hold();
        let described = Described::of(&received);
        let mut progress = Progress { content: received.content.clone(), score: None, seen: None, held: None };
        let taken = self.stages(origin, snapshot, received, &mut progress, counted).await;
        described.log(origin, &taken, &progress);
        // A 4xx is not final: the sender tries again.
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
            let corrected = correct(store, clock, &self.large, &mut received).await;
            progress.content = received.content.clone();
            corrected?;
        }
        let authenticated = self.authenticate(origin, received).await?;
        if let [(_, AcceptedRecipient::Reports(_))] = authenticated.received.recipients.as_slice() {
            let committed = store_report(store, &self.large, &self.reading, snapshot, authenticated).await?;
            return Ok(Responsibility::Kept(committed));
        }
        if let Some(dropped) = auto_replies::drop_auto_reply(store, &authenticated.received) {
            return Ok(Responsibility::Dropped(dropped));
        }
        let filtered = self.filter(authenticated, settings).await;
        progress.score = filtered.answer.score;
        let judged = judge(&filtered.authenticated, directory, &settings.forward);
        progress.seen = observe(settings, &filtered.authenticated, &judged);
        let treatment = decide(&filtered, judged)?;
        let authenticated = filtered.authenticated;
        // DNS is asked before the content takes its room in memory.
        let recheck = recheck(origin, &authenticated).await;
        let whole = self.large.load(&authenticated.received.content, ContentOrigin::from(&authenticated.proof)).await?;
        let accepted = accept(authenticated, treatment, whole);
        if let Treatment::Held(reason) = &accepted.treatment {
            progress.held = Some(reason.clone());
        }
        auto_reply_limit::check(&self.auto_replies, clock, &accepted)?;
        self.confirmations.look(&accepted);
        let accepted = self.without_forgeries(settings, accepted).await?;
        let accepted = sanitize(store, directory, settings, clock, accepted).await?;
        let accepted = match accepted.treatment {
            Treatment::Wrapped => wrap(store, settings, clock, accepted).await?,
            _ => accepted,
        };
        progress.content = accepted.received.content.clone();
        let author = author(&accepted);
        let prepared = prepare(accepted, settings, clock);
        let prepared = sign_and_recheck(&self.signing, snapshot, author.as_ref(), recheck.as_ref(), prepared).await?;
        self.pass_on(origin, settings, prepared, counted).await
    }

    async fn authenticate(&self, origin: Origin<'_>, received: Received) -> Result<Authenticated, StoreError> {
        match origin {
            Origin::Server(verifier) => authenticate(received, verifier.resolver.authenticator(), &self.large).await,
            Origin::Account => Authenticated::submitted(received, Proof::Login).await,
            Origin::Program => Authenticated::submitted(received, Proof::Local).await,
        }
    }

    /// The spam filter's verdict. Without a server nothing asks it.
    async fn filter(&self, authenticated: Authenticated, settings: &Settings) -> Filtered {
        match self.outlet {
            Outlet::Dispatch(_) => filter(authenticated, settings, &self.downtime, &self.shared.clock).await,
            Outlet::Store => unfiltered(authenticated),
        }
    }

    /// Takes out of mail from other servers what claims to be an authentication result of ours.
    async fn without_forgeries<'a>(&self, settings: &Settings, mut accepted: Accepted<'a>) -> Result<Accepted<'a>, StoreError> {
        let Shared { store, clock, .. } = &self.shared;
        if let Proof::Evidence(_) = accepted.proof
            && let Some((content, bytes)) = without_forged_results(store, clock, &accepted.whole.bytes, &settings.hostname).await?
        {
            store.discard(&accepted.received.content);
            accepted.received.content = content;
            accepted.whole.bytes = bytes;
        }
        Ok(accepted)
    }

    /// The message is complete: its targets take it while the client waits, or it is queued.
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
        self.check_room_to_hold(settings, &prepared).await?;
        // From here on dispatch bounds what is held in memory: a target that is slow keeps no place from clients that send to others.
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

    /// Held mail has a bound on the disk; what does not fit stays with its sender.
    async fn check_room_to_hold(&self, settings: &Settings, prepared: &Prepared<'_>) -> Result<(), NotTaken> {
        let Some(held) = prepared.messages.iter().find(|new| new.held.is_some()) else { return Ok(()) };
        let totals = self.shared.store.totals().await?;
        if totals.held_bytes + held.content.size_bytes() <= settings.forward.held_bytes {
            return Ok(());
        }
        tracing::warn!(held = totals.held, bytes = totals.held_bytes, "no room for one more held message; `waypost held list` shows them");
        Err(Reply::new(452, (4, 3, 1), "no room for mail that needs manual review; try again later").into())
    }
}

/// What [`sign_and_recheck`] verifies signatures with once more, where one has verified.
async fn recheck<'a>(origin: Origin<'a>, authenticated: &Authenticated) -> Option<Recheck<'a>> {
    let (Origin::Server(verifier), Proof::Evidence(evidence)) = (origin, &authenticated.proof) else { return None };
    if !evidence.dkim.iter().any(|check| check.result == DkimResult::Pass) {
        return None;
    }
    let authenticator = verifier.resolver.authenticator();
    Some(Recheck { authenticator, keys: authenticator.dkim_keys(&authenticated.header).await })
}

/// The domain in the From field of submitted mail, which `decide` has found to be the account's.
fn author(accepted: &Accepted<'_>) -> Option<Domain> {
    from_addresses(&accepted.whole.bytes).ok()?.into_iter().next().map(|from| from.domain)
}
