//! Incoming content, and the memory that all of it may use.
//!
//! Invariant: memory is counted before content is stored in it, so an idle client uses none, and no network can block the others' mail.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use store::content::ROW_MAX_BYTES;
use store::{Spool, StoreError};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::receive::shares::{RankedClient, Shares};

/// Octets counted for a content before its first octet: its session's buffers.
const BEGUN_BYTES: usize = 4 * 1024;

/// Octets that a large content uses besides its front: the piece being written to its file.
const PIECE_BYTES: usize = 256 * 1024;

/// Maximum size of a content that may stay in memory, in octets.
const LARGE_MAX_BYTES: usize = 8 << 20;

/// Large contents stay in memory only while no more than this part of it is used, so that they delay no small one.
const LARGE_PART: usize = 3;

/// Maximum time that content waits for memory before it is deferred.
const ROOM_WAIT: Duration = Duration::from_secs(5);

/// The memory of all incoming content.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContentQuota(Arc<QuotaState>);

#[derive(Debug)]
struct QuotaState {
    shares: Mutex<Shares>,
    freed: Notify,
    wait: Duration,
}

impl Default for QuotaState {
    fn default() -> Self {
        Self { shares: Mutex::default(), freed: Notify::new(), wait: ROOM_WAIT }
    }
}

/// Why content was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotKept {
    /// No memory is left for clients of this rank or network.
    #[error("too much content is arriving at once")]
    NoRoom,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl QuotaState {
    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock()
    }
}

impl ContentQuota {
    /// Opens a content; `None` if there is no memory in time. `all_bytes` is the maximum for all contents.
    pub async fn open(&self, who: RankedClient, all_bytes: usize, spool: impl FnOnce() -> Spool) -> Option<ArrivingContent> {
        let mut held = CountedMemory { room: self.0.clone(), who, bytes: 0 };
        held.grow_to(BEGUN_BYTES, all_bytes).await.then(|| ArrivingContent { spool: spool(), held, size_bytes: 0, all_bytes, stays: false })
    }
}

/// One incoming content.
#[derive(Debug)]
pub(crate) struct ArrivingContent {
    spool: Spool,
    held: CountedMemory,
    size_bytes: usize,
    all_bytes: usize,
    /// It stays in memory while there is room, even if it is large.
    stays: bool,
}

impl ArrivingContent {
    /// Keeps it in memory as long as there is room: it is checked, signed and delivered from there. It goes to a file with its commit, if it has one.
    #[must_use]
    pub fn staying_in_memory(mut self) -> Self {
        self.spool = self.spool.in_memory_up_to(LARGE_MAX_BYTES);
        self.stays = true;
        self
    }

    /// Stores the next octets. Unusable after an error.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), NotKept> {
        self.size_bytes = self.size_bytes.saturating_add(bytes.len());
        if self.stays && self.size_bytes > ROW_MAX_BYTES && !self.has_room_to_stay() {
            self.stays = false;
            self.spool.leave_memory().await?;
            self.held.shrink_to(ROW_MAX_BYTES + PIECE_BYTES);
        }
        let in_memory = if self.stays || self.size_bytes <= ROW_MAX_BYTES { self.size_bytes } else { ROW_MAX_BYTES + PIECE_BYTES };
        if !self.held.grow_to(in_memory.max(BEGUN_BYTES), self.all_bytes).await {
            return Err(NotKept::NoRoom);
        }
        Ok(self.spool.write(bytes).await?)
    }

    fn has_room_to_stay(&mut self) -> bool {
        let more = self.size_bytes.saturating_sub(self.held.bytes);
        self.size_bytes <= LARGE_MAX_BYTES && (more == 0 || self.held.take(more, self.all_bytes / LARGE_PART))
    }

    /// Completes the content; of one in a file, only its front remains in memory.
    pub fn into_spool(mut self) -> (Spool, CountedMemory) {
        self.held.shrink_to(if self.stays { self.size_bytes } else { self.size_bytes.min(ROW_MAX_BYTES) });
        (self.spool, self.held)
    }
}

/// Counted memory, returned when dropped.
#[derive(Debug)]
pub(crate) struct CountedMemory {
    room: Arc<QuotaState>,
    who: RankedClient,
    bytes: usize,
}

impl CountedMemory {
    /// Waits for memory; false if there is none in time.
    async fn grow_to(&mut self, bytes: usize, all_bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 || self.take(more, all_bytes) {
            return true;
        }
        let (room, room_wait) = (self.room.clone(), self.room.wait);
        let taken = async {
            loop {
                let freed = room.freed.notified();
                if self.take(more, all_bytes) {
                    return;
                }
                freed.await;
            }
        };
        timeout(room_wait, taken).await.is_ok()
    }

    fn take(&mut self, more: usize, all_bytes: usize) -> bool {
        // One content always fits if its network has no other.
        let is_taken = self.room.shares().take(self.who, more, all_bytes, ROW_MAX_BYTES + PIECE_BYTES).is_ok();
        if is_taken {
            self.bytes += more;
        }
        is_taken
    }

    fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        if less == 0 {
            return;
        }
        self.bytes -= less;
        self.room.shares().give_back(self.who, less);
        self.room.freed.notify_waiters();
    }
}

impl Drop for CountedMemory {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::shares::Rank;

    const ALL_BYTES: usize = 8 << 20;

    struct Stage {
        _dir: tempfile::TempDir,
        store: store::Store,
        arriving: ContentQuota,
    }

    impl Stage {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = store::Store::open(dir.path()).unwrap();
            let arriving = ContentQuota(Arc::new(QuotaState { wait: Duration::from_millis(100), ..QuotaState::default() }));
            Self { _dir: dir, store, arriving }
        }

        async fn open(&self, rank: Rank, client: &str, id: i64) -> Option<ArrivingContent> {
            let who = RankedClient { rank, client: client.parse().unwrap() };
            self.arriving.open(who, ALL_BYTES, || self.store.spool(mail::QueueId(id))).await
        }
    }

    #[tokio::test]
    async fn contents_without_octets_block_no_client() {
        let stage = Stage::new();
        let mut silent = Vec::new();
        for n in 0..200 {
            silent.push(stage.open(Rank::Stranger, &format!("192.0.2.{n}"), n).await.unwrap());
        }
        let mut honest = stage.open(Rank::Stranger, "198.51.100.1", 1000).await.unwrap();
        honest.write(&vec![b'x'; 200_000]).await.unwrap();
    }

    #[tokio::test]
    async fn a_network_over_its_share_is_deferred_and_others_continue() {
        let stage = Stage::new();
        let mut crowd = Vec::new();
        let mut is_put_off = false;
        for n in 0..40 {
            let Some(mut one) = stage.open(Rank::Stranger, "192.0.2.1", n).await else { break };
            let written = one.write(&vec![b'x'; 100_000]).await;
            is_put_off = matches!(written, Err(NotKept::NoRoom));
            if is_put_off {
                break;
            }
            crowd.push(one);
        }
        assert!(is_put_off && crowd.len() == 10, "{} contents of 100 kB fill an eighth of 8 MiB", crowd.len());
        for (rank, client) in [(Rank::Stranger, "198.51.100.1"), (Rank::Known, "203.0.113.1"), (Rank::Account, "192.0.2.1")] {
            let mut other = stage.open(rank, client, 100 + rank as i64).await.unwrap();
            other.write(&vec![b'x'; 100_000]).await.unwrap();
        }
        let mut waits = stage.open(Rank::Stranger, "192.0.2.1", 200).await.unwrap();
        let content = vec![b'x'; 100_000];
        let (written, ()) = tokio::join!(waits.write(&content), async { drop(crowd) });
        written.unwrap();
    }

    #[tokio::test]
    async fn counted_memory_is_returned() {
        let stage = Stage::new();
        let mut one = stage.open(Rank::Known, "192.0.2.1", 1).await.unwrap();
        one.write(&vec![b'x'; ROW_MAX_BYTES + 1]).await.unwrap();
        let total = || stage.arriving.0.shares().total();
        assert_eq!(total(), ROW_MAX_BYTES + PIECE_BYTES);
        let (_spool, held) = one.into_spool();
        assert_eq!(total(), ROW_MAX_BYTES);
        drop(held);
        assert_eq!(total(), 0);
    }

    #[tokio::test]
    async fn large_content_leaves_memory_when_room_runs_short() {
        let stage = Stage::new();
        let total = || stage.arriving.0.shares().total();
        let mut stayed = 0;
        for n in 0..8 {
            let mut one = stage.open(Rank::Known, &format!("192.0.{n}.2"), n).await.unwrap().staying_in_memory();
            for _ in 0..6 {
                one.write(&vec![b'x'; 100_000]).await.unwrap();
            }
            let (spool, held) = one.into_spool();
            let content = spool.finish().await.unwrap();
            assert_eq!(held.bytes, content.front().len(), "what is in memory is counted");
            stayed += usize::from(content.front().len() == 600_000);
            std::mem::forget(held);
        }
        assert!((2..=4).contains(&stayed) && total() <= ALL_BYTES / LARGE_PART + 8 * ROW_MAX_BYTES, "{stayed} stayed: {}", total());
        let mut huge = stage.open(Rank::Account, "203.0.113.1", 99).await.unwrap().staying_in_memory();
        huge.write(&vec![b'x'; LARGE_MAX_BYTES + 1]).await.unwrap();
        assert!(huge.held.bytes <= ROW_MAX_BYTES + PIECE_BYTES);
    }
}
