//! A node of a run: its clocks, its cable to the database, and between start and end a store with the deliveries under way, as `mta` has them.
//!
//! Invariant: before a delivery begins, and before its content ends, the node asks whether it may; the rest follows from the store.

use std::time::Duration;

use anyhow::Result;
use mail::Domain;
use store::{Claimed, Lease, NewMessage, RecipientKey, Settlement, SimulatedNode, Store, StoreError};
use tempfile::TempDir;

use crate::cable::{Cable, Fault};
use crate::database::Key;

/// Interval of heartbeats, by the node's clock.
const HEARTBEAT_MS: i64 = 5_000;

/// Time after which a node whose connection was lost tries again.
const AGAIN_MS: i64 = 1_000;

/// How long a claim lasts at most.
const CLAIM_MS: i64 = 24 * 3_600_000;

/// A node.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub home: TempDir,
    /// Milliseconds of its monotonic clock in 1,000.
    pub rate: i64,
    /// How far its wall clock is ahead of true time.
    pub ahead_ms: i64,
    /// The cables of this life and of earlier ones, whose last COMMITs may still be on their way.
    pub cables: Vec<Cable>,
    pub life: Option<Life>,
    /// Lives so far.
    pub lives: u32,
    /// Whether the operator has told it to drain.
    pub is_draining: bool,
}

/// A node between its start and its end.
#[derive(Debug)]
pub struct Life {
    pub store: Store,
    pub clock: SimulatedNode,
    pub cable: Cable,
    pub jobs: Vec<Job>,
    /// When its clock was at 0, and how far it was moved.
    pub begun_ms: i64,
    pub elapsed_ms: i64,
    pub beats_at_ms: i64,
    /// Whether its last heartbeat had an answer.
    pub is_heard: bool,
}

/// A delivery: a message with its claimed recipients of a lane.
#[derive(Debug)]
pub struct Job {
    pub message: i64,
    pub recipients: Vec<RecipientKey>,
    pub lease: Lease,
    pub phase: Phase,
}

/// How far a delivery is.
#[derive(Debug)]
pub enum Phase {
    Claimed,
    Begun,
    /// The attempt has ended; the host has accepted the content for `delivered`.
    Ended {
        settlement: Box<Settlement>,
        delivered: Vec<Key>,
    },
}

/// The key of a recipient, for the ledger.
pub fn key_of(key: RecipientKey) -> Key {
    (key.message.0, key.index)
}

impl Job {
    pub fn new(claimed: &Claimed) -> Self {
        let recipients = claimed.recipients.iter().map(|recipient| recipient.key).collect();
        Self { message: claimed.message.id.0, recipients, lease: claimed.lease, phase: Phase::Claimed }
    }

    /// The recipients of which no other node may believe that it has them.
    pub fn holds(&self) -> Vec<Key> {
        match &self.phase {
            Phase::Claimed | Phase::Begun => self.recipients.iter().copied().map(key_of).collect(),
            Phase::Ended { delivered, .. } => delivered.clone(),
        }
    }

    /// What is to be settled.
    pub fn settlement(&self) -> Option<&Settlement> {
        match &self.phase {
            Phase::Ended { settlement, .. } => Some(settlement),
            _ => None,
        }
    }
}

/// What a node asks its store for.
#[derive(Debug)]
pub enum Action {
    /// Commits a message.
    Accept { new: Box<NewMessage>, is_delayed: bool },
    /// Looks for due lanes, and claims at most so many recipients of each.
    ClaimRound { room: u32 },
    /// Settles the job of this place.
    Settle { job: usize },
    /// Sends a heartbeat.
    Beat,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    Accepted(Result<Lease, StoreError>),
    /// The lanes that the store named, and when they are due; what was claimed of each that is.
    Claims(Result<Vec<LaneClaim>, StoreError>),
    Settled(Result<(), StoreError>),
    Beaten(Result<(), StoreError>),
}

/// What came of the claims of a lane.
#[derive(Debug)]
pub struct LaneClaim {
    pub lane: Domain,
    pub due_ms: i64,
    /// `None` if it is not due.
    pub claimed: Option<Result<Vec<Claimed>, StoreError>>,
}

impl Life {
    /// Moves the node's clock to this moment.
    pub fn move_to(&mut self, now_ms: i64, rate: i64) {
        let elapsed_ms = (now_ms - self.begun_ms) * rate / 1000;
        let by = u64::try_from(elapsed_ms - self.elapsed_ms).unwrap_or(0);
        self.clock.advance(Duration::from_millis(by));
        self.elapsed_ms = self.elapsed_ms.max(elapsed_ms);
    }

    /// Whether it can do what it should: reach the database, and know that its lease was renewed.
    pub fn is_healthy(&self) -> bool {
        self.cable.is_whole() && self.is_heard && self.cable.armed().is_none()
    }

    /// Recipients under way.
    pub fn held(&self) -> usize {
        self.jobs.iter().map(|job| job.recipients.len()).sum()
    }

    /// Does it, by the store alone.
    pub async fn perform(&self, action: &Action, wall_ms: i64) -> Outcome {
        match action {
            Action::Accept { new, is_delayed } => {
                if *is_delayed {
                    self.cable.arm(Some(Fault::Delays));
                }
                let committed = self.store.commit(vec![(**new).clone()], wall_ms + CLAIM_MS).await;
                if *is_delayed {
                    self.cable.arm(None);
                }
                Outcome::Accepted(committed.map(|committed| committed.lease()))
            }
            Action::ClaimRound { room } => Outcome::Claims(self.claim_round(*room, wall_ms).await),
            Action::Settle { job } => {
                let settlement = self.jobs.get(*job).and_then(Job::settlement).cloned().unwrap_or_default();
                Outcome::Settled(self.store.settle(settlement, wall_ms + CLAIM_MS).await)
            }
            Action::Beat => Outcome::Beaten(self.clock.beat().await),
        }
    }

    async fn claim_round(&self, room: u32, wall_ms: i64) -> Result<Vec<LaneClaim>, StoreError> {
        let mut claims = Vec::new();
        for due in self.store.lanes().await? {
            let claimed = if due.due_ms <= wall_ms {
                Some(self.store.claim(due.lane.clone(), wall_ms, wall_ms + CLAIM_MS, room).await)
            } else {
                None
            };
            claims.push(LaneClaim { lane: due.lane, due_ms: due.due_ms, claimed });
        }
        Ok(claims)
    }

    /// When the next heartbeat is due.
    pub fn note_beat(&mut self, now_ms: i64, rate: i64, outcome: &Result<(), StoreError>) {
        self.is_heard = outcome.is_ok();
        self.beats_at_ms = now_ms + if outcome.is_ok() { HEARTBEAT_MS * 1000 / rate } else { AGAIN_MS };
    }
}

/// The kind of an error. Its text may name what differs from run to run.
pub fn kind(error: &StoreError) -> String {
    let shown = format!("{error:?}");
    shown.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
