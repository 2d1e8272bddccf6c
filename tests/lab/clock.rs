//! A wall clock that a test sets (libfaketime).
//!
//! Invariant: only the process that is started under it sees it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The library that changes the wall clock of a process. The command `faketime` is not used: it fails if a process with the same id was killed before.
pub fn fake_clock_library() -> PathBuf {
    let places = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path().join("faketime/libfaketimeMT.so.1"));
    places.into_iter().find(|path| path.exists()).expect("libfaketime (cargo xtask ci installs it)")
}

/// Sets the clock of [`under_clock`]. The file is replaced: the library would read one that is being written as no time at all.
pub fn set_clock(stamp: &Path, time: &str) {
    let new = stamp.with_extension("new");
    std::fs::write(&new, time).and_then(|()| std::fs::rename(&new, stamp)).expect("the file of the clock");
}

/// Removes the shared memory of a killed process with this id, at which the library would abort.
const CLEAN_START: &str = r#"rm -f "/dev/shm/sem.faketime_sem_$$" "/dev/shm/faketime_shm_$$"; exec env LD_PRELOAD="$LIBRARY" "$0" "$@""#;

/// For [`Waypost::start_by`](crate::Waypost::start_by): the server sees the wall clock of the file (`+6m`), and the real monotonic clock.
pub fn under_clock(stamp: &Path) -> impl FnOnce(&Path) -> Command {
    let (library, stamp) = (fake_clock_library(), stamp.to_owned());
    move |binary| {
        let mut command = Command::new("sh");
        command.arg("-c").arg(CLEAN_START).arg(binary);
        command.env("LIBRARY", library).env("FAKETIME_TIMESTAMP_FILE", stamp);
        command.env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command
    }
}
