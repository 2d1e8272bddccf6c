//! The circuit breakers, consulted before each delivery and updated with each outcome.
//!
//! `policy` decides; this file names what a delivery involves: its targets, host, and domains (of SPF, RFC 7208 s.2.4, and of our DKIM
//! signature, RFC 6376 s.3.5). Invariant: an admitted job returns its passes exactly once.

use std::collections::HashSet;
use std::path::Path;

use mail::{Domain, Fields, Mailbox};
use net::Clock;
use parking_lot::{Mutex, MutexGuard};
use policy::{Admission, BREAKERS_MAX, BreakerKeys, Meaning, Pass, Pause, Scope, Severity, Trouble};
use store::{Flow, Message};

use crate::context::Shared;
use crate::deliver::breaker_file::BreakerFile;
use crate::deliver::delivery_log;
use crate::deliver::job::Job;
use crate::deliver::pause_log::{self, Reached};
use crate::deliver::route::Plan;
use crate::deliver::transaction::Delivered;
use crate::settings::Settings;

/// All breakers.
#[derive(Debug, Default)]
pub(crate) struct Breakers {
    policy: Mutex<policy::Breakers>,
    /// Hosts that could not be reached at the last attempt.
    down: Mutex<HashSet<Domain>>,
    file: BreakerFile,
}

/// The passes of an admitted job.
#[derive(Debug)]
pub(crate) struct Passes {
    /// The intended host: the first of the plan, whichever answered.
    host: Domain,
    /// For host, addresses and domains.
    of_host: Pass,
    /// For the targets, one per recipient.
    targets: Vec<Pass>,
}

/// The admitted part of a job, and the deferred ones.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub go: Option<Job>,
    pub wait: Vec<(Job, Trouble)>,
}

impl Breakers {
    /// Reads what outlived the last process.
    pub fn open(data: &Path, clock: &Clock) -> Self {
        let (file, breakers) = BreakerFile::open(data, clock);
        Self { policy: Mutex::new(breakers), down: Mutex::default(), file }
    }

    /// Writes what outlives a restart.
    pub async fn write(&self) {
        let memory = self.breakers().memory();
        self.file.write(memory).await;
    }

    fn breakers(&self) -> MutexGuard<'_, policy::Breakers> {
        self.policy.lock()
    }

    /// Admits a job. Recipients whose target is paused leave it; if its host is paused, or a session waits for the outcome of the whole,
    /// all of it is deferred.
    pub fn admit(&self, shared: &Shared, plan: &Plan, mut job: Job) -> Admitted {
        let now_ms = shared.clock.now_ms();
        let Some(host) = plan.hops.first() else { return Admitted { go: Some(job), wait: Vec::new() } };
        let shared_keys = shared_keys(&shared.settings.load(), host, &job.claimed.message);
        let nodes = shared.store.serving_nodes();
        let mut breakers = self.breakers();
        let (mut targets, mut wait, mut index) = (Vec::new(), Vec::new(), 0);
        while let Some(recipient) = job.claimed.recipients.get(index) {
            match breakers.check_target(host, &recipient.recipient.mailbox.to_string(), nodes, now_ms) {
                Admission::Open(pass) | Admission::Probe(pass) => {
                    targets.push(pass);
                    index += 1;
                }
                Admission::Wait { until_ms, why } => {
                    let trouble = Trouble::paused(Scope::Recipient, until_ms, &why);
                    if job.waiter.is_some() || job.claimed.recipients.len() == 1 {
                        targets.into_iter().for_each(|pass| breakers.on_nothing(pass, now_ms));
                        wait.push((job, trouble));
                        return Admitted { go: None, wait };
                    }
                    wait.extend(job.take_recipient(index).map(|one| (one, trouble)));
                }
            }
        }
        match breakers.check(shared_keys, now_ms) {
            Admission::Open(pass) | Admission::Probe(pass) => {
                job.passes = Some(Passes { host: host.clone(), of_host: pass, targets });
                Admitted { go: Some(job), wait }
            }
            Admission::Wait { until_ms, why } => {
                targets.into_iter().for_each(|pass| breakers.on_nothing(pass, now_ms));
                wait.push((job, Trouble::paused(Scope::Host, until_ms, &why)));
                Admitted { go: None, wait }
            }
        }
    }

    /// Returns the passes of a job that was not sent.
    pub fn give_back(&self, job: &mut Job, now_ms: i64) {
        if let Some(Passes { of_host, targets, .. }) = job.passes.take() {
            let mut breakers = self.breakers();
            targets.into_iter().chain([of_host]).for_each(|pass| breakers.on_nothing(pass, now_ms));
        }
    }

    /// Records the outcome of a job. If it opens a breaker, the trouble gets the end of the pause.
    pub fn record(&self, shared: &Shared, job: &mut Job, results: &mut [Result<Delivered, Trouble>], now_ms: i64) {
        let Some(Passes { host, of_host, targets }) = job.passes.take() else { return };
        let is_up = results.iter().any(Result::is_ok);
        if is_up && self.down.lock().remove(&host) {
            pause_log::reachable(shared, &host);
        }
        let mut breakers = self.breakers();
        let of = Reached { host: &host, recipient: None };
        let refusal = refusal_of_all(results);
        let until_ms = match refusal {
            Some(meaning) => {
                breakers.learn_way(&host, &meaning, now_ms);
                let change = breakers.on_reply(of_host, &meaning, now_ms);
                pause_log::paused(shared, of, &change.opened, &meaning, change.until_ms);
                change.until_ms
            }
            None if is_up => {
                pause_log::resumed(shared, of, &breakers.on_success(of_host, now_ms));
                None
            }
            None => {
                breakers.on_nothing(of_host, now_ms);
                None
            }
        };
        for ((recipient, result), pass) in job.claimed.recipients.iter().zip(results).zip(targets) {
            let of = Reached { recipient: Some(&recipient.recipient), ..of };
            let trouble = match result {
                Ok(_) => {
                    pause_log::resumed(shared, of, &breakers.on_success(pass, now_ms));
                    continue;
                }
                Err(trouble) => trouble,
            };
            let Some(meaning) = trouble.meaning.clone() else {
                breakers.on_nothing(pass, now_ms);
                continue;
            };
            let effect = breakers.on_reply(pass, &meaning, now_ms);
            pause_log::paused(shared, of, &effect.opened, &meaning, effect.until_ms);
            trouble.not_before_ms = effect.until_ms.max(until_ms);
            if let Some(times) = effect.invalid_times {
                delivery_log::invalid_target(shared, &recipient.recipient, &meaning, times, trouble);
            }
        }
    }

    /// Remembers that a host could not be reached.
    pub fn unreachable(&self, host: &Domain) {
        let mut down = self.down.lock();
        if down.len() < BREAKERS_MAX {
            down.insert(host.clone());
        }
    }

    /// Whether a mailbox is paused.
    pub fn is_paused(&self, target: &Mailbox, now_ms: i64) -> bool {
        self.pause_of_target(target, now_ms).is_some()
    }

    /// Until when mail to a mailbox waits, Unix milliseconds, and why; `None` if it is not paused.
    pub fn pause_of_target(&self, target: &Mailbox, now_ms: i64) -> Option<(i64, String)> {
        self.breakers().closed_for(&target_keys(target), now_ms)
    }

    /// Until when this message waits for this host, Unix milliseconds, and why; `None` if the host is not paused for it.
    pub fn pause_of_host(&self, settings: &Settings, host: &Domain, message: &Message, now_ms: i64) -> Option<(i64, String)> {
        self.breakers().closed_for(&shared_keys(settings, host, message), now_ms)
    }

    /// Whether the host refused our IPv6.
    pub fn is_ipv4_only(&self, host: &Domain, now_ms: i64) -> bool {
        self.breakers().is_ipv4_only(host, now_ms)
    }

    /// Whether the host refused mail without TLS.
    pub fn is_tls_only(&self, host: &Domain, now_ms: i64) -> bool {
        self.breakers().is_tls_only(host, now_ms)
    }

    /// Records that the host offers CHUNKING but rejects BDAT.
    pub fn learn_data_only(&self, host: &Domain, now_ms: i64) {
        self.breakers().learn_data_only(host, now_ms);
    }

    /// Whether the host needs DATA, whatever it offers.
    pub fn is_data_only(&self, host: &Domain, now_ms: i64) -> bool {
        self.breakers().is_data_only(host, now_ms)
    }

    /// The pauses in force.
    pub fn pauses(&self, now_ms: i64) -> Vec<Pause> {
        self.breakers().pauses(now_ms)
    }

    /// Ends the pauses of one mailbox, host or provider.
    pub fn resume(&self, about: &str) -> usize {
        self.breakers().resume(about)
    }

    /// Shifts all times, after the wall clock was set.
    pub fn step_clock(&self, by_ms: i64) {
        self.breakers().step_clock(by_ms);
    }

    /// Closes all breakers, at the operator's request.
    pub fn lift(&self) {
        self.breakers().lift();
    }
}

/// Logs a reply that needs action by the operator.
pub(crate) fn log_critical(message: &Message, meaning: &Meaning) {
    if meaning.severity_of(message.flow == Flow::Own) == Severity::Critical {
        let (row, cause, next_step, link) = (meaning.row, meaning.cause, meaning.next_step, meaning.link);
        tracing::error!(id = %message.id, meaning = %row, cause, next_step, link, "a reply that needs action by the operator");
    }
}

/// The most significant meaning: one that asks for a pause, or else the first.
fn refusal_of_all(results: &[Result<Delivered, Trouble>]) -> Option<std::sync::Arc<Meaning>> {
    let meanings = || results.iter().filter_map(|result| result.as_ref().err()?.meaning.clone());
    let about_us =
        meanings().find(|meaning| meaning.reaction.pause().is_some() && meaning.scopes.iter().any(|s| *s != policy::ReplyScope::Target));
    about_us.or_else(|| meanings().next().filter(|_| results.iter().all(Result::is_err)))
}

fn target_keys(mailbox: &Mailbox) -> BreakerKeys {
    BreakerKeys::of_target(&mailbox.to_string())
}

fn shared_keys(settings: &Settings, host: &Domain, message: &Message) -> BreakerKeys {
    let source = settings.identity(message.flow).source.map(|ip| ip.to_string()).unwrap_or_default();
    let spf = message.envelope_from().mailbox().map_or(&settings.hostname, |mailbox| &mailbox.domain);
    BreakerKeys::of_host(host, &source, spf, signing_domain(&message.prefix).as_ref(), message.flow == Flow::Own)
}

/// The domain of our own DKIM signature, in the prefix.
fn signing_domain(prefix: &[u8]) -> Option<Domain> {
    let value = Fields::find_first(prefix, "DKIM-Signature")?.unfolded();
    value.split(';').find_map(|tag| Domain::parse(tag.trim().strip_prefix("d=")?.trim()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signing_domain_is_read_from_the_prefix() {
        let prefix = b"DKIM-Signature: v=1; a=rsa-sha256;\r\n\td=fwd.example.com; s=r1; bh=d=x\r\nReceived: by us\r\n";
        assert_eq!(signing_domain(prefix), Domain::parse("fwd.example.com").ok());
        assert_eq!(signing_domain(b"Received: by us\r\n"), None);
    }
}
