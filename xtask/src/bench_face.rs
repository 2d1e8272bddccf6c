//! `cargo xtask bench --face`: what the owner's page and the API cost a release build.
//!
//! Invariant: figures that are missed fail the command.

use std::path::Path;

use anyhow::Result;

use crate::checkout::{cargo, must};

/// Measures this binary and prints.
pub fn run(binary: &Path) -> Result<()> {
    must(cargo("run --release --package it --bin face").env("WAYPOST_BIN", binary))
}
