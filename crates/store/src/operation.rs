//! The operations that change the database, and how a batch of them is applied as one transaction.
//!
//! Invariant: an operation that fails for itself alone, as for a record that does not exist, is rolled back alone.

use mail::{Domain, QueueId};
use tokio::sync::oneshot;

use crate::api_token::TokenChange;
use crate::cluster::ClusterChange;
use crate::content::Content;
use crate::daily::{DailyChange, DailyRow};
use crate::door::DoorChange;
use crate::engine::Sql;
use crate::error::StoreError;
use crate::journal::Journal;
use crate::message::{Claimed, ClockStep, Lease, NewMessage, NoticeMark, Settlement};
use crate::report::NewReport;
use crate::tables::{self, DirectoryChange, KnownRecipient, LoginUse, RetryScope};

/// Approximate size of a queue row with its index entries, in octets.
const ROW_BYTES: u64 = 1024;

/// A write operation.
#[derive(Debug)]
pub(crate) enum Operation {
    Enqueue {
        messages: Vec<NewMessage>,
        lease_ms: i64,
    },
    /// `may_wait`: its batch may wait for other operations, since no other message waits for the connection.
    Settle {
        settlement: Settlement,
        lease_ms: i64,
        may_wait: bool,
    },
    /// Moves the journal to the database; with `only_settlements`, if a message may wait whose next attempt only the journal has.
    Move {
        only_settlements: bool,
    },
    Claim {
        lane: Domain,
        now_ms: i64,
        lease_ms: i64,
        limit: u32,
    },
    ReleaseClaims {
        now_ms: i64,
    },
    StepClock(ClockStep),
    Retry {
        scope: RetryScope,
        now_ms: i64,
    },
    Drop {
        id: QueueId,
        index: Option<u32>,
    },
    Release {
        id: QueueId,
        now_ms: i64,
        expires_ms: i64,
    },
    Replace {
        id: QueueId,
        with: Box<NewMessage>,
    },
    Notice {
        messages: Vec<NewMessage>,
        up_to: NoticeMark,
        now_ms: i64,
    },
    ExpireHeld {
        now_ms: i64,
    },
    RememberSender {
        token: String,
        sender: String,
        now_ms: i64,
    },
    RecordLogins(Vec<LoginUse>),
    RecordRecipients(Vec<KnownRecipient>),
    Directory(Vec<DirectoryChange>),
    KeepReport(Box<NewReport>),
    CountDaily(Vec<DailyRow>),
    ChangeDaily(DailyChange),
    Door(DoorChange),
    Token(TokenChange),
    Cluster(ClusterChange),
}

/// The outcome of an operation.
#[derive(Debug)]
pub(crate) enum WriteOutcome {
    Done,
    /// Messages were committed, those that are claimed under this lease.
    Enqueued(Lease),
    Claimed(Vec<Claimed>),
    Count(u64),
}

/// An operation, and the channel for its outcome.
#[derive(Debug)]
pub(crate) struct WriteJob {
    pub operation: Operation,
    pub answer: oneshot::Sender<Result<WriteOutcome, StoreError>>,
}

/// An outcome, and the content files to remove after the commit.
pub(crate) type Applied = Result<(WriteOutcome, Vec<QueueId>), StoreError>;

fn apply(db: &dyn Sql, operation: &Operation) -> Applied {
    let done = |files| (WriteOutcome::Done, files);
    match operation {
        // The writer moves the journal before the transaction.
        Operation::Move { .. } => Ok(done(vec![])),
        Operation::Enqueue { messages, lease_ms } => db.enqueue(messages, *lease_ms).map(|()| (WriteOutcome::Enqueued(db.lease()), vec![])),
        Operation::Settle { settlement, lease_ms, .. } => db.settle(settlement, *lease_ms).map(done),
        Operation::Claim { lane, now_ms, lease_ms, limit } => {
            db.claim(lane, *now_ms, *lease_ms, *limit).map(|claimed| (WriteOutcome::Claimed(claimed), vec![]))
        }
        Operation::ReleaseClaims { now_ms } => tables::release_claims(db, *now_ms).map(|n| (WriteOutcome::Count(n), vec![])),
        Operation::StepClock(step) => tables::step_clock(db, *step).map(|n| (WriteOutcome::Count(n), vec![])),
        Operation::Retry { scope, now_ms } => tables::retry(db, scope, *now_ms).map(|n| (WriteOutcome::Count(n), vec![])),
        Operation::Drop { id, index } => tables::drop_message(db, *id, *index).map(done),
        Operation::Release { id, now_ms, expires_ms } => tables::release(db, *id, *now_ms, *expires_ms).map(|()| done(vec![])),
        Operation::Replace { id, with } => {
            let files = tables::drop_message(db, *id, None)?;
            db.enqueue(std::slice::from_ref(with), 0).map(|()| done(files))
        }
        Operation::Notice { messages, up_to, now_ms } => {
            tables::set_noticed(db, *up_to, *now_ms)?;
            db.enqueue(messages, *now_ms).map(|()| done(vec![]))
        }
        Operation::ExpireHeld { now_ms } => tables::expire_held(db, *now_ms).map(|(n, files)| (WriteOutcome::Count(n), files)),
        Operation::RememberSender { token, sender, now_ms } => tables::insert_srs_sender(db, token, sender, *now_ms).map(|()| done(vec![])),
        Operation::RecordLogins(uses) => tables::record_logins(db, uses).map(|()| done(vec![])),
        Operation::RecordRecipients(recipients) => tables::record_recipients(db, recipients).map(|()| done(vec![])),
        Operation::CountDaily(rows) => tables::count_daily(db, rows).map(|n| (WriteOutcome::Count(n), vec![])),
        Operation::ChangeDaily(change) => tables::change_daily(db, change).map(|()| done(vec![])),
        Operation::Directory(changes) => changes.iter().try_for_each(|c| tables::change_directory(db, c)).map(|()| done(vec![])),
        Operation::Door(change) => tables::change_door(db, change).map(|()| done(vec![])),
        Operation::Token(change) => tables::change_tokens(db, change).map(|()| done(vec![])),
        Operation::KeepReport(new) => tables::keep_report(db, new).map(|()| done(vec![])),
        Operation::Cluster(change) => db.change_cluster(change).map(|n| (WriteOutcome::Count(n), vec![])),
    }
}

/// Returns whether the error concerns only its operation, not the disk; the batch is then committed without it.
pub(crate) fn concerns_one(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound(_) | StoreError::Exists(_) | StoreError::Conflict(_))
}

/// Which operations get a savepoint, so that a failed one is rolled back alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guarded {
    /// Those that can fail in normal operation.
    Some,
    /// All: slower, and needed only after an operation without a savepoint has failed.
    All,
}

fn is_guarded(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Directory(_)
            | Operation::Drop { .. }
            | Operation::Retry { .. }
            | Operation::Release { .. }
            | Operation::Replace { .. }
            | Operation::ChangeDaily(_)
            | Operation::Door(_)
            | Operation::Token(_)
            | Operation::Cluster(_)
    )
}

/// Runs operations as one transaction. `commit` words its end, which is one request: a process that is stopped before it holds no row that others need.
pub(crate) fn transact(
    db: &dyn Sql,
    jobs: &[WriteJob],
    guard: Guarded,
    commit: &dyn Fn(&[Applied]) -> String,
) -> Result<Vec<Applied>, StoreError> {
    db.control(db.begin())?;
    let mut applied = Vec::with_capacity(jobs.len());
    for job in jobs {
        let guarded = guard == Guarded::All || is_guarded(&job.operation);
        if guarded {
            db.control("SAVEPOINT operation")?;
        }
        let result = apply(db, &job.operation).and_then(|(outcome, gone)| {
            db.forget_contents(&gone)?;
            Ok((outcome, gone))
        });
        if guarded {
            db.control(if result.is_ok() { "RELEASE operation" } else { "ROLLBACK TO operation; RELEASE operation" })?;
        }
        match result {
            Err(e) if !(guarded && concerns_one(&e)) => return Err(e),
            other => applied.push(other),
        }
    }
    db.control(&commit(&applied))?;
    Ok(applied)
}

/// Returns whether an operation needs what the journal holds in the database first.
pub(crate) fn needs_move(operation: &Operation, journal: &Journal) -> bool {
    match operation {
        Operation::Move { only_settlements } => !only_settlements || journal.has_settlements(),
        Operation::Enqueue { messages, .. } => journal.has_any(messages),
        Operation::Settle { .. }
        | Operation::ReleaseClaims { .. }
        | Operation::StepClock(_)
        | Operation::Retry { .. }
        | Operation::Drop { .. }
        | Operation::Release { .. }
        | Operation::Replace { .. } => true,
        // What the journal holds is claimed: a claim would not take it.
        Operation::Claim { .. }
        | Operation::ExpireHeld { .. }
        | Operation::Notice { .. }
        | Operation::RememberSender { .. }
        | Operation::RecordLogins(_)
        | Operation::RecordRecipients(_)
        | Operation::Directory(_)
        | Operation::KeepReport(_)
        | Operation::CountDaily(_)
        | Operation::ChangeDaily(_)
        | Operation::Door(_)
        | Operation::Token(_)
        | Operation::Cluster(_) => false,
    }
}

/// Returns the contents that an operation adds to the queue.
pub(crate) fn contents(operation: &Operation) -> Vec<&Content> {
    let messages: &[NewMessage] = match operation {
        Operation::Enqueue { messages, .. }
        | Operation::Notice { messages, .. }
        | Operation::ChangeDaily(DailyChange::Done { messages, .. }) => messages,
        Operation::Settle { settlement, .. } => &settlement.follow,
        Operation::Replace { with, .. } => std::slice::from_ref(with),
        _ => &[],
    };
    messages.iter().map(|new| &new.content).collect()
}

/// Returns how many octets an operation adds to the database, approximately; `None` if it adds no mail, so that it is never refused.
pub(crate) fn new_bytes(operation: &Operation) -> Option<u64> {
    let Operation::Enqueue { messages, .. } = operation else { return None };
    let size = |new: &NewMessage| {
        let content = if new.content.file.is_none() { new.content.size_bytes() } else { 0 };
        content + new.message.prefix.len() as u64 + ROW_BYTES * (1 + new.recipients.len() as u64)
    };
    Some(messages.iter().map(size).sum())
}
