//! A backlog: mail arrives while the target refuses; the server is started again; then the target takes everything.
//!
//! `--scale 50` queues a million messages. Of a server whose script knows `list`, the first page of the list is timed, process included.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::bench::Bench;
use crate::bench::measure::{Counted, await_arrivals, quantile, target};
use crate::bench::results::Row;
use crate::client::{self, Sessions, Source, Way};
use crate::content::now_ns;
use crate::peers::{Peer, SINK_PORT};
use crate::sink::{Behaviour, Sink};
use crate::world::{self, SINK};

const MESSAGES: u64 = 20_000;
const BYTES: usize = 4096;
const PATH: (&str, &str) = ("src@origin.test", "me@example.test");

/// Messages of a probe, and how many a second: what a client notices of the backlog.
const PROBE: (u64, f64) = (200, 40.0);

/// Messages a second that even a slow server takes, for the time limit.
const SLOWEST: u64 = 130;

/// Queues mail for a target that refuses it, restarts the server, and delivers.
pub fn measure(bench: &Bench, peer: &mut Peer, emit: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
    let sink = Sink::start(SINK, SINK_PORT, false)?;
    peer.fresh(bench.world)?;
    thread::sleep(Duration::from_secs(1));
    let empty_mib = peer.group.memory_mib();
    let idle_ms = probe(bench, peer, &sink)?;
    sink.behave(Behaviour::REFUSING);
    let before_s = peer.group.cpu_s();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let messages = (MESSAGES as f64 * bench.options.scale) as u64;
    let source = Counted::new(messages, BYTES, PATH, Way::InTurn, Duration::from_secs(messages / SLOWEST));
    sink.begin(source.run);
    let begin_ns = now_ns();
    let plan = Sessions { parallel: 50, messages_each: 50, patience: Duration::from_secs(60), pace: None };
    client::run(&target(bench, peer, false, 100), plan, &(source.clone() as Arc<dyn Source>))?;
    let outcome = source.outcome();
    let accepted = outcome.accepted.max(1) as f64;
    let arrival_cpu_ms = (peer.group.cpu_s() - before_s) * 1e3 / accepted;
    thread::sleep(Duration::from_secs(5));
    let full_mib = peer.group.memory_mib();
    peer.stop();
    world::run(Command::new("sync").arg("--file-system").arg(&bench.disk.at))?;
    let restart = peer.start(bench.world)?;
    thread::sleep(Duration::from_secs(1));
    let restarted_mib = peer.group.memory_mib();
    let list_ms = peer.list().map(|took| took.as_secs_f64() * 1e3);
    sink.behave(Behaviour::default());
    let (drain_ns, drain_s) = (now_ns(), peer.group.cpu_s());
    peer.flush()?;
    let meanwhile = Counted::new(PROBE.0, BYTES, PATH, Way::InTurn, Duration::from_secs(60));
    send_probe(bench, peer, &meanwhile)?;
    await_arrivals(&sink, usize::try_from(outcome.accepted)?, Duration::from_secs(30));
    thread::sleep(Duration::from_millis(300));
    let arrivals = sink.arrivals();
    let delivered = arrivals.numbers().len();
    let took_s = sink.last_ns().saturating_sub(drain_ns).max(1) as f64 / 1e9;
    let mut figures = BTreeMap::from([
        ("messages_s", accepted * 1e9 / outcome.last_ns.saturating_sub(begin_ns).max(1) as f64),
        ("cpu_ms", arrival_cpu_ms),
        ("accept_p50_ms", quantile(&outcome.latencies_ms, 0.5)),
        ("accept_p99_ms", quantile(&outcome.latencies_ms, 0.99)),
        ("memory_idle_mib", empty_mib),
        ("memory_mib", full_mib),
        ("idle_accept_p99_ms", quantile(&idle_ms, 0.99)),
        ("draining_accept_p99_ms", quantile(&meanwhile.outcome().latencies_ms, 0.99)),
        ("memory_restarted_mib", restarted_mib),
        ("restart_s", restart.as_secs_f64()),
        ("drain_s", delivered as f64 / took_s),
        ("drain_cpu_ms", (peer.group.cpu_s() - drain_s) * 1e3 / delivered.max(1) as f64),
        ("sink_connections", sink.most_open() as f64),
    ]);
    figures.extend(list_ms.map(|took| ("list_ms", took)));
    emit(Row {
        cell: format!("{messages} x 4 KiB"),
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

/// Sends the probe to a server whose sink takes everything. Returns from MAIL to the 250 for the content, sorted, in milliseconds.
fn probe(bench: &Bench, peer: &Peer, sink: &Sink) -> Result<Vec<f64>> {
    let source = Counted::new(PROBE.0, BYTES, PATH, Way::InTurn, Duration::from_secs(60));
    sink.begin(source.run);
    send_probe(bench, peer, &source)?;
    await_arrivals(sink, usize::try_from(source.outcome().accepted)?, Duration::from_secs(10));
    Ok(source.outcome().latencies_ms)
}

fn send_probe(bench: &Bench, peer: &Peer, source: &Arc<Counted>) -> Result<()> {
    let plan = Sessions { parallel: 4, messages_each: 50, patience: Duration::from_secs(60), pace: Some(PROBE.1) };
    client::run(&target(bench, peer, false, 100), plan, &(source.clone() as Arc<dyn Source>)).map(drop)
}
