//! `cargo xtask fuzz`: runs the targets of tests/fuzz_targets under libFuzzer, one after the other.
//!
//! It does what `cargo fuzz build -s none` does, with a stable compiler and the versions of Cargo.lock; cargo-fuzz itself cannot pass
//! `--ignore-rust-version`. Without `unsafe` a sanitizer of addresses would only be slow. Invariant: a run ends with an error if a target crashed, was
//! slower than [`TIMEOUT_S`] or took more memory than [`MEMORY_MAX_MIB`].

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::checkout::{must, output_of, program, root};

/// What cargo-fuzz passes: coverage of edges, with comparisons; and panics at an overflow, as in tests.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks";

/// Maximum time for one input, in seconds of the wall clock; slow inputs from a second on are reported.
const TIMEOUT_S: u32 = 10;

/// Maximum memory of a target, in MiB.
const MEMORY_MAX_MIB: u32 = 512;

/// Maximum octets of an input.
const INPUT_MAX_BYTES: u32 = 8192;

/// What to run.
pub struct Options {
    minutes: u32,
    targets: Vec<String>,
}

impl Options {
    /// Reads the arguments: `--minutes N` in all, and names of targets; all without one.
    pub fn parse(arguments: &[&str]) -> Result<Self> {
        let mut options = Self { minutes: 60, targets: Vec::new() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match *argument {
                "--minutes" => {
                    let number = arguments.next().context("--minutes needs a number")?;
                    options.minutes = number.parse().with_context(|| format!("`{number}` is not a number of minutes"))?;
                }
                name if !name.starts_with('-') => options.targets.push(name.to_owned()),
                other => bail!("no option `{other}`"),
            }
        }
        Ok(options)
    }
}

/// Builds and runs.
pub fn run(options: &Options) -> Result<()> {
    let all = targets()?;
    if let Some(unknown) = options.targets.iter().find(|name| !all.contains(*name)) {
        bail!("no target `{unknown}`; there are {}", all.into_iter().collect::<Vec<_>>().join(", "));
    }
    let wanted: Vec<&String> = if options.targets.is_empty() { all.iter().collect() } else { options.targets.iter().collect() };
    let programs = build()?;
    let seconds = (u64::from(options.minutes) * 60 / wanted.len().max(1) as u64).max(1);
    let mut failed = Vec::new();
    for name in wanted {
        if !runs(&programs, name, seconds)? {
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("failed: {}; the inputs are in fuzz/artifacts; `TARGET FILE` repeats one", failed.join(", "))
}

/// The names of the programs.
fn targets() -> Result<BTreeSet<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let names = entries.filter_map(Result::ok).filter_map(|entry| entry.path().file_stem().map(|name| name.to_string_lossy().into_owned()));
    Ok(names.collect())
}

/// Builds the programs and returns their folder.
fn build() -> Result<PathBuf> {
    let fuzz = root().join("fuzz");
    // The same versions as in the server; cargo adds libFuzzer's own.
    fs::copy(root().join("Cargo.lock"), fuzz.join("Cargo.lock")).context("Cargo.lock cannot be copied")?;
    // Named, so that the flags do not reach build scripts.
    let version = output_of(program("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?.to_owned();
    let mut cargo = program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&fuzz).env("RUSTFLAGS", RUSTFLAGS);
    must(cargo.args(["build", "--release", "--bins", "--ignore-rust-version", "--target", &host, "--target-dir", "target"]))?;
    Ok(fuzz.join("target").join(host).join("release"))
}

/// Runs one target; whether it held. What it finds new is kept in fuzz/corpus, and the committed corpus is only read.
fn runs(programs: &Path, name: &str, seconds: u64) -> Result<bool> {
    let fuzz = root().join("fuzz");
    let (found, artifacts) = (fuzz.join("corpus").join(name), fuzz.join("artifacts").join(name));
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let mut command = program(programs.join(name));
    command.arg(&found).arg(root().join("tests/fuzz_targets/corpus").join(name));
    command.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-timeout={TIMEOUT_S}")).arg(format!("-rss_limit_mb={MEMORY_MAX_MIB}")).arg(format!("-max_len={INPUT_MAX_BYTES}"));
    command.args(["-report_slow_units=1", "-print_final_stats=1", "-verbosity=1"]);
    println!("{name}: {seconds} s");
    let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().with_context(|| format!("{name} cannot be run"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let is_worth_it =
        |line: &&str| ["stat::", "SUMMARY", "Slowest", "panicked", "Test unit written"].iter().any(|word| line.contains(word));
    text.lines().filter(is_worth_it).for_each(|line| println!("    {line}"));
    Ok(output.status.success())
}
