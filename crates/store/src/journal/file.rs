//! The file of the journal: batches of records, and one sync for each batch.
//!
//! A batch starts at a page: a header (magic, salt, number, octets and count of the records, CRC-32 of these), then the records (octets, CRC-32,
//! payload), then zeros up to the next page. The salt is in the database; a new salt there makes all older batches void, and the file is written
//! again from its front. Its blocks are allocated once, so that a sync writes no metadata. Invariant: a batch is written only after the one in
//! front of it has been synced; so only the last one can be torn, and damage in front of it is damage of the disk.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::posix_fallocate;

use crate::error::StoreError;

/// Every batch starts at a multiple of this, in octets: a sync never touches a page of an earlier batch.
const PAGE_BYTES: usize = 4096;

/// The front of a batch. The last two digits are the version of the format.
const MAGIC: &[u8; 8] = b"wpjrnl01";

/// Octets of a header: magic, salt, number, octets of the records, count of the records, CRC-32.
const HEADER_BYTES: usize = 8 + 8 + 8 + 4 + 4 + 4;

/// Octets in front of a record: its length and its CRC-32.
const RECORD_HEAD_BYTES: usize = 4 + 4;

/// Octets of a batch above which it takes no further record.
const BATCH_BYTES: usize = 4 << 20;

/// Octets that a scan reads at once.
const SCAN_BYTES: usize = 64 << 10;

/// Memory for a batch that is kept for the next one, in octets.
const KEPT_BYTES: usize = 1 << 20;

/// The file, open for appending.
#[derive(Debug)]
pub(super) struct JournalFile {
    file: File,
    size_bytes: usize,
    salt: i64,
    /// The number of the next batch, from 0.
    number: u64,
    /// Where the next batch starts.
    end: usize,
    /// Whether a write or a sync has failed. What follows the last synced batch is unknown then, and nothing may be appended.
    is_broken: bool,
    /// The next batch, with room for its header.
    batch: Vec<u8>,
    records: u32,
}

/// What a scan of the file found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// The payloads of the whole records, in order.
    pub records: Vec<Vec<u8>>,
    /// Batches that are missing, and records that do not have their CRC-32, in front of the last batch.
    pub damaged: u64,
    /// Records of the last batch that are not whole: its sync had not returned.
    pub torn: u64,
}

impl JournalFile {
    /// Opens the file, and creates it with this size if it is missing. It has to be [scanned](Self::scan) and [restarted](Self::restart) before use. `None` if
    /// there is none and the disk has no room for it.
    ///
    /// # Errors
    /// If it cannot be opened: what it holds must not be left out.
    pub fn open(path: &Path, wanted_bytes: u64) -> Result<Option<Self>, StoreError> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)?;
        let mut size_bytes = file.metadata()?.len();
        if size_bytes < wanted_bytes {
            let allocated = posix_fallocate(&file, 0, i64::try_from(wanted_bytes).unwrap_or(i64::MAX));
            if let Err(error) = allocated {
                tracing::warn!(%error, "cannot allocate the file of the journal; the queue is slower without it");
                file.set_len(size_bytes)?;
                if size_bytes == 0 {
                    std::fs::remove_file(path)?;
                    return Ok(None);
                }
            }
            size_bytes = file.metadata()?.len();
            file.sync_all()?;
            if let Some(directory) = path.parent() {
                File::open(directory)?.sync_all()?;
            }
        }
        let size_bytes = usize::try_from(size_bytes).unwrap_or(usize::MAX);
        Ok(Some(Self { file, size_bytes, salt: 0, number: 0, end: 0, is_broken: true, batch: Vec::new(), records: 0 }))
    }

    /// Begins again at the front, once the database has this salt.
    pub fn restart(&mut self, salt: i64) {
        (self.salt, self.number, self.end, self.is_broken) = (salt, 0, 0, false);
        self.begin();
    }

    /// The salt of its batches.
    pub fn salt(&self) -> i64 {
        self.salt
    }

    /// Whether nothing can be appended before a restart.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Ends appending until the next restart: the database may have, or get after a crash, a new salt.
    pub fn close(&mut self) {
        self.is_broken = true;
    }

    /// Whether batches were written since the restart.
    pub fn is_used(&self) -> bool {
        self.end > 0
    }

    fn begin(&mut self) {
        if self.batch.capacity() > KEPT_BYTES {
            self.batch = Vec::new();
        }
        self.batch.clear();
        self.batch.resize(HEADER_BYTES, 0);
        self.records = 0;
    }

    /// Adds a record to the next batch. False if it does not fit; it is not added then.
    pub fn push(&mut self, write_payload: impl FnOnce(&mut Vec<u8>)) -> bool {
        let start = self.batch.len();
        if start >= BATCH_BYTES {
            return false;
        }
        self.batch.resize(start + RECORD_HEAD_BYTES, 0);
        write_payload(&mut self.batch);
        let fits = self.end.saturating_add(self.batch.len()).next_multiple_of(PAGE_BYTES) <= self.size_bytes;
        let payload = self.batch.get(start + RECORD_HEAD_BYTES..).unwrap_or_default();
        let (Ok(length), true) = (u32::try_from(payload.len()), fits) else {
            self.batch.truncate(start);
            return false;
        };
        let crc = record_crc(self.salt, self.number, payload);
        if let Some((length_place, crc_place)) =
            self.batch.get_mut(start..start + RECORD_HEAD_BYTES).and_then(|h| h.split_at_mut_checked(4))
        {
            length_place.copy_from_slice(&length.to_le_bytes());
            crc_place.copy_from_slice(&crc.to_le_bytes());
        }
        self.records += 1;
        true
    }

    /// Writes the batch, and returns when it is on the disk, synced.
    ///
    /// # Errors
    /// If the write or the sync fails. It is not tried again: the journal is broken until its restart.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        if self.is_broken {
            return Err(StoreError::Io("an earlier write to the journal has failed".into()));
        }
        let header = header(self.salt, self.number, (self.batch.len() - HEADER_BYTES, self.records));
        if let Some(place) = self.batch.get_mut(..HEADER_BYTES) {
            place.copy_from_slice(&header);
        }
        self.batch.resize(self.batch.len().next_multiple_of(PAGE_BYTES), 0);
        let written = self.file.write_all_at(&self.batch, self.end as u64).and_then(|()| self.file.sync_data());
        self.end += self.batch.len();
        self.number += 1;
        self.is_broken = written.is_err();
        self.begin();
        // Never "full": the records may be on the disk all the same, and then need their content files.
        written.map_err(|error| StoreError::Io(format!("a write to the journal: {error}")))
    }

    /// Writes to another file from now on; one that is open for reading fails.
    #[cfg(test)]
    pub fn swap_file(&mut self, other: File) -> File {
        std::mem::replace(&mut self.file, other)
    }

    /// Reads every batch of this salt. Behind a damaged header it looks at each page for the next batch: the salt is random, so no message can
    /// contain one.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn scan(&mut self, salt: i64) -> Result<Scan, StoreError> {
        self.salt = salt;
        let (mut found, mut next, mut at) = (Scan::default(), 0, 0);
        let (mut window, mut window_start) = (Vec::new(), 0);
        while at + HEADER_BYTES <= self.size_bytes {
            if window.get(at - window_start..).is_none_or(|rest| rest.len() < HEADER_BYTES) {
                window.resize(SCAN_BYTES.min(self.size_bytes - at), 0);
                self.file.read_exact_at(&mut window, at as u64)?;
                window_start = at;
            }
            let head = window.get(at - window_start..).and_then(|rest| rest.get(..HEADER_BYTES)).unwrap_or_default();
            let end = |batch: &BatchHead| at + HEADER_BYTES + batch.length;
            let Some(batch) = read_header(head, salt).filter(|batch| batch.number >= next && end(batch) <= self.size_bytes) else {
                at += PAGE_BYTES;
                continue;
            };
            let mut octets = vec![0; batch.length];
            self.file.read_exact_at(&mut octets, (at + HEADER_BYTES) as u64)?;
            let bad = read_records(&batch, &octets, salt, &mut found.records);
            // What is torn or missing in front of another batch is damaged.
            found.damaged += found.torn + (batch.number - next);
            found.torn = bad;
            next = batch.number + 1;
            at = end(&batch).next_multiple_of(PAGE_BYTES);
        }
        Ok(found)
    }
}

fn header(salt: i64, number: u64, (length, records): (usize, u32)) -> [u8; HEADER_BYTES] {
    let mut fields = Vec::with_capacity(HEADER_BYTES);
    fields.extend_from_slice(MAGIC);
    fields.extend_from_slice(&salt.to_le_bytes());
    fields.extend_from_slice(&number.to_le_bytes());
    fields.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    fields.extend_from_slice(&records.to_le_bytes());
    fields.extend_from_slice(&crc32fast::hash(&fields).to_le_bytes());
    let mut header = [0; HEADER_BYTES];
    header.iter_mut().zip(fields).for_each(|(place, octet)| *place = octet);
    header
}

/// The CRC-32 of a record in its place: a record that an earlier batch left there does not have it.
fn record_crc(salt: i64, number: u64, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt.to_le_bytes());
    crc.update(&number.to_le_bytes());
    crc.update(&(payload.len() as u64).to_le_bytes());
    crc.update(payload);
    crc.finalize()
}

/// Reads numbers from the front of octets.
struct Numbers<'a>(&'a [u8]);

impl<'a> Numbers<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

/// The header of a batch.
struct BatchHead {
    number: u64,
    /// Octets of its records.
    length: usize,
    records: u32,
}

/// Reads the header of a batch of this salt.
fn read_header(head: &[u8], salt: i64) -> Option<BatchHead> {
    let mut numbers = Numbers(head);
    if numbers.take(MAGIC.len())? != MAGIC || numbers.u64()? != u64::from_le_bytes(salt.to_le_bytes()) {
        return None;
    }
    let (number, length, records) = (numbers.u64()?, usize::try_from(numbers.u32()?).ok()?, numbers.u32()?);
    (head == header(salt, number, (length, records))).then_some(BatchHead { number, length, records })
}

/// Adds the whole records of a batch to `whole`, and returns the number of the others.
fn read_records(batch: &BatchHead, octets: &[u8], salt: i64, whole: &mut Vec<Vec<u8>>) -> u64 {
    let (mut rest, mut bad) = (Numbers(octets), 0);
    for left in (0..batch.records).rev() {
        let record = rest.u32().zip(rest.u32()).and_then(|(length, crc)| Some((rest.take(usize::try_from(length).ok()?)?, crc)));
        match record {
            Some((payload, crc)) if record_crc(salt, batch.number, payload) == crc => whole.push(payload.to_vec()),
            Some(_) => bad += 1,
            // The length is damaged: where the next record starts is unknown.
            None => return bad + 1 + u64::from(left),
        }
    }
    bad
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: i64 = -7;

    /// A file with batches of two records each; returns its octets.
    fn written(batches: usize) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let mut file = JournalFile::open(&dir.path().join("journal"), 64 * PAGE_BYTES as u64).unwrap().unwrap();
        file.restart(SALT);
        for n in 0..batches {
            for half in ["first", "second"] {
                assert!(file.push(|batch| batch.extend_from_slice(format!("{half} of {n} {}", "x".repeat(3000)).as_bytes())));
            }
            file.commit().unwrap();
        }
        std::fs::read(dir.path().join("journal")).unwrap()
    }

    /// Scans a file with these octets.
    fn scan(octets: &[u8], salt: i64) -> Scan {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("journal"), octets).unwrap();
        JournalFile::open(&dir.path().join("journal"), octets.len() as u64).unwrap().unwrap().scan(salt).unwrap()
    }

    fn names(found: &Scan) -> Vec<String> {
        found.records.iter().map(|record| String::from_utf8_lossy(record).split(" x").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn batches_are_read_in_order_and_those_of_another_salt_are_not() {
        let octets = written(3);
        let found = scan(&octets, SALT);
        assert_eq!(names(&found), ["first of 0", "second of 0", "first of 1", "second of 1", "first of 2", "second of 2"]);
        assert_eq!((found.damaged, found.torn), (0, 0));
        assert_eq!(scan(&octets, SALT + 1), Scan::default());
    }

    #[test]
    fn a_torn_tail_ends_the_journal_and_damage_in_the_middle_is_counted() {
        let whole = written(3);
        let batch = 2 * PAGE_BYTES;
        // The last batch lacks its second page: its first record is whole, its second one is not.
        let mut torn = whole.clone();
        torn[2 * batch + PAGE_BYTES..3 * batch].fill(0);
        let found = scan(&torn, SALT);
        assert_eq!((names(&found).len(), found.damaged, found.torn), (5, 0, 1));
        // It lacks its header: it is not there at all.
        torn[2 * batch..2 * batch + 8].fill(0);
        let found = scan(&torn, SALT);
        assert_eq!((names(&found).len(), found.damaged, found.torn), (4, 0, 0));
        // One octet of a record in the middle, and then a whole header.
        let mut damaged = whole.clone();
        damaged[batch + 100] ^= 1;
        let found = scan(&damaged, SALT);
        assert_eq!(names(&found), ["first of 0", "second of 0", "second of 1", "first of 2", "second of 2"]);
        assert_eq!((found.damaged, found.torn), (1, 0));
        damaged[batch + 20] ^= 1;
        let found = scan(&damaged, SALT);
        assert_eq!(names(&found), ["first of 0", "second of 0", "first of 2", "second of 2"]);
        assert_eq!((found.damaged, found.torn), (1, 0));
        // A damaged length makes the rest of its batch unreadable.
        let mut damaged = whole;
        damaged[HEADER_BYTES + 2] = 0xff;
        assert_eq!((scan(&damaged, SALT).damaged, scan(&damaged, SALT).records.len()), (2, 4));
    }

    #[test]
    fn a_record_of_an_earlier_batch_in_the_same_place_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut file = JournalFile::open(&path, 64 * PAGE_BYTES as u64).unwrap().unwrap();
        let mut write = |salt, word: &str| {
            file.restart(salt);
            assert!(file.push(|batch| batch.extend_from_slice(word.as_bytes())));
            file.commit().unwrap();
            std::fs::read(&path).unwrap()
        };
        let (old, mut new) = (write(1, "old record"), write(2, "new record"));
        // The power fails when only the sector with the new header is on the disk.
        new[HEADER_BYTES..].copy_from_slice(&old[HEADER_BYTES..]);
        let found = scan(&new, 2);
        assert_eq!((found.records.len(), found.damaged, found.torn), (0, 0, 1));
    }

    #[test]
    fn a_record_that_does_not_fit_is_not_added() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = JournalFile::open(&dir.path().join("journal"), 2 * PAGE_BYTES as u64).unwrap().unwrap();
        file.restart(SALT);
        assert!(!file.push(|batch| batch.resize(batch.len() + 2 * PAGE_BYTES, b'x')));
        assert!(file.push(|batch| batch.extend_from_slice(b"small")));
        file.commit().unwrap();
        assert!(file.push(|batch| batch.extend_from_slice(b"small too")));
        file.commit().unwrap();
        assert!(!file.push(|batch| batch.extend_from_slice(b"no page is left")));
        assert_eq!(file.scan(SALT).unwrap().records, [b"small".to_vec(), b"small too".to_vec()]);
    }
}
