//! The line of operations that wait for a writer.
//!
//! Invariant: settlements that may wait do so only while nothing else waits.

use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use crate::error::StoreError;
use crate::message::Disposition;
use crate::operation::{Operation, WriteJob};

/// Maximum operations that are taken together.
pub(crate) const BATCH_MAX: usize = 512;

/// Maximum operations that wait for the writer.
pub(crate) const LINE_MAX: usize = 4096;

/// Time for which settlements wait for the next message, so that one sync is enough for both. A crash repeats deliveries that are not settled, at most
/// one for each connection.
const SETTLEMENTS_WAIT: Duration = Duration::from_millis(20);

/// Time between two looks at the line while nothing waits; a sender wakes the thread before.
const IDLE: Duration = Duration::from_secs(3600);

/// Whether an operation may wait for others: it only says that recipients are done.
fn may_wait(job: &WriteJob) -> bool {
    let Operation::Settle { settlement, may_wait: true, .. } = &job.operation else { return false };
    crate::journal::is_plain(settlement) && settlement.recipients.iter().all(|(_, result)| *result == Disposition::Done)
}

/// Takes the operations that wait. While nothing waits, `tidy` does what is due, and returns when it is due next. False if there will be none.
#[allow(clippy::disallowed_methods)] // how long settlements wait for others, which no outcome depends on
pub(crate) fn take(line: &mut mpsc::Receiver<WriteJob>, jobs: &mut Vec<WriteJob>, mut tidy: impl FnMut() -> Option<Duration>) -> bool {
    let mut until = None;
    loop {
        let mut is_closed = false;
        while jobs.len() < BATCH_MAX {
            match line.try_recv() {
                Ok(job) => jobs.push(job),
                Err(error) => {
                    is_closed = error == TryRecvError::Disconnected;
                    break;
                }
            }
        }
        if jobs.is_empty() {
            if is_closed {
                return false;
            }
            thread::park_timeout(tidy().unwrap_or(IDLE));
            continue;
        }
        let until = *until.get_or_insert_with(|| Instant::now() + SETTLEMENTS_WAIT);
        let wait = until.saturating_duration_since(Instant::now());
        if is_closed || wait.is_zero() || jobs.len() >= BATCH_MAX || !jobs.iter().all(may_wait) {
            return true;
        }
        thread::park_timeout(wait);
    }
}

/// Sends an error to operations.
pub(crate) fn refuse(jobs: Vec<WriteJob>, error: &StoreError) {
    for job in jobs {
        let _ = job.answer.send(Err(error.clone()));
    }
}
