//! The files with the secrets of return addresses and with the key that seals passwords; missing ones are created.
//!
//! Invariant: other users can never read them, not even for an instant, and an existing file is never overwritten.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use mail::srs::{Hash, Secret};
use mta::passwords::PasswordKey;

/// Minimum length of a secret, in characters; those of postsrsd may be shorter.
const SECRET_MIN: usize = 16;

/// The contents of a file of secrets.
#[derive(Debug, Default)]
pub struct Secrets {
    /// The secrets, the newest first.
    pub secrets: Vec<Secret>,
    /// Invalid lines, and why.
    pub faults: Vec<(usize, String)>,
}

/// Parses the lines of the file, without empty ones and comments (#). An invalid line does not affect the others, whose return addresses must stay valid.
pub fn read(text: &str) -> Secrets {
    let mut read = Secrets::default();
    let text = text.trim_start_matches('\u{feff}');
    for (n, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let fault = match line.strip_prefix("postsrsd:") {
            _ if line.contains('\u{fffd}') => "the secret is not UTF-8".to_owned(),
            Some("") => "postsrsd: has no secret after it".to_owned(),
            Some(key) => {
                read.secrets.push(Secret { hash: Hash::Classic, key: key.as_bytes().to_vec() });
                continue;
            }
            None if line.len() < SECRET_MIN => format!("the secret has fewer than {SECRET_MIN} characters"),
            None => {
                read.secrets.push(Secret { hash: Hash::Sha256, key: line.as_bytes().to_vec() });
                continue;
            }
        };
        read.faults.push((n + 1, fault));
    }
    if read.secrets.is_empty() && read.faults.is_empty() {
        read.faults.push((1, "the file has no secret".into()));
    }
    read
}

/// Returns the invalid lines of the file; none if it does not exist or cannot be read.
pub fn faults(path: &Path) -> Vec<(usize, String)> {
    fs::read(path).map(|bytes| read(&String::from_utf8_lossy(&bytes)).faults).unwrap_or_default()
}

/// Creates the file with one secret, unless it exists.
pub fn make(path: &Path) -> Result<()> {
    let secret = BASE64.encode(net::random_bytes::<24>());
    make_file(
        path,
        &format!("# Secrets of return addresses (SRS), the newest first. Keep an old one for 22 days after a change.\n{secret}\n"),
    )
}

/// Creates the file with secrets that another node has made, unless it exists.
pub fn write(path: &Path, text: &[u8]) -> Result<()> {
    make_file(path, &String::from_utf8_lossy(text))
}

/// Returns the key that seals passwords. Creates the file unless it exists.
pub fn password_key(path: &Path) -> Result<PasswordKey> {
    let key = BASE64.encode(net::random_bytes::<32>());
    make_file(
        path,
        &format!("# The key that seals the passwords for CRAM-MD5, DIGEST-MD5 and NTLM. Without it they must be set again.\n{key}\n"),
    )?;
    let shown = path.display();
    let mode = fs::metadata(path).with_context(|| format!("{shown} cannot be read"))?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("{shown} is readable by other users (mode {:04o})\n  hint: run: chmod 600 {shown}", mode & 0o777);
    }
    let text = fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
    let key = BASE64.decode(line).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    key.map(PasswordKey::new).with_context(|| format!("{shown} has no key of 32 octets in base64"))
}

fn make_file(path: &Path, text: &str) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => {
            let mut file = other.with_context(|| format!("{} cannot be created", path.display()))?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| format!("{} cannot be written", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_valid_line_is_a_secret() {
        let read = read("\u{feff}# comment\n\n0123456789abcdef\nshort\npostsrsd:old\npostsrsd:\n");
        assert_eq!(read.secrets.iter().map(|s| s.hash).collect::<Vec<_>>(), [Hash::Sha256, Hash::Classic]);
        assert_eq!(read.secrets[1].key, b"old");
        assert_eq!(read.faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 6], "invalid lines do not affect valid ones");
        assert_eq!(super::read("\u{feff}0123456789abcdef").secrets[0].key, b"0123456789abcdef", "a byte order mark is not part of it");
        assert_eq!(super::read("# nothing\n").faults.len(), 1);
    }

    #[test]
    fn an_existing_secrets_file_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("srs.secrets");
        make(&path).unwrap();
        let first = std::fs::read_to_string(&path).unwrap();
        make(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        assert_eq!(read(&first).secrets.len(), 1);
    }

    #[test]
    fn an_existing_key_is_kept_and_must_be_private() {
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
