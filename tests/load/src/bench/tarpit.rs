//! A tarpit beside a fast target: what a slow target does to mail for another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::bench::Bench;
use crate::bench::measure::{Counted, await_arrivals, quantile, target};
use crate::bench::results::Row;
use crate::client::{self, Sessions, Source, Way};
use crate::peers::{Peer, SINK_PORT};
use crate::sink::{Behaviour, Sink};
use crate::world::{SINK, SLOW};

const BYTES: usize = 4096;
/// Messages a second for the fast target, and for the slow one.
const PACES: (f64, f64) = (40.0, 200.0);
/// For how long the fast target is measured, alone and beside the tarpit.
const SECONDS: u64 = 15;
/// How long the slow target waits before it answers to content.
const DELAY_MS: u64 = 10_000;

/// Measures the way to a fast target alone, and while a slow one gets more mail than it takes.
pub fn measure(bench: &Bench, peer: &mut Peer, emit: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
    let (fast, slow) = (Sink::start(SINK, SINK_PORT, false)?, Sink::start(SLOW, SINK_PORT, false)?);
    slow.behave(Behaviour { delay_ms: DELAY_MS, ..Behaviour::default() });
    peer.fresh(bench.world)?;
    let alone = transit(bench, peer, &fast)?;
    let many =
        Counted::new(200 * (SECONDS + 60), BYTES, ("src@origin.test", "slow@example.test"), Way::InTurn, Duration::from_secs(SECONDS + 12));
    slow.begin(many.run);
    let plan = Sessions { parallel: 10, messages_each: 50, patience: Duration::from_secs(30), pace: Some(PACES.1) };
    let (to, source) = (target(bench, peer, false, 100), many.clone() as Arc<dyn Source>);
    let background = thread::spawn(move || client::run(&to, plan, &source).map(drop));
    thread::sleep(Duration::from_secs(4));
    let beside = transit(bench, peer, &fast)?;
    let figures = BTreeMap::from([
        ("alone_p50_ms", quantile(&alone.transit_ms, 0.5)),
        ("alone_p99_ms", quantile(&alone.transit_ms, 0.99)),
        ("beside_p50_ms", quantile(&beside.transit_ms, 0.5)),
        ("beside_p99_ms", quantile(&beside.transit_ms, 0.99)),
        ("slow_accepted", many.outcome().accepted as f64),
        ("slow_connections", slow.most_open() as f64),
    ]);
    let joined = background.join();
    peer.stop();
    joined.unwrap_or(Ok(()))?;
    emit(Row {
        cell: "40 messages/s".to_owned(),
        accepted: alone.accepted + beside.accepted,
        delivered: alone.delivered + beside.delivered,
        cpu_by: peer.group.kind().to_owned(),
        figures: figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..Row::default()
    })
}

struct Transit {
    accepted: u64,
    delivered: u64,
    /// From MAIL to the arrival at the sink, sorted.
    transit_ms: Vec<f64>,
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn transit(bench: &Bench, peer: &Peer, fast: &Sink) -> Result<Transit> {
    let count = (PACES.0 as u64) * SECONDS;
    let source = Counted::new(count, BYTES, ("src@origin.test", "me@example.test"), Way::InTurn, Duration::from_secs(SECONDS + 15));
    fast.begin(source.run);
    let plan = Sessions { parallel: 4, messages_each: 50, patience: Duration::from_secs(30), pace: Some(PACES.0) };
    client::run(&target(bench, peer, false, 100), plan, &(source.clone() as Arc<dyn Source>))?;
    let accepted = source.outcome().accepted;
    await_arrivals(fast, usize::try_from(accepted)?, Duration::from_secs(15));
    let arrivals = fast.arrivals();
    let mut transit_ms: Vec<f64> = arrivals.list.iter().filter_map(|a| Some((a.at_ns - a.mark.as_ref()?.sent_ns) as f64 / 1e6)).collect();
    transit_ms.sort_by(f64::total_cmp);
    Ok(Transit { accepted, delivered: arrivals.numbers().len() as u64, transit_ms })
}
