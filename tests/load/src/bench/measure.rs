//! One cell: so many messages over so many sessions, until the last has arrived at the sink.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::bench::Bench;
use crate::bench::cells::Cell;
use crate::bench::results::Row;
use crate::client::{self, Security, Sessions, Source, Target, Way};
use crate::content::{Message, now_ns};
use crate::counters::{DeviceCounts, SyncCount, cpu_of, machine_cpu_s};
use crate::peers::{LOGIN, PASSWORD, Peer};
use crate::sink::Sink;
use crate::world;

/// Client addresses: a real MX sees many.
const ADDRESSES: u32 = 100;

/// A run ends when nothing has arrived for this long.
const STALL: Duration = Duration::from_secs(20);

/// Maximum time until the last acknowledgement.
const LIMIT: Duration = Duration::from_secs(90);

/// Failures without one acknowledgement, after which a run is hopeless.
const HOPELESS: u64 = 300;

static RUNS: AtomicU64 = AtomicU64::new(1);

/// So many messages, each tried until it is acknowledged.
pub struct Counted {
    /// The number of the run.
    pub run: u64,
    total: u64,
    bytes: usize,
    from: &'static str,
    to: &'static str,
    way: Way,
    end: Instant,
    next: AtomicU64,
    again: Mutex<Vec<u64>>,
    accepted: AtomicU64,
    last_ns: AtomicU64,
    failures: AtomicU64,
    last_failure: Mutex<String>,
    latencies_ms: Mutex<Vec<f64>>,
}

/// What the client saw.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Messages acknowledged.
    pub accepted: u64,
    /// When the last acknowledgement came, in nanoseconds of the process's clock.
    pub last_ns: u64,
    /// Refusals and broken connections.
    pub failures: u64,
    /// The last of them.
    pub last_failure: String,
    /// From MAIL to the 250 for the content, sorted, in milliseconds.
    pub latencies_ms: Vec<f64>,
}

impl Counted {
    /// Messages of `bytes` for one recipient.
    pub fn new(total: u64, bytes: usize, (from, to): (&'static str, &'static str), way: Way, limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            run: RUNS.fetch_add(1, Ordering::Relaxed),
            total,
            bytes,
            from,
            to,
            way,
            end: Instant::now() + limit,
            next: AtomicU64::new(0),
            again: Mutex::default(),
            accepted: AtomicU64::new(0),
            last_ns: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last_failure: Mutex::default(),
            latencies_ms: Mutex::default(),
        })
    }

    /// What has happened so far.
    pub fn outcome(&self) -> Outcome {
        let mut latencies_ms = lock(&self.latencies_ms).clone();
        latencies_ms.sort_by(f64::total_cmp);
        Outcome {
            accepted: self.accepted.load(Ordering::Relaxed),
            last_ns: self.last_ns.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            last_failure: lock(&self.last_failure).clone(),
            latencies_ms,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source for Counted {
    fn is_over(&self) -> bool {
        let accepted = self.accepted.load(Ordering::Relaxed);
        let is_hopeless = accepted == 0 && self.failures.load(Ordering::Relaxed) > HOPELESS;
        accepted >= self.total || is_hopeless || Instant::now() > self.end
    }

    fn next(&self) -> Option<(u64, Way)> {
        let again = lock(&self.again).pop();
        let number = again.or_else(|| Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < self.total));
        Some((number?, self.way))
    }

    fn message(&self, number: u64) -> Message {
        Message::new(self.from, &[self.to], self.run, number, self.bytes, false)
    }

    fn acknowledged(&self, _: u64, took: Duration) {
        lock(&self.latencies_ms).push(took.as_secs_f64() * 1e3);
        self.last_ns.store(now_ns(), Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, number: Option<u64>, code: u16, line: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        *lock(&self.last_failure) = if code == 0 { line.to_owned() } else { format!("{code}: {line}") };
        if let Some(number) = number {
            lock(&self.again).push(number);
        }
    }
}

/// The value below which this part of sorted values is.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let at = (part * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// Where the client connects for a cell.
pub fn target(bench: &Bench, peer: &Peer, submits: bool, addresses: u32) -> Target {
    Target {
        address: if submits { peer.submission() } else { peer.mx() },
        servers: peer.servers(),
        security: if submits { Security::StartTls } else { Security::Plain },
        tls: bench.world.tls.clone(),
        login: submits.then(|| (LOGIN.to_owned(), PASSWORD.to_owned())),
        addresses,
    }
}

/// Waits until `wanted` messages have arrived, or nothing does any more.
pub fn await_arrivals(sink: &Sink, wanted: usize, stall: Duration) {
    let (mut last, mut since) = (0, Instant::now());
    while sink.count() < wanted && since.elapsed() < stall {
        let count = sink.count();
        if count != last {
            (last, since) = (count, Instant::now());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Counters at one moment.
struct Moment {
    cpu_s: f64,
    own_cpu_s: f64,
    machine_cpu_s: f64,
    device: DeviceCounts,
    at: Instant,
}

impl Moment {
    fn now(bench: &Bench, peer: &Peer) -> Result<Self> {
        // Everything that is dirty counts for the server that made it so.
        world::run(std::process::Command::new("sync").arg("--file-system").arg(&bench.disk.at))?;
        Ok(Self {
            cpu_s: peer.group.cpu_s(),
            own_cpu_s: cpu_of(std::process::id()).unwrap_or_default(),
            machine_cpu_s: machine_cpu_s(),
            device: DeviceCounts::of(&bench.device)?,
            at: Instant::now(),
        })
    }
}

/// Measures one cell.
pub fn cell(bench: &Bench, peer: &Peer, sink: &Sink, cell: Cell, submits: bool) -> Result<Row> {
    let way = if bench.options.pipelining { Way::Pipelined } else { Way::InTurn };
    let path = if submits { (LOGIN, "foo@sink.test") } else { ("src@origin.test", "me@example.test") };
    let is_null = peer.label == "null";
    let memory_idle = peer.group.memory_mib();
    let syncs = SyncCount::start(&peer.group, &bench.disk.at);
    let source = Counted::new(cell.messages, cell.bytes, path, way, LIMIT);
    sink.begin(source.run);
    let before = Moment::now(bench, peer)?;
    let begin_ns = now_ns();
    let plan = Sessions { parallel: cell.sessions, messages_each: cell.messages_each, patience: Duration::from_secs(60), pace: None };
    let mut setups = client::run(&target(bench, peer, submits, ADDRESSES), plan, &(source.clone() as Arc<dyn Source>))?;
    let outcome = source.outcome();
    let accepted = usize::try_from(outcome.accepted)?;
    if !is_null {
        await_arrivals(sink, accepted, STALL);
    }
    // The server finishes its bookkeeping.
    thread::sleep(Duration::from_millis(300));
    let memory_end = peer.group.memory_mib();
    let after = Moment::now(bench, peer)?;
    let syncs = syncs.end();
    let arrivals = sink.arrivals();
    let delivered = if is_null { accepted } else { arrivals.numbers().len() };
    let each = |value: f64| value / outcome.accepted.max(1) as f64;
    let rate = |end_ns: u64, count: usize| count as f64 * 1e9 / end_ns.saturating_sub(begin_ns).max(1) as f64;
    let last_ns = sink.last_ns().max(outcome.last_ns);
    let own_cpu_s = after.own_cpu_s - before.own_cpu_s;
    let cpu_s = if is_null { own_cpu_s } else { after.cpu_s - before.cpu_s };
    let others = (after.machine_cpu_s - before.machine_cpu_s) - (after.cpu_s - before.cpu_s) - own_cpu_s;
    let mut transit: Vec<f64> = arrivals.list.iter().filter_map(|a| Some((a.at_ns - a.mark.as_ref()?.sent_ns) as f64 / 1e6)).collect();
    transit.sort_by(f64::total_cmp);
    setups.sort_by(f64::total_cmp);
    let mut figures = BTreeMap::from([
        ("messages_s", rate(last_ns, delivered)),
        ("accepted_s", rate(outcome.last_ns, accepted)),
        ("cpu_ms", each(cpu_s * 1e3)),
        ("accept_p50_ms", quantile(&outcome.latencies_ms, 0.5)),
        ("accept_p99_ms", quantile(&outcome.latencies_ms, 0.99)),
        ("transit_p50_ms", quantile(&transit, 0.5)),
        ("transit_p99_ms", quantile(&transit, 0.99)),
        ("setup_p50_ms", quantile(&setups, 0.5)),
        ("flushes", each((after.device.flushes - before.device.flushes) as f64)),
        ("disk_kib", each((after.device.bytes - before.device.bytes) as f64 / 1024.0)),
        ("memory_idle_mib", memory_idle),
        ("memory_mib", memory_end),
        ("memory_peak_mib", peer.group.peak_mib()),
        ("tools_cpu_ms", each(own_cpu_s * 1e3)),
        ("other_cpu_cores", (others / (after.at - before.at).as_secs_f64()).max(0.0)),
    ]);
    if let Some(syncs) = syncs {
        figures.insert("syncs", each(syncs as f64));
    }
    Ok(Row {
        cell: cell.name(),
        accepted: outcome.accepted,
        delivered: u64::try_from(delivered)?,
        duplicates: arrivals.list.len().saturating_sub(delivered) as u64,
        failures: outcome.failures,
        last_failure: outcome.last_failure,
        cpu_by: peer.group.kind().to_owned(),
        figures: figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..Row::default()
    })
}
