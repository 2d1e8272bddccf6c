//! The thread that writes to the database: takes the operations that wait, and commits them together.
//!
//! Mail under way (commits, settlements, claims) is one transaction in one round trip, whatever its number; what is rarer is another one. Invariant: no
//! operation gets its outcome before its COMMIT has succeeded; a COMMIT without an answer is a failure, and nothing is tried again that may have been done.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::outage::Outage;
use super::server::Server;
use super::session::{Session, Step};
use super::stay::Stay;
use super::{bulk, claiming, nodes};
use crate::batches::Batches;
use crate::cluster::ClusterChange;
use crate::error::StoreError;
use crate::journal::is_plain;
use crate::line::{self, BATCH_MAX};
use crate::message::{Disposition, Lease, NewMessage};
use crate::operation::{Guarded, Operation, WriteJob, WriteOutcome, concerns_one, transact};

/// Time for which operations are refused at once after a connection could not be opened.
const NO_CONNECTION: Duration = Duration::from_millis(500);

/// Times that a batch is tried which collides with others.
const TRIES: usize = 4;

/// Ends the runtime without waiting for it, which no thread of a runtime may do.
pub(super) struct Net(pub Option<Runtime>);

impl Drop for Net {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The writer.
pub(super) struct PgWriter {
    pub server: Arc<Server>,
    pub net: Net,
    pub stay: Arc<Stay>,
    pub session: Option<Session>,
    pub batches: Arc<Batches>,
    /// When a connection could not be opened last, by the clock of the stay, and why.
    pub refused: Option<(Duration, StoreError)>,
    pub outage: Outage,
    /// Held until the last operation is done.
    pub lock: File,
}

/// Opens a connection for a thread.
pub(super) fn open_session(server: &Server, net: &tokio::runtime::Handle, stay: &Arc<Stay>, role: &str) -> Result<Session, StoreError> {
    let name = format!("waypost {} {role}", stay.name());
    let opened = net.block_on(server.connect(&name))?;
    Ok(Session::new(opened, net.clone(), stay.clone()))
}

/// Whether many of an operation go together.
fn is_bulk(operation: &Operation) -> bool {
    match operation {
        Operation::Enqueue { .. } | Operation::Claim { .. } | Operation::Move { .. } => true,
        Operation::Settle { settlement, .. } => is_plain(settlement),
        _ => false,
    }
}

/// Whether messages are due that another node could deliver.
fn has_due(messages: &[NewMessage]) -> bool {
    messages.iter().any(|new| !new.claimed && new.held.is_none())
}

/// What an operation tells the other nodes.
fn news_of(operation: &Operation) -> Option<&'static str> {
    match operation {
        Operation::Directory(_) => Some("directory"),
        Operation::Cluster(
            ClusterChange::PutShared { .. }
            | ClusterChange::OfferShared { .. }
            | ClusterChange::RemoveShared { .. }
            | ClusterChange::RemoveNode { .. },
        ) => Some("shared"),
        Operation::Retry { .. } | Operation::Release { .. } | Operation::Replace { .. } | Operation::ReleaseClaims { .. } => Some("work"),
        Operation::Enqueue { messages, .. } | Operation::Notice { messages, .. } if has_due(messages) => Some("work"),
        _ => None,
    }
}

impl PgWriter {
    /// Runs until every handle is dropped.
    pub fn run(mut self, mut jobs_line: mpsc::Receiver<WriteJob>) {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        while line::take(&mut jobs_line, &mut jobs, || None) {
            self.commit(std::mem::take(&mut jobs));
        }
        self.close();
    }

    /// Ends the lease, so that what is still claimed is free at once.
    fn close(mut self) {
        if let Ok(session) = self.session()
            && let Err(error) = nodes::end_lease(session)
        {
            tracing::warn!(%error, "cannot end this node's lease; it ends by itself within {} seconds", super::stay::LEASE_S);
        }
        drop(self.session.take());
        drop(self.net);
        drop(self.lock);
    }

    /// The connection; opens one if there is none.
    fn session(&mut self) -> Result<&Session, StoreError> {
        if self.session.as_ref().is_some_and(Session::is_over) {
            self.session = None;
        }
        if self.session.is_none() {
            if let Some((since, error)) = &self.refused
                && self.stay.asks().saturating_sub(*since) < NO_CONNECTION
            {
                return Err(error.clone());
            }
            let Some(runtime) = &self.net.0 else { return Err(StoreError::Closed) };
            match open_session(&self.server, runtime.handle(), &self.stay, "writer") {
                Ok(session) => {
                    self.refused = None;
                    if self.outage.end() {
                        tracing::info!("the database is back");
                    }
                    self.session = Some(session);
                }
                Err(error) => {
                    let now = self.stay.asks();
                    if self.outage.is_news(now, &error) {
                        tracing::error!(%error, "no connection to the database; mail is refused for now (4xx), and what is queued waits");
                    }
                    self.refused = Some((now, error.clone()));
                    return Err(error);
                }
            }
        }
        self.session.as_ref().ok_or(StoreError::Closed)
    }

    /// Commits operations and sends their outcomes.
    fn commit(&mut self, mut jobs: Vec<WriteJob>) {
        let batches = self.batches.clone();
        let session = match self.session() {
            Ok(session) => session,
            Err(error) => return line::refuse(jobs, &error),
        };
        if let Some(wrong) = session.stay.wrong_clock() {
            line::refuse(jobs.extract_if(.., |job| has_times(&job.operation)).collect(), &wrong);
        }
        let bulk: Vec<WriteJob> = jobs.extract_if(.., |job| is_bulk(&job.operation)).collect();
        if !bulk.is_empty() {
            jobs.extend(commit_bulk(session, &batches, bulk));
        }
        if !jobs.is_empty() {
            commit_each(session, &batches, jobs);
        }
    }
}

/// Whether an operation decides on mail by the clock of this machine, or dates it. What was delivered is noted in any case.
fn has_times(operation: &Operation) -> bool {
    match operation {
        Operation::Settle { settlement, .. } => {
            !settlement.follow.is_empty()
                || !settlement.failed.is_empty()
                || settlement.recipients.iter().any(|(_, disposition)| !matches!(disposition, Disposition::Done))
        }
        Operation::Enqueue { .. }
        | Operation::Claim { .. }
        | Operation::ReleaseClaims { .. }
        | Operation::StepClock(_)
        | Operation::Retry { .. }
        | Operation::Release { .. }
        | Operation::Replace { .. }
        | Operation::Notice { .. }
        | Operation::ExpireHeld { .. } => true,
        _ => false,
    }
}

/// Runs what may collide with another transaction.
fn retried<T>(session: &Session, mut run: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 1..TRIES {
        match run() {
            Err(_) if session.has_collided() => tracing::debug!("a transaction collided with another one; it is run again"),
            other => return other,
        }
    }
    run()
}

/// Counts a transaction.
#[allow(clippy::disallowed_methods)] // the duration of a commit is measured, and nothing is decided by it
fn counted<T>(batches: &Batches, operations: usize, run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let begin = Instant::now();
    let outcome = run();
    batches.count(operations, begin.elapsed(), outcome.is_ok());
    outcome
}

/// Commits operations of mail under way in one round trip. Returns those that have to be run one by one.
fn commit_bulk(session: &Session, batches: &Batches, jobs: Vec<WriteJob>) -> Vec<WriteJob> {
    let outcome = retried(session, || counted(batches, jobs.len(), || fly_bulk(session, &jobs)));
    match outcome {
        Ok(outcomes) => {
            for (job, outcome) in jobs.into_iter().zip(outcomes) {
                let _ = job.answer.send(outcome);
            }
            Vec::new()
        }
        // Nothing was committed: run each with a savepoint, so that only the one operation fails.
        Err(error) if concerns_one(&error) => jobs,
        Err(error) => {
            session.stay.doubt(session.owner());
            tracing::error!(%error, operations = jobs.len(), "a commit failed; none of its operations was acknowledged");
            line::refuse(jobs, &error);
            Vec::new()
        }
    }
}

fn fly_bulk(session: &Session, jobs: &[WriteJob]) -> Result<Vec<Result<WriteOutcome, StoreError>>, StoreError> {
    session.trust();
    let (owner, may_claim) = (session.begin_owner(), session.stay.may_claim());
    let lease = Lease(Some(owner));
    let (mut arrivals, mut settlements, mut claims) = (Vec::new(), Vec::new(), Vec::new());
    for job in jobs {
        match &job.operation {
            Operation::Enqueue { messages, lease_ms } => arrivals.push((messages.as_slice(), *lease_ms)),
            Operation::Settle { settlement, .. } => settlements.push(settlement),
            Operation::Claim { lane, now_ms, lease_ms, limit } if may_claim => {
                claims.push(claiming::claim_step(lane, *now_ms, *lease_ms, *limit, owner));
            }
            _ => {}
        }
    }
    let (added, settled, claimed) = (bulk::enqueue(&arrivals, owner), bulk::settle(&settlements, session.stay.any_owner()), claims.len());
    let mut steps = Vec::with_capacity(added.len() + settled.len() + claimed + 4);
    steps.push(Step::Plain("BEGIN"));
    steps.extend(added);
    steps.extend(settled);
    let first_claim = steps.len();
    steps.extend(claims);
    if jobs.iter().any(|job| news_of(&job.operation).is_some()) {
        steps.push(Step::Plain("UPDATE news SET n = n + 1 WHERE name = 'work'; SELECT pg_notify('waypost', 'work')"));
    }
    if steps.len() == 1 {
        return Ok(jobs.iter().map(|_| Ok(WriteOutcome::Done)).collect());
    }
    steps.push(Step::Plain("COMMIT"));
    let answers = session.fly(&steps)?;
    session.check_trust()?;
    let mut claimed = answers.into_iter().skip(first_claim);
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        outcomes.push(Ok(match &job.operation {
            Operation::Enqueue { .. } => WriteOutcome::Enqueued(lease),
            Operation::Claim { .. } if may_claim => {
                let rows = claimed.next().unwrap_or_default();
                let (claimed, unreadable) = claiming::read_claimed(&rows, lease)?;
                for (key, reason) in unreadable {
                    crate::tables::set_aside(session, key, &reason)?;
                }
                WriteOutcome::Claimed(claimed)
            }
            _ => WriteOutcome::Done,
        }));
    }
    Ok(outcomes)
}

/// Commits operations one after the other, in one transaction.
fn commit_each(session: &Session, batches: &Batches, jobs: Vec<WriteJob>) {
    let run = |guard| retried(session, || counted(batches, jobs.len(), || transact_once(session, &jobs, guard)));
    let mut outcome = run(Guarded::Some);
    if outcome.as_ref().is_err_and(concerns_one) {
        outcome = run(Guarded::All);
    }
    match outcome {
        Ok(applied) => {
            for (job, result) in jobs.into_iter().zip(applied) {
                let _ = job.answer.send(result.map(|(outcome, _)| outcome));
            }
        }
        Err(error) => {
            session.stay.doubt(session.owner());
            tracing::error!(%error, operations = jobs.len(), "a commit failed; none of its operations was acknowledged");
            line::refuse(jobs, &error);
        }
    }
}

fn transact_once(session: &Session, jobs: &[WriteJob], guard: Guarded) -> Result<Vec<crate::operation::Applied>, StoreError> {
    session.trust();
    session.begin_owner();
    let outcome = transact(session, jobs, guard, &|applied| {
        let done = jobs.iter().zip(applied).filter(|(_, result)| result.is_ok());
        let mut news: Vec<&str> = done.filter_map(|(job, _)| news_of(&job.operation)).collect();
        news.sort_unstable();
        news.dedup();
        news.into_iter().map(nodes::telling).chain(["COMMIT".to_owned()]).collect()
    });
    if outcome.is_err() && !session.is_over() {
        let collided = session.has_collided();
        let _ = session.control("ROLLBACK");
        session.note_collision(collided);
    }
    outcome.and_then(|applied| session.check_trust().map(|()| applied))
}
