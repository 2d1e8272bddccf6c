//! Restricts this process to what it needs: files and ports by Landlock, system calls by seccomp, and another user instead of root.
//!
//! Invariant: what is given up never comes back in this process. A kernel without one of the two gives a [`Confinement`] that says so, never an error.

mod calls;
mod files;
mod user;

use std::path::PathBuf;

pub use user::{SandboxUser, UserError, become_user};

/// What the process may still do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Files and directories that it may read, with everything below them.
    pub readable: Vec<PathBuf>,
    /// Files and directories that it may read, change, create and remove, with everything below them.
    pub writable: Vec<PathBuf>,
    /// Directories whose programs it may execute. If empty, it executes none.
    pub programs: Vec<PathBuf>,
    /// TCP ports that it may bind; 0 is a port that the kernel chooses.
    pub ports: Vec<u16>,
}

/// How far one of the two is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Everything that this version of Waypost knows.
    Full,
    /// Only what this kernel knows.
    Part,
    /// Nothing: the kernel does not have it, or it is turned off.
    None,
}

/// What is in force after [`confine`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// Landlock: files, and from its version 4 on ports.
    pub files: Force,
    /// The version of Landlock that the kernel has, at most 6, which is the newest that is used; 0: none.
    pub landlock: u32,
    /// seccomp: system calls.
    pub calls: Force,
    /// Why one of them is not in force.
    pub faults: Vec<String>,
}

impl Confinement {
    /// Whether files and system calls are restricted, though not by everything that a newer kernel has.
    pub fn is_in_force(&self) -> bool {
        self.files != Force::None && self.calls != Force::None
    }
}

/// Restricts this process. Call it before the process has a second thread: Landlock restricts the calling thread and those that it starts.
pub fn confine(needs: &Needs) -> Confinement {
    let mut faults = Vec::new();
    let files = files::restrict(needs).unwrap_or_else(|why| {
        faults.push(format!("Landlock: {why}"));
        Force::None
    });
    let calls = match calls::restrict(needs.programs.is_empty()) {
        Ok(()) => Force::Full,
        Err(why) => {
            faults.push(format!("seccomp: {why}"));
            Force::None
        }
    };
    Confinement { files, landlock: files::version(), calls, faults }
}

/// Returns the version of Landlock that the kernel has, at most 6; 0: none.
pub fn landlock_version() -> u32 {
    files::version()
}

/// Whether the kernel can filter system calls.
pub fn has_seccomp() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| status.lines().any(|line| line.starts_with("Seccomp:")))
}
