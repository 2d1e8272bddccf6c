//! Whether this server takes new mail: an operator drains it before work on the machine, and resumes it afterwards.
//!
//! Over SQLite the state is a file in the data directory, and deliveries go on while the server is drained. Over PostgreSQL it is the node's row, which any
//! node can change, and a drained node claims no more mail: the others deliver it. Invariant: it stays drained over a restart, which is what an operator
//! drains a server for.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mail::Reply;
use net::blocking;
use store::Store;
use tokio::sync::Mutex;

/// The file in the data directory that exists while the server is drained; it has the time, in Unix milliseconds.
const FILE: &str = "drained";

/// No time: the server is not drained.
const NEVER: i64 = i64::MIN;

/// The switch between taking new mail and draining. Clones share it.
#[derive(Debug, Clone)]
pub enum NodeSwitch {
    /// Over SQLite: a file.
    File(DrainedFile),
    /// Over PostgreSQL: the row of this node.
    Row(Store),
}

impl NodeSwitch {
    /// Opens the switch of this store, as the last process left it. Blocks: called at the start.
    pub fn open(data: &Path, store: &Store) -> Self {
        match store.node_name() {
            Some(_) => Self::Row(store.clone()),
            None => Self::File(DrainedFile::open(data)),
        }
    }

    /// Returns whether the server takes no new mail.
    pub fn is_drained(&self) -> bool {
        match self {
            Self::File(file) => file.drained_since_ms().is_some(),
            Self::Row(store) => store.is_draining(),
        }
    }

    /// Returns the reply to a client that brings new mail, if the server is drained.
    pub(crate) fn refusal(&self) -> Option<Reply> {
        let text = "this server takes no new mail at the moment; try again later, or at another server of the domain";
        self.is_drained().then(|| Reply::new(421, (4, 3, 2), text))
    }
}

/// The file that says that a server over SQLite is drained. Clones share it.
#[derive(Debug, Clone)]
pub struct DrainedFile(Arc<SwitchPlace>);

#[derive(Debug)]
struct SwitchPlace {
    /// Since when it is drained, or [`NEVER`].
    since_ms: AtomicI64,
    path: PathBuf,
    /// Serialises changes.
    changing: Mutex<()>,
}

impl DrainedFile {
    /// Opens the file of a data directory, as the last process left it. Blocks: called at the start.
    pub fn open(data: &Path) -> Self {
        let path = data.join(FILE);
        let since_ms = match fs::read(&path) {
            // Whatever it says, it is there.
            Ok(octets) => String::from_utf8_lossy(&octets).trim().parse().unwrap_or(0),
            Err(error) if error.kind() == ErrorKind::NotFound => NEVER,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "cannot read whether this server is drained; it takes new mail");
                NEVER
            }
        };
        Self(Arc::new(SwitchPlace { since_ms: AtomicI64::new(since_ms), path, changing: Mutex::default() }))
    }

    /// Returns since when the server is drained, in Unix milliseconds; `None` if it takes new mail.
    pub fn drained_since_ms(&self) -> Option<i64> {
        Some(self.0.since_ms.load(Ordering::Relaxed)).filter(|since_ms| *since_ms != NEVER)
    }

    /// Stops taking new mail. Returns whether that is a change.
    ///
    /// # Errors
    /// The state cannot be kept; nothing has changed.
    pub async fn drain(&self, now_ms: i64) -> io::Result<bool> {
        self.change(now_ms, move |path| {
            fs::write(path, now_ms.to_string())?;
            File::open(path)?.sync_all()
        })
        .await
    }

    /// Takes new mail again. Returns whether that is a change.
    ///
    /// # Errors
    /// The state cannot be kept; nothing has changed.
    pub async fn resume(&self) -> io::Result<bool> {
        self.change(NEVER, |path| fs::remove_file(path)).await
    }

    /// Writes a state to disk, and then puts it into effect.
    async fn change(&self, since_ms: i64, write: impl FnOnce(&Path) -> io::Result<()> + Send + 'static) -> io::Result<bool> {
        let place = &self.0;
        let _changing = place.changing.lock().await;
        if (place.since_ms.load(Ordering::Relaxed) == NEVER) == (since_ms == NEVER) {
            return Ok(false);
        }
        let path = place.path.clone();
        blocking(move || {
            write(&path)?;
            path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        })
        .await?;
        place.since_ms.store(since_ms, Ordering::Relaxed);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drained_server_stays_drained_over_a_restart_until_it_is_resumed() {
        let data = tempfile::tempdir().unwrap();
        let switch = DrainedFile::open(data.path());
        assert_eq!((switch.drained_since_ms(), NodeSwitch::File(switch.clone()).refusal()), (None, None));
        assert!(switch.drain(7).await.unwrap() && !switch.drain(8).await.unwrap());
        let restarted = DrainedFile::open(data.path());
        assert_eq!((restarted.drained_since_ms(), NodeSwitch::File(restarted.clone()).refusal().unwrap().code), (Some(7), 421));
        assert!(restarted.resume().await.unwrap() && !restarted.resume().await.unwrap());
        assert_eq!(DrainedFile::open(data.path()).drained_since_ms(), None);
    }

    #[tokio::test]
    async fn a_damaged_file_means_drained_and_an_unwritable_directory_changes_nothing() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(FILE), b"\xff\0").unwrap();
        assert_eq!(DrainedFile::open(data.path()).drained_since_ms(), Some(0));
        let missing = DrainedFile::open(&data.path().join("missing"));
        assert!(missing.drain(7).await.is_err());
        assert_eq!(missing.drained_since_ms(), None);
    }
}
