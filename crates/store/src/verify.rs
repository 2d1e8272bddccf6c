//! Verifies the queue on disk, row by row and file by file, beside a running server.
//!
//! The connection only reads, and holds no transaction for longer than a thousand rows, so that the log can be checkpointed meanwhile. Invariant: what the
//! server changes during the verification is no finding: each one is looked at again before it is reported.

use std::collections::HashSet;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use mail::QueueId;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::Serialize;

use crate::content::DAMAGED;
use crate::data_dir::content_ids;
use crate::error::StoreError;
use crate::sqlite::{DATABASE, refuse_newer};

/// Rows read in one step.
const STEP_ROWS: i64 = 1000;

/// Octets read in one step.
const STEP_BYTES: usize = 256 * 1024;

/// What was verified, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Rows of messages.
    pub messages: u64,
    /// Rows of recipients.
    pub recipients: u64,
    /// Contents in the database.
    pub contents_in_rows: u64,
    /// Contents in files.
    pub contents_in_files: u64,
    /// Octets of content that were read and compared with their CRC-32.
    pub content_bytes: u64,
    /// Contents without a CRC-32: committed by a version before it.
    pub without_crc: u64,
    /// Files in `content` that no row names: content that is being received, or what a crash left of mail that was not accepted.
    pub files_without_rows: Vec<String>,
    /// What is damaged or missing.
    pub damage: Vec<Damage>,
}

/// What rows that name others that do not exist are, and the query that finds their IDs.
pub(crate) const LOOSE: [(&str, &str); 4] = [
    ("the message has no content", "SELECT id FROM message WHERE content_id NOT IN (SELECT id FROM content)"),
    ("the message has no recipient", "SELECT id FROM message m WHERE NOT EXISTS (SELECT 1 FROM recipient r WHERE r.message_id = m.id)"),
    ("no message has this content", "SELECT id FROM content c WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.content_id = c.id)"),
    ("a recipient has no message", "SELECT DISTINCT message_id FROM recipient WHERE message_id NOT IN (SELECT id FROM message)"),
];

/// One thing that is damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Damage {
    /// The message or content, as a queue ID; empty if it is about the database.
    pub id: String,
    /// What is wrong.
    pub what: String,
}

/// What was read once, and what must be looked at again.
#[derive(Debug)]
pub struct Examined {
    verified: Verified,
    suspects: Vec<QueueId>,
    loose: Vec<Damage>,
    unnamed: HashSet<String>,
}

/// The queue on disk, read from outside of the server.
#[derive(Debug)]
pub struct QueueReader {
    pub(crate) db: Connection,
    content: PathBuf,
}

/// A row of `content`.
struct StoredContent {
    id: QueueId,
    size_bytes: u64,
    crc: Option<u32>,
    data: Option<Vec<u8>>,
}

impl QueueReader {
    /// Opens the database of a data directory for reading.
    ///
    /// # Errors
    /// There is no database, or a newer version has written it.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let db = Connection::open_with_flags(data.join(DATABASE), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        refuse_newer(&db)?;
        Ok(Self { db, content: data.join("content") })
    }

    /// Reads everything once. What is not as it should be may have been changed by the server meanwhile: [`Self::confirm`] looks again. Blocks.
    ///
    /// # Errors
    /// The database cannot be read at all.
    pub fn examine(&self) -> Result<Examined, StoreError> {
        let mut verified = Verified::default();
        self.check_database(&mut verified)?;
        let suspects = self.check_contents(&mut verified)?;
        Ok(Examined { verified, suspects, loose: self.loose_rows()?, unnamed: self.files_without_rows()? })
    }

    /// Looks again at what was not as it should be, after the database was brought up to date with the server. Blocks.
    ///
    /// # Errors
    /// The database cannot be read at all.
    pub fn confirm(&self, examined: Examined) -> Result<Verified, StoreError> {
        let Examined { mut verified, suspects, loose, unnamed } = examined;
        for id in suspects {
            let fault = match self.content_row(id) {
                Ok(row) => row.and_then(|row| self.check_content(&row).err()),
                Err(error) => Some(format!("its row cannot be read: {error}")),
            };
            verified.damage.extend(fault.map(|what| Damage { id: id.to_string(), what }));
        }
        let again = self.loose_rows()?;
        verified.damage.extend(loose.into_iter().filter(|damage| again.contains(damage)));
        let still = self.files_without_rows()?;
        verified.files_without_rows = unnamed.into_iter().filter(|name| still.contains(name)).collect();
        verified.files_without_rows.sort();
        verified.damage.sort();
        Ok(verified)
    }

    /// Whether the database still names this content.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn names(&self, content: &str) -> Result<bool, StoreError> {
        let Ok(id) = content.parse::<QueueId>() else { return Ok(false) };
        Ok(self.db.prepare_cached("SELECT 1 FROM content WHERE id = ?")?.exists([id.0])?)
    }

    /// SQLite's own check, and the totals that triggers keep.
    fn check_database(&self, verified: &mut Verified) -> Result<(), StoreError> {
        let mut report = |what: String| verified.damage.push(Damage { id: String::new(), what });
        let mut check = self.db.prepare("PRAGMA quick_check")?;
        for line in check.query_map([], |row| row.get::<_, String>(0))? {
            match line?.as_str() {
                "ok" => {}
                fault => report(format!("the database: {fault}")),
            }
        }
        // One statement: a transaction, so that the server's changes do not count as a difference.
        let totals = "SELECT t.messages, t.recipients, (SELECT count(*) FROM message), (SELECT count(*) FROM recipient) FROM total t";
        let [kept, kept_recipients, messages, recipients] =
            self.db.query_row(totals, [], |row| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
        if (kept, kept_recipients) != (messages, recipients) {
            report(format!("the totals say {kept} messages and {kept_recipients} recipients, but there are {messages} and {recipients}"));
        }
        verified.messages = messages.unsigned_abs();
        verified.recipients = recipients.unsigned_abs();
        Ok(())
    }

    /// Reads each content once. Returns those that are not as their rows say.
    fn check_contents(&self, verified: &mut Verified) -> Result<Vec<QueueId>, StoreError> {
        let (mut suspects, mut after) = (Vec::new(), i64::MIN);
        loop {
            let mut step = self.db.prepare_cached("SELECT id FROM content WHERE id > ? ORDER BY id LIMIT ?")?;
            let ids: Vec<i64> = step.query_map([after, STEP_ROWS], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let Some(last) = ids.last() else { return Ok(suspects) };
            after = *last;
            for id in ids {
                let row = match self.content_row(QueueId(id)) {
                    Ok(Some(row)) => row,
                    Ok(None) => continue,
                    Err(_) => {
                        suspects.push(QueueId(id));
                        continue;
                    }
                };
                verified.contents_in_rows += u64::from(row.data.is_some());
                verified.contents_in_files += u64::from(row.data.is_none());
                verified.without_crc += u64::from(row.crc.is_none());
                match self.check_content(&row) {
                    Ok(()) => verified.content_bytes += row.size_bytes,
                    Err(_) => suspects.push(row.id),
                }
            }
        }
    }

    fn content_row(&self, id: QueueId) -> Result<Option<StoredContent>, StoreError> {
        let mut query = self.db.prepare_cached("SELECT size_bytes, crc32, data FROM content WHERE id = ?")?;
        let row = query.query_row([id.0], |row| {
            let (size, crc): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
            let crc = crc.and_then(|crc| u32::try_from(crc).ok());
            Ok(StoredContent { id, size_bytes: size.unsigned_abs(), crc, data: row.get(2)? })
        });
        Ok(row.optional()?)
    }

    /// Compares the octets with size and CRC-32.
    fn check_content(&self, row: &StoredContent) -> Result<(), String> {
        let mut crc = crc32fast::Hasher::new();
        let size = match &row.data {
            Some(data) => {
                crc.update(data);
                data.len() as u64
            }
            None => read_file(&self.content.join(row.id.to_string()), &mut crc)?,
        };
        match () {
            () if size != row.size_bytes => Err(format!("its content has {size} octets instead of {}", row.size_bytes)),
            () if row.crc.is_some_and(|expected| expected != crc.finalize()) => Err(format!("its content is damaged: {DAMAGED}")),
            () => Ok(()),
        }
    }

    /// Rows that name others that do not exist.
    fn loose_rows(&self) -> Result<Vec<Damage>, StoreError> {
        let mut loose = Vec::new();
        for (what, sql) in LOOSE {
            let mut query = self.db.prepare(sql)?;
            for id in query.query_map([], |row| row.get::<_, i64>(0))? {
                loose.push(Damage { id: QueueId(id?).to_string(), what: what.to_owned() });
            }
        }
        Ok(loose)
    }

    fn files_without_rows(&self) -> Result<HashSet<String>, StoreError> {
        let mut names = HashSet::new();
        for found in content_ids(&self.content)? {
            let (id, _) = found?;
            if !self.db.prepare_cached("SELECT 1 FROM content WHERE id = ?")?.exists([id.0])? {
                names.insert(id.to_string());
            }
        }
        Ok(names)
    }
}

/// Reads a file; returns its size.
fn read_file(path: &Path, crc: &mut crc32fast::Hasher) -> Result<u64, String> {
    let mut file = fs::File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "its content file is missing".to_owned(),
        _ => format!("its content file cannot be opened: {error}"),
    })?;
    let (mut size, mut piece) = (0, vec![0; STEP_BYTES]);
    loop {
        let n = file.read(&mut piece).map_err(|error| format!("its content file cannot be read: {error}"))?;
        if n == 0 {
            return Ok(size);
        }
        size += n as u64;
        crc.update(piece.get(..n).unwrap_or_default());
    }
}
