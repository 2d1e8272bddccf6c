//! Licences, bans and sources of the dependencies, by cargo-deny and deny.toml.
//!
//! Invariant: no network is needed once the tool is there; advisories, which change by the day, are a command of their own.

use anyhow::Result;

use crate::checkout::{must, program};
use crate::tools::Tool;

const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", options: &[] };

/// Checks all that can be checked offline.
pub fn check() -> Result<()> {
    let deny = DENY.get()?;
    // cargo-deny looks at every platform's dependencies, and offline it can only look at what is there.
    must(program("cargo").args(["fetch", "--locked"]))?;
    must(program(deny).args(["--offline", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))
}
