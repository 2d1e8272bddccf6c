//! Mail without an end: numbered messages of many sizes for one or several aliases, by every way of handing them over; and the client's ledger.
//!
//! Invariant: the size, the recipients and the way of a message depend on the seed and its number alone.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::client::{self, Security, Sessions, Source, Target, Way};
use crate::content::Message;
use crate::ledger::Sent;

/// The account's address.
pub const ACCOUNT: &str = "me@example.test";

/// Targets: t0 to t3.
pub const TARGETS: [&str; 4] = ["t0@sink.test", "t1@sink.test", "t2@sink.test", "t3@sink.test"];

/// Aliases and the targets of each, as indexes.
pub const ALIASES: [(&str, &[usize]); 6] = [
    ("t0@example.test", &[0]),
    ("t1@example.test", &[1]),
    ("t2@example.test", &[2]),
    ("t3@example.test", &[3]),
    ("two@example.test", &[0, 1]),
    ("all@example.test", &[0, 1, 2, 3]),
];

/// xorshift64*: the same rolls for the same seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % sides.max(1)
    }
}

/// A source that ends when it is told to.
pub struct Endless {
    /// The number of the campaign.
    pub run: u64,
    /// Submissions name targets, not aliases.
    submits: bool,
    sizes: Option<&'static [usize]>,
    last: Option<u64>,
    next: Arc<AtomicU64>,
    is_over: AtomicBool,
    ledger: Arc<Mutex<Sent>>,
}

impl Endless {
    /// Mail until [`Self::end`].
    pub fn new(run: u64, submits: bool, next: Arc<AtomicU64>, ledger: Arc<Mutex<Sent>>) -> Arc<Self> {
        Arc::new(Self { run, submits, sizes: None, last: None, next, is_over: AtomicBool::new(false), ledger })
    }

    /// One message of each size, none of them twice.
    pub fn burst(run: u64, sizes: &'static [usize], next: Arc<AtomicU64>, ledger: Arc<Mutex<Sent>>) -> Arc<Self> {
        let last = next.load(Ordering::SeqCst) + sizes.len() as u64;
        Arc::new(Self { run, submits: false, sizes: Some(sizes), last: Some(last), next, is_over: AtomicBool::new(false), ledger })
    }

    /// Ends it.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Sent> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dice(&self, number: u64) -> Dice {
        Dice::new(self.run.wrapping_mul(7919).wrapping_add(number))
    }

    /// The recipients, and the targets that they lead to.
    fn recipients(&self, dice: &mut Dice) -> (Vec<&'static str>, BTreeSet<String>) {
        let count = if dice.roll(10) < 6 { 1 } else { 2 + dice.roll(3) };
        let (mut names, mut targets) = (Vec::new(), BTreeSet::new());
        for _ in 0..count {
            let roll = usize::try_from(dice.roll(if self.submits { 4 } else { 6 })).unwrap_or_default();
            let (name, indexes) = match (self.submits, TARGETS.get(roll), ALIASES.get(roll)) {
                (true, Some(target), _) => (*target, std::slice::from_ref(&roll).to_vec()),
                (_, _, Some((alias, indexes))) => (*alias, indexes.to_vec()),
                _ => continue,
            };
            if !names.contains(&name) {
                names.push(name);
            }
            targets.extend(indexes.iter().filter_map(|index| TARGETS.get(*index)).map(|target| (*target).to_owned()));
        }
        (names, targets)
    }
}

/// Mostly small, some around the size from which content has a file of its own, a few large.
fn size_of(dice: &mut Dice) -> usize {
    let bytes = match dice.roll(100) {
        0..80 => 500 + dice.roll(8000),
        80..90 => 60_000 + dice.roll(80_000),
        90..98 => 140_000 + dice.roll(360_000),
        _ => 500_000 + dice.roll(1_500_000),
    };
    usize::try_from(bytes).unwrap_or_default()
}

impl Source for Endless {
    fn is_over(&self) -> bool {
        let is_used_up = self.last.is_some_and(|last| self.next.load(Ordering::SeqCst) >= last);
        is_used_up || self.is_over.load(Ordering::SeqCst)
    }

    fn next(&self) -> Option<(u64, Way)> {
        if self.is_over() {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        if self.last.is_some_and(|last| number >= last) {
            return None;
        }
        let way = match self.dice(number).roll(10) {
            0..3 => Way::Pipelined,
            3..5 => Way::Chunks,
            _ => Way::InTurn,
        };
        Some((number, way))
    }

    fn message(&self, number: u64) -> Message {
        let mut dice = self.dice(number);
        let _ = dice.roll(10);
        let (names, targets) = self.recipients(&mut dice);
        let place = self.sizes.map(|sizes| sizes.get(usize::try_from(number).unwrap_or_default() % sizes.len()).copied().unwrap_or(900));
        let bytes = place.unwrap_or_else(|| size_of(&mut dice));
        // The server's log names the sender, and so the message.
        let from = if self.submits { ACCOUNT.to_owned() } else { format!("her.{number}@origin.test") };
        self.ledger().offered.insert(number, targets);
        Message::new(&from, &names, self.run, number, bytes, true)
    }

    fn acknowledged(&self, number: u64, _: Duration) {
        self.ledger().acknowledged.insert(number);
    }

    fn failed(&self, _: Option<u64>, code: u16, line: &str) {
        let words: Vec<&str> = line.split_whitespace().take(if code == 0 { 6 } else { 2 }).collect();
        *self.ledger().replies.entry(words.join(" ")).or_default() += 1;
    }
}

/// Clients that send until they are ended, each kind on a thread of its own.
pub struct Load {
    sources: Vec<Arc<Endless>>,
    threads: Vec<thread::JoinHandle<Result<Vec<f64>>>>,
}

impl Load {
    /// Starts sessions at each of these targets.
    pub fn start(run: u64, targets: &[Target], sessions: usize, next: &Arc<AtomicU64>, ledger: &Arc<Mutex<Sent>>) -> Self {
        let mut load = Self { sources: Vec::new(), threads: Vec::new() };
        for target in targets {
            let source = Endless::new(run, target.security != Security::Plain, next.clone(), ledger.clone());
            load.sources.push(source.clone());
            let target = target.clone();
            let parallel = sessions.div_ceil(targets.len());
            let plan = Sessions { parallel, messages_each: 40, patience: Duration::from_secs(20), pace: None };
            load.threads.push(thread::spawn(move || client::run(&target, plan, &(source as Arc<dyn Source>))));
        }
        load
    }

    /// Ends the sessions after their messages.
    pub fn end(self) -> Result<()> {
        self.sources.iter().for_each(|source| source.end());
        for thread in self.threads {
            thread.join().map_err(|_| anyhow!("a client ended badly"))??;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_gives_the_same_message_again() {
        let source = |submits| Endless::new(3, submits, Arc::default(), Arc::default());
        for number in 0..200 {
            let (a, b) = (source(false).message(number), source(false).message(number));
            assert_eq!((a.to, a.block_bytes), (b.to, b.block_bytes));
        }
        let source = source(true);
        let message = source.message(5);
        let targets: BTreeSet<String> = message.to.into_iter().collect();
        assert_eq!(source.ledger().offered.get(&5), Some(&targets), "submissions name their targets");
    }

    #[test]
    fn a_burst_offers_each_size_once() {
        static SIZES: [usize; 3] = [900, 5000, 900];
        let source = Endless::burst(1, &SIZES, Arc::new(AtomicU64::new(7)), Arc::default());
        let numbers: Vec<u64> = std::iter::from_fn(|| source.next()).map(|(number, _)| number).collect();
        assert_eq!(numbers, [7, 8, 9]);
        assert!(source.is_over());
    }
}
