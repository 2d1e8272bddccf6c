//! A worker of a lane: one connection, job after job.
//!
//! Invariant: at most one message per connection is delivered and not yet settled, since those arrive twice after a crash.

use std::sync::Arc;
use std::time::Duration;

use policy::Trouble;
use store::{Content, StoreError};
use tokio::time::timeout;

use super::{CEILING_MS, Lane, Lanes};
use crate::context::Shared;
use crate::deliver::connect::Connection;
use crate::deliver::job::{AttemptMade, Job, Waiter};
use crate::deliver::outbound::Outbound;
use crate::deliver::pause_log;
use crate::deliver::route::Plan;
use crate::deliver::settle::{self, Haste};
use crate::deliver::transaction::Attempt;
use crate::support::panic_edge::caught;

/// Works for the lane until it is empty.
pub(super) async fn work(outbound: Arc<Outbound>, lane: Arc<Lane>) {
    let mut worker = Worker { outbound, lane, connection: None, has_left: false };
    while let Some(job) = worker.next_job().await {
        worker.run(job).await;
        if worker.has_left {
            break;
        }
    }
    worker.drop_connection(true).await;
}

/// Whether an idle worker may end.
enum Dismissed {
    Yes,
    /// A job came, and the worker has its permit.
    No,
    /// A job came, and `push` is about to add its permit.
    Soon,
}

pub(super) struct Worker {
    pub(super) outbound: Arc<Outbound>,
    pub(super) lane: Arc<Lane>,
    pub(super) connection: Option<Connection>,
    /// It left its job to the other workers.
    has_left: bool,
}

impl Worker {
    /// The next job; `None` if the worker ends.
    async fn next_job(&mut self) -> Option<Job> {
        if self.outbound.closing.has_begun() {
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

    /// Keeps the connection for the next job, unless another delivery needs its permit. True if a job came.
    async fn wait_with_connection(&self) -> bool {
        let Some(connection) = &self.connection else { return false };
        let keep = Duration::from_secs(self.outbound.shared().settings.load().delivery.keep_s);
        tokio::select! {
            biased;
            job = timeout(keep, self.lane.waiting.acquire()) => match job {
                Ok(Ok(permit)) => {
                    permit.forget();
                    true
                }
                _ => false,
            },
            () = connection.needed_elsewhere() => false,
            () = self.outbound.closing.begun() => false,
        }
    }

    /// A job that came between the timeout and this lock would find no worker: checks again under the lock.
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
        if state.workers == 0 {
            state.delivered = 0;
        }
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

    async fn run(&mut self, job: Job) {
        if job.waiter.as_ref().is_some_and(Waiter::is_gone) {
            return self.outbound.window.release(&job);
        }
        let _hold = self.outbound.closing.hold();
        if self.has_lost_claim(&job) {
            return settle::give_back(&self.outbound, &job).await;
        }
        let Some(mut job) = self.admitted(job) else { return };
        let content = match self.content(&job).await {
            Ok(content) => content,
            Err(StoreError::Corrupt(reason)) => return settle::set_aside(&self.outbound, job, &reason).await,
            Err(error) => return settle::all_failed(&self.outbound, vec![job], &Trouble::unreadable(&error.to_string())).await,
        };
        let begun_ms = self.outbound.shared().clock.steady_ms();
        let attempt = self.attempt(&job, &content).await;
        let address = self.connection.as_ref().and_then(|connection| connection.address);
        job.attempt = Some(AttemptMade { took_ms: self.outbound.shared().clock.steady_ms() - begun_ms, address });
        if attempt.as_ref().is_ok_and(|attempt| attempt.results.iter().all(Result::is_err)) && self.has_lost_claim(&job) {
            self.outbound.breakers().give_back(&mut job, self.outbound.shared().clock.now_ms());
            self.drop_connection(false).await;
            return settle::give_back(&self.outbound, &job).await;
        }
        let attempt = match attempt {
            Ok(attempt) => attempt,
            Err(_) if self.outbound.closing.has_begun() => return self.outbound.window.release(&job),
            Err(trouble) => return self.unreachable(job, trouble).await,
        };
        if let Some(plan) = self.last_resort(&attempt) {
            self.drop_connection(attempt.reusable).await;
            return self.divert(vec![job], &plan);
        }
        let reusable = attempt.reusable && !attempt.has_reply(Trouble::wants_new_connection);
        // A delivery that is not settled is repeated after a crash: at most one message per connection, settled before the connection takes
        // the next one or is closed.
        let is_delivered = attempt.results.iter().any(Result::is_ok);
        // A connection that is not kept must not wait for company: it would take the next message.
        let is_kept = self.outbound.shared().settings.load().delivery.keep_s > 0;
        let haste = if is_kept && self.lane.waiting.available_permits() == 0 { Haste::BesideOthers } else { Haste::AtOnce };
        let _ = caught(settle::settle_in(&self.outbound, job, attempt.results, haste)).await;
        if is_delivered {
            Lanes::grow(&self.outbound, &self.lane);
        }
        self.close_if_spent(reusable).await;
    }

    /// Whether another node may deliver the job, since this one could not reach the database for too long.
    fn has_lost_claim(&self, job: &Job) -> bool {
        job.waiter.is_none() && !self.outbound.shared().store.may_deliver(job.claimed.lease)
    }

    /// Returns the part of the job that the breakers admit, and defers the rest.
    fn admitted(&self, job: Job) -> Option<Job> {
        let admitted = self.outbound.breakers().admit(self.outbound.shared(), &self.lane.plan, job);
        if !admitted.wait.is_empty() {
            let outbound = self.outbound.clone();
            tokio::spawn(async move {
                for (job, trouble) in admitted.wait {
                    settle::all_failed(&outbound, vec![job], &trouble).await;
                }
            });
        }
        admitted.go
    }

    async fn content(&self, job: &Job) -> Result<Content, StoreError> {
        match &job.claimed.content {
            Some(content) => Ok(content.clone()),
            None => self.outbound.shared().store.content(job.claimed.message.id).await,
        }
    }

    async fn close_if_spent(&mut self, reusable: bool) {
        let max = self.outbound.shared().settings.load().delivery.messages_per_connection;
        let spent = self.connection.as_ref().is_some_and(|c| c.messages >= max);
        if !reusable || spent {
            self.drop_connection(reusable).await;
        }
    }

    pub(super) async fn drop_connection(&mut self, politely: bool) {
        if let Some(connection) = self.connection.take() {
            self.lane.state().connected -= 1;
            connection.close(politely).await;
        }
    }

    /// Handles an unreachable host. If other workers of the lane are connected, the host accepts no more connections than those, and
    /// this worker leaves its job to them; otherwise everything that waits for the host is deferred at once, and the host is
    /// paused.
    async fn unreachable(&mut self, job: Job, trouble: Trouble) {
        if let Some(jobs) = self.clear_lane(job, &trouble) {
            let host = self.lane.key.0.first();
            if let Some(host) = host {
                self.outbound.breakers().unreachable(host);
            }
            let instead = self.lane.plan.last_resort.as_ref().filter(|_| trouble.allows_last_resort());
            pause_log::unreachable(self.outbound.shared(), host, jobs.len(), &trouble, instead.map(|plan| &**plan));
            if let Some(plan) = instead {
                return self.divert(jobs, plan);
            }
            settle::all_failed(&self.outbound, jobs, &trouble).await;
        }
    }

    /// The last-resort route, if no host accepted anything and their failures are their own.
    fn last_resort(&self, attempt: &Attempt) -> Option<Arc<Plan>> {
        let plan = self.lane.plan.last_resort.as_ref().filter(|_| !attempt.is_in_doubt)?;
        let allows_last_resort = attempt.results.iter().all(|result| result.as_ref().is_err_and(Trouble::allows_last_resort));
        allows_last_resort.then(|| plan.clone())
    }

    /// Gives jobs to another lane.
    fn divert(&self, jobs: Vec<Job>, plan: &Arc<Plan>) {
        for mut job in jobs {
            self.outbound.breakers().give_back(&mut job, self.outbound.shared().clock.now_ms());
            self.outbound.lanes.push(&self.outbound, plan, job);
        }
    }

    fn clear_lane(&mut self, mut job: Job, trouble: &Trouble) -> Option<Vec<Job>> {
        let Shared { settings, clock, .. } = self.outbound.shared();
        let steady_ms = clock.steady_ms();
        let mut state = self.lane.state();
        let others = state.workers > 1 && state.connected > 0;
        if others && trouble.defers_all_of_host() {
            self.outbound.breakers().give_back(&mut job, clock.now_ms());
            state.workers -= 1;
            state.ceiling = Some((state.connected, steady_ms + CEILING_MS));
            state.jobs.push_front(job);
            self.has_left = true;
            drop(state);
            self.lane.waiting.add_permits(1);
            return None;
        }
        let waiting = self.lane.waiting.forget_permits(state.jobs.len());
        let mut jobs = vec![job];
        jobs.extend(state.jobs.drain(..waiting));
        let pause_ms = i64::try_from(settings.load().delivery.host_pause_s * 1000).unwrap_or(i64::MAX);
        state.paused = Some((steady_ms.saturating_add(pause_ms), trouble.clone()));
        Some(jobs)
    }
}
