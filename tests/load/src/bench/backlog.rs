//! A backlog: mail arrives while the target refuses; the server is started again; then the target takes everything.

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

/// Queues mail for a target that refuses it, restarts the server, and delivers.
pub fn measure(bench: &Bench, peer: &mut Peer, emit: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
    let sink = Sink::start(SINK, SINK_PORT, false)?;
    peer.fresh(bench.world)?;
    thread::sleep(Duration::from_secs(1));
    let empty_mib = peer.group.memory_mib();
    sink.behave(Behaviour::REFUSING);
    let before_s = peer.group.cpu_s();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let messages = (MESSAGES as f64 * bench.options.scale) as u64;
    let source = Counted::new(messages, BYTES, PATH, Way::InTurn, Duration::from_secs(150));
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
    sink.behave(Behaviour::default());
    let (drain_ns, drain_s) = (now_ns(), peer.group.cpu_s());
    peer.flush()?;
    await_arrivals(&sink, usize::try_from(outcome.accepted)?, Duration::from_secs(30));
    thread::sleep(Duration::from_millis(300));
    let arrivals = sink.arrivals();
    let delivered = arrivals.numbers().len();
    let took_s = sink.last_ns().saturating_sub(drain_ns).max(1) as f64 / 1e9;
    let figures = BTreeMap::from([
        ("messages_s", accepted * 1e9 / outcome.last_ns.saturating_sub(begin_ns).max(1) as f64),
        ("cpu_ms", arrival_cpu_ms),
        ("accept_p50_ms", quantile(&outcome.latencies_ms, 0.5)),
        ("accept_p99_ms", quantile(&outcome.latencies_ms, 0.99)),
        ("memory_idle_mib", empty_mib),
        ("memory_mib", full_mib),
        ("restart_s", restart.as_secs_f64()),
        ("drain_s", delivered as f64 / took_s),
        ("drain_cpu_ms", (peer.group.cpu_s() - drain_s) * 1e3 / delivered.max(1) as f64),
        ("sink_connections", sink.most_open() as f64),
    ]);
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
