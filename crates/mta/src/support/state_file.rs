//! A small file of what was learned about others, written as a whole.
//!
//! Invariant: whatever is in the file, the server starts; a reader finds what one writer wrote, never half of it.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Mutex;

/// The file; without one nothing outlives the process.
#[derive(Debug, Default)]
pub(crate) struct KeptFile {
    path: Option<PathBuf>,
    /// Only one writes it at a time, even one whose task was ended meanwhile.
    writing: Arc<Mutex<()>>,
}

impl KeptFile {
    /// A file, and what it holds; nothing where it is not there yet or is damaged.
    pub fn open(path: PathBuf) -> (Self, Value) {
        let held = match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
                tracing::warn!(file = %path.display(), %error, "what was kept about other servers is damaged; it is learned anew");
                Value::Null
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "what was kept about other servers cannot be read; it is learned anew");
                Value::Null
            }
        };
        (Self { path: Some(path), writing: Arc::default() }, held)
    }

    /// Writes what there is when its turn has come.
    pub async fn write(&self, text: impl FnOnce() -> String) {
        let Some(path) = self.path.clone() else { return };
        let turn = self.writing.clone().lock_owned().await;
        let text = text();
        let shown = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let new = path.with_extension("json.new");
            std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path))
        });
        if let Ok(Err(error)) = written.await {
            tracing::warn!(file = shown, %error, "what was learned about other servers cannot be written down; a restart forgets it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_found_and_damage_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.json");
        let (file, held) = KeptFile::open(path.clone());
        assert!(held.is_null());
        file.write(|| "{\"a\":1}".into()).await;
        assert_eq!(KeptFile::open(path.clone()).1, serde_json::json!({ "a": 1 }));
        for damage in [&b"{\"a\":"[..], b"", b"\xff\xfe", b"\0\0\0\0"] {
            std::fs::write(&path, damage).unwrap();
            assert!(KeptFile::open(path.clone()).1.is_null());
        }
    }
}
