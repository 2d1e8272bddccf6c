//! What comes of an action: it goes into the node's jobs and the ledger, and what a claim took is compared with what was due.

use std::collections::BTreeMap;

use store::{NewMessage, StoreError};

use crate::database::{Key, QueuedRow};
use crate::node::{Action, Job, LaneClaim, Outcome, Phase, key_of, kind};
use crate::run::{Run, done_of};

impl Run {
    /// A database that cannot be reached is the only reason to fail here.
    fn check_error(&mut self, outcome: &Outcome) {
        let errors: Vec<String> = match outcome {
            Outcome::Accepted(answer) => answer.as_ref().err().map(kind).into_iter().collect(),
            Outcome::Settled(answer) | Outcome::Beaten(answer) => answer.as_ref().err().map(kind).into_iter().collect(),
            Outcome::Claims(Err(error)) => vec![kind(error)],
            Outcome::Claims(Ok(claims)) => claims.iter().filter_map(|claim| claim.claimed.as_ref()?.as_ref().err().map(kind)).collect(),
        };
        for error in errors.into_iter().filter(|error| error != "Unavailable") {
            self.fault(format_args!("AN ERROR: {error}"));
        }
    }

    /// Notes what has come of an action.
    pub fn apply(&mut self, n: usize, action: Action, outcome: Outcome) {
        self.check_error(&outcome);
        let (now_ms, name, lives) = (self.now_ms, self.nodes[n].name.clone(), self.nodes[n].lives);
        match (action, outcome) {
            (Action::Accept { new, .. }, Outcome::Accepted(answer)) => self.accepted(n, &new, answer),
            (Action::ClaimRound { .. }, Outcome::Claims(claims)) => match claims {
                Ok(claims) => claims.into_iter().for_each(|claim| self.claimed(n, claim)),
                Err(error) => self.say(format_args!("{name} cannot read the lanes: {}", kind(&error))),
            },
            (Action::Settle { job }, Outcome::Settled(answer)) => {
                let Some(life) = &mut self.nodes[n].life else { return };
                let message = life.jobs.get(job).map_or(0, |job| job.message);
                if answer.is_ok() && job < life.jobs.len() {
                    let job = life.jobs.remove(job);
                    let done = job.settlement().map(done_of).unwrap_or_default();
                    done.into_iter().for_each(|key| self.ledger.settled(key, &name, lives));
                }
                self.say(format_args!("{name} settles {message}: {:?}", answer.as_ref().map_err(kind)));
            }
            (_, Outcome::Beaten(answer)) => {
                let rate = self.nodes[n].rate;
                let Some(life) = &mut self.nodes[n].life else { return };
                life.note_beat(now_ms, rate, &answer);
                if let Err(error) = &answer {
                    self.say(format_args!("{name} is not heard: {}", kind(error)));
                }
            }
            _ => {}
        }
    }

    fn accepted(&mut self, n: usize, new: &NewMessage, answer: Result<store::Lease, StoreError>) {
        let (id, node) = (new.message.id, &mut self.nodes[n]);
        for index in (0_u32..).take(new.recipients.len()) {
            self.ledger.answered((id.0, index), answer.is_ok());
        }
        if let (Some(life), Ok(lease), true) = (&mut node.life, &answer, new.claimed) {
            let mut by_lane: BTreeMap<String, Vec<store::RecipientKey>> = BTreeMap::new();
            for (index, recipient) in (0_u32..).zip(&new.recipients) {
                by_lane.entry(recipient.mailbox.domain.as_str().to_owned()).or_default().push(store::RecipientKey { message: id, index });
            }
            for recipients in by_lane.into_values() {
                life.jobs.push(Job { message: id.0, recipients, lease: *lease, phase: Phase::Claimed });
            }
        }
        let name = node.name.clone();
        self.say(format_args!("{name} is given {} (claimed: {}): {:?}", id.0, new.claimed, answer.as_ref().map(drop).map_err(kind)));
    }

    fn claimed(&mut self, n: usize, claim: LaneClaim) {
        let name = self.nodes[n].name.clone();
        match claim.claimed {
            None => {}
            Some(Err(error)) => self.say(format_args!("{name} cannot claim {}: {}", claim.lane, kind(&error))),
            Some(Ok(claimed)) => {
                let Some(life) = &mut self.nodes[n].life else { return };
                let mut in_vain = Vec::new();
                for message in &claimed {
                    if !life.store.may_deliver(message.lease) {
                        in_vain.push(message.message.id.0);
                    }
                    life.jobs.push(Job::new(message));
                }
                let keys: Vec<Key> = claimed.iter().flat_map(|c| c.recipients.iter().map(|r| key_of(r.key))).collect();
                self.say(format_args!("{name} claims of {}: {keys:?}", claim.lane));
                if !in_vain.is_empty() {
                    self.fault(format_args!("CLAIMED IN VAIN: {name} may not deliver {in_vain:?}, and keeps it from others"));
                }
            }
        }
    }

    /// No lane starves, and in each the oldest is first: what a node that is well claims is what was due.
    pub fn check_round(&mut self, n: usize, room: u32, claims: &[LaneClaim], before: &BTreeMap<Key, QueuedRow>) {
        let (wall_ms, name) = (self.wall_ms(n), self.nodes[n].name.clone());
        let may_claim = self.life(n).is_some_and(|life| life.is_healthy() && !life.store.is_draining());
        let mut lanes: BTreeMap<&str, Vec<(i64, Key)>> = BTreeMap::new();
        for (key, row) in before.iter().filter(|(_, row)| row.state < 2) {
            lanes.entry(&row.lane).or_default().push((row.at_ms, *key));
        }
        let mut faults = Vec::new();
        for (lane, rows) in &mut lanes {
            rows.sort_unstable();
            let Some(claim) = claims.iter().find(|claim| claim.lane.as_str() == *lane) else {
                faults.push(format!("A LANE STARVES: {name} does not see {lane}"));
                continue;
            };
            if rows.first().is_none_or(|first| first.0 != claim.due_ms) {
                faults.push(format!("A LANE STARVES: {name} thinks that {lane} is due at {}", claim.due_ms));
            }
            let Some(Ok(claimed)) = &claim.claimed else { continue };
            let taken: Vec<Key> = claimed.iter().flat_map(|c| c.recipients.iter().map(|r| key_of(r.key))).collect();
            let due: Vec<_> = rows.iter().filter(|(at_ms, _)| *at_ms <= wall_ms).collect();
            if !may_claim {
                if self.life(n).is_some_and(|life| life.store.is_draining()) && !taken.is_empty() {
                    faults.push(format!("NOT DRAINED: {name} drains, and claims {taken:?}"));
                }
                continue;
            }
            let latest_ms = due.iter().filter(|(_, key)| taken.contains(key)).map(|(at_ms, _)| *at_ms).max();
            let passed_over = due.iter().filter(|(_, key)| !taken.contains(key)).map(|(at_ms, _)| *at_ms).min();
            let is_whole = taken.len() == due.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            if !is_whole || passed_over.is_some_and(|left| latest_ms.is_none_or(|latest| latest > left)) {
                faults.push(format!("A LANE STARVES: of {lane}, {name} has claimed {taken:?} of {due:?}"));
            }
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
    }
}
