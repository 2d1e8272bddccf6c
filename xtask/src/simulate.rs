//! `cargo xtask simulate`: the mail flow on a simulated clock, network, DNS and disk, and many nodes over one PostgreSQL (docs/testing.md).
//!
//! Its lock file is a copy of the checkout's, made before each build; so cargo is called without `--locked`. Invariant: the simulation is compiled in a
//! workspace of its own, so that its tokio is not that of the checkout's binaries.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::checkout::{BINARIES, cargo, must, program, root, shown, target};

/// The seeds of every run; each found something once, or is one of the first.
const FIXED_SEEDS: &str = "1-40";

/// The time for fresh seeds, in minutes.
const FRESH_MINUTES: &str = "2";

/// The seeds of many nodes that every run has: about 3 seconds of processor time each.
const NODE_SEEDS: &str = "1-10";

/// Those whose nodes also act at the same time, which does not repeat.
const TOGETHER_SEEDS: &str = "101-102";

/// The time for fresh seeds of many nodes, in minutes.
const FRESH_NODE_MINUTES: &str = "1";

/// Broken promises in an error.
const BROKEN_SHOWN: usize = 3;

/// A file system in memory.
const MEMORY: &str = "/dev/shm";

/// The option for many nodes.
const NODES: &str = "--nodes";

/// Runs the simulation with these options, or as CI does.
pub fn run(options: &[&str]) -> Result<()> {
    if options.contains(&NODES) {
        let options: Vec<&str> = options.iter().filter(|option| **option != NODES).copied().collect();
        must(&mut cargo(BINARIES))?;
        return if options.is_empty() { many_nodes() } else { holds(nodes().args(options)) };
    }
    // The versions of the checkout: cargo leaves out what the simulation does not use.
    let lock = "tests/simulation/Cargo.lock";
    std::fs::copy(root().join("Cargo.lock"), root().join(lock)).with_context(|| format!("{lock} cannot be written"))?;
    must(&mut compile("build"))?;
    if !options.is_empty() {
        return holds(simulation().args(options));
    }
    must(compile("test").args(["--", "--nocapture"]))?;
    holds(simulation().args(["--seeds", FIXED_SEEDS]))?;
    holds(simulation().args(["--minutes", FRESH_MINUTES]))?;
    must(&mut cargo(BINARIES))?;
    many_nodes()?;
    holds(nodes().args(["--minutes", FRESH_NODE_MINUTES]))
}

/// The seeds of many nodes that every run has.
fn many_nodes() -> Result<()> {
    holds(nodes().args(["--seeds", NODE_SEEDS]))?;
    holds(nodes().args(["--seeds", TOGETHER_SEEDS, "--together"]))
}

/// As [`must`]; the error names the fresh seeds that failed and what they broke, since a summary shows nothing else of a long run.
fn holds(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    println!("    $ {shown}");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("`{shown}` cannot be run"))?;
    let mut broken = Vec::new();
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
        let line = line.with_context(|| format!("`{shown}` cannot be read"))?;
        println!("{line}");
        if line.contains("BROKEN") && broken.len() < BROKEN_SHOWN {
            broken.push(line);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{shown}` ended with {status}: {}", broken.join("; "));
    }
    Ok(())
}

/// The simulation of many nodes, whose databases are in memory: what a disk does is not in question.
fn nodes() -> Command {
    let mut simulation = program(target().join("debug/node_simulation"));
    if Path::new(MEMORY).is_dir() {
        simulation.env("TMPDIR", MEMORY);
    }
    simulation
}

fn compile(subcommand: &str) -> Command {
    let mut command = program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args([subcommand, "--ignore-rust-version", "--manifest-path"])
        .arg(root().join("tests/simulation/Cargo.toml"))
        .arg("--target-dir")
        .arg(target());
    command
}

fn simulation() -> Command {
    program(target().join("debug/simulation"))
}
