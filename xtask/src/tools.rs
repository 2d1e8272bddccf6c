//! Tools from crates.io that steps run: cargo-deny, mdbook.
//!
//! Invariant: a tool that is installed is used; another is built once, in its pinned version, below the target directory.

use std::path::PathBuf;

use anyhow::Result;

use crate::checkout::{is_installed, must, program, target};

/// A package with one program of the same name.
pub struct Tool {
    /// Package and program.
    pub name: &'static str,
    /// The version that is built where none is installed.
    pub version: &'static str,
    /// Further arguments to `cargo install`.
    pub options: &'static [&'static str],
}

impl Tool {
    /// The program; built where it is missing, which needs the network.
    pub fn get(&self) -> Result<PathBuf> {
        let name = self.name;
        if is_installed(name) {
            return Ok(name.into());
        }
        let tools = target().join("tools");
        let path = tools.join(format!("bin/{name}-{}", self.version));
        if !path.exists() {
            println!("    {name} is not installed; building it into {} takes a few minutes", tools.display());
            must(
                program("cargo")
                    // Unoptimised: it runs for a second and compiles in half the time.
                    .args(["install", name, "--version", self.version, "--locked", "--quiet", "--debug", "--force"])
                    .args(self.options)
                    .arg("--root")
                    .arg(&tools)
                    .env("CARGO_TARGET_DIR", tools.join("build")),
            )?;
            std::fs::rename(tools.join("bin").join(name), &path)?;
        }
        Ok(path)
    }
}
