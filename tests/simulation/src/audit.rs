//! Looks into the queue as `waypost queue list` and `waypost failed` do, and compares it with the ledger.

use anyhow::Result;
use store::{ListFilter, Store};

use crate::far_end::{failures, letter_in};
use crate::ledger::{Queued, letter_of};
use crate::scenario::HOUR_MS;
use crate::world::World;

/// Maximum rows of a list.
const ROWS_MAX: u32 = 100_000;

/// The time in which a letter to a host that never fails must arrive, in milliseconds.
const STEADY_WITHIN_MS: i64 = 2 * HOUR_MS;

/// Checks every invariant. `restarted_ms` is when the last process died, if this one has not begun. Returns the recipients in the queue.
pub async fn audit(world: &World, store: &Store, restarted_ms: Option<i64>) -> Result<usize> {
    // What is accepted from here on is checked next time.
    let accepted_before_ms = world.now_ms();
    let (listed, failed) = loop {
        let failures = world.state().disk_failures;
        let listed = store.list(ListFilter { limit: ROWS_MAX, ..ListFilter::default() }).await?;
        let failed = store.failed(None, ROWS_MAX).await?;
        // While the journal cannot be moved, both lack what it holds, and say so in the log.
        if world.state().disk_failures == failures {
            break (listed, failed);
        }
    };
    let mut queued = Queued::default();
    let mut recipients = 0;
    for listed in &listed {
        recipients += listed.recipients.len();
        let sender = listed.message.reverse_path.to_bare();
        if let Some(n) = letter_of(&sender) {
            queued.copies.extend(listed.recipients.iter().map(|recipient| ((n, recipient.mailbox.clone()), true)));
            continue;
        }
        let Ok(content) = store.content(listed.message.id).await else { continue };
        let text = String::from_utf8_lossy(content.front()).into_owned();
        if let Some(n) = letter_in(&text) {
            for address in failures(&text) {
                *queued.reports.entry((n, address)).or_default() += 1;
            }
        }
    }
    let mut state = world.state();
    let now_ms = state.now_ms();
    state.trace(&format!("audit: {recipients} queued, {} failed without a report", failed.len()));
    state.ledger.forget_listed();
    for (_, failed) in failed {
        state.ledger.listed(&failed.from, &failed.target);
    }
    state.ledger.check(&queued, accepted_before_ms, restarted_ms);
    let steady = |target: &str| world.scenario.domain_of(target).is_some_and(|domain| domain.steady);
    let late = state.ledger.late(now_ms - STEADY_WITHIN_MS, steady);
    state.ledger.broken.extend(late.into_iter().map(|letter| format!("a host that never fails waits for {letter}, now {now_ms}")));
    Ok(recipients)
}
