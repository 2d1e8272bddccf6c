//! Lanes: the jobs for one list of hosts, and the workers that carry them.
//!
//! A worker holds one connection and sends over it what its lane has; a lane has as many workers as it has work, up to the
//! limit. Invariant: a host that is slow or dead keeps its own workers busy and nobody else's.

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

/// A host that refused one more connection is not asked for more than it takes for so long, in milliseconds.
const CEILING_MS: i64 = 60_000;

/// A lane begins with this many connections for mail of the queue, and grows up to the limit. What is under way when the process is killed arrives
/// twice, so that few connections for a few messages are few duplicates; and a host is not met by all of them at once.
const FIRST_CONNECTIONS: usize = 4;

/// So many deliveries allow one more connection.
const DELIVERIES_PER_CONNECTION: usize = 4;

/// All lanes.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<HashMap<LaneKey, Arc<Lane>>>);

/// The hosts, for one flow: forwards never keep the owner's own mail waiting. All hosts, not the first only: who shares
/// that one with us may have another second, which does not take our mail. A domain that publishes what its hosts must show has a lane of its own.
type LaneKey = (NextHops, Flow, Option<Domain>);

#[derive(Debug)]
struct Lane {
    key: LaneKey,
    plan: Arc<Plan>,
    /// One permit for each job that waits.
    waiting: Semaphore,
    state: Mutex<LaneState>,
}

#[derive(Debug, Default)]
struct LaneState {
    jobs: VecDeque<Job>,
    workers: usize,
    idle: usize,
    connected: usize,
    /// Messages delivered since there was nothing to do.
    delivered: usize,
    /// Until when, by the monotonic clock, the host is left alone, and why.
    paused: Option<(i64, Trouble)>,
    /// How many connections the host takes, and until when, by the monotonic clock, that is believed.
    ceiling: Option<(usize, i64)>,
}

impl LaneState {
    /// How many workers there may be.
    fn limit(&mut self, shared: &Shared, is_awaited: bool) -> usize {
        let (now_ms, limit) = (shared.clock.steady_ms(), shared.settings.load().delivery.connections_per_host.max(1));
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
            return outbound.window.done(&job);
        }
        let key = (plan.hops.clone(), job.claimed.message.flow, plan.own().map(|published| published.domain.clone()));
        let lane = {
            let mut all = self.all();
            match all.get(&key) {
                // A plan that changed (another smarthost password, say) gets a lane of its own; the old one runs dry.
                Some(lane) if Arc::ptr_eq(&lane.plan, plan) || lane.plan.same_way(plan) => lane.clone(),
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
            if let Some(plan) = plan.last_resort.as_ref().filter(|_| trouble.leads_round()) {
                return self.push(outbound, plan, job);
            }
            let outbound = outbound.clone();
            tokio::spawn(async move { settle::all_failed(&outbound, vec![job], &trouble).await });
            return;
        }
        state.paused = None;
        // A sender that waits is worth a connection at once.
        let is_awaited = job.waiter.is_some();
        state.jobs.push_back(job);
        let limit = state.limit(outbound.shared(), is_awaited);
        let hire = state.workers < limit && state.jobs.len() > state.idle;
        state.workers += usize::from(hire);
        drop(state);
        lane.waiting.add_permits(1);
        if hire {
            tokio::spawn(work(outbound.clone(), lane));
        }
    }

    /// A message was delivered: where that allows one more connection and there is work for it, it is made.
    fn grow(outbound: &Arc<Outbound>, lane: &Arc<Lane>) {
        let mut state = lane.state();
        state.delivered = state.delivered.saturating_add(1);
        if state.jobs.len() > state.idle && state.workers < state.limit(outbound.shared(), false) {
            state.workers += 1;
            tokio::spawn(work(outbound.clone(), lane.clone()));
        }
    }

    /// Hosts that are left alone are tried again: somebody has asked for it.
    pub fn lift_pauses(&self) {
        for lane in self.all().values() {
            lane.state().paused = None;
        }
    }

    /// The server closes: what has not begun does not begin. Whoever waits for an outcome hears that there is none.
    pub fn release_waiting(&self, outbound: &Arc<Outbound>) {
        let lanes: Vec<Arc<Lane>> = self.all().values().cloned().collect();
        for lane in lanes {
            let jobs = std::mem::take(&mut lane.state().jobs);
            jobs.iter().for_each(|job| outbound.window.done(job));
        }
    }

    /// Forgets the lanes that nobody works in.
    pub fn sweep(&self, now_ms: i64) {
        self.all().retain(|_, lane| {
            let state = lane.state();
            state.workers > 0 || !state.jobs.is_empty() || state.paused.as_ref().is_some_and(|(until_ms, _)| now_ms < *until_ms)
        });
    }
}
