//! Stage: what is due, and which lane takes it.
//!
//! New mail goes to its lane in memory while there is room; everything else is claimed from the store, domain by domain, in
//! bounded windows, so that a domain with a million messages keeps no other waiting and costs no memory. Invariant: a
//! recipient that is claimed is in one job in memory, until it is settled.

mod claim;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mail::Domain;
use net::{ClientTls, Clock, Resolver};
use parking_lot::{Mutex, MutexGuard};
use policy::Trouble;
use store::{Flow, NewMessage, Store, TlsWish};
use tokio::sync::Notify;

use crate::deliver::breakers::LiveBreakers;
use crate::deliver::connection_limit::HostPlaces;
use crate::deliver::ipv6::Ipv6Standing;
use crate::deliver::job::Job;
use crate::deliver::lane::Lanes;
use crate::deliver::mta_sts::StsPolicies;
use crate::deliver::route::{Plan, plan};
use crate::deliver::settle;
use crate::deliver::tls_history::TlsMemory;
use crate::queue::clock_step::{self, ClockSteps};
use crate::queue::dedup::Taken;
use crate::queue::reservation::Reservation;
use crate::reporting::tally::Results;
use crate::settings::LiveSettings;
use crate::support::dkim_signers::Signing;
use crate::support::large_contents::LargeContents;
use crate::support::panic_edge::caught;
use crate::support::shutdown::Closing;

/// Recipients of one domain in memory at a time.
const DOMAIN_WINDOW: usize = 1000;

/// Recipients in memory at a time.
const WINDOW: usize = 50_000;

/// Content held in memory for jobs, in octets; what does not fit is read from disk when its turn comes.
const CONTENT_BYTES: u64 = 64 << 20;

/// A claim lasts longer than any job can; a restart releases it.
const LEASE_MS: i64 = 24 * 3_600_000;

/// A domain's route is asked for again after this time, in milliseconds.
const PLAN_MS: i64 = 60_000;

/// Between two looks into the store at least this time passes.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Held mail whose time is up goes within this time, in milliseconds.
const HELD_MS: i64 = 60_000;

/// Without anything due the store is looked at this often, since the clock may be set.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// What delivery needs of the world.
#[derive(Debug)]
pub(crate) struct World {
    pub settings: LiveSettings,
    pub store: Store,
    pub clock: Clock,
    pub resolver: Resolver,
    pub tls: ClientTls,
    pub live: Arc<crate::support::directory_cache::LiveDirectory>,
    /// The ports on which we take mail from other servers: a route to one of them on this machine is a loop.
    pub own_ports: Vec<u16>,
    /// Connections, by host.
    pub hosts: HostPlaces,
    /// What hosts have asked us to stop.
    pub breakers: LiveBreakers,
    /// Told when a host does not believe who we are.
    pub doubts: Arc<Notify>,
    /// Whether mail may leave over IPv6.
    pub ipv6: Ipv6Standing,
    /// The MTA-STS policies of others.
    pub sts: StsPolicies,
    /// Which hosts offer TLS.
    pub tls_memory: TlsMemory,
    /// What other domains are to be told.
    pub results: Results,
    /// The keys that sign.
    pub signing: Signing,
    /// Room for large contents in memory.
    pub large: LargeContents,
    /// What the targets have taken lately.
    pub taken: Taken,
    /// Whether the wall clock was set.
    pub clock_steps: ClockSteps,
    /// Whether the server closes.
    pub closing: Closing,
    /// Where this run begins to spread hosts of equal preference.
    pub spread: u32,
}

/// The dispatcher. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    world: Arc<World>,
    lanes: Lanes,
    state: Mutex<State>,
    look: Notify,
}

/// Domain and flow, and whether what the domain publishes about TLS stops nothing.
type RouteKey = (Domain, Flow, bool);

#[derive(Debug, Default)]
struct State {
    domains: HashMap<Domain, DomainState>,
    routes: HashMap<RouteKey, RouteState>,
    in_memory: usize,
    content_bytes: u64,
    /// When held mail is looked at again, Unix milliseconds.
    held_ms: i64,
}

#[derive(Debug, Default)]
struct DomainState {
    in_memory: usize,
    /// More is due in the store than there was room for: new mail queues behind it.
    starved: bool,
}

#[derive(Debug, Default)]
struct RouteState {
    /// The plan, and until when it is good, Unix milliseconds.
    plan: Option<(Arc<Plan>, i64)>,
    /// What waits for one.
    unplanned: Vec<Job>,
}

impl Dispatch {
    pub fn new(world: Arc<World>) -> Self {
        Self(Arc::new(Inner { world, lanes: Lanes::default(), state: Mutex::default(), look: Notify::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    pub fn world(&self) -> &Arc<World> {
        &self.0.world
    }

    pub fn lanes(&self) -> &Lanes {
        &self.0.lanes
    }

    /// When a claim made now ends, Unix milliseconds.
    pub fn lease_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_add(LEASE_MS)
    }

    /// Something may be due in the store.
    pub fn wake(&self) {
        self.0.look.notify_one();
    }

    /// An operator wants delivery tried now: what was found out about routes and hosts before does not count.
    pub fn retry_now(&self) {
        for route in self.state().routes.values_mut() {
            route.plan = None;
        }
        self.0.lanes.lift_pauses();
        self.0.world.breakers.lift();
        self.wake();
    }

    /// The wall clock was set: what is known here until a time is moved along.
    pub fn step_clock(&self, by_ms: i64) {
        let mut state = self.state();
        for route in state.routes.values_mut() {
            route.plan = None;
        }
        state.held_ms = state.held_ms.saturating_add(by_ms);
        drop(state);
        self.0.lanes.step_clock(by_ms);
        self.0.world.breakers.step_clock(by_ms);
    }

    /// Recipients in memory.
    pub fn in_memory(&self) -> usize {
        self.state().in_memory
    }

    /// Keeps room for a new message, so that it need not be read back. `None` where there is none.
    pub fn reserve(&self, new: &NewMessage) -> Option<Reservation> {
        let mut domains: Vec<(Domain, usize)> = Vec::with_capacity(1);
        for recipient in &new.recipients {
            match domains.iter_mut().find(|(d, _)| *d == recipient.mailbox.domain) {
                Some((_, count)) => *count += 1,
                None => domains.push((recipient.mailbox.domain.clone(), 1)),
            }
        }
        let bytes = new.content.front().len() as u64;
        let mut state = self.state();
        let has_room = |(domain, count): &(Domain, usize)| {
            state.domains.get(domain).is_none_or(|d| !d.starved && d.in_memory + count <= DOMAIN_WINDOW)
        };
        if state.in_memory + new.recipients.len() > WINDOW || state.content_bytes + bytes > CONTENT_BYTES || !domains.iter().all(has_room) {
            return None;
        }
        for (domain, count) in &domains {
            state.domains.entry(domain.clone()).or_default().in_memory += count;
        }
        state.in_memory += new.recipients.len();
        state.content_bytes += bytes;
        Some(Reservation::new(self.clone(), domains, bytes))
    }

    /// Takes a job for which there is room.
    pub fn submit(&self, job: Job) {
        if self.0.world.closing.has_begun() {
            return self.done(&job);
        }
        let now_ms = self.0.world.clock.now_ms();
        let key = (job.domain.clone(), job.claimed.message.flow, job.claimed.message.tls == TlsWish::Optional);
        let mut state = self.state();
        let route = state.routes.entry(key.clone()).or_default();
        if let Some((plan, until_ms)) = &route.plan
            && now_ms < *until_ms
        {
            let plan = plan.clone();
            drop(state);
            self.0.lanes.push(self, &plan, job);
            return;
        }
        route.unplanned.push(job);
        if route.unplanned.len() == 1 {
            drop(state);
            tokio::spawn(self.clone().plan(key));
        }
    }

    /// Finds the route of a domain, for all its jobs that wait for one.
    async fn plan(self, key: RouteKey) {
        let world = self.0.world.clone();
        let planned = caught(plan(&world, &key.0, key.1, key.2)).await;
        let planned = planned.unwrap_or_else(|| Err(Trouble::bug("an internal error while looking for the route")));
        let jobs = {
            let mut state = self.state();
            let route = state.routes.entry(key).or_default();
            route.plan = planned.as_ref().ok().map(|plan| (plan.clone(), world.clock.now_ms() + PLAN_MS));
            std::mem::take(&mut route.unplanned)
        };
        match planned {
            Ok(plan) => jobs.into_iter().for_each(|job| self.0.lanes.push(&self, &plan, job)),
            Err(trouble) => settle::all_failed(&self, jobs, &trouble).await,
        }
    }

    /// A job is settled, or not begun since the server closes: its room is free again. A claim in the store is released with all others.
    pub fn done(&self, job: &Job) {
        let count = job.claimed.recipients.len();
        let look = self.release(&[(job.domain.clone(), count)], job.held_bytes);
        if look {
            self.wake();
        }
    }

    /// Gives room back; true where mail in the store waited for it.
    pub fn release(&self, domains: &[(Domain, usize)], content_bytes: u64) -> bool {
        let mut state = self.state();
        let mut look = false;
        state.content_bytes = state.content_bytes.saturating_sub(content_bytes);
        for (name, count) in domains {
            state.in_memory = state.in_memory.saturating_sub(*count);
            let Some(domain) = state.domains.get_mut(name) else { continue };
            domain.in_memory = domain.in_memory.saturating_sub(*count);
            // Half a window at a time: a look for each single message would cost more than the message.
            look |= domain.starved && domain.in_memory <= DOMAIN_WINDOW / 2;
        }
        look
    }

    /// Claims what is due, for ever.
    pub async fn run(self) {
        loop {
            let next_ms = match caught(self.look()).await {
                Some(Ok(next_ms)) => next_ms,
                Some(Err(error)) => {
                    tracing::error!(%error, "the queue could not be looked at; trying again");
                    None
                }
                None => None,
            };
            tokio::time::sleep(LOOK_EVERY).await;
            let until_ms = next_ms.unwrap_or(i64::MAX);
            tokio::select! {
                () = self.0.look.notified() => {}
                () = self.0.world.clock.sleep_until_ms(until_ms, LOOK_AT_LEAST_EVERY) => {}
            }
        }
    }

    /// Claims what is due now and for which there is room. Returns when the next is due, Unix milliseconds.
    async fn look(&self) -> Result<Option<i64>, store::StoreError> {
        let world = &self.0.world;
        clock_step::notice(self).await;
        let now_ms = world.clock.now_ms();
        self.expire_held(now_ms).await?;
        let lanes = world.store.lanes().await?;
        self.forget_idle(now_ms);
        self.0.lanes.sweep(now_ms);
        let mut next_ms = lanes.iter().map(|l| l.due_ms).filter(|due_ms| *due_ms > now_ms).min();
        let mut failed = None;
        let due: Vec<Domain> = lanes.into_iter().filter(|l| l.due_ms <= now_ms).map(|l| l.lane).collect();
        for lanes in due.chunks(claim::CLAIMS_AT_ONCE) {
            for claim::Claim { lane, room, claimed } in self.claim(lanes, now_ms).await {
                let claimed = match claimed {
                    Ok(claimed) => claimed,
                    // A fault in one lane must not keep the others waiting.
                    Err(error) => {
                        failed = Some(error);
                        self.keep(&lane, room, 0);
                        continue;
                    }
                };
                let count: usize = claimed.iter().map(|c| c.recipients.len()).sum();
                self.keep(&lane, room, count);
                if count < room {
                    // When the rest of this lane is due is known once it is looked at without what was just claimed.
                    next_ms = Some(now_ms);
                }
                for claimed in claimed {
                    self.submit(Job::new(claimed, lane.clone(), 0));
                }
            }
        }
        failed.map_or(Ok(next_ms), Err)
    }

    /// Removes held mail whose time is up, now and then.
    async fn expire_held(&self, now_ms: i64) -> Result<(), store::StoreError> {
        let is_due = {
            let mut state = self.state();
            let is_due = now_ms >= state.held_ms;
            if is_due {
                state.held_ms = now_ms + HELD_MS;
            }
            is_due
        };
        if is_due {
            let removed = self.0.world.store.expire_held(now_ms).await?;
            if removed > 0 {
                tracing::info!(removed, "held mail that nobody released was removed: its time was up");
            }
        }
        Ok(())
    }

    fn forget_idle(&self, now_ms: i64) {
        let mut state = self.state();
        state.domains.retain(|_, d| d.in_memory > 0 || d.starved);
        state.routes.retain(|_, r| !r.unplanned.is_empty() || r.plan.as_ref().is_some_and(|(_, until_ms)| now_ms < *until_ms));
    }
}
