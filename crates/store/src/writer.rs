//! The thread that writes: takes the operations that wait, and commits them together.
//!
//! Commits of mail for delivery at once and settlements go to the [journal](Journal), with one sync for all that wait; all other operations are one
//! transaction of the database, at most [`BATCH_MAX`]. Invariant: no operation gets its outcome before it is on the disk, synced, and a failed
//! write is never retried.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mail::QueueId;
use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::batches::Batches;
use crate::error::StoreError;
use crate::journal::Journal;
use crate::line::{self, BATCH_MAX, refuse};
use crate::operation::{Applied, Guarded, Operation, WriteJob, WriteOutcome, concerns_one, needs_move, new_bytes, transact};
use crate::room::Room;

/// Maximum operations in a transaction while settlements arrive, which wait for its end.
const BESIDE_SETTLEMENTS_MAX: usize = 128;

/// Maximum length of the log: above it the writer waits until the log is moved, in octets.
const LOG_MAX_BYTES: u64 = 512 << 20;

pub(crate) struct Writer {
    pub db: Connection,
    pub content: Arc<PathBuf>,
    pub log: PathBuf,
    pub room: Arc<Room>,
    pub batches: Arc<Batches>,
    pub journal: Journal,
    /// Held until the journal is moved: another process must not replay it meanwhile.
    pub lock: File,
    /// Set by a simulated disk: the next commit fails.
    pub fails_next: bool,
    /// The database was written since its log was last looked at.
    pub log_grew: bool,
}

impl Writer {
    /// Runs until every handle is dropped. A sender unparks the thread after it has sent.
    pub fn run(mut self, mut line: mpsc::Receiver<WriteJob>) {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        while line::take(&mut line, &mut jobs, || self.tidy()) {
            self.commit(&mut jobs);
        }
        self.close();
    }

    /// Moves the journal to the database when that is due. Returns when it is due next.
    pub fn tidy(&mut self) -> Option<Duration> {
        if self.journal.move_is_due_in().is_some_and(|wait| wait.is_zero())
            && let Err(error) = self.move_journal()
        {
            tracing::error!(%error, "cannot move the journal to the database; new mail is refused until that works");
        }
        self.journal.move_is_due_in()
    }

    /// Moves what the journal holds, and the log, to the database.
    pub fn close(mut self) {
        if let Err(error) = self.move_journal() {
            tracing::warn!(%error, "cannot move the journal to the database; the next start moves it");
        }
        if let Err(error) = self.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(%error, "cannot move the queue's log into the database; the next start moves it");
        }
        drop(self.lock);
    }

    /// Commits operations and sends their outcomes. Some may be left for the next call.
    pub fn commit(&mut self, jobs: &mut Vec<WriteJob>) {
        if std::mem::take(&mut self.fails_next) {
            self.journal.break_off();
            return refuse(std::mem::take(jobs), &StoreError::Io("the simulated disk failed".into()));
        }
        self.refuse_without_room(jobs);
        let mut for_journal = self.extract_for_journal(jobs);
        let has_settlements = for_journal.iter().any(|job| matches!(job.operation, Operation::Settle { .. }));
        while !for_journal.is_empty() {
            jobs.extend(self.append(&mut for_journal));
        }
        // The next settlements wait for this transaction.
        let left = jobs.split_off(if has_settlements { jobs.len().min(BESIDE_SETTLEMENTS_MAX) } else { jobs.len() });
        if !jobs.is_empty() {
            self.commit_to_database(jobs);
        }
        *jobs = left;
        self.tidy();
        self.bound_log();
    }

    /// Refuses new mail if the disk has no room for it.
    fn refuse_without_room(&self, jobs: &mut Vec<WriteJob>) {
        let has_no_room = |job: &mut WriteJob| new_bytes(&job.operation).is_some_and(|bytes| self.room.for_rows(bytes).is_err());
        let refused: Vec<WriteJob> = jobs.extract_if(.., has_no_room).collect();
        if !refused.is_empty() {
            tracing::warn!(messages = refused.len(), "the disk has no room for new mail; queued mail is still delivered");
        }
        refuse(refused, &StoreError::Full);
    }

    /// Takes the operations that the journal takes. One that it does not take fails in the database, or works there.
    fn extract_for_journal(&self, jobs: &mut Vec<WriteJob>) -> Vec<WriteJob> {
        let takes = |job: &mut WriteJob| self.journal.takes(&self.db, &job.operation).unwrap_or(false);
        jobs.extract_if(.., takes).collect()
    }

    /// Appends operations to the journal as one batch, as many as fit. Returns an operation that will never fit.
    #[allow(clippy::disallowed_methods)] // the duration of a commit is measured, and nothing is decided by it
    fn append(&mut self, jobs: &mut Vec<WriteJob>) -> Option<WriteJob> {
        if self.journal.is_broken()
            && let Err(error) = self.move_journal()
        {
            refuse(std::mem::take(jobs), &error);
            return None;
        }
        let mut fitting = jobs.iter().take_while(|job| self.journal.push(&job.operation)).count();
        if fitting == 0 {
            // The file is full: what it holds is moved, and it begins again.
            if let Err(error) = self.move_journal() {
                refuse(std::mem::take(jobs), &error);
                return None;
            }
            fitting = jobs.iter().take_while(|job| self.journal.push(&job.operation)).count();
            if fitting == 0 {
                return Some(jobs.remove(0));
            }
        }
        let begin = Instant::now();
        let committed = self.journal.commit();
        self.batches.count(fitting, begin.elapsed(), committed.is_ok());
        if let Err(error) = &committed {
            tracing::error!(%error, operations = fitting, "a write to the journal failed; none of its operations was acknowledged");
        }
        for job in jobs.drain(..fitting) {
            let outcome = committed.clone().map(|()| {
                let files = self.journal.add(job.operation);
                self.remove_files(&files);
                WriteOutcome::Done
            });
            let _ = job.answer.send(outcome);
        }
        None
    }

    fn move_journal(&mut self) -> Result<(), StoreError> {
        self.log_grew = true;
        let files = self.journal.move_to(&self.db)?;
        self.remove_files(&files);
        Ok(())
    }

    fn commit_to_database(&mut self, jobs: &mut Vec<WriteJob>) {
        if jobs.iter().any(|job| needs_move(&job.operation, &self.journal))
            && let Err(error) = self.move_journal()
        {
            let refused = jobs.extract_if(.., |job| needs_move(&job.operation, &self.journal)).collect();
            refuse(refused, &error);
        }
        let mut outcome = self.transact(jobs, Guarded::Some);
        if outcome.as_ref().is_err_and(concerns_one) {
            // Nothing was committed and no outcome was sent: run it again, so that only the one operation fails.
            outcome = self.transact(jobs, Guarded::All);
        }
        self.log_grew = true;
        self.journal.note_highest(&self.db);
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
                refuse(std::mem::take(jobs), &error);
            }
        }
    }

    #[allow(clippy::disallowed_methods)] // the duration of a commit is measured, and nothing is decided by it
    fn transact(&self, jobs: &[WriteJob], guard: Guarded) -> Result<Vec<Applied>, StoreError> {
        let begin = Instant::now();
        let outcome = transact(&self.db, jobs, guard, &|_| "COMMIT".into());
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

    fn bound_log(&mut self) {
        if std::mem::take(&mut self.log_grew) && std::fs::metadata(&self.log).is_ok_and(|m| m.len() > LOG_MAX_BYTES) {
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
