//! One breaker: open, half-open with a probe under way, or resuming slowly.
//!
//! Invariant: at most one probe at a time; a delivery whose end nobody told counts for at most two hours.

use super::{ASK_AGAIN_MS, FIRST_LIMIT, FORGET_MS, LAST_LIMIT, PROBE_MAX_MS};

#[derive(Debug)]
pub(super) struct Breaker {
    /// The number of this opening: outcomes of deliveries that started before it do not count.
    pub opening: u64,
    pub state: BreakerState,
    pub pause_ms: i64,
    pub growing: bool,
    pub why: String,
    pub touched_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerState {
    /// Open: no delivery.
    Open { until_ms: i64 },
    /// One delivery is under way as a probe.
    HalfOpen { since_ms: i64 },
    /// Deliveries up to a limit.
    Resuming { limit: u32, under_way: u32 },
}

impl Breaker {
    /// Until when a delivery has to wait for this breaker.
    pub fn wait(&self, now_ms: i64) -> Option<i64> {
        match self.state {
            BreakerState::Open { until_ms } => Some(until_ms).filter(|until_ms| now_ms < *until_ms),
            BreakerState::HalfOpen { since_ms } => {
                (now_ms < since_ms.saturating_add(PROBE_MAX_MS)).then(|| now_ms.saturating_add(ASK_AGAIN_MS))
            }
            BreakerState::Resuming { limit, under_way } => {
                let is_full = under_way >= limit && now_ms < self.touched_ms.saturating_add(PROBE_MAX_MS);
                is_full.then(|| now_ms.saturating_add(ASK_AGAIN_MS))
            }
        }
    }

    /// Counts a delivery that `wait` allows. Returns whether it is the probe.
    pub fn enter(&mut self, now_ms: i64) -> bool {
        let is_stale = now_ms >= self.touched_ms.saturating_add(PROBE_MAX_MS);
        self.touched_ms = now_ms;
        match &mut self.state {
            BreakerState::Resuming { under_way, .. } => {
                *under_way = if is_stale { 1 } else { under_way.saturating_add(1) };
                false
            }
            state => {
                *state = BreakerState::HalfOpen { since_ms: now_ms };
                true
            }
        }
    }

    /// Records a success. Returns whether the breaker is closed now.
    pub fn succeed(&mut self, now_ms: i64) -> bool {
        self.touched_ms = now_ms;
        match &mut self.state {
            BreakerState::Open { .. } => false,
            BreakerState::HalfOpen { .. } => {
                self.state = BreakerState::Resuming { limit: FIRST_LIMIT, under_way: 0 };
                false
            }
            BreakerState::Resuming { limit, .. } if *limit >= LAST_LIMIT => true,
            BreakerState::Resuming { limit, under_way } => {
                *limit = limit.saturating_mul(2);
                *under_way = under_way.saturating_sub(1);
                false
            }
        }
    }

    /// Records an outcome that says nothing; the next probe is in `wait_ms`.
    pub fn leave(&mut self, wait_ms: i64, now_ms: i64) {
        self.touched_ms = now_ms;
        match &mut self.state {
            BreakerState::Open { .. } => {}
            BreakerState::HalfOpen { .. } => self.state = BreakerState::Open { until_ms: now_ms.saturating_add(wait_ms) },
            BreakerState::Resuming { under_way, .. } => *under_way = under_way.saturating_sub(1),
        }
    }

    pub fn ends_ms(&self) -> i64 {
        let base_ms = if let BreakerState::Open { until_ms } = self.state { until_ms } else { self.touched_ms };
        base_ms.saturating_add(FORGET_MS)
    }
}
