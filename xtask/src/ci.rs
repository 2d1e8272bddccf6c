//! `cargo xtask ci`: the whole test command.
//!
//! What is compiled: clippy checks all targets (metadata only, which no build can use, but build scripts, procedural macros and C libraries are
//! shared); "build" compiles the binaries, and "tests" adds the test targets and what only tests use. The dev and the test profile have equal
//! settings, and each step selects the whole workspace, so that features are the same and nothing is compiled twice. Debug information is off. No linker
//! is configured: rustc links by its own lld on x86-64 Linux since 1.90.
//!
//! Invariant: it fails if a prerequisite is missing; it never passes by skipping a check.

use anyhow::Result;

use crate::checkout::{BINARIES, cargo, is_installed, must, program, waypost};
use crate::steps::Steps;
use crate::{book, crash, deny, docs, machine, simulate, suites};

/// Which steps run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All steps.
    Everything,
    /// The steps that need neither other mail software nor further tools.
    Fast,
}

/// The package whose tests need other software: name servers, mail servers, clients.
const PEER_PACKAGE: &str = "it";

/// Runs the steps.
pub fn run(extent: Extent) -> Result<()> {
    let mut steps = Steps::default();
    let prepared = match extent {
        Extent::Everything => steps.run("other mail software", machine::prepare),
        Extent::Fast => {
            steps.leave_out("other mail software", "--fast");
            steps.run("public suites", suites::fetch)
        }
    };
    // Without it dozens of tests would fail for this one reason, after half an hour.
    if !prepared {
        return steps.finish();
    }
    steps.run("format", || must(program("cargo").args(["fmt", "--all", "--check"])));
    steps.run("lints", || must(cargo("clippy --workspace --all-targets").args(["--", "-D", "warnings"])));
    steps.run("build", || must(&mut cargo(BINARIES)));
    steps.run("tests", || tests(extent));
    if extent == Extent::Fast {
        steps.leave_out("tests with other mail software", "--fast");
        steps.leave_out("crash campaigns", "--fast");
    }
    steps.run("simulation", || simulate::run(&[]));
    match extent {
        Extent::Everything => {
            steps.run("crash campaigns", crash::bounded);
            steps.run("licences, bans and sources", deny::check);
            steps.run("book", book::check);
        }
        Extent::Fast => {
            steps.leave_out("licences, bans and sources", "--fast");
            steps.leave_out("book", "--fast");
        }
    }
    steps.run("generated documents", docs::check);
    steps.run("demo", || must(program(waypost("debug")).args(["demo", "--once"])));
    steps.finish()
}

fn tests(extent: Extent) -> Result<()> {
    if is_installed("cargo-nextest") {
        let mut nextest = cargo("nextest run --workspace --no-fail-fast");
        if extent == Extent::Fast {
            nextest.args(["-E", &format!("not package({PEER_PACKAGE}) or test(/^tidy::/)")]);
        }
        return must(&mut nextest);
    }
    let mut test = cargo("test --workspace --no-fail-fast");
    if extent == Extent::Fast {
        test.args(["--exclude", PEER_PACKAGE]);
    }
    must(&mut test)
}
