//! `waypost demo`: the whole way of a message on this machine.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cli::Demo;

/// Runs the tour.
pub fn run(_args: &Demo) -> Result<ExitCode> {
    bail!("not built yet")
}
