//! Loads large contents into memory, for one computation and never during a wait for another server.
//!
//! RFC 6376 s.3.7. mail-auth hashes only whole bodies, so a large message is loaded to verify it; the octets loaded at a time are bounded.
//! Invariant: mail from outside and from accounts have separate bounds, so neither waits for the other.

use bytes::{Bytes, BytesMut};
use mail::empty_line_end;
use store::content::ROW_MAX_BYTES;
use store::{Content, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Memory for large contents from outside, in KiB. A larger content takes all of it.
const OUTSIDE_ROOM_KIB: u32 = 128 * 1024;

/// Memory for large contents from accounts and from programs on this machine, in KiB.
const ACCOUNTS_ROOM_KIB: u32 = 64 * 1024;

/// Maximum octets read of a header section: enough to detect one that is too long.
const HEADER_READ_BYTES: usize = 520 * 1024;

/// A whole content in memory; a large one holds its share of the room.
#[derive(Debug)]
pub(crate) struct Whole<'a> {
    /// All its octets.
    pub bytes: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

/// The origin of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentOrigin {
    /// A client without a login.
    Outside,
    /// An account, or a program on this machine.
    Account,
}

/// The bounds on large contents in memory.
#[derive(Debug)]
pub(crate) struct LargeContents {
    outside: Semaphore,
    accounts: Semaphore,
}

impl Default for LargeContents {
    fn default() -> Self {
        Self { outside: Semaphore::new(OUTSIDE_ROOM_KIB as usize), accounts: Semaphore::new(ACCOUNTS_ROOM_KIB as usize) }
    }
}

impl AsRef<[u8]> for Whole<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl LargeContents {
    /// Loads a content; a large one waits for room first.
    pub async fn load(&self, content: &Content, origin: ContentOrigin) -> Result<Whole<'_>, StoreError> {
        if content.size_bytes() <= ROW_MAX_BYTES as u64 {
            return Ok(Whole { bytes: content.front().clone(), _room: None });
        }
        let (room, all_kib) = match origin {
            ContentOrigin::Outside => (&self.outside, OUTSIDE_ROOM_KIB),
            ContentOrigin::Account => (&self.accounts, ACCOUNTS_ROOM_KIB),
        };
        // Twice its size: the outgoing message is assembled once more to be checked.
        let size_kib = u32::try_from(content.size_bytes().div_ceil(1024).saturating_mul(2)).unwrap_or(all_kib).min(all_kib);
        // An error would mean a closed semaphore; it is never closed.
        let room = room.acquire_many(size_kib).await.ok();
        if is_in_memory(content) {
            return Ok(Whole { bytes: content.front().clone(), _room: room });
        }
        let mut bytes = BytesMut::with_capacity(usize::try_from(content.size_bytes()).unwrap_or(0));
        let mut reader = content.read().await?;
        while let Some(piece) = reader.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(Whole { bytes: bytes.freeze(), _room: room })
    }
}

pub(crate) fn is_in_memory(content: &Content) -> bool {
    content.front().len() as u64 == content.size_bytes()
}

/// The header section up to the first empty line; of one that is too long, enough to detect that.
pub(crate) async fn header(content: &Content) -> Result<Bytes, StoreError> {
    let front = content.front();
    if let Some(end) = empty_line_end(front) {
        return Ok(front.slice(..end));
    }
    if is_in_memory(content) {
        return Ok(front.clone());
    }
    let mut bytes = BytesMut::from(front.as_ref());
    let mut reader = content.read().await?;
    let mut skipped = front.len();
    while bytes.len() < HEADER_READ_BYTES
        && let Some(piece) = reader.next().await?
    {
        let known = skipped.min(piece.len());
        skipped -= known;
        bytes.extend_from_slice(piece.get(known..).unwrap_or_default());
        if let Some(end) = empty_line_end(&bytes) {
            bytes.truncate(end);
            break;
        }
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn large(store: &store::Store, id: i64, front: &[u8], size: usize) -> Content {
        let mut spool = store.spool(mail::QueueId(id));
        spool.write(front).await.unwrap();
        spool.write(&vec![b'x'; size]).await.unwrap();
        spool.finish().await.unwrap()
    }

    #[tokio::test]
    async fn accounts_do_not_wait_for_mail_from_outside() {
        let dir = tempfile::tempdir().unwrap();
        let store = store::Store::open(dir.path()).unwrap();
        let room = LargeContents::default();
        let content = large(&store, 1, b"Subject: x\r\n\r\n", 200_000).await;
        let _all = room.outside.acquire_many(OUTSIDE_ROOM_KIB).await.unwrap();
        let mut from_outside = std::pin::pin!(room.load(&content, ContentOrigin::Outside));
        let account = tokio::select! {
            biased;
            _ = &mut from_outside => panic!("there is no room"),
            whole = room.load(&content, ContentOrigin::Account) => whole.unwrap(),
        };
        assert_eq!(account.bytes.len() as u64, content.size_bytes());
        assert!(room.accounts.available_permits() < ACCOUNTS_ROOM_KIB as usize);
        drop(account);
        assert_eq!(room.accounts.available_permits(), ACCOUNTS_ROOM_KIB as usize);
    }

    #[tokio::test]
    async fn a_long_header_section_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = store::Store::open(dir.path()).unwrap();
        let fields = "X-Long: abcdefghijklmnopqrstuvwxyz\r\n".repeat(5_000);
        let section = format!("{fields}From: me@x.test\r\n\r\n");
        let content = large(&store, 1, section.as_bytes(), 300_000).await;
        assert!(content.front().len() < section.len());
        assert_eq!(header(&content).await.unwrap(), section.as_bytes());
        let small = Content::memory(mail::QueueId(2), Bytes::from_static(b"A: b\r\n\r\nbody"));
        assert_eq!(header(&small).await.unwrap(), b"A: b\r\n\r\n"[..]);
    }
}
