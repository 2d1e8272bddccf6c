//! Room on the disk: how much space new mail must leave free, so that queued mail can still be delivered.
//!
//! Claims, settlements, drops and a start write to SQLite's log too. Invariant: new mail never takes the free space below the floor, which is reserved
//! for them; if other programs fill the disk, a reserve file is deleted for them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

use crate::error::StoreError;

/// Maximum floor, in octets.
const FLOOR_MAX_BYTES: u64 = 64 << 20;

/// The floor of a small disk is its size divided by this.
const FLOOR_PART: u64 = 8;

/// The reserve is the floor divided by this.
const RESERVE_PART: u64 = 2;

/// The file of the journal is the floor divided by this: what it holds must fit into SQLite's log.
const JOURNAL_PART: u64 = 2;

/// Time for which a measurement of the free space counts; what new mail takes meanwhile is subtracted from it.
const MEASURED_FOR: Duration = Duration::from_millis(20);

/// The name of the reserve file.
const RESERVE: &str = "reserve";

/// The room on the disk of a data directory.
#[derive(Debug)]
pub(crate) struct Room {
    data: PathBuf,
    floor_bytes: u64,
    /// Unused octets of the database: it never shrinks, and new rows go there first.
    unused_bytes: AtomicU64,
    /// When the free space was measured, and what is left of it.
    measured: Mutex<Option<(Instant, u64)>>,
}

impl Room {
    /// Measures the disk, and deletes the reserve if the start needs it.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let disk = statvfs(data).map_err(std::io::Error::from)?;
        let floor_bytes = (disk.blocks() * disk.fragment_size() / FLOOR_PART).min(FLOOR_MAX_BYTES);
        let room = Self { data: data.to_owned(), floor_bytes, unused_bytes: AtomicU64::new(0), measured: Mutex::default() };
        room.keep_reserve();
        Ok(room)
    }

    /// Returns the free and the total octets of the disk.
    pub fn disk_bytes(&self) -> Option<[u64; 2]> {
        let disk = statvfs(&self.data).ok()?;
        Some([disk.blocks_available() * disk.fragment_size(), disk.blocks() * disk.fragment_size()])
    }

    /// Returns the free octets; `u64::MAX` if the system reports none.
    fn free_bytes(&self) -> u64 {
        statvfs(&self.data).map_or(u64::MAX, |disk| disk.blocks_available() * disk.fragment_size())
    }

    /// Subtracts octets from the free ones if `fits` says that they may be taken, and returns what it says.
    #[allow(clippy::disallowed_methods)] // the age of a measurement, which no outcome depends on
    fn take(&self, bytes: u64, fits: impl Fn(u64) -> bool) -> bool {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, free) = match *measured {
            // What does not fit is measured again: somebody may have made room, and mail is not refused for what was.
            Some((at, free)) if at.elapsed() < MEASURED_FOR && fits(free) => (at, free),
            _ => (Instant::now(), self.free_bytes()),
        };
        let fits = fits(free);
        *measured = Some((at, if fits { free.saturating_sub(bytes) } else { free }));
        fits
    }

    /// Returns whether new mail will soon be refused; the log is then kept short.
    pub fn is_short(&self) -> bool {
        !self.take(0, |free| free >= 2 * self.floor_bytes)
    }

    /// Maximum length of the log while room is short, in octets.
    pub fn short_log_bytes(&self) -> u64 {
        self.floor_bytes / 8
    }

    /// Size of the journal's file, in octets.
    pub fn journal_bytes(&self) -> u64 {
        self.floor_bytes / JOURNAL_PART
    }

    /// Sets how much of the database is unused, in octets.
    pub fn note_unused(&self, bytes: u64) {
        self.unused_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Checks that there is room for new content in a file.
    ///
    /// # Errors
    /// [`StoreError::Full`] if there is not.
    pub fn for_file(&self, bytes: u64) -> Result<(), StoreError> {
        self.for_both(bytes, bytes)
    }

    /// Checks that there is room for new mail in rows: in the log first, and then in the database.
    ///
    /// # Errors
    /// [`StoreError::Full`] if there is not.
    pub fn for_rows(&self, bytes: u64) -> Result<(), StoreError> {
        self.for_both(bytes, 2 * bytes)
    }

    /// Unused octets of the database count as room, since the database never shrinks: a disk that was full once would stay full otherwise;
    /// half of the floor must be free in any case.
    fn for_both(&self, at_once: u64, in_all: u64) -> Result<(), StoreError> {
        let fits = |free: u64| {
            let all = free.saturating_add(self.unused_bytes.load(Ordering::Relaxed));
            free >= (self.floor_bytes / 2).saturating_add(at_once) && all >= self.floor_bytes.saturating_add(in_all)
        };
        if self.take(at_once, fits) { Ok(()) } else { Err(StoreError::Full) }
    }

    /// Deletes the reserve file if the disk is nearly full, and creates it again when there is room.
    pub fn keep_reserve(&self) {
        let (path, bytes, free) = (self.data.join(RESERVE), self.floor_bytes / RESERVE_PART, self.free_bytes());
        if free < self.floor_bytes / 4 {
            if fs::remove_file(&path).is_ok() {
                tracing::warn!(
                    free_bytes = free,
                    "the disk is nearly full: the reserve was deleted, so that queued mail can be delivered; free some space"
                );
            }
        } else if free > self.floor_bytes + bytes && !path.exists() {
            let made = File::create(&path).and_then(|file| Ok(posix_fallocate(&file, 0, i64::try_from(bytes).unwrap_or(0))?));
            if let Err(error) = made {
                tracing::debug!(%error, "cannot create the reserve file");
                let _ = fs::remove_file(&path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // the age of a measurement
    fn a_measurement_that_refuses_is_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let room = Room::open(dir.path()).unwrap();
        *room.measured.lock().unwrap() = Some((Instant::now(), 0));
        room.for_file(1).unwrap();
        let left = room.measured.lock().unwrap().unwrap().1;
        assert!(left > 0, "what the disk says");
        *room.measured.lock().unwrap() = Some((Instant::now(), u64::MAX / 2));
        room.for_file(1).unwrap();
        assert_eq!(room.measured.lock().unwrap().unwrap().1, u64::MAX / 2 - 1, "what fits is subtracted from the last measurement");
    }
}
