//! The data directory: its modes, its lock, and the check that its database was not lost.
//!
//! Invariant: an empty database is created only in a directory that never had one. If content, a log or the mark of a lost database exists,
//! an empty database would turn every content file into an orphan, and every hosted domain into a foreign one.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use mail::QueueId;

use crate::engine::{Sql, values};
use crate::error::StoreError;
use crate::sqlite::DATABASE;

/// The directory below `content` for content files that no row names.
const ORPHANS: &str = "orphans";

/// Retention of orphans, in seconds: long enough for the operator to notice a fault.
const ORPHAN_KEEP_S: i64 = 30 * 86_400;

/// The file that marks a directory that has had a database.
const MARK: &str = "database-made";

/// Time for the store of a process, or of this one, that is ending to give back the lock.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Time between two looks at the lock.
const LOCK_LOOK: Duration = Duration::from_millis(10);

/// Mode bits that let other users write to the data directory.
const WRITE_BY_OTHERS: u32 = 0o022;

/// The data directory, locked by this process.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// The directory of large content.
    pub content: PathBuf,
    /// Holds the lock while it is open.
    pub lock: File,
}

impl DataDir {
    /// Creates what is missing, and locks the directory of a database of its own.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has locked it; [`StoreError::DatabaseLost`] if its database is missing.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        let data = Self::lock(path, "content")?;
        data.refuse_lost_database()?;
        private_file(&path.join(DATABASE))?;
        Ok(data)
    }

    /// Creates and locks the directory. `content` is the name of the directory of large contents in it.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has locked it.
    pub fn lock(path: &Path, content: &str) -> Result<Self, StoreError> {
        let content = path.join(content);
        create_private(path)?;
        create_private(&content)?;
        close_to_others(path)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join("lock"))?;
        if !locked_within(&lock, LOCK_WAIT) {
            return Err(StoreError::InUse(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), content, lock })
    }

    /// Marks the directory as one with a database, so that a later loss is detected.
    pub fn mark(&self) -> Result<(), StoreError> {
        let path = self.path.join(MARK);
        if !path.exists() {
            fs::write(&path, "waypost.db was created here. Without this file, an empty database is created if waypost.db is missing.\n")?;
        }
        Ok(())
    }

    fn refuse_lost_database(&self) -> Result<(), StoreError> {
        let database = self.path.join(DATABASE);
        let is_missing = match fs::metadata(&database) {
            Ok(metadata) => metadata.len() == 0,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
            Err(error) => return Err(error.into()),
        };
        let log = self.path.join(format!("{DATABASE}-wal"));
        let evidence = if !is_missing {
            return Ok(());
        } else if content_ids(&self.content)?.next().is_some() {
            format!("{} holds the content of messages", self.content.display())
        } else if fs::metadata(&log).is_ok_and(|metadata| metadata.len() > 0) {
            format!("its log {} exists", log.display())
        } else if self.path.join(MARK).exists() {
            format!("{} shows that there was one", self.path.join(MARK).display())
        } else {
            return Ok(());
        };
        Err(StoreError::DatabaseLost { database, evidence })
    }
}

/// Numbers of content files that no row names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Files moved to `content/orphans`.
    pub set_apart: u64,
    /// Files removed: they were moved there more than 30 days ago.
    pub removed: u64,
}

/// Moves content files that no row names to `content/orphans`. A crash between file and commit, or commit and removal, leaves them behind.
pub(crate) fn sweep(db: &dyn Sql, content: &Path, now_ms: i64) -> Result<Swept, StoreError> {
    let orphans = content.join(ORPHANS);
    let mut swept = Swept { set_apart: 0, removed: 0 };
    for found in content_ids(content)? {
        let (id, path) = found?;
        if !db.exists("SELECT 1 FROM content WHERE id = ?", values![id.0])? {
            create_private(&orphans)?;
            fs::rename(&path, orphans.join(id.to_string()))?;
            swept.set_apart += 1;
        }
    }
    if orphans.is_dir() {
        for found in content_ids(&orphans)? {
            let (_, path) = found?;
            // Renaming set the file's ctime; its mtime is older.
            if fs::metadata(&path)?.ctime() < now_ms / 1000 - ORPHAN_KEEP_S {
                fs::remove_file(&path)?;
                swept.removed += 1;
            }
        }
    }
    Ok(swept)
}

/// Returns the content files of a directory, without files with other names.
pub(crate) fn content_ids(directory: &Path) -> Result<impl Iterator<Item = Result<(QueueId, PathBuf), StoreError>>, StoreError> {
    let entries = fs::read_dir(directory)?;
    Ok(entries.filter_map(|entry| match entry {
        Ok(entry) => Some(Ok((entry.file_name().to_str()?.parse().ok()?, entry.path()))),
        Err(error) => Some(Err(error.into())),
    }))
}

/// Creates the database readable by its owner only, since it holds keys. SQLite gives its log the same mode.
fn private_file(path: &Path) -> Result<(), StoreError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(())
}

fn create_private(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    Ok(())
}

/// Whether the lock is free within this time.
fn locked_within(lock: &File, wait: Duration) -> bool {
    let mut left = wait;
    while lock.try_lock().is_err() {
        let Some(less) = left.checked_sub(LOCK_LOOK) else { return false };
        left = less;
        thread::sleep(LOCK_LOOK);
    }
    true
}

/// Removes other users' permission to write: they could place a database of their own there.
fn close_to_others(path: &Path) -> Result<(), StoreError> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    if mode & WRITE_BY_OTHERS == 0 {
        return Ok(());
    }
    let closed = mode & !WRITE_BY_OTHERS;
    fs::set_permissions(path, Permissions::from_mode(closed))?;
    tracing::warn!(
        directory = %path.display(),
        "other users could write to the data directory (mode {mode:04o}); it is {closed:04o} now; check that everything in it is yours"
    );
    Ok(())
}
