//! The thread that writes, and the thread that moves the log into the database.
//!
//! The writer takes the waiting operations, up to [`BATCH_MAX`], and commits them as one transaction: one sync for many messages.
//! Settlements are committed before new mail, since a delivery that is not settled is repeated after a crash. Invariant: no operation gets
//! its outcome before its batch is committed, and a failed commit is never retried.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mail::{Domain, QueueId};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::api_token::TokenChange;
use crate::batches::Batches;
use crate::daily::{DailyChange, DailyRow};
use crate::door::DoorChange;
use crate::error::StoreError;
use crate::message::{Claimed, ClockStep, NewMessage, NoticeMark, Settlement};
use crate::report::NewReport;
use crate::room::Room;
use crate::sqlite::{self, DirectoryChange, KnownRecipient, LoginUse, RetryScope};

/// Maximum operations in a transaction.
pub(crate) const BATCH_MAX: usize = 512;

/// Maximum other operations in a transaction of settlements.
const WITH_SETTLEMENTS_MAX: usize = 16;

/// Maximum other operations in a transaction while settlements arrive, which wait for its end.
const BESIDE_SETTLEMENTS_MAX: usize = 128;

/// Maximum operations that wait for the writer.
pub(crate) const LINE_MAX: usize = 4096;

/// Approximate size of a queue row with its index entries, in octets.
const ROW_BYTES: u64 = 1024;

/// Length of the log above which it is moved into the database, in octets.
const CHECKPOINT_BYTES: u64 = 16 << 20;

/// Maximum length of the log: above it the writer waits until the log is moved, in octets.
const LOG_MAX_BYTES: u64 = 512 << 20;

/// Interval between checks of the log's length.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(200);

/// A write operation.
#[derive(Debug)]
pub(crate) enum Operation {
    Enqueue { messages: Vec<NewMessage>, lease_ms: i64 },
    Settle { settlement: Settlement, lease_ms: i64 },
    Claim { lane: Domain, now_ms: i64, lease_ms: i64, limit: u32 },
    ReleaseClaims { now_ms: i64 },
    StepClock(ClockStep),
    Retry { scope: RetryScope, now_ms: i64 },
    Drop { id: QueueId, index: Option<u32> },
    Release { id: QueueId, now_ms: i64, expires_ms: i64 },
    Replace { id: QueueId, with: Box<NewMessage> },
    Notice { messages: Vec<NewMessage>, up_to: NoticeMark, now_ms: i64 },
    ExpireHeld { now_ms: i64 },
    RememberSender { token: String, sender: String, now_ms: i64 },
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
type Applied = Result<(WriteOutcome, Vec<QueueId>), StoreError>;

fn apply(db: &Connection, operation: &Operation) -> Applied {
    let done = |files| (WriteOutcome::Done, files);
    match operation {
        Operation::Enqueue { messages, lease_ms } => sqlite::enqueue(db, messages, *lease_ms).map(|()| done(vec![])),
        Operation::Settle { settlement, lease_ms } => sqlite::settle(db, settlement, *lease_ms).map(done),
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
fn concerns_one(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound(_) | StoreError::Exists(_) | StoreError::Conflict(_))
}

/// Which operations get a savepoint, so that a failed one is rolled back alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guarded {
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
fn transact(db: &Connection, jobs: &[WriteJob], guard: Guarded) -> Result<Vec<Applied>, StoreError> {
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

pub(crate) struct Writer {
    pub db: Connection,
    pub content: Arc<PathBuf>,
    pub log: PathBuf,
    pub room: Arc<Room>,
    pub batches: Arc<Batches>,
    /// Set by a simulated disk: the next commit fails.
    pub fails_next: bool,
}

/// Returns how many octets an operation adds to the database, approximately; `None` if it adds no mail, so that it is never refused.
fn new_bytes(operation: &Operation) -> Option<u64> {
    let Operation::Enqueue { messages, .. } = operation else { return None };
    let size = |new: &NewMessage| {
        let content = if new.content.file.is_none() { new.content.size_bytes() } else { 0 };
        content + new.message.prefix.len() as u64 + ROW_BYTES * (1 + new.recipients.len() as u64)
    };
    Some(messages.iter().map(size).sum())
}

impl Writer {
    /// Runs until every handle is dropped.
    pub fn run(mut self, mut line: mpsc::Receiver<WriteJob>) {
        let (mut settlements, mut others) = (Vec::with_capacity(BATCH_MAX), Vec::with_capacity(BATCH_MAX));
        loop {
            let next = if others.is_empty() { line.blocking_recv() } else { line.try_recv().ok() };
            if next.is_none() && others.is_empty() {
                break;
            }
            let more = std::iter::from_fn(|| line.try_recv().ok());
            for job in next.into_iter().chain(more).take(BATCH_MAX.saturating_sub(others.len())) {
                if matches!(job.operation, Operation::Settle { .. }) { settlements.push(job) } else { others.push(job) }
            }
            if settlements.is_empty() {
                self.commit(&mut others);
                continue;
            }
            // Adding a few others costs less than another sync, for which the next settlements would wait.
            if others.len() <= WITH_SETTLEMENTS_MAX {
                settlements.append(&mut others);
                self.commit(&mut settlements);
                continue;
            }
            self.commit(&mut settlements);
            let rest = others.split_off(others.len().min(BESIDE_SETTLEMENTS_MAX));
            if !others.is_empty() {
                self.commit(&mut others);
            }
            others = rest;
        }
        if let Err(e) = self.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(error = %e, "cannot move the queue's log into the database; the next start moves it");
        }
    }

    /// Refuses new mail if the disk has no room for it.
    fn refuse_without_room(&self, jobs: &mut Vec<WriteJob>) {
        let mut bytes = 0;
        let has_no_room = |job: &mut WriteJob| {
            let Some(more) = new_bytes(&job.operation) else { return false };
            let refused = self.room.for_rows(bytes + more).is_err();
            bytes += if refused { 0 } else { more };
            refused
        };
        let refused: Vec<WriteJob> = jobs.extract_if(.., has_no_room).collect();
        if !refused.is_empty() {
            tracing::warn!(messages = refused.len(), "the disk has no room for new mail; queued mail is still delivered");
        }
        for job in refused {
            let _ = job.answer.send(Err(StoreError::Full));
        }
    }

    /// Commits operations as one transaction, and sends their outcomes.
    pub fn commit(&mut self, jobs: &mut Vec<WriteJob>) {
        self.refuse_without_room(jobs);
        if jobs.is_empty() {
            return;
        }
        let mut outcome = self.transact(jobs, Guarded::Some);
        if outcome.as_ref().is_err_and(concerns_one) {
            // Nothing was committed and no outcome was sent: run it again, so that only the one operation fails.
            outcome = self.transact(jobs, Guarded::All);
        }
        match outcome {
            Ok(applied) => {
                for (job, result) in jobs.drain(..).zip(applied) {
                    let result = result.map(|(answer, files)| {
                        self.remove_files(&files);
                        answer
                    });
                    let _ = job.answer.send(result);
                }
            }
            Err(error) => {
                tracing::error!(%error, operations = jobs.len(), "a commit failed; none of its operations was acknowledged");
                for job in jobs.drain(..) {
                    let _ = job.answer.send(Err(error.clone()));
                }
            }
        }
        self.bound_log();
    }

    #[allow(clippy::disallowed_methods)] // the duration of a commit is measured, and nothing is decided by it
    fn transact(&mut self, jobs: &[WriteJob], guard: Guarded) -> Result<Vec<Applied>, StoreError> {
        let begin = Instant::now();
        let fault = std::mem::take(&mut self.fails_next).then(|| StoreError::Io("the simulated disk failed".into()));
        let outcome = fault.map_or_else(|| transact(&self.db, jobs, guard), Err);
        self.batches.count(jobs.len(), begin.elapsed(), outcome.is_ok());
        if outcome.is_err() {
            // After a failed COMMIT SQLite may have rolled back by itself; this then fails without harm.
            let _ = self.db.execute_batch("ROLLBACK");
        }
        outcome
    }

    fn remove_files(&self, files: &[QueueId]) {
        for id in files {
            if let Err(e) = std::fs::remove_file(self.content.join(id.to_string())) {
                tracing::warn!(%id, error = %e, "cannot remove a content file; the next start moves it to content/orphans");
            }
        }
    }

    fn bound_log(&self) {
        if std::fs::metadata(&self.log).is_ok_and(|m| m.len() > LOG_MAX_BYTES) {
            let _ = self.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
        }
        if self.room.is_short() {
            let count = |sql: &str| self.db.query_row(sql, [], |row| row.get::<_, i64>(0)).ok().and_then(|n| u64::try_from(n).ok());
            let unused = count("PRAGMA freelist_count").zip(count("PRAGMA page_size")).map_or(0, |(pages, bytes)| pages * bytes);
            self.room.note_unused(unused);
            if std::fs::metadata(&self.log).is_ok_and(|m| m.len() > self.room.short_log_bytes()) {
                let _ = self.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
            }
        }
    }
}

/// Moves the log into the database while the writer runs, until `stop` is set.
pub(crate) fn run_checkpoints(db: Connection, log: PathBuf, stop: Arc<AtomicBool>, room: Arc<Room>) {
    let mut moved_at = 0;
    while !stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(CHECKPOINT_EVERY);
        room.keep_reserve();
        let length = std::fs::metadata(&log).map_or(0, |m| m.len());
        // The file keeps its length when the log starts again at its front: `moved_at` distinguishes new content from old.
        if length > CHECKPOINT_BYTES.max(moved_at) || (length > CHECKPOINT_BYTES && moved_at == length) {
            let busy = db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(0));
            if let Err(error) = busy {
                tracing::warn!(%error, "cannot move the queue's log into the database; the log grows");
            }
            moved_at = length;
        }
    }
}
