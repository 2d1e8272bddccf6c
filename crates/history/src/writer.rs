//! The thread that writes the history: one transaction a batch, with the counts that pages show.
//!
//! Invariant: whatever fails, the batch is counted as lost and the next one is taken; a file that cannot be read is moved aside, and a new one begins.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use events::{Event, EventKind, Fact};
use nix::sys::statvfs::statvfs;
use rusqlite::Connection;
use tokio::sync::broadcast;

use crate::error::HistoryError;
use crate::flood::FloodGate;
use crate::line::{Line, LineBatch};
use crate::part::{Bounds, Part, parts};
use crate::recorded::Recorded;
use crate::row::{self, Names};
use crate::schema;
use crate::tokens::Tokens;
use crate::totals::{Tally, forget_before};

/// Batches between two looks at what is kept.
const TRIM_EVERY: u32 = 32;

/// A batch of fewer events means that the server is not busy.
const QUIET: usize = 256;

/// Pages that are given back to the file system at once.
const VACUUM_PAGES: u32 = 256;

/// The space that stays free for the queue: at most this, in octets.
const FREE_MAX_BYTES: u64 = 192 << 20;

/// On a small disk it is the size of the disk divided by this.
const FREE_PART: u64 = 3;

/// Size of an event until there are enough to measure, in octets.
const EVENT_BYTES: u64 = 400;

/// What the writer shares with its handle.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The file.
    pub path: PathBuf,
    /// What is kept.
    pub bounds: Bounds,
    /// The line of events.
    pub line: Line,
    /// The events as they are written.
    pub live: broadcast::Sender<Recorded>,
    /// Events that were not kept.
    pub lost: AtomicU64,
    /// How many files there have been: a reader notes it before it opens the file.
    pub generation: AtomicU64,
    /// The last generation that a reader found damaged.
    pub damaged: AtomicU64,
}

/// An open file.
struct OpenFile {
    db: Connection,
    names: Names,
    part: Part,
    /// Mean size of an event.
    event_bytes: u64,
    has_new_part: bool,
    /// Whether the memory for pages may have grown with a busy server.
    is_grown: bool,
    flood: FloodGate,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    file: Option<OpenFile>,
    /// Events that were lost since the last one was kept.
    missing: u64,
    batches: u32,
    tokens: Tokens,
}

impl Writer {
    /// Opens the file. Returns the writer, and where a file that cannot be read was moved to.
    pub fn open(shared: Arc<Shared>, now_ms: i64) -> (Self, Option<PathBuf>) {
        let mut writer = Self { shared, file: None, missing: 0, batches: 0, tokens: Tokens::default() };
        let mut aside = None;
        let opened = OpenFile::open(&writer.shared.path).or_else(|error| {
            if !error.is_damage() {
                return Err(error);
            }
            aside = Some(writer.move_aside(&error, now_ms)?);
            OpenFile::open(&writer.shared.path)
        });
        match opened {
            Ok(file) => writer.file = Some(file),
            Err(error) => {
                tracing::error!(%error, file = %writer.shared.path.display(), "the history cannot be opened; mail flows without it")
            }
        }
        (writer, aside)
    }

    /// Runs until the line is closed.
    pub fn run(mut self) {
        loop {
            let batch = self.shared.line.take();
            let (events, is_last) = (batch.events.len(), batch.is_last);
            self.store(batch);
            self.shared.line.finish(events);
            if is_last {
                break;
            }
        }
        if let Some(file) = &self.file
            && let Err(error) = file.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        {
            tracing::warn!(%error, "the log of the history stays beside its file; the next start reads it");
        }
    }

    fn store(&mut self, batch: LineBatch) {
        self.missing += batch.dropped;
        let Some(now_ms) = batch.events.iter().map(|event| event.at_ms).max() else { return };
        match self.try_store(&batch.events, now_ms) {
            Ok(recorded) => {
                if self.missing > 0 {
                    tracing::info!(events = self.missing, "the history is written again; some events are missing from it");
                    self.missing = 0;
                }
                // Nobody may be looking.
                recorded.into_iter().for_each(|recorded| drop(self.shared.live.send(recorded)));
                self.trim(now_ms);
                self.shrink(batch.events.len());
            }
            Err(error) => {
                if self.missing == 0 {
                    tracing::error!(%error, "cannot write the history; mail flows, but `waypost trace` will miss it");
                }
                let lost = batch.events.len() as u64;
                self.missing += lost;
                self.shared.lost.fetch_add(lost, Ordering::Relaxed);
            }
        }
    }

    fn try_store(&mut self, events: &[Arc<Event>], now_ms: i64) -> Result<Vec<Recorded>, HistoryError> {
        if !has_room(&self.shared.path) {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into());
        }
        let mut first = Vec::new();
        if self.missing > 0 {
            let reason = format!("{} events could not be written", self.missing);
            first.push(Arc::new(Event::new(EventKind::EventsLost, now_ms).reason(Some(reason))));
        }
        if self.shared.damaged.load(Ordering::Relaxed) == self.shared.generation.load(Ordering::Relaxed) {
            first.push(self.begin_anew(&HistoryError::FoundDamaged, now_ms)?);
        }
        if self.file.is_none() {
            self.file = Some(OpenFile::open(&self.shared.path)?);
        }
        let result = self.write(&first, events);
        match result {
            Err(error) if error.is_damage() => {
                first.push(self.begin_anew(&error, now_ms)?);
                self.write(&first, events)
            }
            other => other,
        }
    }

    fn write(&mut self, first: &[Arc<Event>], events: &[Arc<Event>]) -> Result<Vec<Recorded>, HistoryError> {
        let Some(file) = &mut self.file else { return Ok(Vec::new()) };
        file.write(first.iter().chain(events), self.shared.bounds, &mut self.tokens)
    }

    fn move_aside(&mut self, error: &HistoryError, now_ms: i64) -> Result<PathBuf, HistoryError> {
        self.file = None;
        let aside = schema::move_aside(&self.shared.path, now_ms)?;
        self.shared.generation.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%error, moved_to = %aside.display(), "the history cannot be read and was moved aside; a new one begins");
        Ok(aside)
    }

    /// Moves the file aside and opens a new one. Returns the event that says so.
    fn begin_anew(&mut self, error: &HistoryError, now_ms: i64) -> Result<Arc<Event>, HistoryError> {
        let aside = self.move_aside(error, now_ms)?;
        self.file = Some(OpenFile::open(&self.shared.path)?);
        Ok(Arc::new(damaged(&aside, now_ms)))
    }

    /// Removes what is too much: after each new part, and now and then.
    fn trim(&mut self, now_ms: i64) {
        self.batches += 1;
        let is_new = self.file.as_mut().is_some_and(|file| std::mem::take(&mut file.has_new_part));
        if !is_new && !self.batches.is_multiple_of(TRIM_EVERY) {
            return;
        }
        let bounds = self.shared.bounds;
        if let Some(file) = &mut self.file
            && let Err(error) = file.trim(bounds, now_ms)
        {
            tracing::warn!(%error, "cannot remove old events from the history");
        }
    }

    /// Gives memory back after the first batch of a quiet server.
    fn shrink(&mut self, events: usize) {
        let Some(file) = &mut self.file else { return };
        let was_grown = std::mem::replace(&mut file.is_grown, events >= QUIET);
        if was_grown
            && !file.is_grown
            && let Err(error) = file.db.execute_batch("PRAGMA shrink_memory")
        {
            tracing::debug!(%error, "the history keeps the memory of a busy time");
        }
    }
}

/// The event that says that the history was moved aside.
pub(crate) fn damaged(aside: &Path, now_ms: i64) -> Event {
    Event::new(EventKind::HistoryDamaged, now_ms).fact(Fact::What, aside.display())
}

/// Whether the history may grow: the queue needs the last space on the disk.
fn has_room(path: &Path) -> bool {
    let Some(dir) = path.parent() else { return true };
    statvfs(dir).map_or(true, |disk| {
        let size = disk.blocks().saturating_mul(disk.fragment_size());
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        is_enough(size, free)
    })
}

/// Whether this number of free octets leaves room for the history on a disk of this size.
fn is_enough(size: u64, free: u64) -> bool {
    free >= (size / FREE_PART).min(FREE_MAX_BYTES)
}

impl OpenFile {
    fn open(path: &Path) -> Result<Self, HistoryError> {
        let db = schema::open_writer(path)?;
        let names = Names::complete(&db)?;
        let part = parts(&db)?.into_iter().next();
        // Number 0 has no tables: the first event begins part 1.
        let part = part.unwrap_or(Part { n: 0, first_id: 1, last_id: 0, first_ms: 0, last_ms: 0 });
        let mut file =
            Self { db, names, part, event_bytes: EVENT_BYTES, has_new_part: false, is_grown: false, flood: FloodGate::default() };
        file.measure()?;
        Ok(file)
    }

    /// Measures the mean size of an event. Returns the octets in use.
    fn measure(&mut self) -> Result<u64, HistoryError> {
        let number = |name: &str| self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = number("page_count")? - number("freelist_count")?;
        let used = u64::try_from(pages.saturating_mul(number("page_size")?)).unwrap_or(0);
        let events: i64 = parts(&self.db)?.iter().map(Part::events).sum();
        let events = u64::try_from(events).unwrap_or(0);
        if events >= 10_000 {
            self.event_bytes = (used / events).max(1);
        }
        Ok(used)
    }

    fn write<'a>(
        &mut self,
        events: impl Iterator<Item = &'a Arc<Event>>,
        bounds: Bounds,
        tokens: &mut Tokens,
    ) -> Result<Vec<Recorded>, HistoryError> {
        let mut part = self.part.clone();
        let mut recorded = Vec::new();
        let mut tally = Tally::default();
        let mut events = events.peekable();
        let transaction = self.db.unchecked_transaction()?;
        while let Some(next) = events.peek() {
            if part.n == 0 || (part.events() > 0 && bounds.ends(&part, next.at_ms, self.event_bytes)) {
                if part.n > 0 {
                    part.write(&transaction)?;
                }
                part = Part { n: part.n + 1, first_id: part.last_id + 1, last_id: part.last_id, first_ms: next.at_ms, last_ms: next.at_ms };
                schema::create_part(&transaction, part.n)?;
            }
            let n = part.n;
            let mut event_row =
                transaction.prepare_cached(&format!("INSERT INTO event_{n} ({}) VALUES ({})", row::COLUMNS, row::VALUES))?;
            let mut clue_row = transaction.prepare_cached(&format!("INSERT INTO clue_{n} (rowid, tokens) VALUES (?1, ?2)"))?;
            while let Some(event) = events.next_if(|event| !bounds.ends(&part, event.at_ms, self.event_bytes) || part.events() == 0) {
                tally.add(event);
                if !self.flood.lets(event, bounds, self.event_bytes) {
                    continue;
                }
                let id = part.last_id + 1;
                row::insert(&mut event_row, &self.names, id, event)?;
                tokens.fill(event);
                clue_row.execute((id, tokens.as_str()))?;
                part.extend(id, event.at_ms);
                recorded.push(Recorded { id, event: event.clone() });
            }
        }
        part.write(&transaction)?;
        tally.write(&transaction, &self.names)?;
        transaction.commit()?;
        self.has_new_part |= part.n != self.part.n;
        self.part = part;
        Ok(recorded)
    }

    /// Drops the oldest parts until the rest is small enough, and one that is too old: only one at a time, so that a clock that jumps ahead costs one.
    fn trim(&mut self, bounds: Bounds, now_ms: i64) -> Result<(), HistoryError> {
        let oldest_ms = now_ms - bounds.keep_ms();
        let mut parts = parts(&self.db)?;
        let mut may_be_old = true;
        while let Some(part) = parts.pop().filter(|part| part.n != self.part.n) {
            let is_old = may_be_old && part.last_ms < oldest_ms;
            if !is_old && self.measure()? <= bounds.max_bytes {
                break;
            }
            may_be_old = false;
            self.db.flush_prepared_statement_cache();
            schema::drop_part(&self.db, part.n)?;
            forget_before(&self.db, oldest_ms)?;
        }
        self.measure()?;
        let pages: i64 = self.db.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let file_bytes = u64::try_from(pages).unwrap_or(0) * 4096;
        if file_bytes > bounds.max_bytes + bounds.max_bytes / 8 {
            self.db.execute_batch(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_space_on_the_disk_is_for_the_queue() {
        assert!(is_enough(1 << 40, FREE_MAX_BYTES) && !is_enough(1 << 40, FREE_MAX_BYTES - 1));
        assert!(is_enough(30 << 20, 10 << 20) && !is_enough(30 << 20, 9 << 20));
        assert!(!is_enough(1 << 40, 0));
    }
}
