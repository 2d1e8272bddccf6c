//! Idle sessions: what each costs in memory, and whether a new client still gets in.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::bench::Bench;
use crate::bench::measure::target;
use crate::bench::results::Row;
use crate::client;
use crate::peers::Peer;
use crate::world::greets;

/// Sessions that are opened. Postfix has a process for each, so that 10,000 would take 17 GiB.
const COUNTS: [u32; 2] = [1000, 10_000];
const PROCESSES_MAX: u32 = 1000;

/// Client addresses: few sessions from each.
const ADDRESSES: u32 = 1000;

/// Opens sessions, plain and with TLS and a login, and measures the server's memory.
pub fn measure(bench: &Bench, peer: &mut Peer, emit: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
    let most = if peer.label.starts_with("postfix") { PROCESSES_MAX } else { u32::MAX };
    for count in COUNTS.into_iter().filter(|count| *count <= most) {
        for (kind, submits) in [("plain", false), ("TLS", true)] {
            peer.fresh(bench.world)?;
            thread::sleep(Duration::from_secs(1));
            let (before_mib, before_s) = (peer.group.memory_mib(), peer.group.cpu_s());
            let mut held = client::hold(&target(bench, peer, submits, ADDRESSES), count as usize)?;
            thread::sleep(Duration::from_secs(2));
            let (with_mib, with_s) = (peer.group.memory_mib(), peer.group.cpu_s());
            let gets_in = greets(if submits { peer.submission() } else { peer.mx() });
            let open = held.len().max(1) as f64;
            let figures = BTreeMap::from([
                ("held", held.len() as f64),
                ("alive", held.alive() as f64),
                ("session_kib", (with_mib - before_mib) * 1024.0 / open),
                ("session_cpu_ms", (with_s - before_s) * 1e3 / open),
                ("memory_idle_mib", before_mib),
                ("memory_mib", with_mib),
                ("new_client_gets_in", f64::from(u8::from(gets_in))),
            ]);
            emit(Row {
                cell: format!("{count} {kind}"),
                last_failure: held.refusal.take().unwrap_or_default(),
                failures: u64::from(count).saturating_sub(held.len() as u64),
                cpu_by: peer.group.kind().to_owned(),
                figures: figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                ..Row::default()
            })?;
        }
    }
    Ok(())
}
