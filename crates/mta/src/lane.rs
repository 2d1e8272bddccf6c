//! Lanes: the jobs for one list of hosts, and the workers that carry them.
//!
//! A worker holds one connection and sends over it what its lane has; a lane has as many workers as it has work, up to the
//! limit. Invariant: a host that is slow or dead keeps its own workers busy and nobody else's.

mod attempt;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mail::Domain;
use policy::{NextHops, Scope, Trouble};
use store::{Content, Flow, StoreError};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::connect::Connection;
use crate::deliver::Attempt;
use crate::dispatch::Dispatch;
use crate::hand_over::Waiter;
use crate::job::Job;
use crate::plan::Plan;
use crate::settle;

/// A host that refused one more connection is not asked for more than it takes for so long, in milliseconds.
const CEILING_MS: i64 = 60_000;

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
    /// Until when, Unix milliseconds, the host is left alone, and why.
    paused: Option<(i64, Trouble)>,
    /// How many connections the host takes, and until when that is believed.
    ceiling: Option<(usize, i64)>,
}

impl Lane {
    fn state(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn all(&self) -> MutexGuard<'_, HashMap<LaneKey, Arc<Lane>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub fn push(&self, dispatch: &Dispatch, plan: &Arc<Plan>, job: Job) {
        if dispatch.world().closing.has_begun() {
            return dispatch.done(&job);
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
        let now_ms = dispatch.world().clock.now_ms();
        let limit = dispatch.world().settings.load().delivery.connections_per_host.max(1);
        let mut state = lane.state();
        if let Some((until_ms, trouble)) = &state.paused
            && now_ms < *until_ms
        {
            let trouble = trouble.clone();
            drop(state);
            if let Some(plan) = plan.last_resort.as_ref().filter(|_| trouble.leads_round()) {
                return self.push(dispatch, plan, job);
            }
            let dispatch = dispatch.clone();
            tokio::spawn(async move { settle::all_failed(&dispatch, vec![job], &trouble).await });
            return;
        }
        state.paused = None;
        state.jobs.push_back(job);
        state.ceiling = state.ceiling.filter(|(_, until_ms)| now_ms < *until_ms);
        let limit = state.ceiling.map_or(limit, |(most, _)| limit.min(most.max(1)));
        let hire = state.workers < limit && state.jobs.len() > state.idle;
        state.workers += usize::from(hire);
        drop(state);
        lane.waiting.add_permits(1);
        if hire {
            tokio::spawn(work(dispatch.clone(), lane));
        }
    }

    /// Hosts that are left alone are tried again: somebody has asked for it.
    pub fn lift_pauses(&self) {
        for lane in self.all().values() {
            lane.state().paused = None;
        }
    }

    /// The server closes: what has not begun does not begin. Whoever waits for an outcome hears that there is none.
    pub fn release_waiting(&self, dispatch: &Dispatch) {
        let lanes: Vec<Arc<Lane>> = self.all().values().cloned().collect();
        for lane in lanes {
            let jobs = std::mem::take(&mut lane.state().jobs);
            jobs.iter().for_each(|job| dispatch.done(job));
        }
    }

    /// The wall clock was set: a host is left alone for as long as it was to be.
    pub fn step_clock(&self, by_ms: i64) {
        for lane in self.all().values() {
            let mut state = lane.state();
            if let Some((until_ms, _)) = &mut state.paused {
                *until_ms = until_ms.saturating_add(by_ms);
            }
            if let Some((_, until_ms)) = &mut state.ceiling {
                *until_ms = until_ms.saturating_add(by_ms);
            }
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

/// A worker: one connection, job after job.
async fn work(dispatch: Dispatch, lane: Arc<Lane>) {
    let mut worker = Worker { dispatch, lane, connection: None, settling: None, has_left: false };
    while let Some(job) = worker.next_job().await {
        worker.carry(job).await;
        if worker.has_left {
            break;
        }
    }
    worker.drop_connection(true).await;
    worker.finish_settling().await;
}

/// Whether a worker that found nothing to do may go.
enum Dismissed {
    Yes,
    /// A job is there after all, and its permit taken.
    No,
    /// A job is there, and its permit about to be added by the pusher that counted on us.
    Soon,
}

struct Worker {
    dispatch: Dispatch,
    lane: Arc<Lane>,
    connection: Option<Connection>,
    /// The settlement of the job before: it runs while the next one is fetched, and is over before that is sent.
    settling: Option<JoinHandle<()>>,
    /// It gave its job and its place to the others.
    has_left: bool,
}

impl Worker {
    /// The next job; `None` when the worker is dismissed.
    async fn next_job(&mut self) -> Option<Job> {
        if self.dispatch.world().closing.has_begun() {
            self.lane.state().workers -= 1;
            return None;
        }
        if let Some(job) = self.try_next() {
            return Some(job);
        }
        self.lane.state().idle += 1;
        if self.wait_with_connection().await {
            let mut state = self.lane.state();
            state.idle -= 1;
            return state.jobs.pop_front();
        }
        match self.dismiss() {
            Dismissed::No => self.lane.state().jobs.pop_front(),
            Dismissed::Soon => self.wait_for_pushed().await,
            Dismissed::Yes => None,
        }
    }

    /// Keeps the connection for a while, in case a job comes, and as long as nobody else wants its place. True where one came.
    async fn wait_with_connection(&self) -> bool {
        let Some(connection) = &self.connection else { return false };
        let keep = Duration::from_secs(self.dispatch.world().settings.load().delivery.keep_s);
        tokio::select! {
            biased;
            job = timeout(keep, self.lane.waiting.acquire()) => match job {
                Ok(Ok(permit)) => {
                    permit.forget();
                    true
                }
                _ => false,
            },
            () = connection.wanted() => false,
            () = self.dispatch.world().closing.begun() => false,
        }
    }

    /// A job that came between the timeout and this lock would find no worker: look once more under the lock.
    fn dismiss(&self) -> Dismissed {
        let mut state = self.lane.state();
        state.idle -= 1;
        if let Ok(permit) = self.lane.waiting.try_acquire() {
            permit.forget();
            return Dismissed::No;
        }
        if !state.jobs.is_empty() {
            return Dismissed::Soon;
        }
        state.workers -= 1;
        Dismissed::Yes
    }

    async fn wait_for_pushed(&self) -> Option<Job> {
        self.lane.waiting.acquire().await.ok()?.forget();
        self.lane.state().jobs.pop_front()
    }

    fn try_next(&self) -> Option<Job> {
        self.lane.waiting.try_acquire().ok()?.forget();
        self.lane.state().jobs.pop_front()
    }

    async fn carry(&mut self, job: Job) {
        if job.waiter.as_ref().is_some_and(Waiter::is_gone) {
            return self.dispatch.done(&job);
        }
        let hold = self.dispatch.world().closing.hold();
        let Some(job) = self.admitted(job) else { return };
        let content = match self.content(&job).await {
            Ok(content) => content,
            Err(StoreError::Corrupt(reason)) => return settle::set_aside(&self.dispatch, job, &reason).await,
            Err(error) => return settle::all_failed(&self.dispatch, vec![job], &Trouble::unreadable(&error.to_string())).await,
        };
        // One message a connection is unsettled, and no more: what is taken and not written down is sent again after a crash.
        self.finish_settling().await;
        let attempt = match self.attempt(&job, &content).await {
            Ok(attempt) => attempt,
            Err(_) if self.dispatch.world().closing.has_begun() => return self.dispatch.done(&job),
            Err(trouble) => return self.unreachable(job, trouble).await,
        };
        if let Some(plan) = self.round(&attempt) {
            self.drop_connection(attempt.reusable).await;
            return self.divert(vec![job], &plan);
        }
        let reusable = attempt.reusable && !attempt.is_told(Trouble::wants_new_connection);
        let (dispatch, results) = (self.dispatch.clone(), attempt.results);
        self.settling = Some(tokio::spawn(async move {
            settle::settle(&dispatch, job, results).await;
            drop(hold);
        }));
        // What was delivered is being written down already: parting from the host may take a while.
        self.after(reusable).await;
    }

    /// What of the job the circuits let through; the rest is deferred until they may.
    fn admitted(&self, job: Job) -> Option<Job> {
        let world = self.dispatch.world();
        let admitted = world.circuits.admit(world, &self.lane.plan, job);
        if !admitted.wait.is_empty() {
            let dispatch = self.dispatch.clone();
            tokio::spawn(async move {
                for (job, trouble) in admitted.wait {
                    settle::all_failed(&dispatch, vec![job], &trouble).await;
                }
            });
        }
        admitted.go
    }

    async fn content(&self, job: &Job) -> Result<Content, StoreError> {
        match &job.claimed.content {
            Some(content) => Ok(content.clone()),
            None => self.dispatch.world().store.content(job.claimed.message.id).await,
        }
    }

    async fn after(&mut self, reusable: bool) {
        let most = self.dispatch.world().settings.load().delivery.messages_per_connection;
        let spent = self.connection.as_ref().is_some_and(|c| c.messages >= most);
        if !reusable || spent {
            self.drop_connection(reusable).await;
        }
    }

    async fn drop_connection(&mut self, politely: bool) {
        if let Some(connection) = self.connection.take() {
            self.lane.state().connected -= 1;
            connection.close(politely).await;
        }
    }

    async fn finish_settling(&mut self) {
        if let Some(settling) = self.settling.take() {
            // A settlement cannot be cancelled, and a bug in it was counted where it happened.
            let _ = settling.await;
        }
    }

    /// The host cannot be reached. Where others of the lane are connected, the host takes no more connections than those and
    /// this worker leaves its job to them; otherwise everything that waits for the host is deferred at once, and the host left
    /// alone for a while.
    async fn unreachable(&mut self, job: Job, trouble: Trouble) {
        if let Some(jobs) = self.clear_lane(job, &trouble) {
            let host = self.lane.key.0.first().map(tracing::field::display);
            if let Some(plan) = self.lane.plan.last_resort.as_ref().filter(|_| trouble.leads_round()) {
                let instead = plan.hops.first().map(tracing::field::display);
                tracing::warn!(host, instead, waiting = jobs.len(), %trouble, "host left alone for a while; its mail goes by the route of last resort");
                return self.divert(jobs, plan);
            }
            tracing::warn!(host, waiting = jobs.len(), %trouble, "host left alone for a while");
            settle::all_failed(&self.dispatch, jobs, &trouble).await;
        }
    }

    /// The route of last resort, where none of the hosts took anything and what they said is about themselves.
    fn round(&self, attempt: &Attempt) -> Option<Arc<Plan>> {
        let plan = self.lane.plan.last_resort.as_ref().filter(|_| !attempt.is_in_doubt)?;
        let leads_round = attempt.results.iter().all(|result| result.as_ref().is_err_and(Trouble::leads_round));
        leads_round.then(|| plan.clone())
    }

    /// Gives jobs to another lane.
    fn divert(&self, jobs: Vec<Job>, plan: &Arc<Plan>) {
        let world = self.dispatch.world();
        for mut job in jobs {
            world.circuits.give_back(&mut job, world.clock.now_ms());
            self.dispatch.lanes().push(&self.dispatch, plan, job);
        }
    }

    fn clear_lane(&mut self, mut job: Job, trouble: &Trouble) -> Option<Vec<Job>> {
        let world = self.dispatch.world();
        let now_ms = world.clock.now_ms();
        let mut state = self.lane.state();
        let others = state.workers > 1 && state.connected > 0;
        if others && trouble.scope == Scope::Host && !trouble.permanent {
            world.circuits.give_back(&mut job, now_ms);
            state.workers -= 1;
            state.ceiling = Some((state.connected, now_ms + CEILING_MS));
            state.jobs.push_front(job);
            self.has_left = true;
            drop(state);
            self.lane.waiting.add_permits(1);
            return None;
        }
        let waiting = self.lane.waiting.forget_permits(state.jobs.len());
        let mut jobs = vec![job];
        jobs.extend(state.jobs.drain(..waiting));
        let pause_ms = i64::try_from(world.settings.load().delivery.host_pause_s * 1000).unwrap_or(i64::MAX);
        state.paused = Some((now_ms.saturating_add(pause_ms), trouble.clone()));
        Some(jobs)
    }
}
