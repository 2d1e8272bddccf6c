//! Stage: commits the message to the queue.
//!
//! RFC 5321 s.4.2.5 and s.6.1. Invariant: a job goes to dispatch only after its message is on disk, as claimed.

use store::{Committed, NewMessage, StoreError};

use crate::context::Shared;
use crate::deliver::outbound::lease_ms;
use crate::queue::dispatch::Dispatch;
use crate::queue::reservation::ReservedJobs;

/// Commits the messages. Those that fit in memory go to dispatch at once; the rest is claimed when due.
pub(crate) async fn enqueue(dispatch: &Dispatch, mut messages: Vec<NewMessage>) -> Result<Committed, StoreError> {
    let Shared { store, clock, .. } = dispatch.outbound().shared();
    let content = messages.first().map(|m| m.content.clone());
    let mut in_memory: Vec<ReservedJobs> = Vec::with_capacity(messages.len());
    for new in &mut messages {
        let reservation = if new.held.is_none() { dispatch.reserve(new) } else { None };
        new.claimed = reservation.is_some();
        in_memory.extend(reservation.map(|r| r.jobs(new)));
    }
    let all_in_memory = in_memory.len() == messages.len();
    match store.commit(messages, lease_ms(clock.now_ms())).await {
        Ok(committed) => {
            in_memory.into_iter().for_each(|jobs| jobs.submit(committed.lease()));
            if !all_in_memory {
                dispatch.wake();
            }
            Ok(committed)
        }
        Err(error) => {
            // After a failed sync it is unknown what survives a crash: the rows may, and then need their content. The next
            // start removes a file without rows.
            if let (StoreError::Full, Some(content)) = (&error, content) {
                store.discard(&content);
            }
            Err(error)
        }
    }
}
