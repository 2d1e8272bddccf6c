//! The secrets of return addresses and the key of sealed passwords: files of their own, made where they are missing.
//!
//! Invariant: it is never readable by other users, not even for an instant, and what is there is never written over.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use mail::srs::{Hash, Secret};
use mta::passwords::PasswordKey;

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
    make_file(
        path,
        &format!("# The secrets of return addresses (SRS), the newest first. Keep an old one for 22 days after a change.\n{secret}\n"),
    )
}

/// The key of sealed passwords; the file is made where there is none.
pub fn password_key(path: &Path) -> Result<PasswordKey> {
    let key = BASE64.encode(net::random_bytes::<32>());
    make_file(
        path,
        &format!("# The key of the passwords that CRAM-MD5, DIGEST-MD5 and NTLM need. Without it they must be set anew.\n{key}\n"),
    )?;
    let shown = path.display();
    let mode = fs::metadata(path).with_context(|| format!("{shown} cannot be read"))?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("{shown} can be read by other users (mode {:04o})\n  hint: run: chmod 600 {shown}", mode & 0o777);
    }
    let text = fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
    let key = BASE64.decode(line).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    key.map(PasswordKey::new).with_context(|| format!("{shown} holds no key of 32 octets in base64"))
}

fn make_file(path: &Path, text: &str) -> Result<()> {
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

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords.key");
        password_key(&path).unwrap();
        let first = std::fs::read(&path).unwrap();
        password_key(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(password_key(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(password_key(&path).is_err());
    }
}
