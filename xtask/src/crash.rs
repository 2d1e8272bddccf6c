//! `cargo xtask crash`: builds the server and the campaigns (`tests/load`), and runs them.
//!
//! Invariant: what `ci` runs is a part of what a person runs, with the same code.

use anyhow::Result;

use crate::bench::{binary, load};
use crate::checkout::{must, program, target, waypost};

/// Campaigns with release builds; `words` are the campaigns and options of `load crash`.
pub fn run(words: &[&str]) -> Result<()> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        return must(load()?.arg("crash").args(words));
    }
    must(load()?.arg("crash").args(words).arg("--binary").arg(binary()?).arg("--dir").arg(target().join("crash")))
}

/// The bounded part, with the binaries that `ci` has built.
pub fn bounded() -> Result<()> {
    let load = target().join("debug/load");
    must(program(load).args(["crash", "--bounded", "--binary"]).arg(waypost("debug")).arg("--dir").arg(target().join("crash")))
}
