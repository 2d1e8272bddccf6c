//! Changes from root to another user for good, keeping at most the capability to bind ports below 1024.
//!
//! Invariant: on success no root is left: neither in the user and group IDs nor in another capability.

use std::ffi::CString;

use nix::unistd::{Gid, Uid, User, initgroups, setgid, setgroups, setuid};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities};

/// The user to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxUser {
    /// User ID.
    pub uid: Uid,
    /// Group ID, for a user without an entry in the user database.
    pub gid: Gid,
    /// Whether the capability to bind ports below 1024 is kept.
    pub keeps_ports: bool,
}

/// The change failed, and part of it may have happened: the process must end.
#[derive(Debug, thiserror::Error)]
#[error("cannot change to user ID {uid}: {why}")]
pub struct UserError {
    uid: Uid,
    why: String,
}

/// Becomes the user, with the groups of the user database. Call it before the process has a second thread: capabilities belong to threads.
///
/// # Errors
/// The process is not root, or may not change its user.
pub fn become_user(user: SandboxUser) -> Result<(), UserError> {
    change(user).map_err(|why| UserError { uid: user.uid, why })
}

fn change(user: SandboxUser) -> Result<(), String> {
    set_keep_capabilities(user.keeps_ports).map_err(|e| e.to_string())?;
    let known = User::from_uid(user.uid).ok().flatten();
    let changed = match known.and_then(|known| Some((CString::new(known.name).ok()?, known.gid))) {
        Some((name, gid)) => initgroups(&name, gid).and_then(|()| setgid(gid)),
        None => setgroups(&[]).and_then(|()| setgid(user.gid)),
    };
    changed.and_then(|()| setuid(user.uid)).map_err(|e| e.to_string())?;
    if user.keeps_ports {
        let ports = CapabilitySet::NET_BIND_SERVICE;
        let sets = CapabilitySets { effective: ports, permitted: ports, inheritable: CapabilitySet::empty() };
        set_capabilities(None, sets).map_err(|e| e.to_string())?;
        set_keep_capabilities(false).map_err(|e| e.to_string())?;
    }
    // The change of user has made /proc/self belong to root, which the metrics read.
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(|e| e.to_string())
}
