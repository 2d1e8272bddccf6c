//! Stage: stores the outcome for each recipient: delivered, deferred, or failed; and sends DSNs.
//!
//! RFC 5321 s.4.5.4.1 and s.6.1. Invariant: a failure and its DSN are one commit, so neither exists without the other; a
//! settlement is retried until it is on disk, since a lost one would repeat the delivery.

use std::time::Duration;

use events::EventKind;
use mail::dsn::{DsnAction, DsnRecipient, RemoteReply};
use mail::{EnhancedCode, ReversePath};
use net::random_u32;
use policy::{Schedule, Trouble};
use store::{ClaimedRecipient, Content, Disposition, FailedDelivery, Flow, NewMessage, Settlement, Store};

use crate::context::Shared;
use crate::deliver::breakers::log_critical;
use crate::deliver::clock_step;
use crate::deliver::delivery_log::{self, Tried};
use crate::deliver::dmarc_mitigation::rewrite_from;
use crate::deliver::dsn::reports;
use crate::deliver::job::{Job, Outcomes};
use crate::deliver::outbound::{Outbound, lease_ms};
use crate::deliver::transaction::Delivered;

/// Delay before a settlement is stored again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Settles all recipients of these jobs with the same trouble.
pub(crate) async fn all_failed(outbound: &Outbound, jobs: Vec<Job>, trouble: &Trouble) {
    for job in jobs {
        let results = vec![Err(trouble.clone()); job.claimed.recipients.len()];
        settle(outbound, job, results).await;
    }
}

/// Sets the recipients aside for the operator, since the content cannot be read.
pub(crate) async fn set_aside(outbound: &Outbound, mut job: Job, reason: &str) {
    if job.waiter.is_some() {
        return all_failed(outbound, vec![job], &Trouble::unreadable(reason)).await;
    }
    outbound.breakers().give_back(&mut job, outbound.shared().clock.now_ms());
    delivery_log::set_aside(outbound.shared(), &job, reason);
    let aside = |r: &ClaimedRecipient| (r.key, Disposition::SetAside { reason: reason.to_owned() });
    let recipients = job.claimed.recipients.iter().map(aside).collect();
    let settlement = Settlement { recipients, lease: job.claimed.lease, ..Settlement::default() };
    write(outbound, settlement, Haste::AtOnce).await;
    outbound.window.release(&job);
}

/// Gives back recipients that this node may not deliver any more: if nobody has taken them, they are due at once.
pub(crate) async fn give_back(outbound: &Outbound, job: &Job) {
    let now_ms = outbound.shared().clock.now_ms();
    tracing::warn!(id = %job.claimed.message.id, "this node could not reach the database for too long: the message is left to the node that claims it next");
    let later = |r: &ClaimedRecipient| {
        let reason = "the node that had claimed it could not reach the database".to_owned();
        (r.key, Disposition::Deferred { next_attempt_ms: now_ms, status: EnhancedCode(4, 3, 2), reason, counts: false })
    };
    let recipients = job.claimed.recipients.iter().map(later).collect();
    write(outbound, Settlement { recipients, lease: job.claimed.lease, ..Settlement::default() }, Haste::AtOnce).await;
    outbound.window.release(job);
    outbound.outbox.wake.wake();
}

/// When a settlement has to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    /// The connection has more to do.
    AtOnce,
    /// No other message waits for the connection: the settlement may share a sync with the next message that arrives.
    BesideOthers,
}

/// Settles one job, or passes its outcome to the waiter.
pub(crate) async fn settle(outbound: &Outbound, job: Job, results: Outcomes) {
    settle_in(outbound, job, results, Haste::AtOnce).await;
}

/// Settles one job, or passes its outcome to the waiter.
pub(crate) async fn settle_in(outbound: &Outbound, mut job: Job, mut results: Outcomes, haste: Haste) {
    let shared = outbound.shared();
    let _hold = outbound.closing.hold();
    clock_step::check(outbound).await;
    let now_ms = shared.clock.now_ms();
    outbound.breakers().record(shared, &mut job, &mut results, now_ms);
    let forwarding = shared.settings.load().forward.srs.domain.to_string();
    let ours = (job.claimed.message.flow == Flow::Forward).then_some(forwarding.as_str());
    if results.iter().any(|result| result.as_ref().is_err_and(|trouble| trouble.doubts_our_identity(ours))) {
        outbound.doubts.notify_one();
    }
    if let Some(waiter) = job.waiter.take() {
        return waiter.pass(shared, &outbound.window, job, results, now_ms);
    }
    let mut ledger = Ledger {
        shared,
        job: &job,
        schedule: shared.settings.load().schedule.clone(),
        now_ms,
        expires_ms: outbound.clock_steps.expires_ms(&shared.clock, job.claimed.message.expires_ms),
        settlement: Settlement { lease: job.claimed.lease, ..Settlement::default() },
        reported: Vec::new(),
        rewritten: Vec::new(),
    };
    for (recipient, result) in job.claimed.recipients.iter().zip(results) {
        if let Some(disposition) = ledger.decide(recipient, result) {
            ledger.settlement.recipients.push((recipient.key, disposition));
        }
    }
    let content = if ledger.reported.is_empty() && ledger.rewritten.is_empty() { None } else { content(&shared.store, &job).await };
    for recipient in std::mem::take(&mut ledger.rewritten) {
        let disposition = match rewrite_from(&outbound.outbox, &outbound.large, &job.claimed.message, recipient, content.as_ref()).await {
            Some(new) => {
                delivery_log::rewritten(shared, Tried::of(&job, recipient), &new.message);
                ledger.settlement.follow.push(new);
                Disposition::Done
            }
            None if now_ms >= ledger.expires_ms => {
                ledger.failed(recipient, &Trouble::expired(&Trouble::unreadable("its From field could not be rewritten")))
            }
            // A full disk must not lose the message.
            None => ledger.deferred(recipient, Trouble::unreadable("its From field could not be rewritten")),
        };
        ledger.settlement.recipients.push((recipient.key, disposition));
    }
    let Ledger { mut settlement, reported, .. } = ledger;
    if !reported.is_empty() {
        settlement.follow.extend(reports(&outbound.outbox, &job.claimed.message, content.as_ref(), reported).await);
    }
    let has_more = !settlement.follow.is_empty() || settlement.recipients.iter().any(|(_, d)| matches!(d, Disposition::Deferred { .. }));
    write(outbound, settlement, haste).await;
    outbound.window.release(&job);
    if has_more {
        outbound.outbox.wake.wake();
    }
}

/// The settlement of one job, as it is built.
struct Ledger<'a> {
    shared: &'a Shared,
    job: &'a Job,
    schedule: Schedule,
    now_ms: i64,
    /// When the message expires, in Unix milliseconds, by the current clock.
    expires_ms: i64,
    settlement: Settlement,
    /// The DSN to the sender.
    reported: Vec<DsnRecipient>,
    /// Recipients that get the message with a rewritten From field.
    rewritten: Vec<&'a ClaimedRecipient>,
}

impl<'a> Ledger<'a> {
    /// Decides what a result means; `None` for a recipient whose message is to be rewritten.
    fn decide(&mut self, recipient: &'a ClaimedRecipient, result: Result<Delivered, Trouble>) -> Option<Disposition> {
        let message = &self.job.claimed.message;
        if let Some(meaning) = result.as_ref().err().and_then(|trouble| trouble.meaning.as_ref()) {
            log_critical(message, meaning);
        }
        Some(match result {
            Ok(delivered) => {
                self.delivered(recipient, &delivered);
                Disposition::Done
            }
            Err(trouble) if message.mendable && trouble.is_dmarc_refusal() => {
                tracing::warn!(id = %message.id, %trouble, "{}", EventKind::Rewritten.words());
                self.rewritten.push(recipient);
                return None;
            }
            Err(trouble) if trouble.permanent => self.failed(recipient, &trouble),
            Err(trouble) if self.now_ms >= self.expires_ms => self.failed(recipient, &Trouble::expired(&trouble)),
            Err(trouble) => self.deferred(recipient, trouble),
        })
    }

    fn delivered(&mut self, recipient: &ClaimedRecipient, delivered: &Delivered) {
        delivery_log::delivered(self.shared, Tried::of(self.job, recipient), delivered);
        let to = &recipient.recipient;
        let is_ours_to_report = to.notify.success && !(delivered.dsn_passed_on && to.known_as.is_none());
        if is_ours_to_report && self.job.claimed.message.may_report {
            let remote = RemoteReply { host: delivered.host.clone(), reply: delivered.reply.to_string() };
            let text = format!("{} said: {}", remote.host, remote.reply);
            let outcome = ReportedOutcome { action: DsnAction::Relayed, status: EnhancedCode(2, 0, 0), text, remote: Some(remote) };
            self.reported.push(report_on(recipient, outcome, None));
        }
    }

    /// A failure is reported to an authenticated sender, and only listed otherwise.
    fn failed(&mut self, recipient: &ClaimedRecipient, trouble: &Trouble) -> Disposition {
        let message = &self.job.claimed.message;
        let is_reported = message.may_report && message.reverse_path != ReversePath::Null && recipient.recipient.notify.wants_failure();
        delivery_log::failed(self.shared, Tried::of(self.job, recipient), trouble, is_reported);
        if is_reported {
            self.reported.push(report_on(recipient, ReportedOutcome::of(DsnAction::Failed, trouble), None));
        } else if !message.flow.is_daily() {
            // For a TLS or DMARC report of ours, the log line is enough.
            self.settlement.failed.push(failed(self.job, recipient, trouble, self.now_ms));
        }
        Disposition::Done
    }

    fn deferred(&mut self, recipient: &ClaimedRecipient, trouble: Trouble) -> Disposition {
        let (message, now_ms, schedule) = (&self.job.claimed.message, self.now_ms, &self.schedule);
        let next_ms = schedule.next_attempt_after_ms(&trouble, now_ms, recipient.attempts + 1, random_u32()).min(self.expires_ms);
        delivery_log::deferred(self.shared, Tried::of(self.job, recipient), &trouble, next_ms - now_ms);
        let due = message.may_report && !message.delay_reported && schedule.is_delay_due(message.arrived_ms, now_ms);
        if due && recipient.recipient.notify.wants_delay(schedule.delay_report_s.is_some()) {
            self.reported.push(report_on(recipient, ReportedOutcome::of(DsnAction::Delayed, &trouble), Some(self.expires_ms / 1000)));
            if !self.settlement.delay_reported.contains(&message.id) {
                self.settlement.delay_reported.push(message.id);
            }
        }
        let reason = trouble.reason(message.flow == Flow::Own);
        Disposition::Deferred { next_attempt_ms: next_ms, status: trouble.enhanced, reason, counts: trouble.was_attempted() }
    }
}

/// Whether a rewritten From field can avoid the target's refusal.
pub(crate) fn can_rewrite_from(new: &NewMessage, trouble: &Trouble) -> bool {
    new.message.mendable && trouble.is_dmarc_refusal()
}

fn failed(job: &Job, recipient: &ClaimedRecipient, trouble: &Trouble, now_ms: i64) -> FailedDelivery {
    let (to, alias) = names(recipient);
    FailedDelivery {
        message: job.claimed.message.id,
        at_ms: now_ms,
        from: job.claimed.message.reverse_path.to_bare(),
        to: alias.unwrap_or_else(|| to.to_string()),
        target: to.to_string(),
        status: trouble.enhanced.to_string(),
        reason: trouble.reason(job.claimed.message.flow == Flow::Own),
    }
}

async fn content(store: &Store, job: &Job) -> Option<Content> {
    match &job.claimed.content {
        Some(content) => Some(content.clone()),
        None => store.content(job.claimed.message.id).await.ok(),
    }
}

async fn write(outbound: &Outbound, settlement: Settlement, haste: Haste) {
    let Shared { store, clock, .. } = outbound.shared();
    loop {
        let (settlement, lease_ms) = (settlement.clone(), lease_ms(clock.now_ms()));
        let written = match haste {
            Haste::AtOnce => store.settle(settlement, lease_ms).await,
            Haste::BesideOthers => store.settle_beside(settlement, lease_ms).await,
        };
        match written {
            Ok(()) => return,
            Err(store::StoreError::Closed) => return,
            Err(error) => {
                tracing::error!(%error, "cannot store the outcome of a delivery; retrying");
                outbound.shared().record_store_failure(&error);
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

fn names(recipient: &ClaimedRecipient) -> (&mail::Mailbox, Option<String>) {
    (&recipient.recipient.mailbox, recipient.recipient.known_as.as_ref().map(ToString::to_string))
}

/// One recipient's outcome in a DSN.
struct ReportedOutcome {
    action: DsnAction,
    status: EnhancedCode,
    text: String,
    remote: Option<RemoteReply>,
}

impl ReportedOutcome {
    fn of(action: DsnAction, trouble: &Trouble) -> Self {
        let remote = trouble.said.as_ref().map(|said| RemoteReply { host: said.host.clone(), reply: said.reply.to_string() });
        Self { action, status: trouble.enhanced, text: trouble.text.clone(), remote }
    }
}

/// A DSN names the address that the sender wrote. A host's reply about the target behind an alias may name it in any form, and the
/// host's name discloses enough: for an alias, the sender gets only the code.
fn report_on(recipient: &ClaimedRecipient, outcome: ReportedOutcome, until_unix_s: Option<i64>) -> DsnRecipient {
    let to = &recipient.recipient;
    let ReportedOutcome { action, status, text, remote } = outcome;
    let diagnostic = match (&to.known_as, action) {
        (None, _) => text,
        (Some(_), DsnAction::Failed) => format!("the mailbox behind this address rejected the message ({status})"),
        (Some(_), DsnAction::Delayed) => format!("the mailbox behind this address has not accepted the message yet ({status})"),
        (Some(_), DsnAction::Relayed) => "forwarded".to_owned(),
    };
    DsnRecipient {
        recipient: to.known_as.as_ref().unwrap_or(&to.mailbox).clone(),
        orcpt: to.orcpt.clone(),
        action,
        status,
        remote: remote.filter(|_| to.known_as.is_none()),
        diagnostic,
        until_unix_s,
    }
}
