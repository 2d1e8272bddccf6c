//! The thread that moves SQLite's log into the database, so that no commit waits for it.
//!
//! Invariant: it only checkpoints; whatever it does or fails to do, the queue stays the same.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::room::Room;

/// Length of the log above which it is moved into the database, in octets.
const CHECKPOINT_BYTES: u64 = 16 << 20;

/// Interval between checks of the log's length.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(200);

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
