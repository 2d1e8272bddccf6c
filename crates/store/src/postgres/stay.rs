//! The stay of this node in the cluster: from its start, or a lost lease, to the next one.
//!
//! What a node claims belongs to its stay, and within it to the transaction that claimed it: if the outcome of that transaction is unknown, nobody delivers what
//! it may have claimed, so that it is given back. Invariant: a node believes in its lease for less time than the database does, counted from the moment at
//! which it asked for it, by a clock that nobody sets.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::steady_clock::SteadyClock;
use crate::error::StoreError;
use crate::message::Lease;

/// The lease of a node in the database, in seconds.
pub(super) const LEASE_S: i64 = 30;

/// Time for which a node believes in its lease: shorter, so that what it has begun to send is at its end when another node may begin.
const BELIEVED_FOR: Duration = Duration::from_secs(20);

/// The low bits of an owner, which have the number of the transaction; the others are the number of the stay.
const TRANSACTION_BITS: u32 = 32;

/// Time in which a transaction without an answer may still be committed: by a server that could not be reached, or that waits for a standby.
const DOUBTED_FOR: Duration = Duration::from_secs(600);

/// How far the clock of this machine may be from that of the database. What waits in the queue has times of the node that wrote them, and another one fails
/// it by its own clock; a difference of minutes changes little in days.
pub(crate) const CLOCK_MAX: Duration = Duration::from_secs(300);

/// Returns the time by which mail is dated, in Unix milliseconds.
pub type WallClock = fn() -> i64;

/// The stay of this node.
#[derive(Debug)]
pub(crate) struct Stay {
    name: String,
    number: AtomicI64,
    clock: SteadyClock,
    /// The time by which mail is dated here; `None` if it is not compared.
    wall: Option<WallClock>,
    /// The time of the database, in Unix milliseconds, and when it was asked for, by `clock`.
    database: Mutex<Option<(i64, Duration)>>,
    /// When the lease was asked for, in milliseconds by `clock`.
    asked_ms: AtomicU64,
    is_draining: AtomicBool,
    /// The node has ended its lease and takes no other one.
    has_left: AtomicBool,
    /// Nodes that serve, as of the last heartbeat.
    serving: AtomicU32,
    /// The transaction of the last claims.
    transaction: AtomicU32,
    /// Owners whose transaction had no answer, and since when.
    doubted: Mutex<Vec<(i64, Duration)>>,
}

impl Stay {
    /// A stay that has not begun.
    pub fn new(name: &str, clock: SteadyClock, wall: Option<WallClock>) -> Self {
        Self {
            name: name.to_owned(),
            number: AtomicI64::new(0),
            clock,
            wall,
            database: Mutex::default(),
            asked_ms: AtomicU64::new(0),
            is_draining: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            transaction: AtomicU32::new(0),
            doubted: Mutex::default(),
            serving: AtomicU32::new(1),
        }
    }

    /// The name of the node.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of this stay.
    pub fn number(&self) -> i64 {
        self.number.load(Ordering::SeqCst)
    }

    /// The owner of what the next transaction claims.
    pub fn next_owner(&self) -> i64 {
        let transaction = self.transaction.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1);
        (self.number() << TRANSACTION_BITS) | i64::from(transaction)
    }

    /// Stands for every owner of this stay.
    pub fn any_owner(&self) -> i64 {
        self.number() << TRANSACTION_BITS
    }

    /// The transaction of this owner had no answer: what it may have claimed has no job.
    pub fn doubt(&self, owner: i64) {
        self.doubted.lock().unwrap_or_else(PoisonError::into_inner).push((owner, self.asks()));
    }

    /// The owners whose claims are to be given back.
    pub fn doubted(&self) -> Vec<i64> {
        let now = self.asks();
        let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        doubted.retain(|(_, since)| now.saturating_sub(*since) < DOUBTED_FOR);
        doubted.iter().map(|(owner, _)| *owner).collect()
    }

    /// Now, by the clock that nobody sets; for [`Self::renew`].
    pub fn asks(&self) -> Duration {
        self.clock.elapsed()
    }

    /// The lease was renewed by a question that was asked then.
    pub fn renew(&self, asked: Duration) {
        self.asked_ms.fetch_max(u64::try_from(asked.as_millis()).unwrap_or(0), Ordering::SeqCst);
    }

    /// The database's time, in Unix milliseconds, as it answered a question that was asked then.
    pub fn note_database_time(&self, now_ms: i64, asked: Duration) {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = Some((now_ms, asked));
    }

    /// Now, as mail is dated here, in Unix milliseconds; `None` if it is not compared.
    pub fn wall_ms(&self) -> Option<i64> {
        self.wall.map(|wall| wall())
    }

    /// Says that the clock of this machine, or of the database, is wrong: mail would expire too early or too late.
    pub fn wrong_clock(&self) -> Option<StoreError> {
        let (database_ms, asked) = (*self.database.lock().unwrap_or_else(PoisonError::into_inner))?;
        let since = i64::try_from(self.asks().saturating_sub(asked).as_millis()).unwrap_or(i64::MAX);
        let ahead_ms = self.wall_ms()?.saturating_sub(database_ms.saturating_add(since));
        let off = Duration::from_millis(ahead_ms.unsigned_abs());
        let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
        (off > CLOCK_MAX).then(|| {
            StoreError::Settings(format!(
                "the clock of this machine is {} {side} that of the database: mail in the queue would expire too early or too late, so this node takes and \
                 delivers none. Set both by NTP (`timedatectl` shows it)",
                roughly(off)
            ))
        })
    }

    /// A new stay begins: what was claimed before is not ours any more.
    pub fn begin(&self, number: i64, asked: Duration) {
        self.number.store(number, Ordering::SeqCst);
        self.renew(asked);
    }

    /// Whether what was claimed under a lease may still be delivered.
    pub fn may_deliver(&self, lease: Lease) -> bool {
        let asked = Duration::from_millis(self.asked_ms.load(Ordering::SeqCst));
        let is_ours = |owner: i64| owner >> TRANSACTION_BITS == self.number() && self.asks().saturating_sub(asked) < BELIEVED_FOR;
        lease.0.is_none_or(|owner| is_ours(owner) && !self.has_left() && self.wrong_clock().is_none())
    }

    /// Whether this node may claim. One that drains takes no mail; one that cannot be sure of its lease would keep from others what it may not deliver.
    pub fn may_claim(&self) -> bool {
        !self.is_draining() && self.may_deliver(Lease(Some(self.any_owner())))
    }

    /// Time since the last renewal of the lease was asked for.
    pub fn renewed_ago(&self) -> Duration {
        self.asks().saturating_sub(Duration::from_millis(self.asked_ms.load(Ordering::SeqCst)))
    }

    /// Notes how many nodes serve.
    pub fn note_serving(&self, nodes: i64) {
        self.serving.store(u32::try_from(nodes).unwrap_or(1), Ordering::SeqCst);
    }

    /// Nodes that serve; at least one.
    pub fn serving(&self) -> u32 {
        self.serving.load(Ordering::SeqCst).max(1)
    }

    /// From now on nothing is claimed, and what was claimed is not delivered.
    pub fn leave(&self) {
        self.has_left.store(true, Ordering::SeqCst);
    }

    /// Whether the node has left.
    pub fn has_left(&self) -> bool {
        self.has_left.load(Ordering::SeqCst)
    }

    /// Sets whether the node takes no more mail.
    pub fn drain(&self, is_draining: bool) {
        self.is_draining.store(is_draining, Ordering::SeqCst);
    }

    /// Whether the node takes no more mail.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }
}

/// A long time in words.
fn roughly(time: Duration) -> String {
    let minutes = (time.as_secs() + 30) / 60;
    match minutes {
        0..120 => format!("{minutes} minutes"),
        120..2880 => format!("{} hours", (minutes + 30) / 60),
        _ => format!("{} days", (minutes + 720) / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated_node::SimulatedNode;

    #[test]
    fn a_lease_ends_with_its_stay_and_without_renewal() {
        let node = SimulatedNode::default();
        let stay = Stay::new("a", SteadyClock::simulated(&node), None);
        stay.begin(7, stay.asks());
        let lease = Lease(Some(stay.next_owner()));
        assert!(stay.may_deliver(lease) && stay.may_deliver(Lease::default()));
        stay.begin(8, stay.asks());
        assert!(!stay.may_deliver(lease), "of an earlier stay");
        let lease = Lease(Some(stay.next_owner()));
        stay.doubt(5);
        assert_eq!(stay.doubted(), [5]);
        node.advance(BELIEVED_FOR - Duration::from_millis(1));
        assert!(stay.may_deliver(lease));
        let asked = stay.asks();
        node.advance(Duration::from_millis(1));
        assert!(!stay.may_deliver(lease), "it was not renewed");
        assert!(stay.may_deliver(Lease::default()), "what nobody else has may always be delivered");
        stay.renew(asked);
        assert!(stay.may_deliver(lease), "it is counted from the question, not from the answer");
        node.advance(BELIEVED_FOR - Duration::from_millis(1));
        assert!(!stay.may_deliver(lease));
        node.advance(DOUBTED_FOR);
        assert!(stay.doubted().is_empty());
    }
    #[test]
    fn a_clock_that_is_minutes_off_is_wrong_and_one_that_is_set_right_is_not() {
        const BASE_MS: i64 = 1_800_000_000_000;
        let node = SimulatedNode::default();
        let stay = Stay::new("a", SteadyClock::simulated(&node), Some(|| BASE_MS));
        assert!(stay.wrong_clock().is_none(), "nothing is known of the database");
        for (ahead_s, said) in [(0, None), (299, None), (-299, None), (301, Some("5 minutes ahead of")), (-518_400, Some("6 days behind"))]
        {
            stay.note_database_time(BASE_MS - ahead_s * 1000, stay.asks());
            let text = stay.wrong_clock().map(|error| error.to_string());
            assert_eq!(text.is_some(), said.is_some(), "{ahead_s}: {text:?}");
            assert!(said.is_none_or(|said| text.is_some_and(|text| text.contains(said))), "{ahead_s}");
        }
        stay.note_database_time(BASE_MS, stay.asks());
        stay.begin(7, stay.asks());
        let lease = Lease(Some(stay.next_owner()));
        assert!(stay.may_deliver(lease) && stay.may_claim());
        // The wall clock stands still while the other one goes on: it was set back.
        node.advance(Duration::from_secs(301));
        stay.renew(stay.asks());
        assert!(!stay.may_deliver(lease) && !stay.may_claim());
    }
}
