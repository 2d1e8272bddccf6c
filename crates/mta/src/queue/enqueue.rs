//! Stage: the message becomes ours.
//!
//! RFC 5321 s.4.2.5 and s.6.1. Invariant: what is handed to dispatch in memory is on disk first, as claimed.

use store::{Committed, NewMessage, StoreError};

use crate::context::Shared;
use crate::deliver::outbound::lease_ms;
use crate::queue::dispatch::Dispatch;
use crate::queue::reservation::ReservedJobs;

/// Commits the messages. What dispatch has room for goes to it at once, in memory; the rest is found when it is due.
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
            in_memory.into_iter().for_each(ReservedJobs::submit);
            if !all_in_memory {
                dispatch.wake();
            }
            Ok(committed)
        }
        Err(error) => {
            // After a sync that failed nobody knows what a crash would leave: the rows may come back, and then need their
            // content. A file that stays without rows is swept at the next start.
            if let (StoreError::Full, Some(content)) = (&error, content) {
                store.discard(&content);
            }
            Err(error)
        }
    }
}
