//! `cargo xtask bench`: builds what is measured and what measures, and runs it (`tests/load`).
//!
//! Invariant: nothing from outside of the repository is needed but Debian's packages.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::checkout::{cargo, must, program, target, waypost};

/// Measures; `words` are the groups and options of `load bench`.
pub fn run(words: &[&str]) -> Result<()> {
    match words {
        ["history"] => must(cargo("bench --package history").args(["--", "10000000"])),
        ["face"] => must(cargo("run --release --package it --bin face").env("WAYPOST_BIN", binary()?)),
        ["guesses"] => must(cargo("run --release --package it --bin guesses").env("WAYPOST_BIN", binary()?)),
        ["report", ..] | [.., "--help" | "-h"] => must(load()?.arg("bench").args(words)),
        _ => must(load()?.arg("bench").args(words).arg("--binary").arg(binary()?).arg("--dir").arg(target().join("bench"))),
    }
}

/// The measuring tool, freshly built.
pub fn load() -> Result<std::process::Command> {
    must(&mut cargo("build --release --package load"))?;
    Ok(program(target().join("release/load")))
}

/// The binary to measure: WAYPOST_BIN, or a fresh release build.
pub fn binary() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("WAYPOST_BIN") {
        return std::fs::canonicalize(&named).with_context(|| format!("WAYPOST_BIN: {}", named.to_string_lossy()));
    }
    must(&mut cargo("build --release --bin waypost"))?;
    Ok(waypost("release"))
}
