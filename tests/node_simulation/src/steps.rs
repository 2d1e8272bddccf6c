//! What happens in a run: the seed draws a step at a time, then everything works again and the queue must become empty.
//!
//! Invariant: every choice is by the dice of the seed.

use anyhow::{Context, Result, bail};
use mail::{Domain, EnhancedCode};
use store::{Disposition, NodeState, PostgresSettings, RecipientKey, Settlement, Store, StoreError};

use crate::duties::{DUTIES, DutyFacts};
use crate::node::{Action, Phase, key_of, kind};
use crate::run::{Run, done_of};

/// Recipients that a node has under way at most.
const ROOM: usize = 24;

/// Rounds in which the queue must become empty when everything works.
const LAST_ROUNDS: usize = 160;

impl Run {
    /// Runs the steps of a seed; with `together`, nodes also act at the same time.
    pub async fn steps(&mut self, together: bool) -> Result<()> {
        for n in 0..self.nodes.len() {
            self.start(n).await?;
            if n == 0 && !self.database.has_its_clock().await? {
                bail!("the database reads another clock than that of the simulation");
            }
        }
        let steps = self.dice.between(100, 300);
        for _ in 0..steps {
            if together && self.dice.chance(300) {
                self.together().await?;
            } else {
                self.step().await?;
            }
        }
        self.heal().await
    }

    fn any_node(&mut self) -> usize {
        let last = i64::try_from(self.nodes.len()).unwrap_or(1) - 1;
        usize::try_from(self.dice.between(0, last)).unwrap_or(0)
    }

    async fn step(&mut self) -> Result<()> {
        let n = self.any_node();
        match self.dice.between(1, 1000) {
            1..=150 => match self.accept(n) {
                Some(action) => self.act(n, action).await,
                None => Ok(()),
            },
            151..=330 => match self.claim_round(n) {
                Some(action) => self.act(n, action).await,
                None => Ok(()),
            },
            331..=620 => self.work(n).await,
            621..=760 => {
                let by_ms = if self.dice.chance(150) { self.dice.between(10_000, 50_000) } else { self.dice.between(50, 6_000) };
                self.advance(by_ms).await
            }
            761..=800 => self.duty(n).await,
            801..=860 => self.arm(n),
            861..=900 => self.operate(n).await,
            _ => self.disturb(n).await,
        }
    }

    fn accept(&mut self, n: usize) -> Option<Action> {
        let life = self.life(n)?;
        if life.store.is_draining() || life.held() >= ROOM {
            return None;
        }
        let count = self.dice.between(1, 4);
        let lanes = self.lanes.clone();
        let lanes: Vec<Domain> = (0..count).map(|_| self.dice.pick(&lanes).clone()).collect();
        let claimed = self.dice.chance(500);
        let is_delayed = claimed && self.dice.chance(50) && self.life(n).is_some_and(|life| life.cable.is_whole());
        let new = Box::new(self.message(&lanes, claimed));
        Some(Action::Accept { new, is_delayed })
    }

    fn claim_round(&mut self, n: usize) -> Option<Action> {
        let held = self.life(n)?.held();
        let room = u32::try_from(self.dice.between(1, 6)).ok()?;
        (held < ROOM).then_some(Action::ClaimRound { room })
    }

    /// Goes on with a delivery.
    async fn work(&mut self, n: usize) -> Result<()> {
        let count = self.life(n).map_or(0, |life| life.jobs.len());
        let Some(last) = count.checked_sub(1) else { return Ok(()) };
        let job = usize::try_from(self.dice.between(0, i64::try_from(last)?))?;
        self.go_on(n, job, false).await
    }

    /// Begins a delivery, ends it, or settles it. At the end of a run every delivery is `final`.
    pub async fn go_on(&mut self, n: usize, place: usize, is_final: bool) -> Result<()> {
        let (now_ms, name, lives) = (self.since_begin_ms(), self.nodes[n].name.clone(), self.nodes[n].lives);
        let wall_ms = self.wall_ms(n);
        let Some(life) = &mut self.nodes[n].life else { return Ok(()) };
        let count = life.jobs.len();
        let job = life.jobs.get_mut(place).context("a delivery")?;
        if job.settlement().is_some() {
            let done = job.settlement().map(done_of).unwrap_or_default();
            done.into_iter().for_each(|key| self.ledger.settle(key));
            if !is_final && self.dice.chance(120) {
                self.arm(n)?;
            }
            self.act(n, Action::Settle { job: place }).await?;
            // After a second it tries again, as the server does, if the job is still there: heartbeats remove none.
            if !is_final && self.dice.chance(500) && self.life(n).is_some_and(|life| life.jobs.len() == count) {
                self.advance(1_000).await?;
                return self.act(n, Action::Settle { job: place }).await;
            }
            return Ok(());
        }
        if !life.store.may_deliver(job.lease) {
            let settlement = Box::new(given_back(&job.recipients, job.lease, wall_ms));
            job.phase = Phase::Ended { settlement, delivered: Vec::new() };
            self.say(format_args!("{name} gives something back"));
            return Ok(());
        }
        if matches!(job.phase, Phase::Claimed) {
            job.phase = Phase::Begun;
            return Ok(());
        }
        let (message, recipients, lease) = (job.message, job.recipients.clone(), job.lease);
        let (settlement, delivered) = self.attempt(n, (&recipients, lease), is_final);
        delivered.iter().for_each(|key| self.ledger.deliver(now_ms, *key, &name, lives));
        self.say(format_args!("{name} has delivered {delivered:?} of {message}"));
        if let Some(job) = self.nodes[n].life.as_mut().and_then(|life| life.jobs.get_mut(place)) {
            job.phase = Phase::Ended { settlement: Box::new(settlement), delivered };
        }
        self.check().await
    }

    /// What comes of an attempt, and the recipients for which the host has accepted the content.
    fn attempt(&mut self, n: usize, (recipients, lease): (&[RecipientKey], store::Lease), is_final: bool) -> (Settlement, Vec<(i64, u32)>) {
        let mut settlement = Settlement { lease, ..Settlement::default() };
        let (mut delivered, mut failed) = (Vec::new(), Vec::new());
        for key in recipients {
            let result = match self.dice.between(1, 100) {
                1..=60 => {
                    delivered.push(key_of(*key));
                    Disposition::Done
                }
                61..=75 => {
                    failed.push(key_of(*key));
                    Disposition::Done
                }
                _ if is_final => {
                    delivered.push(key_of(*key));
                    Disposition::Done
                }
                _ => {
                    let next_attempt_ms = self.wall_ms(n) + self.dice.between(1_000, 60_000);
                    Disposition::Deferred { next_attempt_ms, status: EnhancedCode(4, 0, 0), reason: "busy".into(), counts: true }
                }
            };
            settlement.recipients.push((*key, result));
        }
        let is_delayed = settlement.recipients.iter().any(|(_, result)| *result != Disposition::Done);
        // A DSN about a failure, if the sender wants one, or about a delay. A DSN itself fails without one.
        let message = recipients.first().map_or(0, |key| key.message.0);
        let is_wanted = !self.is_dsn(message) && message % 5 < 3;
        if is_wanted && (!failed.is_empty() || (is_delayed && self.dice.chance(300))) {
            let lane = self.dice.pick(&self.lanes.clone()).clone();
            let dsn = self.message(&[lane], false);
            self.note_dsn(dsn.message.id.0);
            failed.iter().for_each(|key| self.ledger.fail(*key, &[dsn.message.id.0]));
            settlement.follow.push(dsn);
        }
        failed.iter().for_each(|key| self.ledger.fail(*key, &[]));
        (settlement, delivered)
    }

    async fn duty(&mut self, n: usize) -> Result<()> {
        let duty = *self.dice.pick(&DUTIES);
        let Some(life) = self.life(n) else { return Ok(()) };
        let lease = std::time::Duration::from_millis(u64::try_from(duty.1)?);
        let answer = life.store.take_duty(duty.0, lease).await;
        self.settle_down(n).await?;
        let name = self.nodes[n].name.clone();
        if let Ok(is_given) = answer {
            let (alive, now_ms) = (self.database.alive().await?, self.now_ms + self.database_ahead_ms);
            let facts = DutyFacts { now_ms, alive, until_ms: self.database.duty_until_ms(duty.0.as_str()).await? };
            if let Some(wrong) = self.duties.note(&name, duty.0, &facts, is_given) {
                self.fault(wrong);
            }
        } else {
            self.duties.doubt(duty.0);
        }
        self.say(format_args!("{name} asks for {}: {:?}", duty.0.as_str(), answer.as_ref().map_err(kind)));
        self.check().await
    }

    /// What an operator does.
    async fn operate(&mut self, n: usize) -> Result<()> {
        let of = self.any_node();
        let (name, other) = (self.nodes[n].name.clone(), self.nodes[of].name.clone());
        let wall_ms = self.wall_ms(n);
        let what = self.dice.between(1, 10);
        let settings = PostgresSettings {
            url: self.life(of).map(|life| life.cable.url(self.database.name())).unwrap_or_default(),
            password_file: None,
            node: other.clone(),
            accept_loss: true,
            version: "simulated".into(),
            wall_clock: None,
        };
        let is_whole = self.life(of).is_some_and(|life| life.is_healthy());
        let Some(life) = self.life(n) else { return Ok(()) };
        let said = match what {
            1..=5 => {
                let is_draining = !self.nodes[of].is_draining && what < 3;
                let state = if is_draining { NodeState::Draining } else { NodeState::Serving };
                let answer = life.store.set_node_state(&other, state).await;
                if answer.is_ok() {
                    self.nodes[of].is_draining = is_draining;
                }
                format!("{name} sets {other} {state:?}: {:?}", answer.as_ref().map_err(kind))
            }
            6..=9 => format!("{name} retries all: {:?}", life.store.retry(None, None, wall_ms).await.as_ref().map_err(kind)),
            _ if is_whole => {
                // A server with another directory, which calls itself as one that lives.
                let home = tempfile::tempdir()?;
                match Store::open_postgres(home.path(), settings).await {
                    Err(StoreError::Settings(_)) => format!("another {other} is refused"),
                    Ok(_) => {
                        self.fault(format_args!("TWO NODES are called {other}"));
                        String::new()
                    }
                    Err(error) => format!("another {other} cannot ask: {}", kind(&error)),
                }
            }
            _ => return Ok(()),
        };
        self.say(said);
        self.settle_down(n).await?;
        self.settle_down(of).await?;
        self.check().await
    }

    pub async fn claim_rounds(&mut self) -> Result<()> {
        for n in 0..self.nodes.len() {
            if let Some(action) = self.claim_round(n) {
                self.act(n, action).await?;
            }
        }
        Ok(())
    }

    /// Two nodes act at the same time.
    async fn together(&mut self) -> Result<()> {
        let (first, second) = (self.any_node(), self.any_node());
        if first == second {
            return Ok(());
        }
        let (Some(one), Some(other)) = (self.any_action(first), self.any_action(second)) else { return Ok(()) };
        self.act_together((first, one), (second, other)).await
    }

    fn any_action(&mut self, n: usize) -> Option<Action> {
        match self.dice.between(1, 4) {
            1 => self.accept(n).filter(|action| !matches!(action, Action::Accept { is_delayed: true, .. })),
            2 => self.claim_round(n),
            3 => self.life(n).map(|_| Action::Beat),
            _ => {
                let ended = self.life(n)?.jobs.iter().position(|job| job.settlement().is_some())?;
                let done = self.life(n)?.jobs.get(ended)?.settlement().map(done_of)?;
                done.into_iter().for_each(|key| self.ledger.settle(key));
                Some(Action::Settle { job: ended })
            }
        }
    }

    /// Everything works from now on, except one node that does not come back; the queue must become empty.
    async fn heal(&mut self) -> Result<()> {
        self.say("everything works");
        self.deliver_late().await?;
        let lost = self.any_node();
        let is_lost = self.dice.chance(500);
        for n in 0..self.nodes.len() {
            self.nodes[n].is_draining = false;
            match self.life(n) {
                Some(_) if is_lost && n == lost => self.end(n, true).await?,
                Some(life) => {
                    life.cable.arm(None);
                    life.cable.cut(false);
                }
                None if is_lost && n == lost => {}
                None => drop(self.start(n).await?),
            }
            self.settle_down(n).await?;
        }
        // What is left of a fault is behind, for each thread of a node.
        self.advance(12_000).await?;
        let names: Vec<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        if let Some(life) = self.nodes.iter().find_map(|node| node.life.as_ref()) {
            for name in names {
                life.store.set_node_state(&name, NodeState::Serving).await.with_context(|| format!("{name} is to serve"))?;
            }
        }
        for _ in 0..LAST_ROUNDS {
            for n in 0..self.nodes.len() {
                if let Some(action) = self.claim_round(n) {
                    self.act(n, action).await?;
                }
                for place in (0..self.life(n).map_or(0, |life| life.jobs.len())).rev() {
                    for _ in 0..3 {
                        if self.life(n).is_some_and(|life| place < life.jobs.len()) {
                            self.go_on(n, place, true).await?;
                        }
                    }
                }
            }
            if self.database.queue().await?.is_empty()
                && self.nodes.iter().all(|node| node.life.as_ref().is_none_or(|life| life.jobs.is_empty()))
            {
                break;
            }
            self.advance(5_000).await?;
        }
        self.check().await?;
        let (queue, now_ms) = (std::mem::take(&mut self.queue), self.since_begin_ms());
        self.ledger.finish(now_ms, &queue);
        for n in 0..self.nodes.len() {
            self.end(n, false).await?;
        }
        Ok(())
    }
}

/// Returns what a node settles that may not deliver any more what it has claimed.
fn given_back(recipients: &[RecipientKey], lease: store::Lease, now_ms: i64) -> Settlement {
    let later = |key: &RecipientKey| {
        let reason = "the node that had claimed it could not reach the database".to_owned();
        (*key, Disposition::Deferred { next_attempt_ms: now_ms, status: EnhancedCode(4, 3, 2), reason, counts: false })
    };
    Settlement { recipients: recipients.iter().map(later).collect(), lease, ..Settlement::default() }
}
