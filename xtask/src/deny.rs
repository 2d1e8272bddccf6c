//! Licences, bans and sources of the dependencies, by cargo-deny and deny.toml.
//!
//! Invariant: no network is needed once the tool is built; advisories, which change every day, are a separate command.

use anyhow::Result;

use crate::checkout::{must, program};
use crate::tools::Tool;

const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", options: &[] };

/// Runs the checks that need no network.
pub fn check() -> Result<()> {
    let deny = DENY.get()?;
    // cargo-deny checks the dependencies of every platform, and offline it sees only what was downloaded.
    must(program("cargo").args(["fetch", "--locked"]))?;
    must(program(deny).args(["--offline", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))
}
