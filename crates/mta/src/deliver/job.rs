//! A job: a message and recipients of one domain, on their way through memory.
//!
//! Invariant: a recipient stands in one job only, and so does the room that the message's content takes.

use mail::Domain;
use store::Claimed;

use crate::deliver::breakers::Passes;
use crate::queue::cut_through::Waiter;

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
