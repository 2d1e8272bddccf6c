//! Files and ports, by Landlock.
//!
//! Invariant: a path that does not exist gives no access, and does not keep the rest from being restricted.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::{Force, Needs};

/// The newest version whose rights are used. A later one restricts more, for example connections to Unix sockets, and would have to be tried first.
const NEWEST: ABI = ABI::V6;

/// Returns the version of Landlock that the kernel has, as far as this crate uses it; 0: none.
pub(crate) fn version() -> u32 {
    let of_files = |right: AccessFs| strict().handle_access(right).and_then(Ruleset::create).is_ok();
    let has = |version: u32| match version {
        6 => strict().scope(Scope::Signal).and_then(Ruleset::create).is_ok(),
        5 => of_files(AccessFs::IoctlDev),
        4 => strict().handle_access(AccessNet::BindTcp).and_then(Ruleset::create).is_ok(),
        3 => of_files(AccessFs::Truncate),
        2 => of_files(AccessFs::Refer),
        _ => of_files(AccessFs::ReadFile),
    };
    (1..=6).rev().find(|version| has(*version)).unwrap_or(0)
}

/// A ruleset that is not created if the kernel lacks what it asks for.
fn strict() -> Ruleset {
    Ruleset::default().set_compatibility(CompatLevel::HardRequirement)
}

/// Restricts this thread and those that it starts.
pub(crate) fn restrict(needs: &Needs) -> Result<Force, String> {
    if version() == 0 {
        return Err("this kernel does not have it".into());
    }
    let ruleset = create(needs).map_err(|error| error.to_string())?;
    let status = ruleset.restrict_self().map_err(|error| error.to_string())?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Force::Full,
        RulesetStatus::PartiallyEnforced => Force::Part,
        _ => Force::None,
    })
}

fn create(needs: &Needs) -> Result<RulesetCreated, landlock::RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::Signal)?
        .create()?;
    for path in &needs.readable {
        ruleset = allow(ruleset, path, read())?;
    }
    for path in &needs.writable {
        ruleset = allow(ruleset, path, read() | write())?;
    }
    for path in &needs.programs {
        ruleset = allow(ruleset, path, read() | AccessFs::Execute)?;
    }
    for port in &needs.ports {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    Ok(ruleset)
}

fn read() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// Everything that changes a directory, but no devices.
fn write() -> BitFlags<AccessFs> {
    AccessFs::from_write(NEWEST) & !(AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::IoctlDev)
}

fn allow(ruleset: RulesetCreated, path: &Path, rights: BitFlags<AccessFs>) -> Result<RulesetCreated, landlock::RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(ruleset) };
    let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(NEWEST) };
    ruleset.add_rule(PathBeneath::new(opened, rights))
}
