//! The operations that change the database, and how a batch of them is applied as one transaction.
//!
//! Invariant: an operation that fails for itself alone, as for a record that does not exist, is rolled back alone.

use mail::{Domain, QueueId};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::api_token::TokenChange;
use crate::daily::{DailyChange, DailyRow};
use crate::door::DoorChange;
use crate::error::StoreError;
use crate::journal::Journal;
use crate::message::{Claimed, ClockStep, NewMessage, NoticeMark, Settlement};
use crate::report::NewReport;
use crate::sqlite::{self, DirectoryChange, KnownRecipient, LoginUse, RetryScope};

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
}

/// The outcome of an operation.
#[derive(Debug)]
pub(crate) enum WriteOutcome {
    Done,
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

fn apply(db: &Connection, operation: &Operation) -> Applied {
    let done = |files| (WriteOutcome::Done, files);
    match operation {
        // The writer moves the journal before the transaction.
        Operation::Move { .. } => Ok(done(vec![])),
        Operation::Enqueue { messages, lease_ms } => sqlite::enqueue(db, messages, *lease_ms).map(|()| done(vec![])),
        Operation::Settle { settlement, lease_ms, .. } => sqlite::settle(db, settlement, *lease_ms).map(done),
        Operation::Claim { lane, now_ms, lease_ms, limit } => {
            sqlite::claim(db, lane, *now_ms, *lease_ms, *limit).map(|claimed| (WriteOutcome::Claimed(claimed), vec![]))
        }
        Operation::ReleaseClaims { now_ms } => sqlite::release_claims(db, *now_ms).map(|n| (WriteOutcome::Count(n), vec![])),
        Operation::StepClock(step) => sqlite::step_clock(db, *step).map(|n| (WriteOutcome::Count(n), vec![])),
        Operation::Retry { scope, now_ms } => sqlite::retry(db, scope, *now_ms).map(|n| (WriteOutcome::Count(n), vec![])),
        Operation::Drop { id, index } => sqlite::drop_message(db, *id, *index).map(done),
        Operation::Release { id, now_ms, expires_ms } => sqlite::release(db, *id, *now_ms, *expires_ms).map(|()| done(vec![])),
        Operation::Replace { id, with } => {
            let files = sqlite::drop_message(db, *id, None)?;
            sqlite::enqueue(db, std::slice::from_ref(with), 0).map(|()| done(files))
        }
        Operation::Notice { messages, up_to, now_ms } => {
            sqlite::set_noticed(db, *up_to, *now_ms)?;
            sqlite::enqueue(db, messages, *now_ms).map(|()| done(vec![]))
        }
        Operation::ExpireHeld { now_ms } => sqlite::expire_held(db, *now_ms).map(|(n, files)| (WriteOutcome::Count(n), files)),
        Operation::RememberSender { token, sender, now_ms } => sqlite::insert_srs_sender(db, token, sender, *now_ms).map(|()| done(vec![])),
        Operation::RecordLogins(uses) => sqlite::record_logins(db, uses).map(|()| done(vec![])),
        Operation::RecordRecipients(recipients) => sqlite::record_recipients(db, recipients).map(|()| done(vec![])),
        Operation::CountDaily(rows) => sqlite::count_daily(db, rows).map(|n| (WriteOutcome::Count(n), vec![])),
        Operation::ChangeDaily(change) => sqlite::change_daily(db, change).map(|()| done(vec![])),
        Operation::Directory(changes) => changes.iter().try_for_each(|c| sqlite::change_directory(db, c)).map(|()| done(vec![])),
        Operation::Door(change) => sqlite::change_door(db, change).map(|()| done(vec![])),
        Operation::Token(change) => sqlite::change_tokens(db, change).map(|()| done(vec![])),
        Operation::KeepReport(new) => sqlite::keep_report(db, new).map(|()| done(vec![])),
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
    )
}

/// Runs operations as one transaction.
pub(crate) fn transact(db: &Connection, jobs: &[WriteJob], guard: Guarded) -> Result<Vec<Applied>, StoreError> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    let mut applied = Vec::with_capacity(jobs.len());
    for job in jobs {
        let guarded = guard == Guarded::All || is_guarded(&job.operation);
        if guarded {
            db.execute_batch("SAVEPOINT operation")?;
        }
        let result = apply(db, &job.operation);
        if guarded {
            db.execute_batch(if result.is_ok() { "RELEASE operation" } else { "ROLLBACK TO operation; RELEASE operation" })?;
        }
        match result {
            Err(e) if !(guarded && concerns_one(&e)) => return Err(e),
            other => applied.push(other),
        }
    }
    db.execute_batch("COMMIT")?;
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
        | Operation::Token(_) => false,
    }
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
