//! `waypost man`, which is hidden: `cargo xtask man` runs it for docs/man.

use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::cli::Cli;

/// Writes a man page for each command.
pub fn man(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be created", dir.display()))?;
    clap_mangen::generate_to(without_help(Cli::command()), dir)
        .with_context(|| format!("the man pages cannot be written into {}", dir.display()))
}

/// Removes the `help` subcommands, whose pages would repeat the others.
fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}
