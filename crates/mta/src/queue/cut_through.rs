//! Stage: cut-through. The targets take the message while its sender waits, so that their answer is the sender's answer.
//!
//! RFC 5321 s.4.2.5 and s.6.1. Invariant: only this file makes a [`TakenOver`], and only out of the 2xx of every next hop; what has no such
//! answer within the deadline is nobody's until it is committed.

use std::time::Duration;

use mail::Reply;
use policy::{Scope, Trouble};
use store::{Committed, NewMessage, Store, StoreError};
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::accept::prepare::Prepared;
use crate::deliver::delivery_log;
use crate::deliver::job::Job;
use crate::deliver::settle;
use crate::deliver::transaction::Delivered;
use crate::queue::dedup::{Begun, Fingerprint, Mark};
use crate::queue::dispatch::Dispatch;
use crate::queue::responsibility::Responsibility;

/// Every next hop said 2xx.
#[derive(Debug)]
pub(crate) struct TakenOver(());

/// Who waits for the outcome of a job, instead of the queue.
#[derive(Debug)]
pub(crate) struct Waiter {
    outcome: oneshot::Sender<(Job, Vec<Result<Delivered, Trouble>>)>,
    mark: Option<Mark>,
}

/// A handed-over job and what became of it.
type Outcome = (Job, Vec<Result<Delivered, Trouble>>);

/// What became of one message.
enum Fate {
    /// The target has it.
    Taken,
    /// The target does not want it, now or at all; the job is to be settled once the message is committed.
    NotTaken(Box<Outcome>),
    /// It is under way still.
    Late(oneshot::Receiver<Outcome>),
    /// There was no room to try.
    Untried,
    /// The same message is on its way to the target already, for a sender that waits or waited elsewhere.
    Elsewhere,
}

/// What the sender is to be told.
enum Answer {
    Taken(TakenOver),
    Refused(Reply),
    Commit,
}

impl Waiter {
    /// Whether nobody waits any more: what has not begun is not to be begun.
    pub fn is_gone(&self) -> bool {
        self.outcome.is_closed()
    }

    /// Hands the outcome to who waits. That the target has taken the message is remembered: a sender that did not hear so comes back.
    pub fn tell(self, dispatch: &Dispatch, job: Job, results: Vec<Result<Delivered, Trouble>>) {
        let taken = is_taken(&results);
        // Remembered before the mark goes: the next copy finds one or the other.
        if let (true, Some(mark)) = (taken, &self.mark) {
            mark.remember(dispatch.world().clock.now_ms());
        }
        if let Err((job, _)) = self.outcome.send((job, results)) {
            if taken {
                tracing::warn!(id = %job.claimed.message.id, "delivered after its sender had been told to try again; the next copy is not sent on");
            }
            dispatch.done(&job);
        }
    }
}

/// Hands the messages over; what was not taken is committed where its sender is known, and refused to the sender otherwise.
pub(crate) async fn hand_over(
    store: &Store,
    dispatch: &Dispatch,
    prepared: Prepared<'_>,
    deadline_s: u64,
) -> Result<Result<Responsibility, Reply>, StoreError> {
    let Prepared { messages, whole, .. } = prepared;
    let fingerprints: Vec<Option<Fingerprint>> = messages.iter().map(|new| Fingerprint::of(&whole.bytes, new)).collect();
    // A target that is slow keeps no large content in memory, and no place for one.
    drop(whole);
    let may_report = messages.iter().all(|m| m.message.may_report);
    let fates = offer(dispatch, &messages, &fingerprints, deadline_s).await;
    fates.iter().zip(&messages).for_each(|(fate, new)| log_fate_of(dispatch, fate, new));
    let said: Vec<Said<'_>> = fates.iter().zip(&messages).map(|(fate, new)| said(fate, new)).collect();
    match answer(&said, may_report) {
        Answer::Taken(taken) => {
            if let Some(first) = messages.first() {
                store.discard(&first.content);
            }
            release(dispatch, fates);
            Ok(Ok(Responsibility::TakenOver(taken)))
        }
        Answer::Refused(reply) => {
            release(dispatch, fates);
            Ok(Err(reply))
        }
        Answer::Commit => {
            commit(store, dispatch, &messages, &fingerprints, fates).await.map(|committed| Ok(Responsibility::Ours(committed)))
        }
    }
}

/// Offers each message to its target, side by side.
#[allow(clippy::disallowed_methods)] // the deadline of a session is the runtime's time, not the queue's
async fn offer(dispatch: &Dispatch, messages: &[NewMessage], fingerprints: &[Option<Fingerprint>], deadline_s: u64) -> Vec<Fate> {
    let world = dispatch.world();
    let mut offered = Vec::with_capacity(messages.len());
    for (new, fingerprint) in messages.iter().zip(fingerprints) {
        let mark = match fingerprint.map(|fingerprint| world.taken.begin(fingerprint, world.clock.now_ms())) {
            None => None,
            Some(Begun::Now(mark)) => Some(mark),
            Some(Begun::Taken) => {
                tracing::info!(id = %new.message.id, "not sent again: somebody answers for this message already");
                offered.push(Err(Fate::Taken));
                continue;
            }
            Some(Begun::UnderWay) => {
                tracing::info!(id = %new.message.id, "put off: the same message is on its way to the target");
                offered.push(Err(Fate::Elsewhere));
                continue;
            }
        };
        let (outcome, receiver) = oneshot::channel();
        offered.push(match dispatch.reserve(new) {
            Some(reservation) => {
                reservation.jobs(new).submit_waiting(Waiter { outcome, mark });
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
                log_taken(dispatch, &outcome);
                dispatch.done(&outcome.0);
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

/// Whether every recipient has the message. No outcome at all is nobody's word.
fn is_taken(results: &[Result<Delivered, Trouble>]) -> bool {
    !results.is_empty() && results.iter().all(Result::is_ok)
}

fn log_taken(dispatch: &Dispatch, outcome: &Outcome) {
    let (job, results) = outcome;
    for (recipient, delivered) in job.claimed.recipients.iter().zip(results.iter().flatten()) {
        delivery_log::delivered(dispatch.world(), &job.claimed.message, &recipient.recipient, delivered);
    }
}

/// What a target said is for the log: its sender gets a code.
fn log_fate_of(dispatch: &Dispatch, fate: &Fate, new: &NewMessage) {
    let late = || Trouble::temporary(Scope::Host, 4, 7, "no answer within forward.deadline_s");
    for (n, recipient) in new.recipients.iter().enumerate() {
        let trouble = match fate {
            Fate::NotTaken(outcome) => outcome.1.get(n).and_then(|result| result.as_ref().err().cloned()),
            Fate::Late(_) => Some(late()),
            Fate::Taken | Fate::Untried | Fate::Elsewhere => None,
        };
        if let Some(trouble) = trouble {
            delivery_log::not_taken(dispatch.world(), &new.message, recipient, &trouble);
        }
    }
}

/// What is known of one target when the sender is answered.
enum Said<'a> {
    Taken,
    /// No, and another From field would not help.
    Refused(&'a Trouble),
    /// Not now, or nothing yet.
    Later(Option<&'a Trouble>),
    /// Another session is about to know.
    Elsewhere,
}

fn said<'a>(fate: &'a Fate, new: &NewMessage) -> Said<'a> {
    match fate {
        Fate::Taken => Said::Taken,
        Fate::Elsewhere => Said::Elsewhere,
        Fate::Late(_) | Fate::Untried => Said::Later(None),
        Fate::NotTaken(outcome) => match outcome.1.iter().find_map(|result| result.as_ref().err()) {
            Some(trouble) if trouble.permanent && !settle::is_mendable(new, trouble) => Said::Refused(trouble),
            trouble => Said::Later(trouble),
        },
    }
}

/// The whole rule. Any target that took the message makes it ours to bring to the others. Where none did, what all refuse is refused; and
/// the rest becomes ours only where we could tell its sender of a failure later.
fn answer(said: &[Said<'_>], may_report: bool) -> Answer {
    let is_taken = |said: &Said<'_>| matches!(said, Said::Taken);
    if !said.is_empty() && said.iter().all(is_taken) {
        return Answer::Taken(TakenOver(()));
    }
    // What becomes of it there is not known yet, and what was taken is remembered: the sender may ask again.
    if said.iter().any(|said| matches!(said, Said::Elsewhere)) {
        return Answer::Refused(busy());
    }
    if said.iter().any(is_taken) {
        return Answer::Commit;
    }
    let refusal = said.iter().find_map(|said| if let Said::Refused(trouble) = said { Some(*trouble) } else { None });
    let is_refused = said.iter().all(|said| matches!(said, Said::Refused(_)));
    match refusal {
        Some(trouble) if is_refused => Answer::Refused(masked(trouble)),
        _ if may_report => Answer::Commit,
        _ => {
            let trouble = said.iter().find_map(|said| if let Said::Later(trouble) = said { *trouble } else { None });
            Answer::Refused(trouble.filter(|trouble| !trouble.permanent).map_or_else(busy, masked))
        }
    }
}

fn busy() -> Reply {
    Reply::new(451, (4, 4, 7), "the mailbox behind this address has not taken the message yet; try again later")
}

/// What a target said, for the sender: its class and code. Its text may name the target in any form, and stays here.
fn masked(trouble: &Trouble) -> Reply {
    let mail::EnhancedCode(_, subject, detail) = trouble.enhanced;
    if !trouble.permanent {
        // The enhanced code of a host that cannot be reached is of no use to the sender.
        return match trouble.scope {
            Scope::Recipient => {
                Reply::new(450, (4, subject, detail), "the mailbox behind this address does not take mail now; try again later")
            }
            _ => busy(),
        };
    }
    let code = if subject == 1 || subject == 2 { 550 } else { 554 };
    Reply::new(code, (5, subject, detail), "the mailbox behind this address refused the message")
}

/// Gives back what jobs hold. Dropping a receiver tells the others that nobody waits.
fn release(dispatch: &Dispatch, fates: Vec<Fate>) {
    for fate in fates {
        if let Fate::NotTaken(outcome) = fate {
            dispatch.done(&outcome.0);
        }
    }
}

/// Commits what was not taken, and then lets each job go its way as if it had come from the queue.
async fn commit(
    store: &Store,
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
    let world = dispatch.world();
    let lease_ms = dispatch.lease_ms(world.clock.now_ms());
    let committed = match store.commit(rest, lease_ms).await {
        Ok(committed) => committed,
        Err(error) => {
            release(dispatch, fates);
            return Err(error);
        }
    };
    // We answer for it now: the same message from a sender that does not hear so is no new one.
    fingerprints.iter().flatten().for_each(|fingerprint| world.taken.remember(*fingerprint, world.clock.now_ms()));
    for fate in fates {
        match fate {
            Fate::NotTaken(outcome) => {
                let (dispatch, (job, results)) = (dispatch.clone(), *outcome);
                tokio::spawn(async move { settle::settle(&dispatch, job, results).await });
            }
            Fate::Late(receiver) => {
                let dispatch = dispatch.clone();
                tokio::spawn(async move {
                    // Without an outcome the claim ends with its lease, or with this process.
                    if let Ok((job, results)) = receiver.await {
                        settle::settle(&dispatch, job, results).await;
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

    fn code(said: &[Said<'_>], may_report: bool) -> String {
        match answer(said, may_report) {
            Answer::Taken(_) => "taken".into(),
            Answer::Commit => "commit".into(),
            Answer::Refused(reply) => {
                assert!(!reply.to_string().contains("secret"), "{reply}");
                reply.to_string().chars().take_while(|c| !c.is_ascii_alphabetic()).collect::<String>().trim().to_owned()
            }
        }
    }

    #[test]
    fn the_rule() {
        let no = Trouble::permanent(Scope::Recipient, 1, 1, "no secret@target.test");
        let policy = Trouble::permanent(Scope::Message, 7, 1, "secret");
        let full = Trouble::temporary(Scope::Recipient, 2, 2, "secret is full");
        let down = Trouble::unreachable("secret.test does not answer");
        let (taken, late) = (|| Said::Taken, || Said::Later(None));
        for known in [true, false] {
            assert_eq!(code(&[taken(), taken()], known), "taken");
            assert_eq!(code(&[taken(), Said::Refused(&no)], known), "commit");
            assert_eq!(code(&[Said::Later(Some(&full)), taken()], known), "commit");
            assert_eq!(code(&[late(), taken()], known), "commit");
            assert_eq!(code(&[Said::Refused(&no)], known), "550 5.1.1");
            assert_eq!(code(&[Said::Refused(&policy), Said::Refused(&no)], known), "554 5.7.1");
        }
        assert_eq!(code(&[Said::Later(Some(&full))], true), "commit");
        assert_eq!(code(&[Said::Later(Some(&full))], false), "450 4.2.2");
        assert_eq!(code(&[Said::Later(Some(&down))], false), "451 4.4.7");
        assert_eq!(code(&[Said::Refused(&no), late()], true), "commit");
        assert_eq!(code(&[Said::Refused(&no), late()], false), "451 4.4.7");
        assert_eq!(code(&[], false), "451 4.4.7", "nobody's word is no 250");
        assert_eq!(code(&[Said::Elsewhere, Said::Refused(&no)], true), "451 4.4.7");
        assert_eq!(code(&[Said::Elsewhere, taken()], true), "451 4.4.7");
    }
}
