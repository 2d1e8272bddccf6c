//! A consistent copy of the database, taken beside a running server, for a backup; and the contents that belong to it.
//!
//! Invariant: every content that the copy names is in the database itself or was handed out as a file; a message that was delivered since the copy was taken is
//! not in it.

use std::fs::File;
use std::path::{Path, PathBuf};

use mail::QueueId;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::sqlite;
use crate::verify::QueueReader;

/// A file of the directory `content`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentFile {
    /// Its name.
    pub name: String,
    /// Its size in octets, as its row says.
    pub size_bytes: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// The copy of the database.
#[derive(Debug)]
pub struct Snapshot {
    db: Connection,
    path: PathBuf,
}

impl QueueReader {
    /// Copies the database to a file that does not exist yet. Blocks while it is written, about a second for each 200 MiB.
    ///
    /// # Errors
    /// The file exists, or the disk fails or is full.
    pub fn copy_to(&self, path: &Path) -> Result<Snapshot, StoreError> {
        let name = path.to_str().ok_or_else(|| StoreError::NotFound(format!("{} is not UTF-8", path.display())))?;
        self.db.execute("VACUUM INTO ?1", [name])?;
        Ok(Snapshot { db: Connection::open(path)?, path: path.to_owned() })
    }
}

impl Snapshot {
    /// Opens a copy that was made otherwise.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { db: Connection::open(path)?, path: path.to_owned() })
    }

    /// The schema of the copy.
    pub fn schema(&self) -> Result<u64, StoreError> {
        Ok(self.db.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?.unsigned_abs())
    }

    /// Returns the contents of the copy that are in files of this directory.
    pub fn content_files(&self, content: &Path) -> Result<Vec<ContentFile>, StoreError> {
        let mut query = self.db.prepare("SELECT id, size_bytes FROM content WHERE data IS NULL ORDER BY id")?;
        let rows = query.query_map([], |row| Ok((QueueId(row.get(0)?), row.get::<_, i64>(1)?.unsigned_abs())))?;
        rows.map(|row| {
            let (id, size_bytes) = row?;
            let name = id.to_string();
            Ok(ContentFile { path: content.join(&name), name, size_bytes })
        })
        .collect()
    }

    /// Removes the messages with these contents from the copy: the server has finished with them since. Returns their number.
    pub fn remove(&self, contents: &[ContentFile]) -> Result<u64, StoreError> {
        let mut removed = 0;
        for content in contents {
            let Ok(id) = content.name.parse::<QueueId>() else { continue };
            self.db.execute("DELETE FROM recipient WHERE message_id IN (SELECT id FROM message WHERE content_id = ?)", [id.0])?;
            removed += self.db.execute("DELETE FROM message WHERE content_id = ?", [id.0])? as u64;
            self.db.execute("DELETE FROM content WHERE id = ?", [id.0])?;
        }
        Ok(removed)
    }

    /// Returns the numbers of messages and recipients.
    pub fn totals(&self) -> Result<[u64; 2], StoreError> {
        let counts = "SELECT (SELECT count(*) FROM message), (SELECT count(*) FROM recipient)";
        Ok(self.db.query_row(counts, [], |row| Ok([row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()]))?)
    }

    /// Closes the copy and syncs it.
    pub fn close(self) -> Result<(), StoreError> {
        self.db.close().map_err(|(_, error)| error)?;
        Ok(File::open(&self.path)?.sync_all()?)
    }
}

/// Whether this version of Waypost can open a database with this schema.
pub fn opens_schema(schema: u64) -> bool {
    schema <= sqlite::newest_schema()
}
