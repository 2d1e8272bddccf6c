//! The part of the handle for the queue: commit, claim, settle, and the operator's commands.
//!
//! Invariant: every change is committed when its method returns; [`Committed`] is returned only after a commit.

use std::sync::Arc;

use mail::{Domain, QueueId};

use crate::content::Content;
use crate::error::StoreError;
use crate::handle::Store;
use crate::message::{
    Claimed, ClockStep, Committed, FailedDelivery, Lease, ListFilter, ListedMessage, NewMessage, NoticeMark, QueueTotals, Settlement,
    Unnoticed,
};
use crate::operation::{Operation, WriteOutcome};
use crate::tables::{self, LaneDue, QueueLoad, RetryScope};

/// Lanes that are named in a [`QueueLoad`].
const LANES_MAX: usize = 20;

/// Minimum time for which a [`QueueLoad`] is used, in milliseconds.
const LOAD_FOR_MS: i64 = 2_000;

/// Maximum time for which a [`QueueLoad`] is used, in milliseconds.
const LOAD_FOR_MAX_MS: i64 = 60_000;

/// Queued recipients that make this time a millisecond longer.
const RECIPIENTS_PER_MS: i64 = 100;

impl Store {
    /// Commits messages; they are on disk, synced, when this returns, large contents in files. Claims end at `lease_ms`.
    pub async fn commit(&self, messages: Vec<NewMessage>, lease_ms: i64) -> Result<Committed, StoreError> {
        let (messages, files) = if self.cluster.is_some() { (messages, Vec::new()) } else { self.in_files(messages).await? };
        let done = self.write(Operation::Enqueue { messages, lease_ms }).await;
        // After any other error it is unknown what survives a crash: the rows may, and then need their content.
        if let Err(StoreError::Full) = done {
            files.iter().for_each(|content| self.discard(content));
        }
        done.map(|outcome| if let WriteOutcome::Enqueued(lease) = outcome { Committed(lease) } else { Committed(Lease::default()) })
    }

    /// Puts large contents that are in memory only into files. Returns the messages, and those contents.
    async fn in_files(&self, mut messages: Vec<NewMessage>) -> Result<(Vec<NewMessage>, Vec<Content>), StoreError> {
        let mut files: Vec<Content> = Vec::new();
        for new in messages.iter_mut().filter(|new| new.content.lacks_file()) {
            let shared = files.iter().find(|content| content.id == new.content.id).cloned();
            new.content = match shared {
                Some(content) => content,
                None => match self.put_in_file(new.content.clone()).await {
                    Ok(content) => {
                        files.push(content.clone());
                        content
                    }
                    Err(error) => {
                        files.iter().for_each(|content| self.discard(content));
                        return Err(error);
                    }
                },
            };
        }
        Ok((messages, files))
    }

    /// Commits the end of an attempt, with the DSNs that follow from it.
    pub async fn settle(&self, settlement: Settlement, lease_ms: i64) -> Result<(), StoreError> {
        self.write(Operation::Settle { settlement, lease_ms, may_wait: false }).await.map(drop)
    }

    /// Commits the end of an attempt with the next message that arrives, or after some milliseconds: two commits share a sync. For a connection for
    /// which no other message waits.
    pub async fn settle_beside(&self, settlement: Settlement, lease_ms: i64) -> Result<(), StoreError> {
        self.write(Operation::Settle { settlement, lease_ms, may_wait: true }).await.map(drop)
    }

    /// Returns every lane with recipients.
    pub async fn lanes(&self) -> Result<Vec<LaneDue>, StoreError> {
        if self.cluster.is_none() {
            self.write(Operation::Move { only_settlements: true }).await?;
        }
        self.read(tables::lanes).await
    }

    /// Claims up to `limit` due recipients of a lane.
    pub async fn claim(&self, lane: Domain, now_ms: i64, lease_ms: i64, limit: u32) -> Result<Vec<Claimed>, StoreError> {
        match self.write(Operation::Claim { lane, now_ms, lease_ms, limit }).await? {
            WriteOutcome::Claimed(claimed) => Ok(claimed),
            _ => Ok(Vec::new()),
        }
    }

    /// Makes recipients due that the previous process had claimed. Returns their number.
    pub async fn release_claims(&self, now_ms: i64) -> Result<u64, StoreError> {
        self.count(Operation::ReleaseClaims { now_ms }).await
    }

    /// Moves times in the queue after the wall clock was set. Returns the number of recipients that would have waited too long.
    pub async fn step_clock(&self, step: ClockStep) -> Result<u64, StoreError> {
        self.count(Operation::StepClock(step)).await
    }

    /// Makes recipients due now: those of a message, of a lane, or all. Returns their number. For all, it works in steps, so that other
    /// operations are committed between them.
    pub async fn retry(&self, id: Option<QueueId>, lane: Option<Domain>, now_ms: i64) -> Result<u64, StoreError> {
        match (id, lane) {
            (Some(id), _) => return self.count(Operation::Retry { scope: RetryScope::Message(id), now_ms }).await,
            (None, Some(lane)) => return self.count(Operation::Retry { scope: RetryScope::Lane(lane), now_ms }).await,
            (None, None) => {}
        }
        let last = self.read_queue(tables::highest_id).await?;
        let (mut retried, mut after) = (0, QueueId(i64::MIN));
        while after < last
            && let Some(until) = self.read(move |db| tables::end_of_retry_step(db, after)).await?
        {
            retried += self.count(Operation::Retry { scope: RetryScope::Range { after, until }, now_ms }).await?;
            after = until;
        }
        Ok(retried)
    }

    /// Removes a message, or one recipient of it, without a DSN.
    pub async fn remove(&self, id: QueueId, index: Option<u32>) -> Result<(), StoreError> {
        self.write(Operation::Drop { id, index }).await.map(|_| ())
    }

    /// Releases a held message: it is due now, and given up at `expires_ms` at the earliest.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if no such message is held.
    pub async fn release(&self, id: QueueId, now_ms: i64, expires_ms: i64) -> Result<(), StoreError> {
        self.write(Operation::Release { id, now_ms, expires_ms }).await.map(|_| ())
    }

    /// Replaces a message by another one, in one commit.
    pub async fn replace(&self, id: QueueId, with: NewMessage) -> Result<(), StoreError> {
        self.write(Operation::Replace { id, with: Box::new(with) }).await.map(|_| ())
    }

    /// Removes expired held messages. Returns their number.
    pub async fn expire_held(&self, now_ms: i64) -> Result<u64, StoreError> {
        self.count(Operation::ExpireHeld { now_ms }).await
    }

    /// Returns failures and held messages since the last notice, at most `limit` of each.
    pub async fn unnoticed(&self, limit: u32) -> Result<Unnoticed, StoreError> {
        self.read_queue(move |db| tables::unnoticed(db, limit)).await
    }

    /// Commits a notice to the postmaster, and the last failure and held message in it.
    pub async fn notice(&self, messages: Vec<NewMessage>, up_to: NoticeMark, now_ms: i64) -> Result<(), StoreError> {
        self.write(Operation::Notice { messages, up_to, now_ms }).await.map(|_| ())
    }

    /// Returns deliveries that failed without a DSN, the newest first.
    pub async fn failed(&self, before: Option<i64>, limit: u32) -> Result<Vec<(i64, FailedDelivery)>, StoreError> {
        self.read_queue(move |db| tables::list_failed(db, before, limit)).await
    }

    /// Returns a page of the queue.
    pub async fn list(&self, mut filter: ListFilter) -> Result<Vec<ListedMessage>, StoreError> {
        let mut listed = Vec::new();
        loop {
            let step = filter.clone();
            let step = self.read_queue(move |db| tables::list(db, &step)).await?;
            filter.limit = filter.limit.saturating_sub(u32::try_from(step.messages.len()).unwrap_or(u32::MAX));
            listed.extend(step.messages);
            match step.behind {
                Some(behind) if filter.limit > 0 => filter.after = Some(behind),
                _ => return Ok(listed),
            }
        }
    }

    /// Returns the totals of the queue.
    pub async fn totals(&self) -> Result<QueueTotals, StoreError> {
        self.read_queue(tables::totals).await
    }

    /// Returns what waits, by lane and by age: the largest 20 lanes, then the sum of the others. The cost grows with the length of the queue, and other
    /// queries wait meanwhile, so the answer may be some seconds old: 2 for a short queue, 12 for a million recipients.
    pub async fn load(&self, now_ms: i64) -> Result<Arc<QueueLoad>, StoreError> {
        let mut known = self.load.lock().await;
        if let Some((until_ms, load)) = &*known
            && (*until_ms - LOAD_FOR_MAX_MS..*until_ms).contains(&now_ms)
        {
            return Ok(load.clone());
        }
        let recipients = i64::try_from(self.totals().await?.recipients).unwrap_or(i64::MAX);
        let load = Arc::new(self.read(move |db| tables::load(db, now_ms, LANES_MAX)).await?);
        *known = Some((now_ms + (LOAD_FOR_MS + recipients / RECIPIENTS_PER_MS).min(LOAD_FOR_MAX_MS), load.clone()));
        Ok(load)
    }
}
