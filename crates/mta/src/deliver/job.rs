//! A job: a message and recipients of one domain in memory, and the session that may wait for its outcome.
//!
//! Invariant: a recipient is in one job only, and so is the memory of the message's content.

use std::net::IpAddr;

use mail::Domain;
use policy::Trouble;
use store::Claimed;
use tokio::sync::oneshot;

use crate::context::Shared;
use crate::deliver::breakers::Passes;
use crate::deliver::dedup::DedupMark;
use crate::deliver::delivery_log::{self, Tried};
use crate::deliver::transaction::Delivered;
use crate::deliver::window::Window;

/// The outcome for each recipient of a job, in order.
pub(crate) type Outcomes = Vec<Result<Delivered, Trouble>>;

/// A message and recipients of one domain.
#[derive(Debug)]
pub(crate) struct Job {
    pub claimed: Claimed,
    pub domain: Domain,
    /// Octets of content that it holds in memory.
    pub held_bytes: u64,
    /// The session that waits for its outcome; without one it belongs to the queue.
    pub waiter: Option<Waiter>,
    /// The passes of the circuit breakers, from admission to outcome.
    pub passes: Option<Passes>,
    /// The attempt, once it was made.
    pub attempt: Option<AttemptMade>,
}

/// What the log says about an attempt besides its results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptMade {
    /// Its duration, in milliseconds.
    pub took_ms: i64,
    /// The address of the host; `None` if it was not reached, or is a local socket.
    pub address: Option<IpAddr>,
}

impl Job {
    /// A job without a waiter.
    pub fn new(claimed: Claimed, domain: Domain, held_bytes: u64) -> Self {
        Self { claimed, domain, held_bytes, waiter: None, passes: None, attempt: None }
    }

    /// Moves the recipient at `index` into a job of its own.
    pub fn take_recipient(&mut self, index: usize) -> Option<Self> {
        if index >= self.claimed.recipients.len() {
            return None;
        }
        let recipients = vec![self.claimed.recipients.remove(index)];
        let claimed =
            Claimed { message: self.claimed.message.clone(), content: self.claimed.content.clone(), recipients, lease: self.claimed.lease };
        Some(Self::new(claimed, self.domain.clone(), 0))
    }
}

/// A job and its outcomes.
pub(crate) type Outcome = (Job, Outcomes);

/// The session that waits for the outcome of a job, instead of the queue.
#[derive(Debug)]
pub(crate) struct Waiter {
    outcome: oneshot::Sender<Outcome>,
    mark: Option<DedupMark>,
}

impl Waiter {
    /// A waiter, and where the outcome is read.
    pub fn new(mark: Option<DedupMark>) -> (Self, oneshot::Receiver<Outcome>) {
        let (outcome, receiver) = oneshot::channel();
        (Self { outcome, mark }, receiver)
    }

    /// Whether the session no longer waits: then the job must not start.
    pub fn is_gone(&self) -> bool {
        self.outcome.is_closed()
    }

    /// Passes the outcome to the session. Dedup remembers a delivery, since a sender that missed our reply retries.
    pub fn pass(self, shared: &Shared, window: &Window, job: Job, results: Outcomes, now_ms: i64) {
        let taken = is_taken(&results);
        // Dedup remembers it before the mark is dropped, so that the next copy finds one or the other.
        if let (true, Some(mark)) = (taken, &self.mark) {
            mark.remember(now_ms);
        }
        if let Err((job, results)) = self.outcome.send((job, results)) {
            if taken {
                for (recipient, delivered) in job.claimed.recipients.iter().zip(results.iter().flatten()) {
                    delivery_log::delivered_late(shared, Tried::of(&job, recipient), delivered);
                }
            }
            window.release(&job);
        }
    }
}

/// Whether every recipient has the message. An empty list is not success.
pub(crate) fn is_taken(results: &[Result<Delivered, Trouble>]) -> bool {
    !results.is_empty() && results.iter().all(Result::is_ok)
}
