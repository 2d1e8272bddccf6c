//! Stage: claims due mail and assigns it to lanes.
//!
//! New mail goes to its lane in memory while there is room; the rest is claimed from the store, domain by domain, in bounded
//! windows, so that a domain with a million messages delays no other and needs no memory. Invariant: a claimed recipient is
//! in exactly one job until it is settled.

mod claim;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use events::{Event, EventKind, Fact};
use mail::Domain;
use parking_lot::{Mutex, MutexGuard};
use policy::Trouble;
use store::{Duty, Flow, NewMessage, StoreError, TlsWish};

use crate::deliver::clock_step;
use crate::deliver::dedup::DedupCache;
use crate::deliver::job::Job;
use crate::deliver::outbound::Outbound;
use crate::deliver::route::{Plan, find_route};
use crate::deliver::settle;
use crate::queue::reservation::Reservation;
use crate::support::panic_edge::caught;

/// Lifetime of a domain's route, in milliseconds.
const PLAN_MS: i64 = 60_000;

/// Minimum interval between two queries of the store.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Interval at which expired held mail is removed, in milliseconds.
const HELD_MS: i64 = 60_000;

/// Time for which a node keeps the duty of removing expired held mail.
const DUTY_FOR: Duration = Duration::from_secs(180);

/// Maximum interval between two queries, since the clock may be set.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// The dispatcher. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    outbound: Arc<Outbound>,
    /// Messages that the targets accepted recently.
    dedup: DedupCache,
    state: Mutex<DispatchState>,
}

/// Domain, flow, and whether delivery ignores the domain's TLS policy.
type RouteKey = (Domain, Flow, bool);

#[derive(Debug, Default)]
struct DispatchState {
    routes: HashMap<RouteKey, RouteState>,
    /// When expired held mail is removed next, by the monotonic clock.
    held_ms: i64,
}

#[derive(Debug, Default)]
struct RouteState {
    /// The plan, and when it expires, by the monotonic clock.
    plan: Option<(Arc<Plan>, i64)>,
    /// Jobs that wait for a plan.
    unplanned: Vec<Job>,
}

impl Dispatch {
    pub fn new(outbound: Arc<Outbound>) -> Self {
        Self(Arc::new(Inner { outbound, dedup: DedupCache::default(), state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, DispatchState> {
        self.0.state.lock()
    }

    /// What deliveries use.
    pub(in crate::queue) fn outbound(&self) -> &Arc<Outbound> {
        &self.0.outbound
    }

    /// Messages that the targets accepted recently.
    pub(in crate::queue) fn dedup(&self) -> &DedupCache {
        &self.0.dedup
    }

    /// Has the store queried for due mail.
    pub fn wake(&self) {
        self.0.outbound.outbox.wake.wake();
    }

    /// Retries at the operator's request: forgets routes, pauses and open breakers.
    pub fn retry_now(&self) {
        for route in self.state().routes.values_mut() {
            route.plan = None;
        }
        self.0.outbound.lanes.lift_pauses();
        self.0.outbound.breakers().lift();
        self.wake();
    }

    /// Reserves memory for a new message, so that it need not be read back; `None` if there is none.
    pub fn reserve(&self, new: &NewMessage) -> Option<Reservation> {
        self.0.outbound.window.reserve(new).map(|room| Reservation::new(self.clone(), room))
    }

    /// Assigns a job whose memory is reserved.
    pub fn submit(&self, job: Job) {
        let outbound = &self.0.outbound;
        if outbound.closing.has_begun() {
            return outbound.window.release(&job);
        }
        let steady_ms = outbound.shared().clock.steady_ms();
        let key = (job.domain.clone(), job.claimed.message.flow, job.claimed.message.tls == TlsWish::Optional);
        let mut state = self.state();
        let route = state.routes.entry(key.clone()).or_default();
        if let Some((plan, until_ms)) = &route.plan
            && steady_ms < *until_ms
        {
            let plan = plan.clone();
            drop(state);
            outbound.lanes.push(outbound, &plan, job);
            return;
        }
        route.unplanned.push(job);
        if route.unplanned.len() == 1 {
            drop(state);
            tokio::spawn(self.clone().plan(key));
        }
    }

    /// Finds the route of a domain, for all jobs that wait for it.
    async fn plan(self, key: RouteKey) {
        let outbound = &self.0.outbound;
        let planned = caught(find_route(&outbound.connector, &key.0, key.1, key.2)).await;
        let planned = planned.unwrap_or_else(|| Err(Trouble::bug("an internal error while looking for the route")));
        let jobs = {
            let mut state = self.state();
            let route = state.routes.entry(key).or_default();
            route.plan = planned.as_ref().ok().map(|plan| (plan.clone(), outbound.shared().clock.steady_ms() + PLAN_MS));
            std::mem::take(&mut route.unplanned)
        };
        match planned {
            Ok(plan) => jobs.into_iter().for_each(|job| outbound.lanes.push(outbound, &plan, job)),
            Err(trouble) => settle::all_failed(outbound, jobs, &trouble).await,
        }
    }

    /// Claims due mail until shutdown.
    pub async fn run(self) {
        let outbound = &self.0.outbound;
        loop {
            let next_ms = match caught(self.look()).await {
                Some(Ok(next_ms)) => next_ms,
                Some(Err(error)) => {
                    tracing::error!(%error, "cannot read the queue; retrying");
                    outbound.shared().record_store_failure(&error);
                    None
                }
                None => None,
            };
            tokio::time::sleep(LOOK_EVERY).await;
            let until_ms = next_ms.unwrap_or(i64::MAX);
            tokio::select! {
                biased;
                () = outbound.outbox.wake.woken() => {}
                () = outbound.shared().clock.sleep_until_ms(until_ms, LOOK_AT_LEAST_EVERY) => {}
            }
        }
    }

    /// Claims due mail within the windows. Returns when the next is due, Unix milliseconds.
    async fn look(&self) -> Result<Option<i64>, StoreError> {
        let outbound = &self.0.outbound;
        let (store, clock) = (&outbound.shared().store, &outbound.shared().clock);
        clock_step::check(outbound).await;
        let now_ms = clock.now_ms();
        self.expire_held(now_ms).await?;
        let lanes = store.lanes().await?;
        self.forget_idle(clock.steady_ms());
        outbound.lanes.sweep(clock.steady_ms());
        let mut next_ms = lanes.iter().map(|l| l.due_ms).filter(|due_ms| *due_ms > now_ms).min();
        let mut failed = None;
        let due: Vec<Domain> = lanes.into_iter().filter(|l| l.due_ms <= now_ms).map(|l| l.lane).collect();
        for lanes in due.chunks(claim::CLAIMS_AT_ONCE) {
            for claim::Claim { lane, room, claimed } in self.claim(lanes, now_ms).await {
                let claimed = match claimed {
                    Ok(claimed) => claimed,
                    // An error in one lane must not delay the others.
                    Err(error) => {
                        failed = Some(error);
                        outbound.window.keep(&lane, room, 0);
                        continue;
                    }
                };
                let count: usize = claimed.iter().map(|c| c.recipients.len()).sum();
                outbound.window.keep(&lane, room, count);
                if count < room {
                    // The next query shows when the rest of this lane is due.
                    next_ms = Some(now_ms);
                }
                for claimed in claimed {
                    self.submit(Job::new(claimed, lane.clone(), 0));
                }
            }
        }
        failed.map_or(Ok(next_ms), Err)
    }

    /// Removes expired held mail, at intervals.
    async fn expire_held(&self, now_ms: i64) -> Result<(), StoreError> {
        let shared = self.0.outbound.shared();
        let steady_ms = shared.clock.steady_ms();
        let is_due = {
            let mut state = self.state();
            let is_due = steady_ms >= state.held_ms;
            if is_due {
                state.held_ms = steady_ms + HELD_MS;
            }
            is_due
        };
        if is_due && shared.store.take_duty(Duty::ExpireHeld, DUTY_FOR).await? {
            let removed = shared.store.expire_held(now_ms).await?;
            if removed > 0 {
                let kind = EventKind::HeldExpired;
                tracing::info!(removed, "{}", kind.words());
                shared.events.record_with(|| Event::new(kind, now_ms).fact(Fact::Times, removed));
            }
        }
        Ok(())
    }

    fn forget_idle(&self, steady_ms: i64) {
        self.0.outbound.window.forget_idle();
        let is_known = |plan: &(Arc<Plan>, i64)| steady_ms < plan.1;
        self.state().routes.retain(|_, route| !route.unplanned.is_empty() || route.plan.as_ref().is_some_and(is_known));
    }
}
