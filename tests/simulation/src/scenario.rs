//! What a seed makes of the world: mail hosts and their moods, letters, faults of network, DNS and disk, ends of the process.
//!
//! Invariant: from [`Scenario::chaos_ms`] on everything works, so that what was accepted must leave the queue.

use std::net::{IpAddr, Ipv4Addr};

use crate::dice::Dice;

/// A minute, in milliseconds.
pub const MINUTE_MS: i64 = 60_000;
/// An hour, in milliseconds.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;

/// The domain that we host.
pub const OURS: &str = "ours.test";
/// The port of every mail host.
pub const PORT: u16 = 25;
/// Our address.
pub const OUR_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// What a mail host does for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Takes everything at once.
    Fine,
    /// Takes everything, each reply after up to a minute.
    Slow,
    /// Refuses with 450 what it sees for the first time.
    Greylist,
    /// Answers 4xx now and then, at any stage.
    Temporary,
    /// Answers 5xx now and then, at any stage.
    Permanent,
    /// Closes the connection now and then, at any stage.
    HangsUp,
    /// Falls silent now and then, at any stage.
    Mute,
    /// Refuses connections.
    Refusing,
    /// Does not answer connections.
    Unreachable,
}

const MOODS: [Mood; 11] = [
    Mood::Fine,
    Mood::Fine,
    Mood::Slow,
    Mood::Greylist,
    Mood::Temporary,
    Mood::Temporary,
    Mood::Permanent,
    Mood::HangsUp,
    Mood::Mute,
    Mood::Refusing,
    Mood::Unreachable,
];

/// A mail host of another domain.
#[derive(Debug, Clone)]
pub struct FarHost {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Whether it offers PIPELINING.
    pub pipelining: bool,
    /// Whether it offers CHUNKING.
    pub chunking: bool,
    /// Maximum sessions at a time.
    pub sessions_max: usize,
    /// The delay of each piece on the way, in milliseconds.
    pub latency_ms: i64,
    /// Moods, and when each ends.
    pub moods: Vec<(i64, Mood)>,
}

/// Another domain: it sends and receives.
#[derive(Debug, Clone)]
pub struct FarDomain {
    /// Its name.
    pub name: String,
    /// Its hosts, the preferred one first.
    pub hosts: Vec<FarHost>,
    /// Where its mail comes from.
    pub sends_from: IpAddr,
    /// Whether nothing ever fails there.
    pub steady: bool,
    /// When its DNS gives no answer: begin and end.
    pub dns_faults: Vec<(i64, i64)>,
}

/// How a letter comes to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From another server, on port 25.
    Server,
    /// From a program on this machine.
    Program,
}

/// A letter that will be sent.
#[derive(Debug, Clone)]
pub struct LetterPlan {
    /// When.
    pub at_ms: i64,
    /// How.
    pub way: Way,
    /// The number of the sender's domain.
    pub from: usize,
    /// The recipients, and the mailboxes behind each.
    pub to: Vec<(String, Vec<String>)>,
    /// Lines of its body.
    pub lines: i64,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is stopped in order.
    Stopped,
    /// It is killed.
    Killed,
    /// It dies before a commit.
    BeforeCommit,
    /// It dies after a commit, before anybody learns of it.
    AfterCommit,
}

/// The world of a seed.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its seed.
    pub seed: u64,
    /// The domains.
    pub domains: Vec<FarDomain>,
    /// The aliases, and the mailboxes behind them.
    pub aliases: Vec<(String, Vec<String>)>,
    /// The letters.
    pub letters: Vec<LetterPlan>,
    /// How the processes end, and when.
    pub ends: Vec<(i64, End)>,
    /// From when on everything works.
    pub chaos_ms: i64,
    /// Whether forwards are delivered while the sender waits.
    pub cut_through: bool,
    /// How long the sender waits, in seconds.
    pub deadline_s: u64,
    /// Age of a message when it is given up, in seconds.
    pub lifetime_s: u32,
    /// Age of a message when its delay is reported, in seconds.
    pub delay_report_s: Option<u32>,
    /// Connections to a host at a time.
    pub connections: usize,
    /// Messages over one connection.
    pub messages_per_connection: u32,
    /// Connections that die on the way, in thousandths.
    pub cut_per_mille: i64,
    /// When the disk fails, in thousandths of the commits.
    pub disk_per_mille: i64,
    /// The duration of a sync, at most, in milliseconds.
    pub sync_ms: i64,
}

fn moods(dice: &mut Dice, chaos_ms: i64) -> Vec<(i64, Mood)> {
    let (mut moods, mut at_ms) = (Vec::new(), 0);
    while at_ms < chaos_ms {
        at_ms += dice.between(10, 360) * MINUTE_MS;
        moods.push((at_ms.min(chaos_ms), *dice.pick(&MOODS)));
    }
    moods
}

fn domain(dice: &mut Dice, n: u8, chaos_ms: i64) -> FarDomain {
    let steady = n == 0;
    let hosts = if steady { 1 } else { dice.between(1, 2) };
    let host = |k: i64, dice: &mut Dice| FarHost {
        name: format!("mx{k}.d{n}.test"),
        address: IpAddr::V4(Ipv4Addr::new(10, n, 1, u8::try_from(k).unwrap_or(1))),
        pipelining: dice.chance(700),
        chunking: dice.chance(500),
        sessions_max: usize::try_from(dice.between(1, 20)).map_or(1, |most| if steady { usize::MAX } else { most }),
        latency_ms: dice.between(0, 150),
        moods: if steady { Vec::new() } else { moods(dice, chaos_ms) },
    };
    let hosts: Vec<FarHost> = (1..=hosts).map(|k| host(k, dice)).collect();
    let faults = if steady { 0 } else { dice.between(0, 4) };
    let fault = |dice: &mut Dice| {
        let begin_ms = dice.between(0, chaos_ms);
        (begin_ms, (begin_ms + dice.between(1, 120) * MINUTE_MS).min(chaos_ms))
    };
    let dns_faults = (0..faults).map(|_| fault(dice)).collect();
    FarDomain { name: format!("d{n}.test"), hosts, sends_from: IpAddr::V4(Ipv4Addr::new(10, n, 9, 9)), steady, dns_faults }
}

fn letter(dice: &mut Dice, aliases: &[(String, Vec<String>)], domains: usize, chaos_ms: i64) -> LetterPlan {
    let last = i64::try_from(domains).unwrap_or(1) - 1;
    let way = if dice.chance(800) { Way::Server } else { Way::Program };
    let mut to: Vec<(String, Vec<String>)> = Vec::new();
    for n in 0..dice.between(1, 3) {
        let foreign = format!("box{n}@d{}.test", dice.between(0, last));
        let is_foreign = way == Way::Program && dice.chance(600);
        let next = if is_foreign { (foreign.clone(), vec![foreign]) } else { dice.pick(aliases).clone() };
        if !to.iter().any(|(address, _)| *address == next.0) {
            to.push(next);
        }
    }
    let from = usize::try_from(dice.between(0, last)).unwrap_or_default();
    let lines = if dice.chance(50) { dice.between(500, 1_000) } else { dice.between(1, 60) };
    LetterPlan { at_ms: dice.between(0, chaos_ms), way, from, to, lines }
}

impl Scenario {
    /// The world of a seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let chaos_ms = dice.between(6, 48) * HOUR_MS;
        let domains: Vec<FarDomain> = (0..u8::try_from(dice.between(3, 7)).unwrap_or(3)).map(|n| domain(&mut dice, n, chaos_ms)).collect();
        let last = i64::try_from(domains.len()).unwrap_or(1) - 1;
        let alias = |n: i64, dice: &mut Dice| {
            let targets = if dice.chance(250) { dice.between(2, 3) } else { 1 };
            let target = |k: i64, dice: &mut Dice| format!("u{n}-{k}@d{}.test", dice.between(0, last));
            (format!("a{n}@{OURS}"), (0..targets).map(|k| target(k, dice)).collect())
        };
        let aliases: Vec<(String, Vec<String>)> = (0..dice.between(4, 20)).map(|n| alias(n, &mut dice)).collect();
        let letters = (0..dice.between(60, 300)).map(|_| letter(&mut dice, &aliases, domains.len(), chaos_ms)).collect();
        let kinds = [End::Stopped, End::Killed, End::Killed, End::BeforeCommit, End::AfterCommit];
        let mut ends: Vec<(i64, End)> = (0..dice.between(0, 6)).map(|_| (dice.between(1, chaos_ms), *dice.pick(&kinds))).collect();
        ends.sort_by_key(|(at_ms, _)| *at_ms);
        Self {
            seed,
            domains,
            aliases,
            letters,
            ends,
            chaos_ms,
            cut_through: dice.chance(600),
            deadline_s: u64::try_from(dice.between(5, 50)).unwrap_or(50),
            lifetime_s: u32::try_from(dice.between(4, 72) * 3_600).unwrap_or(86_400),
            delay_report_s: dice.chance(400).then_some(3 * 3_600),
            connections: usize::try_from(dice.between(1, 10)).unwrap_or(1),
            messages_per_connection: u32::try_from(dice.between(1, 20)).unwrap_or(1),
            cut_per_mille: *dice.pick(&[0, 10, 50, 150]),
            disk_per_mille: *dice.pick(&[0, 2, 10, 50]),
            sync_ms: *dice.pick(&[1, 5, 30, 500]),
        }
    }

    /// The host at an address, and its domain.
    pub fn host(&self, address: IpAddr) -> Option<(&FarDomain, &FarHost)> {
        self.domains.iter().find_map(|domain| Some((domain, domain.hosts.iter().find(|host| host.address == address)?)))
    }

    /// The domain of an address.
    pub fn domain_of(&self, mailbox: &str) -> Option<&FarDomain> {
        let (_, name) = mailbox.rsplit_once('@')?;
        self.domains.iter().find(|domain| domain.name == name)
    }
}

impl FarHost {
    /// Its mood at a time.
    pub fn mood(&self, at_ms: i64) -> Mood {
        self.moods.iter().find(|(until_ms, _)| at_ms < *until_ms).map_or(Mood::Fine, |(_, mood)| *mood)
    }
}
