//! The ledger of a run: what was accepted, delivered and settled, and the promises that must hold at every moment.
//!
//! Invariant: it knows only what clients and hosts have seen and what is in the database; nothing is read through the store.

use std::collections::{BTreeMap, BTreeSet};

use crate::database::{Key, QueuedRow};

/// Maximum time for which mail may be claimed while no node may deliver it and at least one is well: the lease of 30 seconds, a heartbeat that began before
/// its end and one after it, by a clock that is a tenth slow.
const TAKEN_UP_MS: i64 = 42_000;

/// A delivery that a host has accepted.
#[derive(Debug)]
pub struct Delivery {
    pub node: String,
    pub life: u32,
    /// Its outcome is in the database.
    is_settled: bool,
    /// The node has ended, or lost its lease, before it could settle it.
    is_excused: bool,
}

/// What the ledger knows of a recipient.
#[derive(Debug, Default)]
pub struct Account {
    /// A client has its 250.
    is_accepted: bool,
    /// It was in the database.
    is_seen: bool,
    /// A node has tried to settle that it is done, and has heard that it is.
    is_done_tried: bool,
    is_done: bool,
    is_failed: bool,
    deliveries: Vec<Delivery>,
    /// Time for which it was claimed and no node could deliver it, while one was well.
    lost_ms: i64,
    /// The DSNs that report its failure.
    dsns: Vec<i64>,
}

/// What nodes believe, and what the database has.
#[derive(Debug, Default)]
pub struct Picture {
    pub queue: BTreeMap<Key, QueuedRow>,
    /// The deliveries that may be under way, by recipient: the names of their nodes.
    pub holders: BTreeMap<Key, Vec<String>>,
    /// The recipients that a node has in hand under a lease, whatever it does with them.
    pub in_hand: BTreeSet<Key>,
    /// Whether a node is well.
    pub is_any_well: bool,
    pub strays: i64,
}

/// The ledger.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: BTreeMap<Key, Account>,
    pub broken: Vec<String>,
    /// Deliveries in all, and those beyond the first one of a recipient.
    pub delivered: usize,
    pub repeated: usize,
}

impl Ledger {
    /// A promise is broken.
    pub fn fault(&mut self, now_ms: i64, what: impl std::fmt::Display) {
        let text = format!("at {:.3} s: {what}", now_ms as f64 / 1000.0);
        if self.broken.len() < 20 {
            self.broken.push(text);
        }
    }

    fn account(&mut self, key: Key) -> &mut Account {
        self.accounts.entry(key).or_default()
    }

    /// A client was answered: 250, or 4xx.
    pub fn answered(&mut self, key: Key, is_accepted: bool) {
        self.account(key).is_accepted |= is_accepted;
    }

    /// A host has accepted it from a node.
    pub fn deliver(&mut self, now_ms: i64, key: Key, node: &str, life: u32) {
        self.delivered += 1;
        let earlier = self.account(key).deliveries.iter().find(|delivery| !delivery.is_excused);
        let earlier = earlier.map(|delivery| format!("node {} had delivered it (settled: {})", delivery.node, delivery.is_settled));
        if let Some(earlier) = earlier {
            self.fault(now_ms, format!("DUPLICATE: {key:?} is delivered by node {node}, and {earlier}"));
        }
        let account = self.account(key);
        let is_repeated = !account.deliveries.is_empty();
        account.deliveries.push(Delivery { node: node.to_owned(), life, is_settled: false, is_excused: false });
        self.repeated += usize::from(is_repeated);
    }

    /// It failed for good; these DSNs would say so.
    pub fn fail(&mut self, key: Key, dsns: &[i64]) {
        let account = self.account(key);
        account.is_failed = true;
        account.dsns.extend(dsns);
    }

    /// A node settles that it is done.
    pub fn settle(&mut self, key: Key) {
        self.account(key).is_done_tried = true;
    }

    /// The store has said that it is settled.
    pub fn settled(&mut self, key: Key, node: &str, life: u32) {
        let account = self.account(key);
        account.is_done = true;
        for delivery in account.deliveries.iter_mut().filter(|delivery| delivery.node == node && delivery.life == life) {
            delivery.is_settled = true;
        }
    }

    /// A node cannot settle it in time: it has ended, or its lease has.
    pub fn excuse(&mut self, key: Key, node: &str, life: u32) {
        for delivery in self.account(key).deliveries.iter_mut().filter(|delivery| delivery.node == node && delivery.life == life) {
            delivery.is_excused |= !delivery.is_settled;
        }
    }

    /// Checks what must hold at every moment.
    pub fn check(&mut self, now_ms: i64, past_ms: i64, picture: &Picture) {
        for (key, holders) in picture.holders.iter().filter(|(_, holders)| holders.len() > 1) {
            self.fault(now_ms, format!("TWO OWNERS: {key:?} may be delivered by {}", holders.join(" and by ")));
        }
        if picture.strays != 0 {
            self.fault(now_ms, format!("STRAYS: {} rows belong to no message or no content", picture.strays));
        }
        let mut faults = Vec::new();
        for (key, row) in &picture.queue {
            let account = self.accounts.entry(*key).or_default();
            account.is_seen = true;
            if account.is_done {
                faults.push(format!("NOT SETTLED: {key:?} is in the queue after it was settled"));
            }
            let is_lost = row.state == 1 && !picture.in_hand.contains(key);
            account.lost_ms = if is_lost { account.lost_ms + if picture.is_any_well { past_ms } else { 0 } } else { 0 };
            if account.lost_ms > TAKEN_UP_MS {
                account.lost_ms = 0;
                faults.push(format!("NOT TAKEN UP: {key:?} is claimed by stay {:?}, and no node delivers it", row.stay));
            }
        }
        for (key, account) in &mut self.accounts {
            let is_known = account.is_accepted || account.is_seen;
            if is_known && !account.is_done_tried && !picture.queue.contains_key(key) {
                account.is_done_tried = true;
                faults.push(format!("LOST: {key:?} is neither in the queue nor delivered nor failed"));
            }
        }
        faults.into_iter().for_each(|fault| self.fault(now_ms, fault));
    }

    /// Checks what must hold at the end, when everything has worked for a while.
    pub fn finish(&mut self, now_ms: i64, queue: &BTreeMap<Key, QueuedRow>) {
        let mut faults: Vec<String> =
            queue.iter().map(|(key, row)| format!("STUCK: {key:?} is in the queue at the end: {row:?}")).collect();
        for (key, account) in self.accounts.iter().filter(|(_, account)| account.is_accepted || account.is_seen) {
            if account.deliveries.is_empty() && !account.is_failed {
                faults.push(format!("LOST: {key:?} was never delivered"));
            }
            let is_reported = account.dsns.iter().any(|dsn| self.accounts.get(&(*dsn, 0)).is_some_and(|dsn| dsn.is_seen));
            if account.deliveries.is_empty() && !account.dsns.is_empty() && !is_reported {
                faults.push(format!("NOT REPORTED: {key:?} has failed, and no DSN was queued"));
            }
        }
        faults.into_iter().for_each(|fault| self.fault(now_ms, fault));
    }

    /// Recipients that clients have handed over.
    pub fn accepted(&self) -> usize {
        self.accounts.values().filter(|account| account.is_accepted).count()
    }
}
