//! Runs the mail flow on a simulated clock, network, DNS and disk under a seed (docs/testing.md).
//!
//! Invariant: each run is a process of its own, so that a seed gives the same run whatever ran before.

mod audit;
mod client;
mod dice;
mod disk;
mod dns;
mod far_end;
mod ledger;
mod network;
mod run;
mod scenario;
mod server;
mod wire;
mod world;

use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::run::Sabotage;

const HELP: &str = "\
Runs the mail flow on a simulated clock, network, DNS and disk.

  simulation --seed N [--trace] [--log LEVEL] [--old-queue]
                              one run; --trace prints everything that happens, --log the server's log lines;
                              --old-queue: each process starts with an old queue, which must be noticed
  simulation --seeds A-B      these seeds, each in a process of its own
  simulation --minutes M      fresh seeds for M minutes
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match start(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("simulation: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn value<'a>(words: &'a [String], name: &str) -> Option<&'a str> {
    words.iter().position(|word| word == name).and_then(|place| words.get(place + 1)).map(String::as_str)
}

fn start(words: &[String]) -> Result<bool> {
    let has = |name: &str| words.iter().any(|word| word == name);
    if let Some(seed) = value(words, "--seed") {
        if let Some(level) = value(words, "--log") {
            let level: tracing_subscriber::filter::LevelFilter = level.parse().context("--log LEVEL: error, warn, info, debug or trace")?;
            tracing_subscriber::fmt().with_max_level(level).without_time().init();
        }
        return one(seed.parse().context("--seed N: a number")?, has("--trace"), Sabotage { old_queue: has("--old-queue") });
    }
    if let Some(range) = value(words, "--seeds") {
        let (first, last) = range.split_once('-').context("--seeds A-B: two numbers")?;
        let (first, last): (u64, u64) = (first.parse()?, last.parse()?);
        return many((first..=last).map(Some), None);
    }
    if let Some(minutes) = value(words, "--minutes") {
        let until = Instant::now() + Duration::from_secs_f64(minutes.parse::<f64>().context("--minutes M: a number")? * 60.0);
        let first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or_default());
        return many((first..).map(move |seed| (Instant::now() < until).then_some(seed)), Some(until));
    }
    print!("{HELP}");
    Ok(false)
}

fn one(seed: u64, shown: bool, sabotage: Sabotage) -> Result<bool> {
    let begin = Instant::now();
    let outcome = run::run(seed, shown, sabotage)?;
    let days = outcome.simulated_ms as f64 / 86_400_000.0;
    println!(
        "seed {seed}: digest {:016x}, {days:.2} days in {:.2} s, {} lives; {}",
        outcome.digest,
        begin.elapsed().as_secs_f64(),
        outcome.lives,
        outcome.summary
    );
    for broken in outcome.broken.iter().take(10) {
        println!("seed {seed}: BROKEN: {broken}");
    }
    Ok(outcome.broken.is_empty())
}

/// Runs seeds in processes of their own, as many at a time as there are processors. False if one failed.
fn many(seeds: impl Iterator<Item = Option<u64>> + Send, until: Option<Instant>) -> Result<bool> {
    let own = std::env::current_exe()?;
    let seeds = std::sync::Mutex::new(seeds);
    let (ran, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(seed) = seeds.lock().ok().and_then(|mut seeds| seeds.next().flatten()) {
                    let output = Command::new(&own).args(["--seed", &seed.to_string()]).stdin(Stdio::null()).output();
                    ran.fetch_add(1, Ordering::Relaxed);
                    if output.as_ref().is_ok_and(|output| output.status.success()) {
                        continue;
                    }
                    failed.store(true, Ordering::Relaxed);
                    match output {
                        Ok(output) => print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
                        Err(error) => println!("seed {seed}: cannot be run: {error}"),
                    }
                    println!("seed {seed} FAILED; repeat it with: cargo xtask simulate --seed {seed} --trace");
                }
            });
        }
    });
    let ran = ran.load(Ordering::Relaxed);
    if ran == 0 && until.is_some() {
        bail!("no seed was run");
    }
    println!("{ran} seeds in {:.1} s", begin.elapsed().as_secs_f64());
    Ok(!failed.load(Ordering::Relaxed))
}
