//! A message's unchanged content: in memory if it is small, in a file of its own if it is large.
//!
//! Invariant: memory per message is bounded by [`ROW_MAX_BYTES`], unless the caller counts more ([`Spool::in_memory_up_to`]); a file and its directory
//! are synced before a row can name it. The front of large content stays in memory while it is handled, so that its header section can be read.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mail::QueueId;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::directory_sync::DirectorySync;
use crate::error::StoreError;
use crate::room::Room;

/// Maximum size of content in its database row, in octets.
pub const ROW_MAX_BYTES: usize = 128 * 1024;

/// Read and write size for files, in octets.
const CHUNK_BYTES: usize = 256 * 1024;

/// Maximum piece of content in memory, in octets: what is made of it stays in the processor's cache.
const MEMORY_PIECE_BYTES: usize = 64 * 1024;

/// The error text for damaged content.
pub(crate) const DAMAGED: &str = "its CRC-32 does not match: check the disk";

/// A file with large content.
#[derive(Debug)]
pub(crate) struct LocalFile {
    pub path: PathBuf,
    /// Whether it is removed with the last content that names it: the database has the content, and the file is a copy for this process.
    is_copy: bool,
}

impl LocalFile {
    /// The file that a row names.
    pub fn kept(path: PathBuf) -> Self {
        Self { path, is_copy: false }
    }

    /// A copy for this process.
    pub fn copy(path: PathBuf) -> Self {
        Self { path, is_copy: true }
    }
}

impl Drop for LocalFile {
    fn drop(&mut self) {
        if self.is_copy {
            // If this fails the next start removes it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Complete content.
#[derive(Debug, Clone)]
pub struct Content {
    pub(crate) id: QueueId,
    size_bytes: u64,
    front: Bytes,
    pub(crate) file: Option<Arc<LocalFile>>,
    /// CRC-32 of the whole content, for a file; that of content in memory is computed on demand.
    file_crc: Option<u32>,
}

impl Content {
    /// Makes content that is in memory as a whole.
    pub fn memory(id: QueueId, bytes: Bytes) -> Self {
        Self { id, size_bytes: bytes.len() as u64, front: bytes, file: None, file_crc: None }
    }

    pub(crate) fn in_file(id: QueueId, (size_bytes, crc): (u64, Option<u32>), front: Bytes, file: LocalFile) -> Self {
        Self { id, size_bytes, front, file: Some(Arc::new(file)), file_crc: crc }
    }

    /// Returns the CRC-32 of the whole content, which shows damage on the disk; `None` for a file from before it was computed.
    pub(crate) fn crc(&self) -> Option<u32> {
        if self.file.is_none() { Some(crc32fast::hash(&self.front)) } else { self.file_crc }
    }

    /// Reads a content file again and compares it with its CRC-32. Blocks.
    pub(crate) fn verify_file(&self) -> std::io::Result<()> {
        let (Some(path), Some(expected)) = (&self.file, self.file_crc) else { return Ok(()) };
        let mut file = std::fs::File::open(&path.path)?;
        let (mut crc, mut piece) = (crc32fast::Hasher::new(), vec![0; CHUNK_BYTES]);
        loop {
            let n = std::io::Read::read(&mut file, &mut piece)?;
            if n == 0 {
                break;
            }
            crc.update(piece.get(..n).unwrap_or_default());
        }
        if crc.finalize() == expected { Ok(()) } else { Err(std::io::Error::other(DAMAGED)) }
    }

    /// Whether a row needs it in a file, and it is in memory only.
    pub(crate) fn lacks_file(&self) -> bool {
        self.file.is_none() && self.front.len() > ROW_MAX_BYTES
    }

    /// The size in octets.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Returns the whole content if it is in memory, or the first [`ROW_MAX_BYTES`] of one in a file.
    pub fn front(&self) -> &Bytes {
        &self.front
    }

    /// Returns whether any octet of the front has its high bit set.
    pub fn is_8bit(&self) -> bool {
        !self.front.is_ascii()
    }

    /// Reads the content piece by piece.
    pub async fn read(&self) -> Result<ContentReader, StoreError> {
        match &self.file {
            None => Ok(ContentReader { whole: Some(self.front.clone()), file: None }),
            Some(path) => Ok(ContentReader { whole: None, file: Some(File::open(&path.path).await?) }),
        }
    }
}

/// Where large content goes.
#[derive(Debug, Clone)]
pub(crate) struct ContentFiles {
    pub directory: Arc<PathBuf>,
    pub room: Arc<Room>,
    pub sync: Arc<DirectorySync>,
    /// Whether the files are copies of what the database has, so that they need no sync and do not outlive this process.
    pub are_copies: bool,
}

impl ContentFiles {
    pub fn new(directory: Arc<PathBuf>, room: Arc<Room>) -> Self {
        let sync = Arc::new(DirectorySync::new(directory.as_ref().clone()));
        Self { directory, room, sync, are_copies: false }
    }

    /// Files that are copies of what the database has.
    pub fn copies(directory: Arc<PathBuf>, room: Arc<Room>) -> Self {
        Self { are_copies: true, ..Self::new(directory, room) }
    }

    fn local(&self, path: PathBuf) -> LocalFile {
        if self.are_copies { LocalFile::copy(path) } else { LocalFile::kept(path) }
    }

    /// Puts content that is in memory into a file, for a row that names it: it is synced when this returns. The front is left out. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Full`] if a file would take room that deliveries of queued mail need.
    pub fn write(&self, content: &Content) -> Result<Content, StoreError> {
        let bytes = &content.front;
        self.room.for_file(bytes.len() as u64)?;
        let path = self.directory.join(content.id.to_string());
        let mut file = std::fs::File::create_new(&path)?;
        let synced = std::io::Write::write_all(&mut file, bytes).and_then(|()| file.sync_all()).and_then(|()| self.sync.sync());
        if let Err(error) = synced {
            // If this fails the file is an orphan, which the next start moves to `content/orphans`.
            let _ = std::fs::remove_file(&path);
            return Err(error.into());
        }
        Ok(Content::in_file(content.id, (content.size_bytes, Some(crc32fast::hash(bytes))), Bytes::new(), self.local(path)))
    }
}

/// Content being read.
#[derive(Debug)]
pub struct ContentReader {
    whole: Option<Bytes>,
    file: Option<File>,
}

impl ContentReader {
    /// Returns the next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if let Some(file) = &mut self.file {
            let mut piece = BytesMut::with_capacity(CHUNK_BYTES);
            let n = file.read_buf(&mut piece).await?;
            return Ok((n > 0).then(|| piece.freeze()));
        }
        let Some(whole) = &mut self.whole else { return Ok(None) };
        let piece = whole.split_to(whole.len().min(MEMORY_PIECE_BYTES));
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// Content that is still arriving.
#[derive(Debug)]
pub struct Spool {
    id: QueueId,
    files: ContentFiles,
    front: BytesMut,
    /// Content of more octets than this goes to a file.
    memory_max_bytes: usize,
    large: Option<LargeFile>,
}

#[derive(Debug)]
struct LargeFile {
    file: File,
    path: PathBuf,
    pending: BytesMut,
    size_bytes: u64,
    crc: crc32fast::Hasher,
    finished: bool,
}

impl Spool {
    pub(crate) fn new(id: QueueId, files: ContentFiles) -> Self {
        Self { id, files, front: BytesMut::new(), memory_max_bytes: ROW_MAX_BYTES, large: None }
    }

    /// Keeps content of at most this many octets in memory: [`Store::commit`](crate::Store::commit) puts it into a file if a row must name it. The
    /// caller limits the memory of all contents.
    #[must_use]
    pub fn in_memory_up_to(mut self, bytes: usize) -> Self {
        self.memory_max_bytes = bytes.max(ROW_MAX_BYTES);
        self
    }

    /// Ends what [`Spool::in_memory_up_to`] allows: content of more than [`ROW_MAX_BYTES`] goes to a file now.
    pub async fn leave_memory(&mut self) -> Result<(), StoreError> {
        self.memory_max_bytes = ROW_MAX_BYTES;
        if self.front.len() > ROW_MAX_BYTES {
            self.write_to_file(&[]).await?;
        }
        Ok(())
    }

    /// The id of the content and of the message.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Appends octets. After an error, drop the spool.
    ///
    /// # Errors
    /// [`StoreError::Full`] if a file would take room that deliveries of queued mail need.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let room = if self.large.is_none() { self.memory_max_bytes.saturating_sub(self.front.len()) } else { 0 };
        let (fits, bytes) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.front.extend_from_slice(fits);
        if bytes.is_empty() { Ok(()) } else { self.write_to_file(bytes).await }
    }

    /// Appends octets to the file, which begins with what is in memory.
    async fn write_to_file(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let large = match &mut self.large {
            Some(large) => large,
            none => {
                self.files.room.for_file(ROW_MAX_BYTES as u64)?;
                let path = self.files.directory.join(self.id.to_string());
                let file = File::create_new(&path).await?;
                let size_bytes = self.front.len() as u64;
                let front = BytesMut::from(self.front.get(..ROW_MAX_BYTES).unwrap_or(&self.front));
                let pending = std::mem::replace(&mut self.front, front);
                let mut crc = crc32fast::Hasher::new();
                crc.update(&pending);
                none.insert(LargeFile { file, path, pending, size_bytes, crc, finished: false })
            }
        };
        large.pending.extend_from_slice(bytes);
        large.crc.update(bytes);
        large.size_bytes += bytes.len() as u64;
        if large.pending.len() >= CHUNK_BYTES {
            self.files.room.for_file(large.pending.len() as u64)?;
            large.file.write_all(&large.pending).await?;
            large.pending.clear();
            if large.pending.capacity() > 2 * CHUNK_BYTES {
                // It was in memory before: megabytes, which are counted no longer.
                large.pending = BytesMut::new();
            }
        }
        Ok(())
    }

    /// Completes the content. If it is in a file, that is on disk, synced, when this returns.
    pub async fn finish(mut self) -> Result<Content, StoreError> {
        let front = std::mem::take(&mut self.front).freeze();
        let Some(large) = &mut self.large else {
            return Ok(Content::memory(self.id, front));
        };
        large.file.write_all(&large.pending).await?;
        large.file.flush().await?;
        if !self.files.are_copies {
            large.file.sync_all().await?;
            let sync = self.files.sync.clone();
            tokio::task::spawn_blocking(move || sync.sync()).await.map_err(|_| StoreError::Closed)??;
        }
        large.finished = true;
        let crc = large.crc.clone().finalize();
        Ok(Content::in_file(self.id, (large.size_bytes, Some(crc)), front, self.files.local(large.path.clone())))
    }
}

impl Drop for LargeFile {
    fn drop(&mut self) {
        if !self.finished {
            // If this fails the file is an orphan, which the next start moves to `content/orphans`.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn files(directory: &Path) -> ContentFiles {
        ContentFiles::new(Arc::new(directory.to_owned()), Arc::new(Room::open(directory).unwrap()))
    }

    async fn spooled(directory: &Path, size: usize) -> Content {
        let mut spool = Spool::new(QueueId(7), files(directory));
        for piece in vec![b'x'; size].chunks(1000) {
            spool.write(piece).await.unwrap();
        }
        spool.finish().await.unwrap()
    }

    #[tokio::test]
    async fn large_content_goes_to_a_file_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        for (size, in_file) in [(0, false), (ROW_MAX_BYTES, false), (ROW_MAX_BYTES + 1, true), (1_000_000, true)] {
            let content = spooled(dir.path(), size).await;
            assert_eq!(content.file.is_some(), in_file);
            let (mut reader, mut read) = (content.read().await.unwrap(), 0);
            while let Some(piece) = reader.next().await.unwrap() {
                assert!(piece.iter().all(|b| *b == b'x'));
                read += piece.len();
            }
            assert_eq!((read as u64, size), (content.size_bytes(), read));
            let _ = std::fs::remove_file(dir.path().join(QueueId(7).to_string()));
        }
    }

    #[tokio::test]
    async fn content_in_memory_leaves_nothing_on_disk_until_it_must() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let spool = || Spool::new(QueueId(9), files.clone()).in_memory_up_to(1 << 20);
        let file = dir.path().join(QueueId(9).to_string());
        let octets: Vec<u8> = (0..(1 << 20)).map(|n| b'a' + u8::try_from(n % 23).unwrap()).collect();
        let mut kept = spool();
        kept.write(&octets).await.unwrap();
        let kept = kept.finish().await.unwrap();
        assert!(kept.lacks_file() && !file.exists() && kept.front() == &octets);
        let written = files.write(&kept).unwrap();
        assert_eq!((written.front().len(), written.size_bytes(), written.lacks_file()), (0, 1 << 20, false));
        written.verify_file().unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), octets);
        assert!(files.write(&kept).is_err(), "a file is never written over");
        std::fs::write(&file, octets.get(1..).unwrap()).unwrap();
        assert!(written.verify_file().is_err());
        std::fs::remove_file(&file).unwrap();
        for (left_at, rest) in [(300_000, true), (1 << 20, false), (ROW_MAX_BYTES, true)] {
            let mut spilled = spool();
            spilled.write(octets.get(..left_at).unwrap()).await.unwrap();
            spilled.leave_memory().await.unwrap();
            assert_eq!(file.exists(), left_at > ROW_MAX_BYTES);
            spilled.write(octets.get(left_at..).unwrap()).await.unwrap();
            if !rest {
                spilled.write(b"one more").await.unwrap();
            }
            let spilled = spilled.finish().await.unwrap();
            assert_eq!((spilled.front().len(), spilled.lacks_file()), (ROW_MAX_BYTES, false));
            spilled.verify_file().unwrap();
            assert!(std::fs::read(&file).unwrap().starts_with(&octets));
            std::fs::remove_file(&file).unwrap();
        }
    }

    #[tokio::test]
    async fn an_abandoned_spool_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(QueueId(8), files(dir.path()));
        spool.write(&vec![b'x'; ROW_MAX_BYTES * 2]).await.unwrap();
        drop(spool);
        assert!(!dir.path().join(QueueId(8).to_string()).exists());
    }
}
