//! Stage: cut-through. Delivers to the targets while the sender waits, so that the sender gets their answer.
//!
//! RFC 5321 s.4.2.5 and s.6.1. Invariant: only this file makes a [`TakenOver`], and only from the 2xx of every next hop; a message without
//! one by the deadline stays with its sender until it is committed.

use std::time::Duration;

use events::EventKind;
use mail::Reply;
use policy::{Scope, Trouble};
use store::{Committed, NewMessage, StoreError};
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::context::Shared;
use crate::deliver::dedup::{DedupResult, Fingerprint};
use crate::deliver::delivery_log::{self, Tried};
use crate::deliver::job::{Outcome, Waiter, is_taken};
use crate::deliver::outbound::lease_ms;
use crate::deliver::settle;
use crate::queue::dispatch::Dispatch;
use crate::queue::not_taken::NotTaken;
use crate::support::large_contents::Whole;

/// Proof that every next hop replied 2xx.
#[derive(Debug)]
pub(crate) struct TakenOver(());

/// The message was accepted, by the targets or by the queue.
#[derive(Debug)]
pub(crate) enum CutThrough {
    /// Every target has accepted it.
    ToTargets(TakenOver),
    /// It is on our disk, synced.
    ToQueue(Committed),
}

/// The state of one offered message.
enum Fate {
    /// The target has accepted it.
    Taken,
    /// The target refused or deferred it; the job is settled after the commit.
    NotTaken(Box<Outcome>),
    /// Delivery is still in progress.
    Late(oneshot::Receiver<Outcome>),
    /// Not tried, for lack of memory.
    Untried,
    /// Another session is delivering the same message.
    Elsewhere,
}

/// The answer to the sender.
enum ClientAnswer {
    Taken(TakenOver),
    Refused(Reply),
    Commit,
}

/// Offers the messages to their targets. What is not accepted is committed if the sender can get a DSN, and refused otherwise.
pub(crate) async fn deliver_while_waiting(
    dispatch: &Dispatch,
    messages: Vec<NewMessage>,
    whole: Whole<'_>,
    deadline_s: u64,
) -> Result<CutThrough, NotTaken> {
    let fingerprints: Vec<Option<Fingerprint>> = messages.iter().map(|new| Fingerprint::of(&whole.bytes, new)).collect();
    // A slow target keeps no large content in memory.
    drop(whole);
    let may_report = messages.iter().all(|m| m.message.may_report);
    let fates = offer(dispatch, &messages, &fingerprints, deadline_s).await;
    fates.iter().zip(&messages).for_each(|(fate, new)| log_fate_of(dispatch.outbound().shared(), fate, new));
    let outcomes: Vec<TargetOutcome<'_>> = fates.iter().zip(&messages).map(|(fate, new)| outcome_of(fate, new)).collect();
    match decide_answer(&outcomes, may_report) {
        ClientAnswer::Taken(taken) => {
            if let Some(first) = messages.first() {
                dispatch.outbound().shared().store.discard(&first.content);
            }
            release(dispatch, fates);
            Ok(CutThrough::ToTargets(taken))
        }
        ClientAnswer::Refused(reply) => {
            release(dispatch, fates);
            Err(NotTaken::Refused(reply))
        }
        ClientAnswer::Commit => Ok(CutThrough::ToQueue(commit(dispatch, &messages, &fingerprints, fates).await?)),
    }
}

/// Offers each message to its target, concurrently.
#[allow(clippy::disallowed_methods)] // the deadline of a session is the runtime's time, not the queue's
async fn offer(dispatch: &Dispatch, messages: &[NewMessage], fingerprints: &[Option<Fingerprint>], deadline_s: u64) -> Vec<Fate> {
    let clock = &dispatch.outbound().shared().clock;
    let mut offered = Vec::with_capacity(messages.len());
    for (new, fingerprint) in messages.iter().zip(fingerprints) {
        let mark = match fingerprint.map(|fingerprint| dispatch.dedup().begin(fingerprint, clock.now_ms())) {
            None => None,
            Some(DedupResult::New(mark)) => Some(mark),
            Some(DedupResult::Accepted) => {
                delivery_log::known_already(dispatch.outbound().shared(), EventKind::Duplicate, &new.message, &new.recipients);
                offered.push(Err(Fate::Taken));
                continue;
            }
            Some(DedupResult::UnderWay) => {
                delivery_log::known_already(dispatch.outbound().shared(), EventKind::UnderWay, &new.message, &new.recipients);
                offered.push(Err(Fate::Elsewhere));
                continue;
            }
        };
        let (waiter, receiver) = Waiter::new(mark);
        offered.push(match dispatch.reserve(new) {
            Some(reservation) => {
                reservation.jobs(new).submit_waiting(waiter);
                Ok(receiver)
            }
            None => Err(Fate::Untried),
        });
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(deadline_s);
    let mut fates = Vec::with_capacity(offered.len());
    for offered in offered {
        let fate = match offered {
            Ok(receiver) => wait(receiver, deadline).await,
            Err(fate) => fate,
        };
        fates.push(match fate {
            Fate::NotTaken(outcome) if is_taken(&outcome.1) => {
                log_taken(dispatch.outbound().shared(), &outcome);
                dispatch.outbound().window.release(&outcome.0);
                Fate::Taken
            }
            other => other,
        });
    }
    fates
}

async fn wait(mut receiver: oneshot::Receiver<Outcome>, deadline: tokio::time::Instant) -> Fate {
    match timeout_at(deadline, &mut receiver).await {
        Ok(Ok(outcome)) => Fate::NotTaken(Box::new(outcome)),
        Ok(Err(_)) => Fate::Untried,
        Err(_) => Fate::Late(receiver),
    }
}

fn log_taken(shared: &Shared, outcome: &Outcome) {
    let (job, results) = outcome;
    for (recipient, delivered) in job.claimed.recipients.iter().zip(results.iter().flatten()) {
        delivery_log::delivered(shared, Tried::of(job, recipient), delivered);
    }
}

/// Logs the target's reply; the sender gets only a code.
fn log_fate_of(shared: &Shared, fate: &Fate, new: &NewMessage) {
    let late = || Trouble::temporary(Scope::Host, 4, 7, "no answer within forward.cut_through_timeout_s");
    for (n, recipient) in new.recipients.iter().enumerate() {
        let trouble = match fate {
            Fate::NotTaken(outcome) => outcome.1.get(n).and_then(|result| result.as_ref().err().cloned()),
            Fate::Late(_) => Some(late()),
            Fate::Taken | Fate::Untried | Fate::Elsewhere => None,
        };
        if let Some(trouble) = trouble {
            let attempt = if let Fate::NotTaken(outcome) = fate { outcome.0.attempt } else { None };
            delivery_log::not_taken(shared, Tried { message: &new.message, recipient, attempts: 0, attempt }, &trouble);
        }
    }
}

/// The outcome at one target when the sender is answered.
enum TargetOutcome<'a> {
    Taken,
    /// Refused, and another From field would not help.
    Refused(&'a Trouble),
    /// Deferred, or no reply yet.
    Later(Option<&'a Trouble>),
    /// Another session is delivering it.
    Elsewhere,
}

fn outcome_of<'a>(fate: &'a Fate, new: &NewMessage) -> TargetOutcome<'a> {
    match fate {
        Fate::Taken => TargetOutcome::Taken,
        Fate::Elsewhere => TargetOutcome::Elsewhere,
        Fate::Late(_) | Fate::Untried => TargetOutcome::Later(None),
        Fate::NotTaken(outcome) => match outcome.1.iter().find_map(|result| result.as_ref().err()) {
            Some(trouble) if trouble.permanent && !settle::can_rewrite_from(new, trouble) => TargetOutcome::Refused(trouble),
            trouble => TargetOutcome::Later(trouble),
        },
    }
}

/// The complete rule. If any target accepted the message, we deliver to the others. If none did, a message that all refuse is refused, and any
/// other is queued only if its sender could get a DSN later.
fn decide_answer(outcomes: &[TargetOutcome<'_>], may_report: bool) -> ClientAnswer {
    let is_taken = |outcome: &TargetOutcome<'_>| matches!(outcome, TargetOutcome::Taken);
    if !outcomes.is_empty() && outcomes.iter().all(is_taken) {
        return ClientAnswer::Taken(TakenOver(()));
    }
    // The other session's outcome is unknown; if it succeeds, dedup answers the sender's next attempt.
    if outcomes.iter().any(|outcome| matches!(outcome, TargetOutcome::Elsewhere)) {
        return ClientAnswer::Refused(try_later());
    }
    if outcomes.iter().any(is_taken) {
        return ClientAnswer::Commit;
    }
    let refusal = outcomes.iter().find_map(|outcome| if let TargetOutcome::Refused(trouble) = outcome { Some(*trouble) } else { None });
    let is_refused = outcomes.iter().all(|outcome| matches!(outcome, TargetOutcome::Refused(_)));
    match refusal {
        Some(trouble) if is_refused => ClientAnswer::Refused(masked_reply(trouble)),
        _ if may_report => ClientAnswer::Commit,
        _ => {
            let trouble = outcomes.iter().find_map(|outcome| if let TargetOutcome::Later(trouble) = outcome { *trouble } else { None });
            ClientAnswer::Refused(trouble.filter(|trouble| !trouble.permanent).map_or_else(try_later, masked_reply))
        }
    }
}

fn try_later() -> Reply {
    Reply::new(451, (4, 4, 7), "the mailbox behind this address has not accepted the message yet; try again later")
}

/// The reply to the sender: the target's class and code. The text may name the target in any form and is not passed on.
fn masked_reply(trouble: &Trouble) -> Reply {
    let mail::EnhancedCode(_, subject, detail) = trouble.enhanced;
    if !trouble.permanent {
        // The enhanced code of an unreachable host does not help the sender.
        return match trouble.scope {
            Scope::Recipient => {
                Reply::new(450, (4, subject, detail), "the mailbox behind this address accepts no mail at the moment; try again later")
            }
            _ => try_later(),
        };
    }
    let code = if subject == 1 || subject == 2 { 550 } else { 554 };
    Reply::new(code, (5, subject, detail), "the mailbox behind this address rejected the message")
}

/// Releases the jobs. Dropping a receiver cancels the wait for its outcome.
fn release(dispatch: &Dispatch, fates: Vec<Fate>) {
    for fate in fates {
        if let Fate::NotTaken(outcome) = fate {
            dispatch.outbound().window.release(&outcome.0);
        }
    }
}

/// Commits what was not accepted; each job then continues as if it had come from the queue.
async fn commit(
    dispatch: &Dispatch,
    messages: &[NewMessage],
    fingerprints: &[Option<Fingerprint>],
    fates: Vec<Fate>,
) -> Result<Committed, StoreError> {
    let rest: Vec<NewMessage> = messages
        .iter()
        .zip(&fates)
        .filter(|(_, fate)| !matches!(fate, Fate::Taken))
        .map(|(new, fate)| NewMessage { claimed: !matches!(fate, Fate::Untried), ..new.clone() })
        .collect();
    let Shared { store, clock, .. } = dispatch.outbound().shared();
    let committed = match store.commit(rest, lease_ms(clock.now_ms())).await {
        Ok(committed) => committed,
        Err(error) => {
            release(dispatch, fates);
            return Err(error);
        }
    };
    // We are responsible now: if the sender misses our reply, its next attempt is a duplicate.
    fingerprints.iter().flatten().for_each(|fingerprint| dispatch.dedup().remember(*fingerprint, clock.now_ms()));
    for fate in fates {
        match fate {
            Fate::NotTaken(outcome) => {
                let (outbound, (job, results)) = (dispatch.outbound().clone(), *outcome);
                tokio::spawn(async move { settle::settle(&outbound, job, results).await });
            }
            Fate::Late(receiver) => {
                let outbound = dispatch.outbound().clone();
                tokio::spawn(async move {
                    // Without an outcome the claim ends with its lease, or with this process.
                    if let Ok((job, results)) = receiver.await {
                        settle::settle(&outbound, job, results).await;
                    }
                });
            }
            Fate::Untried => dispatch.wake(),
            Fate::Taken | Fate::Elsewhere => {}
        }
    }
    Ok(committed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(outcomes: &[TargetOutcome<'_>], may_report: bool) -> String {
        match decide_answer(outcomes, may_report) {
            ClientAnswer::Taken(_) => "taken".into(),
            ClientAnswer::Commit => "commit".into(),
            ClientAnswer::Refused(reply) => {
                assert!(!reply.to_string().contains("secret"), "{reply}");
                reply.to_string().chars().take_while(|c| !c.is_ascii_alphabetic()).collect::<String>().trim().to_owned()
            }
        }
    }

    #[test]
    fn the_reply_follows_from_every_targets_outcome() {
        let no = Trouble::permanent(Scope::Recipient, 1, 1, "no secret@target.test");
        let policy = Trouble::permanent(Scope::Message, 7, 1, "secret");
        let full = Trouble::temporary(Scope::Recipient, 2, 2, "secret is full");
        let down = Trouble::unreachable("secret.test does not answer");
        let (taken, late) = (|| TargetOutcome::Taken, || TargetOutcome::Later(None));
        for known in [true, false] {
            assert_eq!(code(&[taken(), taken()], known), "taken");
            assert_eq!(code(&[taken(), TargetOutcome::Refused(&no)], known), "commit");
            assert_eq!(code(&[TargetOutcome::Later(Some(&full)), taken()], known), "commit");
            assert_eq!(code(&[late(), taken()], known), "commit");
            assert_eq!(code(&[TargetOutcome::Refused(&no)], known), "550 5.1.1");
            assert_eq!(code(&[TargetOutcome::Refused(&policy), TargetOutcome::Refused(&no)], known), "554 5.7.1");
        }
        assert_eq!(code(&[TargetOutcome::Later(Some(&full))], true), "commit");
        assert_eq!(code(&[TargetOutcome::Later(Some(&full))], false), "450 4.2.2");
        assert_eq!(code(&[TargetOutcome::Later(Some(&down))], false), "451 4.4.7");
        assert_eq!(code(&[TargetOutcome::Refused(&no), late()], true), "commit");
        assert_eq!(code(&[TargetOutcome::Refused(&no), late()], false), "451 4.4.7");
        assert_eq!(code(&[], false), "451 4.4.7", "an empty list is not success");
        assert_eq!(code(&[TargetOutcome::Elsewhere, TargetOutcome::Refused(&no)], true), "451 4.4.7");
        assert_eq!(code(&[TargetOutcome::Elsewhere, taken()], true), "451 4.4.7");
    }
}
