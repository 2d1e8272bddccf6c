//! Limits the memory for jobs: recipients per domain and in total, and their content.
//!
//! Invariant: what is reserved is returned once, when its job is settled; a domain with more due mail than fits is starved: its new mail
//! waits behind the mail in the store.

use std::collections::HashMap;

use mail::Domain;
use parking_lot::{Mutex, MutexGuard};
use store::NewMessage;

use crate::deliver::job::Job;
use crate::support::wake::Wake;

/// Maximum recipients of one domain in memory.
const DOMAIN_MAX: usize = 1000;

/// Maximum recipients in memory.
const RECIPIENTS_MAX: usize = 50_000;

/// Maximum content held in memory for jobs, in octets; what does not fit is read from disk when its turn comes.
const CONTENT_MAX_BYTES: u64 = 64 << 20;

/// The memory in use; wakes the dispatcher when a starved domain gets room.
#[derive(Debug)]
pub(crate) struct Window {
    used: Mutex<WindowUse>,
    wake: Wake,
}

#[derive(Debug, Default)]
struct WindowUse {
    domains: HashMap<Domain, DomainUse>,
    recipients: usize,
    content_bytes: u64,
}

#[derive(Debug, Default)]
struct DomainUse {
    recipients: usize,
    /// More is due in the store than there was room for.
    is_starved: bool,
}

/// Memory reserved for one message.
#[derive(Debug)]
pub(crate) struct ReservedRoom {
    /// Recipients by domain, in the order in which the message names them.
    pub domains: Vec<(Domain, usize)>,
    pub content_bytes: u64,
}

impl Window {
    /// An empty window.
    pub fn new(wake: Wake) -> Self {
        Self { used: Mutex::default(), wake }
    }

    fn used(&self) -> MutexGuard<'_, WindowUse> {
        self.used.lock()
    }

    /// Recipients in memory.
    pub fn recipients(&self) -> usize {
        self.used().recipients
    }

    /// Reserves memory for a new message, so that it need not be read back; `None` if there is none.
    pub fn reserve(&self, new: &NewMessage) -> Option<ReservedRoom> {
        let mut domains: Vec<(Domain, usize)> = Vec::with_capacity(1);
        for recipient in &new.recipients {
            match domains.iter_mut().find(|(domain, _)| *domain == recipient.mailbox.domain) {
                Some((_, count)) => *count += 1,
                None => domains.push((recipient.mailbox.domain.clone(), 1)),
            }
        }
        let content_bytes = new.content.front().len() as u64;
        let mut used = self.used();
        let has_room = |(domain, count): &(Domain, usize)| {
            used.domains.get(domain).is_none_or(|of_domain| !of_domain.is_starved && of_domain.recipients + count <= DOMAIN_MAX)
        };
        let fits = used.recipients + new.recipients.len() <= RECIPIENTS_MAX && used.content_bytes + content_bytes <= CONTENT_MAX_BYTES;
        if !fits || !domains.iter().all(has_room) {
            return None;
        }
        for (domain, count) in &domains {
            used.domains.entry(domain.clone()).or_default().recipients += count;
        }
        used.recipients += new.recipients.len();
        used.content_bytes += content_bytes;
        Some(ReservedRoom { domains, content_bytes })
    }

    /// Reserves all that is left for recipients of a domain; if nothing is, the domain is starved.
    pub fn reserve_rest(&self, name: &Domain) -> usize {
        let mut used = self.used();
        let total = RECIPIENTS_MAX.saturating_sub(used.recipients);
        let domain = used.domains.entry(name.clone()).or_default();
        let room = DOMAIN_MAX.saturating_sub(domain.recipients).min(total);
        domain.recipients += room;
        domain.is_starved |= room == 0;
        used.recipients += room;
        room
    }

    /// Keeps `count` of the `room` that [`Window::reserve_rest`] reserved, and returns the rest.
    pub fn keep(&self, name: &Domain, room: usize, count: usize) {
        let mut used = self.used();
        let rest = room.saturating_sub(count);
        used.recipients = used.recipients.saturating_sub(rest);
        let domain = used.domains.entry(name.clone()).or_default();
        domain.recipients = domain.recipients.saturating_sub(rest);
        domain.is_starved = count >= room;
    }

    /// Returns memory; true if mail in the store waits for it.
    pub fn give_back(&self, domains: &[(Domain, usize)], content_bytes: u64) -> bool {
        let mut used = self.used();
        let mut is_awaited = false;
        used.content_bytes = used.content_bytes.saturating_sub(content_bytes);
        for (name, count) in domains {
            used.recipients = used.recipients.saturating_sub(*count);
            let Some(domain) = used.domains.get_mut(name) else { continue };
            domain.recipients = domain.recipients.saturating_sub(*count);
            // Half a window at a time: a query per message would cost more than the message.
            is_awaited |= domain.is_starved && domain.recipients <= DOMAIN_MAX / 2;
        }
        is_awaited
    }

    /// Returns the memory of a job that is settled, or not started at a shutdown. Its claim in the store is released with all others.
    pub fn release(&self, job: &Job) {
        if self.give_back(&[(job.domain.clone(), job.claimed.recipients.len())], job.held_bytes) {
            self.wake.wake();
        }
    }

    /// Forgets idle domains.
    pub fn forget_idle(&self) {
        self.used().domains.retain(|_, domain| domain.recipients > 0 || domain.is_starved);
    }
}
