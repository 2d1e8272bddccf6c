//! `cargo xtask bench`: Waypost beside Postfix, in one run, on one machine; only the ratio counts.
//!
//! Invariant: both servers are measured in turn in each round, and a failed run is shown, never left out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::checkout::{cargo, must, output_of, program, root, target, waypost};
use anyhow::{Context, Result, bail};

/// Sessions x octets x messages.
const CELL: &str = "100x10240x3000";

/// Submission with TLS and a login: sessions x octets x messages x messages a session.
const SUBMIT_CELLS: [(&str, &str); 3] = [
    ("10x1024x4000x50", "50 messages a session, 10 sessions"),
    ("100x1024x3000x50", "50 messages a session, 100 sessions"),
    ("10x1024x1000x1", "one message a session, 10 sessions"),
];

const OURS: &str = "waypost";
const PEER: &str = "postfix";
const PEERS: [&str; 3] = [PEER, OURS, "postfix:tuned"];

/// Forwarding as receivers require it: SPF, DKIM and DMARC checked, the return address rewritten, outgoing mail signed.
const FULL_PEER: &str = "postfix-full";
const FULL_OURS: &str = "waypost:full";
const FULL_PEERS: [&str; 2] = [FULL_PEER, FULL_OURS];

/// The measurements to make.
pub struct Options {
    rounds: u32,
    idle: bool,
    full: bool,
    submit: bool,
    guesses: bool,
    history: bool,
    face: bool,
}

impl Options {
    /// Reads the words after `bench`.
    pub fn parse(words: &[&str]) -> Result<Self> {
        match words {
            [] => Ok(Self { rounds: 3, idle: false, full: false, submit: false, guesses: false, history: false, face: false }),
            [rest @ .., "--rounds", n] => Ok(Self { rounds: n.parse().context("--rounds needs a number")?, ..Self::parse(rest)? }),
            [rest @ .., "--full"] => Ok(Self { full: true, ..Self::parse(rest)? }),
            [rest @ .., "--submit"] => Ok(Self { submit: true, ..Self::parse(rest)? }),
            [rest @ .., "--history"] => Ok(Self { history: true, ..Self::parse(rest)? }),
            [rest @ .., "--face"] => Ok(Self { face: true, ..Self::parse(rest)? }),
            [rest @ .., "--guesses"] => Ok(Self { guesses: true, ..Self::parse(rest)? }),
            [rest @ .., "--idle"] => Ok(Self { idle: true, ..Self::parse(rest)? }),
            _ => bail!("no such option: {}", words.join(" ")),
        }
    }
}

/// Measures and prints.
pub fn run(options: &Options) -> Result<()> {
    if options.history {
        return must(cargo("bench --package history").args(["--", "10000000"]));
    }
    let binary = binary()?;
    if options.face {
        return crate::bench_face::run(&binary);
    }
    if options.guesses {
        return must(cargo("run --release --package it --bin guesses").env("WAYPOST_BIN", &binary));
    }
    let harness = harness()?;
    let home = std::env::var_os("BENCH_DIR").map_or_else(|| target().join("bench"), PathBuf::from);
    let results = home.join("results.jsonl");
    fs::create_dir_all(&home)?;
    let bench = |words: &[&str]| -> Command {
        let mut command = program("python3");
        command.arg("-B").arg(harness.join("bench.py")).args(words);
        command.env("BENCH_DIR", &home).env("BENCH_OUT", &results).env("BENCH_ROUNDS", options.rounds.to_string());
        command.env("BENCH_PEERS", root().join("benches/peers")).env("WAYPOST_BIN", &binary);
        for (name, value) in [("BENCH_CELLS", CELL), ("BENCH_IDLE", "1000"), ("BENCH_IDLE_KIND", "plain")] {
            if std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        command
    };
    let peers: &[&str] = if options.full { &FULL_PEERS } else { &PEERS };
    for peer in [PEER, FULL_PEER].into_iter().filter(|peer| peers.contains(peer)) {
        if !home.join(peer).join("root").exists() {
            must(&mut bench(&["install", peer]))?;
        }
    }
    if options.submit {
        for (cell, what) in SUBMIT_CELLS {
            clear(&results)?;
            println!("\n== submission, {what}");
            must(bench(&["submit"]).env("BENCH_CELLS", cell).args(peers))?;
            report(&flat(&results)?, peers)?;
        }
        return Ok(());
    }
    clear(&results)?;
    must(bench(&["forward"]).args(peers))?;
    if options.idle {
        must(bench(&["idle"]).args([PEER, OURS]))?;
    }
    report(&flat(&results)?, peers)
}

/// Turns a line of JSON for each run into a line of `name=value` between tabs; in Python, which the harness needs anyway, so that each first
/// `cargo xtask` compiles no JSON library.
const FLATTEN: &str = r#"
import json, sys
for line in open(sys.argv[1]):
    known = [(name, value) for name, value in json.loads(line).items() if isinstance(value, (str, int, float))]
    print("\t".join(name + "=" + " ".join(str(value).split()) for name, value in known))
"#;

fn flat(results: &Path) -> Result<String> {
    output_of(program("python3").args(["-c", FLATTEN]).arg(results))
}

fn clear(results: &Path) -> Result<()> {
    if results.exists() {
        fs::remove_file(results)?;
    }
    Ok(())
}

/// The binary to measure: WAYPOST_BIN, or a fresh release build.
fn binary() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("WAYPOST_BIN") {
        return fs::canonicalize(&named).with_context(|| format!("WAYPOST_BIN: {}", named.to_string_lossy()));
    }
    must(&mut cargo("build --release --bin waypost"))?;
    Ok(waypost("release"))
}

/// The folder of the harness, which is outside of the repository.
fn harness() -> Result<PathBuf> {
    let named = std::env::var_os("WAYPOST_BENCH").map(PathBuf::from);
    let beside = || root().parent().unwrap_or(Path::new("/")).join("shared/bench");
    let harness = named.unwrap_or_else(beside);
    if !harness.join("bench.py").is_file() {
        bail!("{} has no bench.py; name the folder of the bench harness with WAYPOST_BENCH (docs/testing.md)", harness.display());
    }
    Ok(fs::canonicalize(harness)?)
}

/// The figures of one peer in one test.
type Figures = BTreeMap<String, Vec<f64>>;

/// The columns: field, name, digits, and whether more is better.
const COLUMNS: [(&str, &str, usize, bool); 6] = [
    ("e2e_rate", "end to end, messages/s", 0, true),
    ("acc_rate", "accepted, messages/s", 0, true),
    ("cpu_ms", "CPU, ms a message", 3, false),
    ("acc_p99", "accept p99, ms", 1, false),
    ("pss_idle", "memory idle, MiB", 1, false),
    ("pss_peak", "memory peak, MiB", 1, false),
];

fn report(lines: &str, peers: &[&str]) -> Result<()> {
    let ours = if peers.contains(&FULL_OURS) { FULL_OURS } else { OURS };
    let mut figures: BTreeMap<String, Figures> = BTreeMap::new();
    let (mut failed, mut lost) = (0, 0);
    for line in lines.lines() {
        let run: BTreeMap<&str, &str> = line.split('\t').filter_map(|field| field.split_once('=')).collect();
        let text = |name: &str| run.get(name).copied().unwrap_or("?");
        let number = |name: &str| run.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        let peer = text("peer").to_owned();
        if let Some(error) = run.get("error") {
            println!("FAILED {peer}: {error}");
            failed += 1;
            continue;
        }
        if text("test") == "idle" {
            let (held, each, before) = (text("held"), text("kib_per_session"), text("pss_before"));
            println!("idle {peer}: {held} sessions held, {each} KiB a session, {before} MiB before");
            continue;
        }
        let (accepted, delivered) = (number("accepted"), number("delivered"));
        if delivered < accepted {
            println!("LATE OR LOST {peer}: {accepted} accepted, {delivered} delivered");
            lost += u64::from(peer == ours) * (accepted - delivered);
        }
        let of_peer = figures.entry(peer).or_default();
        for (field, ..) in COLUMNS {
            if let Some(value) = run.get(field).and_then(|value| value.parse().ok()) {
                of_peer.entry(field.to_owned()).or_default().push(value);
            }
        }
    }
    table(&figures, ours, peers);
    if failed > 0 || lost > 0 {
        bail!("{failed} runs failed; {lost} messages of {ours} did not arrive in time");
    }
    Ok(())
}

/// Prints our figures, those of the others, and the ratio to the first of them.
fn table(figures: &BTreeMap<String, Figures>, ours: &str, peers: &[&str]) {
    let others: Vec<&str> = peers.iter().copied().filter(|peer| *peer != ours).collect();
    let heading = |name: &str| format!("{name:>16}");
    println!("\n{:<24}{}{}{:>12}  runs", "median", heading(ours), others.iter().map(|o| heading(o)).collect::<String>(), "ratio");
    for (field, name, digits, more_is_better) in COLUMNS {
        let of = |peer: &str| figures.get(peer).and_then(|f| f.get(field)).and_then(|values| median(values));
        let shown = |value: Option<f64>| value.map_or_else(|| "-".into(), |v| format!("{v:.digits$}"));
        let ratio = match (of(ours), others.first().and_then(|peer| of(peer))) {
            (Some(ours), Some(peer)) if ours > 0.0 && peer > 0.0 => {
                if more_is_better {
                    format!("{:.2} x", ours / peer)
                } else {
                    format!("1/{:.2}", peer / ours)
                }
            }
            _ => "-".into(),
        };
        let runs = figures.get(ours).and_then(|f| f.get(field)).map_or(0, Vec::len);
        let shown_others: String = others.iter().map(|peer| heading(&shown(of(peer)))).collect();
        println!("{name:<24}{}{shown_others}{ratio:>12}  {runs}", heading(&shown(of(ours))));
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().saturating_sub(1) / 2)?, sorted.get(sorted.len() / 2)?);
    Some((low + high) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn a_failed_or_late_run_fails_the_bench() {
        let line = |peer: &str, delivered: u64| format!("test=forward\tpeer={peer}\taccepted=10\tdelivered={delivered}\te2e_rate=5.0");
        assert!(report(&line("waypost", 10), &PEERS).is_ok());
        assert!(report(&line("postfix", 9), &PEERS).is_ok());
        assert!(report(&line("waypost", 9), &PEERS).is_err());
        assert!(report(&line("waypost:full", 9), &FULL_PEERS).is_err());
        assert!(report("test=forward\tpeer=waypost\terror=no", &PEERS).is_err());
    }
}
