//! A job: a message and recipients of one domain, on their way through memory, and who waits for its outcome.
//!
//! Invariant: a recipient stands in one job only, and so does the room that the message's content takes.

use mail::Domain;
use policy::Trouble;
use store::Claimed;
use tokio::sync::oneshot;

use crate::deliver::breakers::Passes;
use crate::deliver::dedup::Mark;
use crate::deliver::transaction::Delivered;
use crate::deliver::window::Window;

/// What became of each recipient of a job, in order.
pub(crate) type Outcomes = Vec<Result<Delivered, Trouble>>;

/// A message and recipients of one domain.
#[derive(Debug)]
pub(crate) struct Job {
    pub claimed: Claimed,
    pub domain: Domain,
    /// Octets of content that it holds in memory.
    pub held_bytes: u64,
    /// Who waits for its outcome; without one it is the queue's.
    pub waiter: Option<Waiter>,
    /// The circuits that let it through, from then on until its outcome is known.
    pub passes: Option<Passes>,
}

impl Job {
    /// A job that nobody waits for.
    pub fn new(claimed: Claimed, domain: Domain, held_bytes: u64) -> Self {
        Self { claimed, domain, held_bytes, waiter: None, passes: None }
    }

    /// A job with one recipient of this one, by its place.
    pub fn take_recipient(&mut self, place: usize) -> Option<Self> {
        if place >= self.claimed.recipients.len() {
            return None;
        }
        let recipients = vec![self.claimed.recipients.remove(place)];
        let claimed = Claimed { message: self.claimed.message.clone(), content: self.claimed.content.clone(), recipients };
        Some(Self::new(claimed, self.domain.clone(), 0))
    }
}

/// A job that was offered while its sender waits, and what became of it.
pub(crate) type Outcome = (Job, Outcomes);

/// The session that waits for the outcome of a job, instead of the queue.
#[derive(Debug)]
pub(crate) struct Waiter {
    outcome: oneshot::Sender<Outcome>,
    mark: Option<Mark>,
}

impl Waiter {
    /// A waiter, and where the outcome is read.
    pub fn new(mark: Option<Mark>) -> (Self, oneshot::Receiver<Outcome>) {
        let (outcome, receiver) = oneshot::channel();
        (Self { outcome, mark }, receiver)
    }

    /// Whether nobody waits any more: what has not begun is not to be begun.
    pub fn is_gone(&self) -> bool {
        self.outcome.is_closed()
    }

    /// Hands the outcome to the session. That the target has taken the message is remembered: a sender that did not read our reply tries again.
    pub fn tell(self, window: &Window, job: Job, results: Outcomes, now_ms: i64) {
        let taken = is_taken(&results);
        // Remembered before the mark goes: the next copy finds one or the other.
        if let (true, Some(mark)) = (taken, &self.mark) {
            mark.remember(now_ms);
        }
        if let Err((job, _)) = self.outcome.send((job, results)) {
            if taken {
                tracing::warn!(id = %job.claimed.message.id, "delivered after its sender got a temporary failure; the next copy will not be forwarded");
            }
            window.done(&job);
        }
    }
}

/// Whether every recipient has the message. An empty list is not success.
pub(crate) fn is_taken(results: &[Result<Delivered, Trouble>]) -> bool {
    !results.is_empty() && results.iter().all(Result::is_ok)
}
