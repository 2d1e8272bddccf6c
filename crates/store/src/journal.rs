//! The journal: commits and settlements of mail under way, in front of the database.
//!
//! Most mail is delivered a moment after it was accepted. Its rows, their indexes, and their removal would cost many times its size on the disk. So a
//! commit of claimed messages and a settlement are appended to a file, with one sync for all that wait; the database gets only what still lives when
//! the journal is moved: after some seconds, when the file is full, before a query of the queue, and at the stop. Invariant: the journal and the
//! database change hands in one transaction, by the salt; what was acknowledged is in one of them, never in both.

mod entry;
mod file;
mod pending;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mail::QueueId;
use rusqlite::Connection;

use self::entry::Entry;
use self::file::JournalFile;
use self::pending::{Pending, PendingChange};
use crate::error::StoreError;
use crate::message::{NewMessage, Settlement};
use crate::operation::Operation;
use crate::room::Room;
use crate::sqlite;
use crate::tables;

/// The name of the file in the data directory.
pub(crate) const JOURNAL: &str = "journal";

/// Time after which mail that still waits for its outcome is moved to the database.
const MOVE_AFTER: Duration = Duration::from_secs(5);

/// Time after which a move is tried again that has failed.
const MOVE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Messages and settlements that are moved at once: other operations wait meanwhile, a tenth of a millisecond for each.
const PENDING_MAX: usize = 512;

/// Maximum size of what is moved at once, in octets.
const PENDING_MAX_BYTES: u64 = 8 << 20;

/// The journal of a data directory.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    /// The directory of large content.
    content: Arc<PathBuf>,
    /// `None` if the disk had no room for it: everything goes to the database.
    file: Option<JournalFile>,
    pending: Pending,
    pending_max_bytes: u64,
    /// Since when something has been pending, or the last move that failed.
    since: Option<Instant>,
    /// No message and no content in the database has a higher ID: what arrives need not be looked up there.
    highest: QueueId,
}

impl Journal {
    /// Opens the journal, and moves what it holds to the database.
    ///
    /// # Errors
    /// If the file or the database cannot be read or written; nothing is lost then.
    pub fn open(db: &Connection, data: &Path, content: Arc<PathBuf>, room: &Room) -> Result<Self, StoreError> {
        let path = data.join(JOURNAL);
        let file = JournalFile::open(&path, room.journal_bytes())?;
        let pending_max_bytes = PENDING_MAX_BYTES.min(room.journal_bytes() / 4);
        let highest = QueueId(i64::MAX);
        let mut journal = Self { path, content, file, pending: Pending::default(), pending_max_bytes, since: None, highest };
        journal.replay(db)?;
        journal.note_highest(db);
        Ok(journal)
    }

    /// Notes the highest ID in the database; to be called after each of its transactions that may add messages.
    pub fn note_highest(&mut self, db: &Connection) {
        // Every ID is looked up then.
        self.highest = tables::highest_id(db).unwrap_or(QueueId(i64::MAX));
    }

    fn replay(&mut self, db: &Connection) -> Result<(), StoreError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let salt = sqlite::journal_salt(db)?;
        let mut found = file.scan(salt)?;
        if found == file::Scan::default() {
            file.restart(salt);
            return Ok(());
        }
        for record in found.records.drain(..) {
            match Entry::read(&record, &self.content) {
                // A content file without a message stays for the sweep.
                Ok(entry) => drop(self.pending.add(entry)),
                Err(error) => {
                    tracing::error!(error, "a record of the journal is unreadable");
                    found.damaged += 1;
                }
            }
        }
        if found.damaged > 0 {
            self.keep_copy(salt, &format!("{} records or batches of the journal are damaged", found.damaged))?;
        }
        if found.torn > 0 {
            tracing::warn!(records = found.torn, "the journal ends with records that were not written whole; they were not acknowledged");
        }
        self.move_to(db).map(drop)
    }

    /// Copies the file beside it for the operator.
    fn keep_copy(&self, salt: i64, problem: &str) -> Result<(), StoreError> {
        let copy = self.path.with_file_name(format!("{JOURNAL}.damaged-{salt:016x}"));
        fs::copy(&self.path, &copy)?;
        File::open(&copy)?.sync_all()?;
        tracing::error!(copy = %copy.display(), "{problem}: check the disk; all other mail continues, and a copy of the file was kept");
        Ok(())
    }

    /// Whether an operation can be appended: mail for delivery at once, which is not in the database, and the end of an attempt.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn takes(&self, db: &Connection, operation: &Operation) -> Result<bool, StoreError> {
        let is_above = |new: &NewMessage| new.message.id.min(new.content.id) > self.highest;
        let may_arrive = |messages: &[NewMessage]| {
            let is_new = || Ok::<_, StoreError>(messages.iter().all(is_above) || !tables::has_any(db, messages)?);
            Ok::<_, StoreError>(!self.has_any(messages) && is_new()?)
        };
        match operation {
            _ if self.file.is_none() => Ok(false),
            Operation::Enqueue { messages, .. } => {
                Ok(messages.iter().all(|new| new.claimed && new.held.is_none()) && may_arrive(messages)?)
            }
            Operation::Settle { settlement, .. } => may_arrive(&settlement.follow),
            _ => Ok(false),
        }
    }

    /// Whether one of these messages is in the journal.
    pub fn has_any(&self, messages: &[NewMessage]) -> bool {
        messages.iter().any(|new| self.pending.has(new.message.id))
    }

    /// Adds an operation to the next batch. False if it does not fit.
    pub fn push(&mut self, operation: &Operation) -> bool {
        let Some(file) = &mut self.file else { return false };
        match operation {
            Operation::Enqueue { messages, lease_ms } => file.push(|out| Entry::write_arrival(messages, *lease_ms, out)),
            Operation::Settle { settlement, lease_ms, .. } => file.push(|out| Entry::write_settlement(settlement, *lease_ms, out)),
            _ => false,
        }
    }

    /// Writes the batch; it is on the disk, synced, when this returns.
    ///
    /// # Errors
    /// If that fails. Nothing can be appended until what was acknowledged has been [moved](Self::move_to).
    pub fn commit(&mut self) -> Result<(), StoreError> {
        self.file.as_mut().map_or(Err(StoreError::Closed), JournalFile::commit)
    }

    /// Adds a committed operation to what waits. Returns the content files that no message names any more.
    #[allow(clippy::disallowed_methods)] // how long to wait before a move, which no outcome depends on
    pub fn add(&mut self, operation: Operation) -> Vec<QueueId> {
        if self.pending.is_empty() {
            self.since = Some(Instant::now());
        }
        match operation {
            Operation::Enqueue { messages, lease_ms } => self.pending.add(Entry::Arrived { messages, lease_ms }),
            Operation::Settle { settlement, lease_ms, .. } => self.pending.add(Entry::Settled { settlement, lease_ms }),
            _ => Vec::new(),
        }
    }

    /// Appends nothing more before a move, as after a failed write.
    pub fn break_off(&mut self) {
        self.file.iter_mut().for_each(JournalFile::close);
    }

    /// Whether nothing can be appended before a move.
    pub fn is_broken(&self) -> bool {
        self.file.as_ref().is_some_and(JournalFile::is_broken)
    }

    /// Whether a message may wait whose next attempt the database does not have.
    pub fn has_settlements(&self) -> bool {
        self.pending.has_settlements()
    }

    /// Returns after what time a move is due; `None` if nothing is pending.
    pub fn move_is_due_in(&self) -> Option<Duration> {
        if self.pending.is_empty() {
            return None;
        }
        let is_much = self.pending.len() >= PENDING_MAX || self.pending.bytes() > self.pending_max_bytes;
        let after = match (self.is_broken(), is_much) {
            (true, _) => MOVE_AGAIN_AFTER,
            (false, true) => Duration::ZERO,
            (false, false) => MOVE_AFTER,
        };
        self.since.map(|since| after.saturating_sub(since.elapsed()))
    }

    /// Moves what waits to the database, in one transaction, and begins the file again. Returns the content files that no message names any more.
    ///
    /// # Errors
    /// If that fails. Everything is kept, and nothing is appended until a move succeeds: after a crash the database might have the new salt after all.
    #[allow(clippy::disallowed_methods)] // as in `add`
    pub fn move_to(&mut self, db: &Connection) -> Result<Vec<QueueId>, StoreError> {
        let Some(file) = self.file.as_mut().filter(|file| file.is_used() || file.is_broken()) else { return Ok(Vec::new()) };
        let salt = file.salt();
        let mut moved = transact(db, salt, &self.pending, false);
        if let Err(StoreError::Conflict(error)) = &moved {
            file.close();
            self.keep_copy(salt, &format!("a record of the journal is in the database already ({error})"))?;
            moved = transact(db, salt, &self.pending, true);
        }
        self.since = (!self.pending.is_empty() && moved.is_err()).then(Instant::now);
        let Some(file) = &mut self.file else { return Ok(Vec::new()) };
        let (salt, files) = moved.inspect_err(|_| file.close())?;
        file.restart(salt);
        self.pending.clear();
        self.note_highest(db);
        Ok(files)
    }
}

/// Writes the changes and a new salt, if the database has this one. `leaves_out`: those that are there already are left out.
fn transact(db: &Connection, salt: i64, pending: &Pending, leaves_out: bool) -> Result<(i64, Vec<QueueId>), StoreError> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    let mut files = Vec::new();
    let result = pending
        .changes(|change| {
            if !leaves_out {
                return apply(db, &change).map(|more| files.extend(more));
            }
            db.execute_batch("SAVEPOINT change")?;
            let applied = apply(db, &change);
            db.execute_batch(if applied.is_ok() { "RELEASE change" } else { "ROLLBACK TO change; RELEASE change" })?;
            match applied {
                Err(StoreError::Conflict(_)) => Ok(()),
                other => other.map(|more| files.extend(more)),
            }
        })
        .and_then(|()| sqlite::renew_journal_salt(db, salt))
        .and_then(|salt| Ok(db.execute_batch("COMMIT").map(|()| salt)?));
    if result.is_err() {
        // After a failed COMMIT SQLite may have rolled back by itself; this then fails without harm.
        let _ = db.execute_batch("ROLLBACK");
    }
    Ok((result?, files))
}

fn apply(db: &Connection, change: &PendingChange<'_>) -> Result<Vec<QueueId>, StoreError> {
    let no_lease = 0;
    match change {
        PendingChange::Arrival { messages, lease_ms, done } => {
            tables::enqueue_each(db, messages, *lease_ms)?;
            let is_untouched = done.recipients.is_empty();
            if is_untouched { Ok(Vec::new()) } else { tables::settle(db, done, no_lease) }
        }
        PendingChange::Settlement { settlement, lease_ms } => tables::settle(db, settlement, *lease_ms),
    }
}

/// Whether a settlement only says that recipients are done.
pub(crate) fn is_plain(settlement: &Settlement) -> bool {
    settlement.delay_reported.is_empty() && settlement.follow.is_empty() && settlement.failed.is_empty()
}

#[cfg(test)]
mod tests;
