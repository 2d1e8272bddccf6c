//! Memory reserved for a message during its commit, and for its jobs afterwards.
//!
//! Invariant: reserved memory is either used by jobs, which return it when settled, or returned at once.

use store::{Claimed, ClaimedRecipient, Lease, NewMessage, RecipientKey};

use crate::deliver::job::{Job, Waiter};
use crate::deliver::window::ReservedRoom;
use crate::queue::dispatch::Dispatch;

/// Memory reserved for a message that is about to be committed.
#[derive(Debug)]
pub(crate) struct Reservation {
    dispatch: Dispatch,
    room: ReservedRoom,
    used: bool,
}

impl Reservation {
    /// Takes over memory that is already counted.
    pub fn new(dispatch: Dispatch, room: ReservedRoom) -> Self {
        Self { dispatch, room, used: false }
    }

    /// The jobs of the message, one per domain.
    pub fn jobs(self, new: &NewMessage) -> ReservedJobs {
        let mut jobs: Vec<Job> = Vec::with_capacity(self.room.domains.len());
        for (index, recipient) in new.recipients.iter().enumerate() {
            let key = RecipientKey { message: new.message.id, index: u32::try_from(index).unwrap_or(u32::MAX) };
            let recipient = ClaimedRecipient { key, recipient: recipient.clone(), attempts: 0 };
            let domain = &recipient.recipient.mailbox.domain;
            match jobs.iter_mut().find(|j| j.domain == *domain) {
                Some(job) => job.claimed.recipients.push(recipient),
                None => {
                    // The message's octets are returned with its first job.
                    let held_bytes = if jobs.is_empty() { self.room.content_bytes } else { 0 };
                    let claimed = Claimed {
                        message: new.message.clone(),
                        content: Some(new.content.clone()),
                        recipients: vec![recipient.clone()],
                        lease: Lease::default(),
                    };
                    jobs.push(Job::new(claimed, domain.clone(), held_bytes));
                }
            }
        }
        ReservedJobs { reservation: self, jobs }
    }
}

/// Jobs whose message is being committed; dropped, they return their memory.
#[derive(Debug)]
pub(crate) struct ReservedJobs {
    reservation: Reservation,
    jobs: Vec<Job>,
}

impl ReservedJobs {
    /// Sends the message's only job to its lane; the outcome goes to the waiter, and the store has none of it.
    pub fn submit_waiting(mut self, waiter: Waiter) {
        if let Some(job) = self.jobs.first_mut() {
            job.waiter = Some(waiter);
        }
        self.submit(Lease::default());
    }

    /// Sends the jobs to their lanes, after the commit that claimed them under this lease.
    pub fn submit(mut self, lease: Lease) {
        self.reservation.used = true;
        for mut job in std::mem::take(&mut self.jobs) {
            job.claimed.lease = lease;
            self.reservation.dispatch.submit(job);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.used {
            self.dispatch.outbound().window.give_back(&self.room.domains, self.room.content_bytes);
        }
    }
}
