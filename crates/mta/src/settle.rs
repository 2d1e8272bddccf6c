//! Stage: what became of each recipient is written down: delivered, tried again at a time, or failed; and reports follow.
//!
//! RFC 5321 s.4.5.4.1 and s.6.1. Invariant: a failure and its report are one commit, so neither exists without the other; a
//! settlement is tried until it is on disk, since forgetting a delivery would repeat it.

use std::time::Duration;

use mail::report::{Action, RecipientReport};
use net::random_u32;
use policy::{Scope, Trouble};
use store::{ClaimedRecipient, Content, Disposition, RecipientKey, Settlement};

use crate::deliver::Delivered;
use crate::dispatch::{Dispatch, Job};
use crate::report::reports;

/// Between two tries to write a settlement down.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The same trouble for everything in these jobs.
pub(crate) async fn all_failed(dispatch: &Dispatch, jobs: Vec<Job>, trouble: &Trouble) {
    for job in jobs {
        let results = vec![Err(trouble.clone()); job.claimed.recipients.len()];
        settle(dispatch, job, results).await;
    }
}

/// The message's content cannot be read: its recipients are set aside, for a person to look at.
pub(crate) async fn set_aside(dispatch: &Dispatch, job: Job, reason: &str) {
    tracing::error!(id = %job.claimed.message.id, reason, "a message is unreadable and was set aside; `waypost queue list` shows it");
    let aside = |r: &ClaimedRecipient| (r.key, Disposition::SetAside { reason: reason.to_owned() });
    let settlement = Settlement { recipients: job.claimed.recipients.iter().map(aside).collect(), ..Settlement::default() };
    write(dispatch, settlement).await;
    dispatch.done(&job);
}

/// Settles one job.
pub(crate) async fn settle(dispatch: &Dispatch, job: Job, results: Vec<Result<Delivered, Trouble>>) {
    let world = dispatch.world();
    let schedule = world.settings.load().schedule.clone();
    let now_ms = world.clock.now_ms();
    let message = &job.claimed.message;
    let mut settlement = Settlement::default();
    let mut reported = Vec::new();
    let mut deferred = false;
    for (recipient, result) in job.claimed.recipients.iter().zip(results) {
        let (disposition, report) = match result {
            Ok(delivered) => (Disposition::Done, on_delivered(&job, recipient, &delivered, now_ms)),
            Err(trouble) if trouble.permanent => (Disposition::Done, on_failed(&job, recipient, &trouble)),
            Err(trouble) if now_ms >= message.expires_ms => {
                let expired = Trouble::expired(&trouble.text);
                (Disposition::Done, on_failed(&job, recipient, &expired))
            }
            Err(trouble) => {
                let next_ms = schedule.next_attempt_ms(now_ms, recipient.attempts + 1, random_u32()).min(message.expires_ms);
                log_deferred(recipient, &trouble, next_ms - now_ms);
                let due = !message.delay_reported && schedule.is_delay_due(message.arrived_ms, now_ms);
                let wanted = due && recipient.recipient.notify.wants_delay(schedule.delay_report_s.is_some());
                let report = wanted.then(|| report_on(recipient, Action::Delayed, &trouble, Some(message.expires_ms / 1000)));
                deferred |= wanted;
                let (status, reason) = (trouble.enhanced, trouble.text);
                (Disposition::Deferred { next_attempt_ms: next_ms, status, reason, counts: true }, report)
            }
        };
        settlement.recipients.push((recipient.key, disposition));
        reported.extend(report);
    }
    if deferred {
        settlement.delay_reported.push(message.id);
    }
    if !reported.is_empty() {
        settlement.reports = reports(world, message, content(dispatch, &job).await.as_ref(), reported);
    }
    let more = !settlement.reports.is_empty() || settlement.recipients.iter().any(|(_, d)| matches!(d, Disposition::Deferred { .. }));
    write(dispatch, settlement).await;
    dispatch.done(&job);
    if more {
        dispatch.wake();
    }
}

async fn content(dispatch: &Dispatch, job: &Job) -> Option<Content> {
    match &job.claimed.content {
        Some(content) => Some(content.clone()),
        None => dispatch.world().store.content(job.claimed.message.id).await.ok(),
    }
}

async fn write(dispatch: &Dispatch, settlement: Settlement) {
    let world = dispatch.world();
    loop {
        let lease_ms = dispatch.lease_ms(world.clock.now_ms());
        match world.store.settle(settlement.clone(), lease_ms).await {
            Ok(()) => return,
            Err(store::StoreError::Closed) => return,
            Err(error) => {
                tracing::error!(%error, "the outcome of a delivery could not be written down; trying again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}

fn names(recipient: &ClaimedRecipient) -> (&mail::Mailbox, Option<String>) {
    (&recipient.recipient.mailbox, recipient.recipient.known_as.as_ref().map(ToString::to_string))
}

fn on_delivered(job: &Job, recipient: &ClaimedRecipient, delivered: &Delivered, now_ms: i64) -> Option<RecipientReport> {
    let message = &job.claimed.message;
    let (to, alias) = names(recipient);
    let age_ms = now_ms - message.arrived_ms;
    tracing::info!(id = %message.id, %to, alias, host = %delivered.host, tls = delivered.tls, reply = %delivered.reply, age_ms, "delivered");
    let by_us = recipient.recipient.notify.success && !(delivered.dsn_passed_on && recipient.recipient.known_as.is_none());
    by_us.then(|| {
        let said = Trouble::temporary(Scope::Recipient, 0, 0, delivered.reply.to_string());
        report_on(recipient, Action::Relayed, &Trouble { enhanced: mail::EnhancedCode(2, 0, 0), ..said }, None)
    })
}

fn on_failed(job: &Job, recipient: &ClaimedRecipient, trouble: &Trouble) -> Option<RecipientReport> {
    let (to, alias) = names(recipient);
    tracing::warn!(id = %job.claimed.message.id, %to, alias, attempts = recipient.attempts + 1, %trouble, "failed");
    recipient.recipient.notify.wants_failure().then(|| report_on(recipient, Action::Failed, trouble, None))
}

fn log_deferred(recipient: &ClaimedRecipient, trouble: &Trouble, wait_ms: i64) {
    let (to, alias) = names(recipient);
    let RecipientKey { message: id, .. } = recipient.key;
    tracing::info!(%id, %to, alias, attempts = recipient.attempts + 1, again_in_s = wait_ms / 1000, %trouble, "deferred");
}

/// A report names the address that the sender wrote. What a host said about the target behind an alias may name that in any
/// form, and the host's own name tells enough: of an alias, the sender is told the code only.
fn report_on(recipient: &ClaimedRecipient, action: Action, trouble: &Trouble, until_unix_s: Option<i64>) -> RecipientReport {
    let to = &recipient.recipient;
    let diagnostic = match (&to.known_as, action) {
        (None, _) => trouble.text.clone(),
        (Some(_), Action::Failed) => format!("the mailbox behind this address did not take the message ({})", trouble.enhanced),
        (Some(_), Action::Delayed) => format!("the mailbox behind this address has not taken the message yet ({})", trouble.enhanced),
        (Some(_), Action::Relayed) => "forwarded".to_owned(),
    };
    RecipientReport {
        recipient: to.known_as.as_ref().unwrap_or(&to.mailbox).clone(),
        orcpt: to.orcpt.clone(),
        action,
        status: trouble.enhanced,
        remote: None,
        diagnostic,
        until_unix_s,
    }
}
