//! Several nodes over one PostgreSQL: nodes killed under load, a node cut from the database, a synchronous standby promoted.
//!
//! Invariant: a copy that arrives twice is excused only if its first arrival was less than [`IN_FLIGHT`] from a blow: it was on its way then.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::{Security, Target};
use crate::content::now_ns;
use crate::crash::server::{Node, Server, Setup};
use crate::crash::{Campaigns, Report, Trial};
use crate::ledger::Copy;
use crate::postgres::{Database, Relay};
use crate::sink::Behaviour;

/// Nodes in a campaign.
const NODES: u8 = 3;

const PRIMARY_PORT: u16 = 6432;
const STANDBY_PORT: u16 = 6433;

/// Maximum time between a blow and the end of an attempt that was under way at that moment.
const IN_FLIGHT: Duration = Duration::from_secs(2);

/// A node that is cut off says nothing for this long: longer than a lease.
const SILENCE: Duration = Duration::from_secs(45);

/// Maximum time until others have delivered what a dead node held: a lease, and their next attempts.
const TAKEN_UP_LIMIT: Duration = Duration::from_secs(60);

/// Promotions in a campaign.
const PROMOTIONS: u32 = 3;

/// Three nodes; the first is the trial's server.
struct Nodes<'a> {
    trial: Trial<'a>,
    others: Vec<Server>,
    blows_ns: Vec<u64>,
}

impl<'a> Nodes<'a> {
    fn start(campaigns: &'a Campaigns<'a>, name: &str, ports: &dyn Fn(u8) -> [Option<u16>; 2]) -> Result<Self> {
        let setup = |number| Setup { node: Some(Node { number, ports: ports(number) }), ..Setup::queued(1) };
        let mut trial = campaigns.trial(name, None, setup(1))?;
        let mut others = Vec::new();
        for number in 2..=NODES {
            let home = trial.server.home.join(format!("node{number}"));
            others.push(Server::new(&campaigns.binary, &home, &home.join("data"), &campaigns.world, setup(number))?);
        }
        trial.server.start()?;
        others.iter_mut().try_for_each(Server::start)?;
        Ok(Self { trial, others, blows_ns: Vec::new() })
    }

    fn node(&mut self, index: usize) -> &mut Server {
        match index.checked_sub(1).and_then(|other| self.others.get_mut(other)) {
            Some(other) => other,
            None => &mut self.trial.server,
        }
    }

    fn targets(&self) -> Vec<Target> {
        let world = &self.trial.campaigns.world;
        let all = [&self.trial.server].into_iter().chain(&self.others);
        all.map(|server| server.target(world, Security::Plain)).collect()
    }

    /// Notes a moment at which mail on its way may arrive twice.
    fn blow(&mut self) {
        self.blows_ns.push(now_ns());
        self.trial.blows += 1;
        self.trial.progress();
    }

    /// Empties the queue and compares the ledgers; duplicates must have been on their way at a blow.
    fn judge(mut self) -> Result<Report> {
        self.trial.sink.behave(Behaviour::default());
        if let Err(error) = self.trial.server.drain(super::DRAIN_LIMIT) {
            self.trial.notes.push(format!("{error:#}"));
        }
        let unexcused = unexcused(&self.trial, &self.blows_ns);
        if let Some((number, target)) = unexcused.first() {
            self.trial.notes.push(format!("{} copies arrived twice without a blow, first {number} for {target}", unexcused.len()));
        }
        for other in &self.others {
            match other.bugs() {
                Ok(0) => {}
                Ok(bugs) => self.trial.notes.push(format!("{bugs} bugs on another node")),
                Err(error) => self.trial.notes.push(format!("another node does not answer: {error:#}")),
            }
        }
        self.trial.judge()
    }
}

/// Copies that arrived again although the first was answered, and no blow was near it.
fn unexcused(trial: &Trial, blows_ns: &[u64]) -> Vec<Copy> {
    let mut first: BTreeMap<Copy, u64> = BTreeMap::new();
    let mut found = Vec::new();
    for arrival in &trial.sink.arrivals().list {
        let Some(mark) = &arrival.mark else { continue };
        if !arrival.whole || !arrival.answered || arrival.rejected {
            continue;
        }
        for target in &arrival.to {
            let copy = (mark.number, target.clone());
            let Some(before_ns) = first.insert(copy.clone(), arrival.at_ns) else { continue };
            if !blows_ns.iter().any(|blow_ns| Duration::from_nanos(blow_ns.abs_diff(before_ns)) < IN_FLIGHT) {
                found.push(copy);
            }
        }
    }
    found
}

/// SIGKILL of random nodes; returns what must not be.
pub fn kills(campaigns: &Campaigns) -> Result<Vec<String>> {
    let database = Database::new(&home(campaigns, "nodes-database"), PRIMARY_PORT)?;
    let mut nodes = Nodes::start(campaigns, "nodes, kills", &|_| [Some(database.port), None])?;
    nodes.trial.sink.behave(Behaviour::MIXED);
    let load = nodes.trial.load(&nodes.targets());
    let mut dead: Vec<usize> = Vec::new();
    for _ in 0..campaigns.bounded(campaigns.options.kills, 12) {
        nodes.trial.await_load();
        let living: Vec<usize> = (0..usize::from(NODES)).filter(|index| !dead.contains(index)).collect();
        let roll = usize::try_from(nodes.trial.dice.roll(living.len() as u64))?;
        let victim = *living.get(roll).context("no node lives")?;
        nodes.node(victim).kill();
        dead.push(victim);
        nodes.blow();
        // At most two are dead at a time, so that mail goes on.
        while dead.len() > usize::try_from(nodes.trial.dice.roll(3))?.min(usize::from(NODES) - 1) {
            let back = dead.remove(0);
            nodes.node(back).start()?;
        }
    }
    for back in dead {
        nodes.node(back).start()?;
    }
    load.end()?;
    Ok(nodes.judge()?.faults())
}

/// A node cut from the database: it acknowledges nothing, others deliver what it held, and nothing is sent twice when it is back.
pub fn cut_off(campaigns: &Campaigns) -> Result<Vec<String>> {
    let database = Database::new(&home(campaigns, "nodes-database"), PRIMARY_PORT)?;
    let relay = Relay::start(database.port)?;
    let ports = |number| [Some(if number == 2 { relay.port } else { database.port }), None];
    let mut nodes = Nodes::start(campaigns, "nodes, one cut off", &ports)?;
    nodes.trial.sink.behave(Behaviour { delay_ms: 200, ..Behaviour::default() });
    let load = nodes.trial.load(&nodes.targets());
    for _ in 0..5 {
        nodes.trial.await_load();
    }
    relay.set_silent(true);
    nodes.blow();
    let cut = Instant::now();
    thread::sleep(Duration::from_secs(3));
    load.end()?;
    let only = nodes.targets().into_iter().nth(1).context("no second node")?;
    let before = nodes.trial.acknowledged();
    let alone = nodes.trial.load(std::slice::from_ref(&only));
    thread::sleep(SILENCE.saturating_sub(cut.elapsed()));
    alone.end()?;
    if nodes.trial.acknowledged() > before {
        nodes.trial.notes.push(format!("{} messages acknowledged without a database", nodes.trial.acknowledged() - before));
    }
    if let Err(error) = nodes.trial.server.drain(TAKEN_UP_LIMIT) {
        nodes.trial.notes.push(format!("what the node held was not taken up: {error:#}"));
    }
    relay.set_silent(false);
    let back = nodes.trial.load(std::slice::from_ref(&only));
    let resumed = nodes.trial.acknowledged();
    let began = Instant::now();
    while nodes.trial.acknowledged() == resumed && began.elapsed() < TAKEN_UP_LIMIT {
        thread::sleep(Duration::from_millis(20));
    }
    if nodes.trial.acknowledged() == resumed {
        nodes.trial.notes.push("the node took no mail after it was back".to_owned());
    }
    back.end()?;
    Ok(nodes.judge()?.faults())
}

/// The primary is killed and its directory thrown away under load; its synchronous standby is promoted.
pub fn standby(campaigns: &Campaigns) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for round in 1..=campaigns.bounded(PROMOTIONS, 1) {
        let primary = Database::new(&home(campaigns, "nodes-primary"), PRIMARY_PORT)?;
        let standby = primary.with_standby(&home(campaigns, "nodes-standby"), STANDBY_PORT)?;
        let ports = |_| [Some(PRIMARY_PORT), Some(STANDBY_PORT)];
        let mut nodes = Nodes::start(campaigns, &format!("nodes, promotion {round}"), &ports)?;
        nodes.trial.sink.behave(Behaviour::MIXED);
        let load = nodes.trial.load(&nodes.targets());
        for _ in 0..10 {
            nodes.trial.await_load();
        }
        primary.destroy();
        nodes.blow();
        standby.promote()?;
        let (gap, before) = (Instant::now(), nodes.trial.acknowledged());
        while nodes.trial.acknowledged() == before && gap.elapsed() < TAKEN_UP_LIMIT {
            thread::sleep(Duration::from_millis(10));
        }
        if nodes.trial.acknowledged() == before {
            bail!("no mail was taken after the promotion: {}", nodes.trial.server.tail());
        }
        println!("  {}: mail is taken {} ms after the promotion", nodes.trial.name, gap.elapsed().as_millis());
        for _ in 0..10 {
            nodes.trial.await_load();
        }
        load.end()?;
        faults.extend(nodes.judge()?.faults());
    }
    Ok(faults)
}

fn home(campaigns: &Campaigns, name: &str) -> std::path::PathBuf {
    Path::new(&campaigns.dir).join(name)
}
