//! The checkout and its cargo: paths, and how other programs are run.
//!
//! Invariant: every cargo call that compiles goes through [`cargo`], which passes `--ignore-rust-version` (the workspace declares Rust 1.98, as a
//! dependency does, and compiles on 1.95).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Builds the binaries. Every step builds all of the workspace: with `--bin waypost` alone cargo would choose other features for clap and others, and
/// compile those, `mta` and the binary a second time.
pub const BINARIES: &str = "build --workspace --bins";

/// The top of the checkout.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The waypost binary of a profile (debug, release).
pub fn waypost(profile: &str) -> PathBuf {
    target().join(profile).join("waypost")
}

/// A program, run at the top of the checkout.
pub fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// A cargo command that compiles.
pub fn cargo(subcommand: &str) -> Command {
    let mut command = program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(subcommand.split_whitespace()).args(["--locked", "--ignore-rust-version"]);
    command
}

/// Runs a command; an exit code other than 0 is an error that shows the command.
pub fn must(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    println!("    $ {shown}");
    let status = command.status().with_context(|| format!("`{shown}` cannot be run"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs a command and returns its standard output.
pub fn output_of(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("`{shown}` cannot be run"))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` wrote output that is not UTF-8"))
}

/// Whether a command can be run and exits with 0; its output is not shown.
pub fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Whether a program of this name is installed.
pub fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).any(|dir| dir.join(name).is_file())
}

pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
