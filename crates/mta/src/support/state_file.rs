//! A small JSON file of learned facts about other servers, written as a whole.
//!
//! Invariant: the server starts whatever the file contains; a reader finds one complete version.

use std::path::PathBuf;
use std::sync::Arc;

use net::blocking;
use serde_json::Value;
use tokio::sync::Mutex;

/// The file; without a path nothing outlives the process.
#[derive(Debug, Default)]
pub(crate) struct StateFile {
    path: Option<PathBuf>,
    /// Serialises writers, including those whose task was dropped.
    writing: Arc<Mutex<()>>,
}

impl StateFile {
    /// Opens a file and returns its contents, `Null` if it is missing or damaged. Blocks: called at the start, before sessions run.
    pub fn open(path: PathBuf) -> (Self, Value) {
        let state = match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
                tracing::warn!(file = %path.display(), %error, "the state file is damaged; starting without it");
                Value::Null
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the state file cannot be read; starting without it");
                Value::Null
            }
        };
        (Self { path: Some(path), writing: Arc::default() }, state)
    }

    /// Calls `text` after earlier writers, and writes the result.
    pub async fn write(&self, text: impl FnOnce() -> String) {
        let Some(path) = self.path.clone() else { return };
        let guard = self.writing.clone().lock_owned().await;
        let text = text();
        let shown = path.display().to_string();
        let written = blocking(move || {
            let _guard = guard;
            let new = path.with_extension("json.new");
            std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path))
        });
        if let Err(error) = written.await {
            tracing::warn!(file = shown, %error, "the state file cannot be written; a restart loses what was learned");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn written_state_is_read_back_and_damaged_state_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.json");
        let (file, state) = StateFile::open(path.clone());
        assert!(state.is_null());
        file.write(|| "{\"a\":1}".into()).await;
        assert_eq!(StateFile::open(path.clone()).1, serde_json::json!({ "a": 1 }));
        for damage in [&b"{\"a\":"[..], b"", b"\xff\xfe", b"\0\0\0\0"] {
            std::fs::write(&path, damage).unwrap();
            assert!(StateFile::open(path.clone()).1.is_null());
        }
    }
}
