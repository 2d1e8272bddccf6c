//! Benchmarks: servers in turn on one machine, by one client, one sink and one set of counters.
//!
//! Invariant: in each round every server is measured in turn, and a failed run is shown, never left out.

mod backlog;
mod cells;
mod idle;
mod measure;
mod plot;
mod results;
mod tarpit;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::peers::{Binaries, Peer, SINK_PORT};
use crate::sink::Sink;
use crate::world::{Disk, SINK, World, enter};
use cells::{Cell, GroupOfCells};
use results::Row;

/// Size of the image that holds the servers' files, in MiB; it is sparse.
const DISK_MIB: u64 = 8192;

/// Niceness of servers and tools alike: it keeps other users of the machine out of the figures.
const NICENESS: i32 = -10;

/// The options of a benchmark.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// What is measured: forward, submit, idle, backlog, tarpit, full, or all of them; or report (prints the results of an earlier run)
    #[arg(default_value = "forward")]
    groups: Vec<String>,
    /// Rounds; medians are printed
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// The servers, in their order, such as waypost,waypost:cut,against,postfix,null
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// The binary to measure
    #[arg(long, default_value = "target/release/waypost")]
    binary: PathBuf,
    /// A second binary, an older build, measured beside it as the peer `against`
    #[arg(long)]
    against: Option<PathBuf>,
    /// Cells instead of the usual ones: SESSIONSxBYTESxMESSAGES or SESSIONSxBYTESxMESSAGESxMESSAGES-A-SESSION
    #[arg(long, value_delimiter = ',')]
    cells: Vec<Cell>,
    /// Multiplies the numbers of messages
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Pipelines MAIL, RCPT and DATA
    #[arg(long)]
    pipelining: bool,
    /// Adds to the results instead of beginning anew
    #[arg(long)]
    append: bool,
    /// Writes plots into docs/images and the tables into docs/benchmarks.md
    #[arg(long)]
    docs: bool,
    /// Where servers, their files and the results are kept
    #[arg(long, default_value = "target/bench")]
    dir: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench                                             forwarding beside Postfix
  cargo xtask bench forward --against old/waypost --peers waypost,against,waypost:cut,against:cut
  cargo xtask bench submit --cells 10x1024x4000x50 --rounds 5   one cell
  cargo xtask bench all --rounds 5 --docs                       everything, with plots, into docs/benchmarks.md
  cargo xtask bench report --docs                               the same from the results of an earlier run";

/// A benchmark on its way.
struct Bench<'a> {
    options: &'a Options,
    world: &'a World,
    disk: &'a Disk,
    device: String,
    binaries: Binaries,
    facts: Facts,
    results: PathBuf,
}

/// What every line of the results says about its circumstances.
#[derive(Debug, Clone)]
struct Facts {
    date: String,
    machine: String,
}

/// Measures, prints, and writes the results.
pub fn run(options: &Options) -> Result<()> {
    let results = options.dir.join("results.jsonl");
    if options.groups.iter().any(|group| group == "report") {
        return report(options, &results);
    }
    let groups = GroupOfCells::named(&options.groups)?;
    let binary = |path: &PathBuf| path.canonicalize().with_context(|| format!("{} is no binary", path.display()));
    let binaries = Binaries { waypost: binary(&options.binary)?, against: options.against.as_ref().map(binary).transpose()? };
    enter(NICENESS)?;
    std::fs::create_dir_all(&options.dir)?;
    let dir = options.dir.canonicalize()?;
    if !options.append && results.exists() {
        std::fs::remove_file(&results)?;
    }
    let disk = Disk::new("ext4", &dir, DISK_MIB)?;
    let world = World::new(&dir)?;
    let device = disk.device()?;
    let bench = Bench { options, world: &world, disk: &disk, device, binaries, facts: Facts::read()?, results: results.clone() };
    println!("{}, {}", bench.facts.date, bench.facts.machine);
    for group in groups {
        bench.group(group)?;
    }
    report(options, &results)
}

fn report(options: &Options, results: &std::path::Path) -> Result<()> {
    let rows = results::read(results)?;
    print!("{}", results::tables(&rows, false));
    if options.docs {
        let plots = plot::draw(&rows, std::path::Path::new("docs/images"))?;
        results::write_page(&rows, &plots, std::path::Path::new("docs/benchmarks.md"))?;
    }
    let faults = results::faults(&rows);
    if !faults.is_empty() {
        bail!("{}", faults.join("; "));
    }
    Ok(())
}

impl Bench<'_> {
    fn peers(&self, group: GroupOfCells) -> Vec<String> {
        if !self.options.peers.is_empty() {
            return self.options.peers.clone();
        }
        let has_against = self.binaries.against.is_some();
        group.peers().iter().filter(|label| has_against || !label.starts_with("against")).map(|label| (*label).to_owned()).collect()
    }

    fn peer(&self, label: &str) -> Result<Peer> {
        let scripts =
            std::path::Path::new("benches/peers").canonicalize().context("benches/peers is missing; run it at the top of the checkout")?;
        Peer::new(label, self.world, &self.disk.at, &scripts, &self.binaries)
    }

    fn group(&self, group: GroupOfCells) -> Result<()> {
        let mut labels = self.peers(group);
        for label in labels.clone() {
            match self.peer(&label)?.version() {
                Ok(version) => println!("{}: {label} is {version}", group.name()),
                Err(error) => {
                    self.write(Row::failed(&format!("{error:#}")).at(&self.facts, group.name(), &label, "", 0))?;
                    labels.retain(|other| *other != label);
                }
            }
        }
        for round in 1..=self.options.rounds {
            for label in &labels {
                let mut peer = self.peer(label)?;
                let version = peer.version()?;
                let mut emit = |mut row: Row| self.write(row.at(&self.facts, group.name(), label, &version, round));
                let outcome = match group {
                    GroupOfCells::Idle => idle::measure(self, &mut peer, &mut emit),
                    GroupOfCells::Backlog => backlog::measure(self, &mut peer, &mut emit),
                    GroupOfCells::Tarpit => tarpit::measure(self, &mut peer, &mut emit),
                    GroupOfCells::Forward | GroupOfCells::Submit | GroupOfCells::Full => self.all_cells(group, &mut peer, &mut emit),
                };
                if let Err(error) = outcome {
                    emit(Row::failed(&format!("{error:#}")))?;
                }
            }
        }
        Ok(())
    }

    fn all_cells(&self, group: GroupOfCells, peer: &mut Peer, emit: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
        let sink = Sink::start(SINK, SINK_PORT, false)?;
        peer.fresh(self.world)?;
        let cells = if self.options.cells.is_empty() { group.cells() } else { self.options.cells.clone() };
        for cell in cells {
            let cell = cell.scaled(self.options.scale);
            let row = measure::cell(self, peer, &sink, cell, group == GroupOfCells::Submit)?;
            let is_complete = row.delivered >= row.accepted;
            emit(row)?;
            if !is_complete {
                // What is left over would spoil the next cell.
                peer.fresh(self.world)?;
            }
        }
        Ok(())
    }

    fn write(&self, row: &Row) -> Result<()> {
        println!("{}", row.line());
        let mut file = OpenOptions::new().create(true).append(true).open(&self.results)?;
        writeln!(file, "{}", serde_json::to_string(row)?)?;
        Ok(())
    }
}

impl Facts {
    fn read() -> Result<Self> {
        let output = |name: &str, arguments: &[&str]| -> Result<String> {
            let output = Command::new(name).args(arguments).output().with_context(|| format!("{name} cannot be run"))?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .unwrap_or_default()
            .trim_start_matches(['\t', ' ', ':'])
            .to_owned();
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib: u64 = memory.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default();
        let cores = std::thread::available_parallelism()?;
        let machine = format!("{cores} cores of {model}, {} GiB, Linux {}", kib >> 20, output("uname", &["-r"])?);
        Ok(Self { date: output("date", &["-u", "+%Y-%m-%d %H:%M"])?, machine })
    }
}
