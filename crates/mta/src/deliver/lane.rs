//! Lanes: the jobs for one list of hosts, and the workers that deliver them.
//!
//! A worker holds one connection and sends over it what its lane has; a lane has as many workers as it needs, up to the
//! limit. Invariant: a slow or dead host occupies only its own workers.

mod attempt;
mod worker;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use mail::Domain;
use parking_lot::{Mutex, MutexGuard};
use policy::{NextHops, Trouble};
use store::Flow;
use tokio::sync::Semaphore;

use crate::context::Shared;
use crate::deliver::job::Job;
use crate::deliver::outbound::Outbound;
use crate::deliver::route::Plan;
use crate::deliver::settle;
use worker::work;

/// Time in which a host that refused one more connection gets no more than it accepted, in milliseconds.
const CEILING_MS: i64 = 60_000;

/// Connections that a lane starts with for queued mail, before it grows. If the process is killed, unsettled deliveries arrive twice, so
/// few connections mean few duplicates; and the load on a host rises step by step.
const FIRST_CONNECTIONS: usize = 4;

/// Deliveries after which a lane opens one more connection.
const DELIVERIES_PER_CONNECTION: usize = 4;

/// All lanes.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<HashMap<LaneKey, Arc<Lane>>>);

/// The hosts, for one flow: forwards never delay own mail. All hosts count, not only the first: two domains can share the first and differ
/// in the second, which may refuse mail for one of them. A domain with a TLS policy has a lane of its own.
type LaneKey = (NextHops, Flow, Option<Domain>);

#[derive(Debug)]
struct Lane {
    key: LaneKey,
    plan: Arc<Plan>,
    /// One permit per waiting job.
    waiting: Semaphore,
    state: Mutex<LaneState>,
}

#[derive(Debug, Default)]
struct LaneState {
    jobs: VecDeque<Job>,
    workers: usize,
    idle: usize,
    connected: usize,
    /// Messages delivered since the lane was idle.
    delivered: usize,
    /// Until when the host is paused, by the monotonic clock, and why.
    paused: Option<(i64, Trouble)>,
    /// The connections that the host accepts, and until when this applies, by the monotonic clock.
    ceiling: Option<(usize, i64)>,
}

impl LaneState {
    /// Maximum workers.
    fn limit(&mut self, shared: &Shared, is_awaited: bool) -> usize {
        let (now_ms, limit) = (shared.clock.steady_ms(), shared.connections_per_host().max(1));
        self.ceiling = self.ceiling.filter(|(_, until_ms)| now_ms < *until_ms);
        let limit = self.ceiling.map_or(limit, |(most, _)| limit.min(most.max(1)));
        if is_awaited { limit } else { limit.min(FIRST_CONNECTIONS + self.delivered / DELIVERIES_PER_CONNECTION) }
    }
}

impl Lane {
    fn state(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock()
    }
}

impl Lanes {
    fn all(&self) -> MutexGuard<'_, HashMap<LaneKey, Arc<Lane>>> {
        self.0.lock()
    }

    /// Workers and connections over all lanes.
    pub fn totals(&self) -> (usize, usize) {
        let all = self.all();
        all.values().fold((0, 0), |(workers, connected), lane| {
            let state = lane.state();
            (workers + state.workers, connected + state.connected)
        })
    }

    /// Gives a job to the lane of its host.
    pub fn push(&self, outbound: &Arc<Outbound>, plan: &Arc<Plan>, job: Job) {
        if outbound.closing.has_begun() {
            return outbound.window.release(&job);
        }
        let key = (plan.hops.clone(), job.claimed.message.flow, plan.own_policy().map(|published| published.domain.clone()));
        let lane = {
            let mut all = self.all();
            match all.get(&key) {
                // A changed plan (another smarthost password, say) gets a new lane; the old one drains.
                Some(lane) if Arc::ptr_eq(&lane.plan, plan) || lane.plan.is_compatible(plan) => lane.clone(),
                _ => {
                    let lane = Arc::new(Lane { key: key.clone(), plan: plan.clone(), waiting: Semaphore::new(0), state: Mutex::default() });
                    all.insert(key, lane.clone());
                    lane
                }
            }
        };
        let now_ms = outbound.shared().clock.steady_ms();
        let mut state = lane.state();
        if let Some((until_ms, trouble)) = &state.paused
            && now_ms < *until_ms
        {
            let trouble = trouble.clone();
            drop(state);
            if let Some(plan) = plan.last_resort.as_ref().filter(|_| trouble.allows_last_resort()) {
                return self.push(outbound, plan, job);
            }
            let outbound = outbound.clone();
            tokio::spawn(async move { settle::all_failed(&outbound, vec![job], &trouble).await });
            return;
        }
        state.paused = None;
        // A waiting sender gets a connection at once.
        let is_awaited = job.waiter.is_some();
        state.jobs.push_back(job);
        let limit = state.limit(outbound.shared(), is_awaited);
        let needs_worker = state.workers < limit && state.jobs.len() > state.idle;
        state.workers += usize::from(needs_worker);
        drop(state);
        lane.waiting.add_permits(1);
        if needs_worker {
            tokio::spawn(work(outbound.clone(), lane));
        }
    }

    /// After a delivery: opens one more connection if that is allowed and useful.
    fn grow(outbound: &Arc<Outbound>, lane: &Arc<Lane>) {
        let mut state = lane.state();
        state.delivered = state.delivered.saturating_add(1);
        if state.jobs.len() > state.idle && state.workers < state.limit(outbound.shared(), false) {
            state.workers += 1;
            tokio::spawn(work(outbound.clone(), lane.clone()));
        }
    }

    /// Ends all pauses, at the operator's request.
    pub fn lift_pauses(&self) {
        for lane in self.all().values() {
            lane.state().paused = None;
        }
    }

    /// At a shutdown: drops the jobs that have not started. Their waiters get no outcome.
    pub fn release_waiting(&self, outbound: &Arc<Outbound>) {
        let lanes: Vec<Arc<Lane>> = self.all().values().cloned().collect();
        for lane in lanes {
            let jobs = std::mem::take(&mut lane.state().jobs);
            jobs.iter().for_each(|job| outbound.window.release(job));
        }
    }

    /// Removes idle lanes.
    pub fn sweep(&self, now_ms: i64) {
        self.all().retain(|_, lane| {
            let state = lane.state();
            state.workers > 0 || !state.jobs.is_empty() || state.paused.as_ref().is_some_and(|(until_ms, _)| now_ms < *until_ms)
        });
    }
}
