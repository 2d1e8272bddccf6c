//! Many nodes over one PostgreSQL, on clocks and faults that a seed decides (docs/testing.md).
//!
//! The nodes are the engine's own code; PostgreSQL is a real one, whose clock the simulation sets. Invariant: nodes act one at a time, so that a seed
//! repeats its run, unless `--together` says otherwise.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs,
    reason = "it measures real time; a node's number is always one of the run's nodes"
)]

mod cable;
mod database;
#[path = "../../simulation/src/dice.rs"]
mod dice;
mod duties;
mod ledger;
mod mishaps;
mod node;
mod outcomes;
mod run;
mod steps;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use pg_lab::PgServer;

use crate::run::Run;

const HELP: &str = "\
Runs many nodes over one PostgreSQL, on clocks and faults that a seed decides.

  node_simulation --seed N [--trace] [--log LEVEL] [--together]
                              one run; --trace prints what happens, --log the log lines of the nodes;
                              --together: nodes also act at the same time, which does not repeat
  node_simulation --seeds A-B [--together]
                              these seeds
  node_simulation --minutes M [--together]
                              fresh seeds for M minutes
";

/// No autovacuum: it would decide in which order equal rows are found.
const SETTINGS: &str = "fsync = off\nautovacuum = off\nmax_connections = 120\n";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match start(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("node_simulation: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn value<'a>(words: &'a [String], name: &str) -> Option<&'a str> {
    words.iter().position(|word| word == name).and_then(|place| words.get(place + 1)).map(String::as_str)
}

fn start(words: &[String]) -> Result<bool> {
    let has = |name: &str| words.iter().any(|word| word == name);
    let together = has("--together");
    if let Some(level) = value(words, "--log") {
        let level: tracing_subscriber::filter::LevelFilter = level.parse().context("--log LEVEL: error, warn, info, debug or trace")?;
        tracing_subscriber::fmt().with_max_level(level).without_time().init();
    }
    if let Some(seed) = value(words, "--seed") {
        let seed = seed.parse().context("--seed N: a number")?;
        let outcome = one(&PgServer::start(SETTINGS), seed, (has("--trace"), together))?;
        print!("{}", outcome.text);
        return Ok(outcome.is_fine);
    }
    if let Some(range) = value(words, "--seeds") {
        let (first, last) = range.split_once('-').context("--seeds A-B: two numbers")?;
        let (first, last): (u64, u64) = (first.parse()?, last.parse()?);
        return many((first..=last).map(Some), together);
    }
    if let Some(minutes) = value(words, "--minutes") {
        let until = Instant::now() + Duration::from_secs_f64(minutes.parse::<f64>().context("--minutes M: a number")? * 60.0);
        let first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or_default());
        return many((first..).map(move |seed| (Instant::now() < until).then_some(seed)), together);
    }
    print!("{HELP}");
    Ok(false)
}

/// What came of a seed.
struct Outcome {
    text: String,
    is_fine: bool,
}

fn one(server: &PgServer, seed: u64, (is_shown, together): (bool, bool)) -> Result<Outcome> {
    let begin = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut run = Run::new(server, seed, is_shown).await?;
        run.steps(together).await.with_context(|| format!("seed {seed}"))?;
        let Run { database, ledger, trace, nodes, now_ms, .. } = run;
        database.remove(server).await?;
        let mut text = format!(
            "seed {seed}: digest {:016x}, {} nodes, {} lives, {:.1} min in {:.2} s; {} accepted, {} delivered, {} of them again\n",
            trace.digest,
            nodes.len(),
            nodes.iter().map(|node| node.lives).sum::<u32>(),
            (now_ms - run::BEGIN_MS) as f64 / 60_000.0,
            begin.elapsed().as_secs_f64(),
            ledger.accepted(),
            ledger.delivered,
            ledger.repeated,
        );
        for broken in ledger.broken.iter().take(10) {
            text.push_str(&format!("seed {seed}: BROKEN {broken}\n"));
        }
        Ok(Outcome { text, is_fine: ledger.broken.is_empty() })
    })
}

/// Runs seeds, as many at a time as there are processors, each thread over a server of its own. False if one failed.
fn many(seeds: impl Iterator<Item = Option<u64>> + Send, together: bool) -> Result<bool> {
    let (seeds, begin) = (Mutex::new(seeds), Instant::now());
    let (ran, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let server = PgServer::start(SETTINGS);
                while let Some(seed) = seeds.lock().ok().and_then(|mut seeds| seeds.next().flatten()) {
                    ran.fetch_add(1, Ordering::Relaxed);
                    let text = match one(&server, seed, (false, together)) {
                        Ok(outcome) if outcome.is_fine => continue,
                        Ok(outcome) => outcome.text,
                        Err(error) => format!("seed {seed}: {error:#}\n"),
                    };
                    failed.fetch_add(1, Ordering::Relaxed);
                    print!("{text}");
                    println!("seed {seed} FAILED; repeat it with: cargo xtask simulate --nodes --seed {seed} --trace");
                }
            });
        }
    });
    let (ran, failed) = (ran.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    if ran == 0 {
        bail!("no seed was run");
    }
    println!("{ran} seeds of many nodes in {:.1} s, {failed} failed", begin.elapsed().as_secs_f64());
    Ok(failed == 0)
}
