//! Licences, bans and sources of the dependencies, by cargo-deny and deny.toml.
//!
//! Invariant: no network is needed once the tool is there; advisories, which change by the day, are a command of their own.

use std::path::PathBuf;

use anyhow::Result;

use crate::checkout::{is_installed, must, program, target};

/// The version that is built where none is installed.
const VERSION: &str = "0.20.2";

/// Checks all that can be checked offline.
pub fn check() -> Result<()> {
    let deny = tool()?;
    // cargo-deny looks at every platform's dependencies, and offline it can only look at what is there.
    must(program("cargo").args(["fetch", "--locked"]))?;
    must(program(deny).args(["--offline", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))
}

/// The tool; it is installed below the target directory where it is missing.
fn tool() -> Result<PathBuf> {
    if is_installed("cargo-deny") {
        return Ok("cargo-deny".into());
    }
    let tools = target().join("tools");
    let path = tools.join("bin/cargo-deny");
    if !path.exists() {
        println!("    cargo-deny is not installed; building it into {} takes a few minutes", tools.display());
        let build = target().join("tools/build");
        must(
            program("cargo")
                // Unoptimised: it runs for a second and compiles in half the time.
                .args(["install", "cargo-deny", "--version", VERSION, "--locked", "--quiet", "--debug", "--root"])
                .arg(&tools)
                .env("CARGO_TARGET_DIR", build),
        )?;
    }
    Ok(path)
}
