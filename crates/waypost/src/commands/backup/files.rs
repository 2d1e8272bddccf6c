//! Files of a backup: links and copies that are on disk when they are reported, digests, private directories.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::digest::{Context as Digest, SHA256};
use data_encoding::HEXLOWER;

/// Octets read in one step.
const STEP_BYTES: usize = 256 * 1024;

/// How a file came into the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A second name of the same file.
    Linked,
    /// Its octets.
    Copied,
}

/// Returns size and SHA-256 of a file.
pub fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut digest, mut size, mut piece) = (Digest::new(&SHA256), 0, vec![0; STEP_BYTES]);
    loop {
        let n = file.read(&mut piece)?;
        if n == 0 {
            break;
        }
        size += n as u64;
        digest.update(piece.get(..n).unwrap_or_default());
    }
    Ok((size, HEXLOWER.encode(digest.finish().as_ref())))
}

/// Links a file that never changes, or copies it to another file system.
pub fn take(from: &Path, to: &Path) -> io::Result<Taken> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(Taken::Linked),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => copy(from, to).map(|()| Taken::Copied),
    }
}

/// Copies a file, readable by its owner only, and syncs it. An incomplete copy never has the name.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    let part = Path::new(&name);
    fs::copy(from, part)?;
    let file = File::open(part)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.sync_all()?;
    fs::rename(part, to)
}

/// Creates a directory that only its owner can open.
pub fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Closes a file to others.
pub fn private_file(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o600))
}

/// Syncs the names in a directory.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
