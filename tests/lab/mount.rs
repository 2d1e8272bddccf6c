//! A small file system, to be filled.
//!
//! Invariant: it is unmounted at the end of the test, even with open files.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::run_ok;

/// A file system of its own; unmounted when dropped.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    /// Mounts four MiB over a directory.
    pub fn small(path: &Path) -> Self {
        Self::of(path, 4)
    }

    /// Mounts a file system of this size, in MiB, over a directory.
    pub fn of(path: &Path, mib: u32) -> Self {
        run_ok("mount", &["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs", &path.to_string_lossy()]);
        Self(path.to_owned())
    }

    /// Fills all space except this much, in KiB.
    pub fn fill_but(&self, left_kib: usize) -> PathBuf {
        let path = self.0.join("filler");
        let mut filler = File::create(&path).expect("the filler");
        let mut written = 0;
        while filler.write_all(&[0; 4096]).is_ok() {
            written += 4;
        }
        filler.set_len((written - left_kib as u64) * 1024).expect("the filler");
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run_ok("umount", &["--lazy", &self.0.to_string_lossy()]);
    }
}
