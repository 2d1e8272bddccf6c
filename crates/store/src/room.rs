//! Room on the disk: how much new mail must leave free, so that what is queued can still go out.
//!
//! Claims, settlements, drops and a start write to SQLite's log too. Invariant: mail that arrives never takes the room below the floor, whose use is
//! theirs alone; where other programs fill the disk, a reserve file is given up for them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

use crate::error::StoreError;

/// The floor is not higher than this, in octets.
const FLOOR_MAX_BYTES: u64 = 64 << 20;

/// On a small disk the floor is this part of it.
const FLOOR_PART: u64 = 8;

/// The reserve is this part of the floor.
const RESERVE_PART: u64 = 2;

/// The file that keeps the reserve.
const RESERVE: &str = "reserve";

/// The room on the disk of a data directory.
#[derive(Debug)]
pub(crate) struct Room {
    data: PathBuf,
    floor_bytes: u64,
    /// Octets of the database that hold nothing: it never shrinks, and new rows go there first.
    unused_bytes: AtomicU64,
}

impl Room {
    /// Looks at the disk. A reserve that a start needs is given up.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let disk = statvfs(data).map_err(std::io::Error::from)?;
        let floor_bytes = (disk.blocks() * disk.fragment_size() / FLOOR_PART).min(FLOOR_MAX_BYTES);
        let room = Self { data: data.to_owned(), floor_bytes, unused_bytes: AtomicU64::new(0) };
        room.keep_reserve();
        Ok(room)
    }

    /// Free octets; without an answer of the system none is missed.
    fn free_bytes(&self) -> u64 {
        statvfs(&self.data).map_or(u64::MAX, |disk| disk.blocks_available() * disk.fragment_size())
    }

    /// Whether new mail is to be refused soon: then the log is kept short.
    pub fn is_short(&self) -> bool {
        self.free_bytes() < 2 * self.floor_bytes
    }

    /// How long the log may be before it is moved into the database while room is short, in octets.
    pub fn short_log_bytes(&self) -> u64 {
        self.floor_bytes / 8
    }

    /// The database has this much that holds nothing, in octets.
    pub fn note_unused(&self, bytes: u64) {
        self.unused_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether so many octets of new content may go to a file.
    ///
    /// # Errors
    /// [`StoreError::Full`] where they may not.
    pub fn for_file(&self, bytes: u64) -> Result<(), StoreError> {
        self.for_both(bytes, bytes)
    }

    /// Whether so many octets of new mail may go to rows: to the log first, and then to the database.
    ///
    /// # Errors
    /// [`StoreError::Full`] where they may not.
    pub fn for_rows(&self, bytes: u64) -> Result<(), StoreError> {
        self.for_both(bytes, 2 * bytes)
    }

    /// What is empty in the database counts as room, or a disk that was full once would be full for good; half of the floor is free in any case.
    fn for_both(&self, at_once: u64, in_all: u64) -> Result<(), StoreError> {
        let free = self.free_bytes();
        let all = free.saturating_add(self.unused_bytes.load(Ordering::Relaxed));
        let fits = free >= (self.floor_bytes / 2).saturating_add(at_once) && all >= self.floor_bytes.saturating_add(in_all);
        if fits { Ok(()) } else { Err(StoreError::Full) }
    }

    /// Gives the reserve up where the disk is nearly full, and makes it again where there is room.
    pub fn keep_reserve(&self) {
        let (path, bytes, free) = (self.data.join(RESERVE), self.floor_bytes / RESERVE_PART, self.free_bytes());
        if free < self.floor_bytes / 4 {
            if fs::remove_file(&path).is_ok() {
                tracing::warn!(
                    free_bytes = free,
                    "the disk is nearly full: the reserve was given up, so that queued mail can go out; free some room"
                );
            }
        } else if free > self.floor_bytes + bytes && !path.exists() {
            let made = File::create(&path).and_then(|file| Ok(posix_fallocate(&file, 0, i64::try_from(bytes).unwrap_or(0))?));
            if let Err(error) = made {
                tracing::debug!(%error, "the reserve on the disk could not be made");
                let _ = fs::remove_file(&path);
            }
        }
    }
}
