//! Crash campaigns: what is acknowledged is delivered, whatever happens to the process, the disk and the system calls.
//!
//! Invariant: a campaign compares the client's ledger with the sink's after the queue has been emptied; the control campaign, in which syncs do nothing,
//! must lose mail, or the power cuts prove nothing.

mod cuts;
pub mod endless;
mod faults;
mod kills;
mod nodes;
pub mod server;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::client::Target;
use crate::crash::endless::{Dice, Load};
use crate::crash::server::{Server, Setup};
use crate::ledger::{Sent, Verdict};
use crate::peers::SINK_PORT;
use crate::sink::{Behaviour, Sink};
use crate::world::{SINK, World, enter};

/// Maximum wait for the load to go on before a kill or a cut.
const PROGRESS_LIMIT: Duration = Duration::from_secs(20);

/// Maximum time to empty the queue at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(180);

/// The options of the campaigns.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// What is tried: kills, cuts, control, faults, fault-cuts, nodes, node-cut, standby; without one, all of them
    campaigns: Vec<String>,
    /// Kills in each of queue mode, cut-through and submission, and of nodes
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// Power cuts on each file system
    #[arg(long, default_value_t = 100)]
    cuts: u32,
    /// Highest index of a system call that fails; it ends earlier where no such call is made
    #[arg(long, default_value_t = 40)]
    last: u32,
    /// Sessions in parallel
    #[arg(long, default_value_t = 8)]
    sessions: usize,
    /// The seed of sizes, recipients and moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A bounded part of everything, in about two minutes
    #[arg(long)]
    bounded: bool,
    /// The binary to try
    #[arg(long, default_value = "target/release/waypost")]
    binary: PathBuf,
    /// Where servers, images and results are kept
    #[arg(long, default_value = "target/crash")]
    dir: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask crash --bounded                what CI runs
  cargo xtask crash kills --kills 700        SIGKILL under load, 700 times in each mode
  cargo xtask crash cuts control --cuts 500  power cuts on ext4 and xfs, and the control without syncs
  cargo xtask crash faults --last 40         each system call of the durable path fails
  cargo xtask crash nodes --kills 300        SIGKILL of random nodes of three over one PostgreSQL
  cargo xtask crash node-cut standby         a node cut from the database; the database replaced by its standby";

/// A campaign's circumstances.
struct Campaigns<'a> {
    options: &'a Options,
    binary: PathBuf,
    dir: PathBuf,
    world: World,
}

/// What a campaign found.
#[derive(Debug, Serialize)]
struct Report {
    campaign: String,
    seed: u64,
    seconds: u64,
    /// Kills, cuts, or calls that failed.
    blows: u32,
    /// Blows before which the load did not go on in time.
    no_progress: u32,
    /// The longest start, in milliseconds.
    start_ms: u128,
    /// Panics that the server caught.
    bugs: u64,
    verdict: Verdict,
    notes: Vec<String>,
}

/// Runs the campaigns.
pub fn run(options: &Options) -> Result<()> {
    enter(0)?;
    std::fs::create_dir_all(&options.dir)?;
    let dir = options.dir.canonicalize()?;
    let binary = options.binary.canonicalize().with_context(|| format!("{} is no binary", options.binary.display()))?;
    let campaigns = Campaigns { options, binary, world: World::new(&dir)?, dir };
    let wants = |name: &str| options.campaigns.is_empty() || options.campaigns.iter().any(|wanted| wanted == name);
    let known = ["kills", "cuts", "control", "faults", "fault-cuts", "nodes", "node-cut", "standby"];
    if let Some(unknown) = options.campaigns.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no campaign `{unknown}`; there are {}", known.join(", "));
    }
    let mut faults = Vec::new();
    if wants("kills") {
        faults.extend(kills::run(&campaigns)?);
    }
    if wants("cuts") {
        faults.extend(cuts::run(&campaigns)?);
    }
    if wants("control") {
        faults.extend(cuts::control(&campaigns)?);
    }
    if wants("faults") {
        faults.extend(faults::run(&campaigns)?);
    }
    if wants("fault-cuts") {
        faults.extend(faults::with_cuts(&campaigns)?);
    }
    if wants("nodes") {
        faults.extend(nodes::kills(&campaigns)?);
    }
    // A lease must run out: too long for the bounded part.
    if wants("node-cut") && !(options.bounded && options.campaigns.is_empty()) {
        faults.extend(nodes::cut_off(&campaigns)?);
    }
    if wants("standby") {
        faults.extend(nodes::standby(&campaigns)?);
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("; "));
    }
    println!("nothing acknowledged was lost");
    Ok(())
}

impl Campaigns<'_> {
    /// The number of blows: fewer where the campaigns are bounded.
    fn bounded(&self, usual: u32, bounded: u32) -> u32 {
        if self.options.bounded { bounded.min(usual) } else { usual }
    }

    fn trial(&self, name: &str, data: Option<&Path>, setup: Setup) -> Result<Trial<'_>> {
        let home = self.dir.join(name.replace(", ", "-").replace(' ', "-"));
        let _ = std::fs::remove_dir_all(&home);
        let server = Server::new(&self.binary, &home, data.unwrap_or(&home.join("data")), &self.world, setup)?;
        let sink = Sink::start(SINK, SINK_PORT, true)?;
        static RUNS: AtomicU64 = AtomicU64::new(1);
        let run = self.options.seed * 1000 + RUNS.fetch_add(1, Ordering::Relaxed);
        sink.begin(run);
        Ok(Trial {
            campaigns: self,
            name: name.to_owned(),
            server,
            sink,
            run,
            next: Arc::new(AtomicU64::new(1)),
            ledger: Arc::default(),
            dice: Dice::new(run),
            began: Instant::now(),
            blows: 0,
            no_progress: 0,
            notes: Vec::new(),
        })
    }
}

/// A campaign on its way.
struct Trial<'a> {
    campaigns: &'a Campaigns<'a>,
    name: String,
    server: Server,
    sink: Sink,
    run: u64,
    next: Arc<AtomicU64>,
    ledger: Arc<Mutex<Sent>>,
    dice: Dice,
    began: Instant,
    blows: u32,
    no_progress: u32,
    notes: Vec<String>,
}

impl Trial<'_> {
    fn load(&self, targets: &[Target]) -> Load {
        Load::start(self.run, targets, self.campaigns.options.sessions, &self.next, &self.ledger)
    }

    fn acknowledged(&self) -> usize {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.len()
    }

    /// Waits until some more messages were acknowledged, and then a moment more, so that the blow hits any point of a message's way.
    fn await_load(&mut self) {
        let wanted = self.acknowledged() + 1 + usize::try_from(self.dice.roll(40)).unwrap_or_default();
        let began = Instant::now();
        while self.acknowledged() < wanted && began.elapsed() < PROGRESS_LIMIT {
            thread::sleep(Duration::from_millis(2));
        }
        self.no_progress += u32::from(began.elapsed() >= PROGRESS_LIMIT);
        thread::sleep(Duration::from_micros(self.dice.roll(30_000)));
    }

    /// Shows how far it is, now and then.
    fn progress(&self) {
        if self.blows.is_multiple_of(50) {
            println!("  {}: {} blows, {} acknowledged, {} s", self.name, self.blows, self.acknowledged(), self.began.elapsed().as_secs());
        }
    }

    /// Empties the queue, compares the ledgers, and writes the report.
    fn judge(mut self) -> Result<Report> {
        self.sink.behave(Behaviour::default());
        if let Err(error) = self.server.drain(DRAIN_LIMIT) {
            self.notes.push(format!("{error:#}"));
        }
        let bugs = self.server.bugs().unwrap_or_default();
        self.server.kill();
        let sent = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = Verdict::of(&sent, &self.sink.arrivals(), &BTreeSet::new());
        drop(sent);
        let report = Report {
            campaign: self.name.clone(),
            seed: self.campaigns.options.seed,
            seconds: self.began.elapsed().as_secs(),
            blows: self.blows,
            no_progress: self.no_progress,
            start_ms: self.server.starts.iter().max().copied().unwrap_or_default().as_millis(),
            bugs,
            verdict,
            notes: std::mem::take(&mut self.notes),
        };
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.campaigns.dir.join("results.jsonl"))?;
        writeln!(file, "{}", serde_json::to_string(&report)?)?;
        println!("{}", report.line());
        Ok(report)
    }
}

impl Report {
    fn line(&self) -> String {
        let v = &self.verdict;
        let notes = if self.notes.is_empty() { String::new() } else { format!("; {}", self.notes.join("; ")) };
        format!(
            "{}: {} blows in {} s, {} messages acknowledged, {} copies promised, {} lost, {} damaged, {} misdirected, {} duplicates and {} after a hang-up, \
             {} bugs, longest start {} ms{notes}",
            self.campaign,
            self.blows,
            self.seconds,
            v.acknowledged,
            v.promised,
            v.lost,
            v.damaged,
            v.misdirected,
            v.duplicates,
            v.duplicates_after_hang_up,
            self.bugs,
            self.start_ms
        )
    }

    /// What must not be; the notes too.
    fn faults(&self) -> Vec<String> {
        let bugs = (self.bugs > 0).then(|| format!("{} bugs", self.bugs));
        let idle = (self.verdict.acknowledged == 0).then(|| "nothing was acknowledged".to_owned());
        let all = self.verdict.faults().into_iter().chain(bugs).chain(idle).chain(self.notes.iter().cloned());
        all.map(|fault| format!("{}: {fault}", self.campaign)).collect()
    }
}
