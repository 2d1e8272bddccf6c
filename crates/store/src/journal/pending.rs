//! What the journal holds and the database does not have yet, in memory.
//!
//! Invariant: arrivals and settlements in the order in which they are [replayed](Pending::changes) give what the journal's records say; a message whose
//! recipients are all done is not in it.

use std::collections::{BTreeMap, HashMap, HashSet};

use mail::QueueId;

use super::entry::Entry;
use crate::message::{Disposition, NewMessage, RecipientKey, Settlement};

/// Approximate memory of a settlement or a message without its content, in octets.
const ENTRY_BYTES: u64 = 512;

/// The messages of one commit, until all their recipients are done.
#[derive(Debug)]
struct Arrival {
    messages: Vec<NewMessage>,
    lease_ms: i64,
    done: HashSet<RecipientKey>,
    recipients: usize,
}

/// What the database does not have yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The arrivals, by the order of their commits.
    arrivals: BTreeMap<u64, Arrival>,
    /// The arrival of each message.
    arrival_of: HashMap<QueueId, u64>,
    /// Settlements that do more than to remove recipients of these arrivals.
    settlements: Vec<(Settlement, i64)>,
    arrived: u64,
    bytes: u64,
}

impl Pending {
    /// Adds what a record says. Returns the content files that no message names any more.
    pub fn add(&mut self, entry: Entry) -> Vec<QueueId> {
        match entry {
            Entry::Arrived { messages, lease_ms } => {
                self.arrive(messages, lease_ms);
                Vec::new()
            }
            Entry::Settled { settlement, lease_ms } => self.settle(settlement, lease_ms),
        }
    }

    fn arrive(&mut self, messages: Vec<NewMessage>, lease_ms: i64) {
        let recipients = messages.iter().map(|new| new.recipients.len()).sum();
        self.arrived += 1;
        self.bytes += messages.iter().map(message_bytes).sum::<u64>();
        self.arrival_of.extend(messages.iter().map(|new| (new.message.id, self.arrived)));
        self.arrivals.insert(self.arrived, Arrival { messages, lease_ms, done: HashSet::new(), recipients });
    }

    fn settle(&mut self, mut settlement: Settlement, lease_ms: i64) -> Vec<QueueId> {
        let mut files = Vec::new();
        settlement.recipients.retain(|(key, result)| {
            let (Disposition::Done, Some(number)) = (result, self.arrival_of.get(&key.message)) else { return true };
            let number = *number;
            files.extend(self.done(number, *key));
            false
        });
        let Settlement { recipients, delay_reported, follow, failed, .. } = &settlement;
        if !(recipients.is_empty() && delay_reported.is_empty() && follow.is_empty() && failed.is_empty()) {
            self.bytes += ENTRY_BYTES + follow.iter().map(message_bytes).sum::<u64>();
            self.settlements.push((settlement, lease_ms));
        }
        files
    }

    /// Marks a recipient of an arrival, and forgets the arrival with its last one. Returns its content files.
    fn done(&mut self, number: u64, key: RecipientKey) -> HashSet<QueueId> {
        let Some(arrival) = self.arrivals.get_mut(&number) else { return HashSet::new() };
        arrival.done.insert(key);
        if arrival.done.len() < arrival.recipients {
            return HashSet::new();
        }
        let messages = self.arrivals.remove(&number).map(|arrival| arrival.messages).unwrap_or_default();
        for new in &messages {
            self.arrival_of.remove(&new.message.id);
            self.bytes = self.bytes.saturating_sub(message_bytes(new));
        }
        messages.iter().filter(|new| new.content.file.is_some()).map(|new| new.content.id).collect()
    }

    /// Whether a message of this ID is in it.
    pub fn has(&self, id: QueueId) -> bool {
        self.arrival_of.contains_key(&id)
    }

    /// Whether the database has everything.
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty() && self.settlements.is_empty()
    }

    /// Whether a settlement is in it, after which a message may wait.
    pub fn has_settlements(&self) -> bool {
        !self.settlements.is_empty()
    }

    /// The number of messages and settlements.
    pub fn len(&self) -> usize {
        self.arrival_of.len() + self.settlements.len()
    }

    /// Its approximate size in memory and in the database, in octets.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Passes the changes that the database needs, in order, to `change`.
    pub fn changes<E>(&self, mut change: impl FnMut(PendingChange<'_>) -> Result<(), E>) -> Result<(), E> {
        for arrival in self.arrivals.values() {
            let done = arrival.done.iter().map(|key| (*key, Disposition::Done)).collect();
            let done = Settlement { recipients: done, ..Settlement::default() };
            change(PendingChange::Arrival { messages: &arrival.messages, lease_ms: arrival.lease_ms, done })?;
        }
        self.settlements.iter().try_for_each(|(settlement, lease_ms)| change(PendingChange::Settlement { settlement, lease_ms: *lease_ms }))
    }

    /// Forgets everything, once the database has it.
    pub fn clear(&mut self) {
        *self = Self { arrived: self.arrived, ..Self::default() };
    }
}

/// A change that the database needs.
#[derive(Debug)]
pub(super) enum PendingChange<'a> {
    /// Messages, and which of their recipients are done.
    Arrival { messages: &'a [NewMessage], lease_ms: i64, done: Settlement },
    /// The end of an attempt.
    Settlement { settlement: &'a Settlement, lease_ms: i64 },
}

fn message_bytes(new: &NewMessage) -> u64 {
    let content = if new.content.file.is_none() { new.content.size_bytes() } else { 0 };
    content + new.message.prefix.len() as u64 + ENTRY_BYTES * (1 + new.recipients.len() as u64)
}
