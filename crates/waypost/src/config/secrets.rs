//! The secrets of return addresses: a file of its own, made where it is missing.
//!
//! Invariant: it is never readable by other users, not even for an instant, and what is there is never written over.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use mail::srs::{Hash, Secret};

/// Shorter secrets of our own kind could be guessed, in characters.
const SECRET_MIN: usize = 16;

/// Reads the lines of the file. Empty lines and comments (#) are left out.
pub fn read(text: &str) -> Result<Vec<Secret>, String> {
    let mut secrets = Vec::new();
    for (n, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (hash, key) = match line.strip_prefix("postsrsd:") {
            Some(key) => (Hash::Classic, key),
            None if line.len() < SECRET_MIN => return Err(format!("the secret in line {} has fewer than {SECRET_MIN} characters", n + 1)),
            None => (Hash::Sha256, line),
        };
        secrets.push(Secret { hash, key: key.as_bytes().to_vec() });
    }
    if secrets.is_empty() { Err("there is no secret in the file".into()) } else { Ok(secrets) }
}

/// Makes the file with one secret, where there is none.
pub fn make(path: &Path) -> Result<()> {
    let secret = BASE64.encode(net::random_bytes::<24>());
    let text =
        format!("# The secrets of return addresses (SRS), the newest first. Keep an old one for 22 days after a change.\n{secret}\n");
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => {
            let mut file = other.with_context(|| format!("{} cannot be made", path.display()))?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| format!("{} cannot be written", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_secrets() {
        let secrets = read("# comment\n\n0123456789abcdef\npostsrsd:old\n").unwrap();
        assert_eq!(secrets.iter().map(|s| s.hash).collect::<Vec<_>>(), [Hash::Sha256, Hash::Classic]);
        assert_eq!(secrets[1].key, b"old");
        assert!(read("short\n").unwrap_err().contains("line 1"));
        assert!(read("# nothing\n").is_err());
    }

    #[test]
    fn a_file_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("srs.secrets");
        make(&path).unwrap();
        let first = std::fs::read_to_string(&path).unwrap();
        make(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        assert_eq!(read(&first).unwrap().len(), 1);
    }
}
