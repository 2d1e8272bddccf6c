//! One attempt: a transaction with the first host that opens a session, and with the next ones while the failure is a host's own.
//!
//! RFC 5321 s.5.1: each address is tried until a delivery attempt succeeds. Invariant: a host that accepted a recipient, or may have the message,
//! ends the attempt, so that it causes no second copy; at most [`SESSIONS_MAX`] sessions are opened.

use policy::{Trouble, provider_of};
use store::{Claimed, Content};

use super::worker::Worker;
use crate::deliver::connect::{TriedHosts, connect};
use crate::deliver::delivery_log;
use crate::deliver::job::{Job, Waiter};
use crate::deliver::maildir;
use crate::deliver::transaction::{Attempt, deliver};
use crate::support::panic_edge::caught;

/// Maximum sessions of one attempt, each with another address or host.
const SESSIONS_MAX: usize = 4;

impl Worker {
    /// Tries to deliver; fails if no session can be opened.
    pub(super) async fn attempt(&mut self, job: &Job, content: &Content) -> Result<Attempt, Trouble> {
        if let Some(place) = &self.lane.plan.maildir {
            let hostname = self.outbound.shared().settings.load().hostname.clone();
            let attempt = caught(maildir::deliver(place, &hostname, &job.claimed, content)).await;
            return Ok(attempt.unwrap_or_else(|| Attempt::bug(job.claimed.recipients.len())));
        }
        let mut tried = TriedHosts::default();
        let mut so_far: Option<Attempt> = None;
        // The indices of recipients without a final reply.
        let mut left: Vec<usize> = (0..job.claimed.recipients.len()).collect();
        for _ in 0..SESSIONS_MAX {
            let reused = self.connection.is_some();
            if !reused && let Err(trouble) = self.open(job, &mut tried).await {
                return so_far.ok_or(trouble);
            }
            let attempt = self.transact(job, &left, content).await;
            if attempt.stale && reused && !attempt.has_reply(Trouble::wants_pause) {
                // The host closed an idle connection: that says nothing about the message.
                self.drop_connection(false).await;
                continue;
            }
            let (wants_data, may_try_next) = (attempt.wants_data, self.may_try_next(job, &attempt));
            let merged = merged(so_far.take(), attempt, &left);
            left.retain(|index| merged.results.get(*index).is_some_and(|result| result.as_ref().is_err_and(Trouble::tries_next_host)));
            let reusable = merged.reusable;
            so_far = Some(merged);
            if left.is_empty() || !may_try_next {
                break;
            }
            self.leave_host(wants_data, reusable, &mut tried).await;
        }
        so_far.ok_or_else(|| Trouble::connection_lost("every reused connection was closed"))
    }

    /// Whether the remaining recipients may be tried at another host at once.
    fn may_try_next(&self, job: &Job, attempt: &Attempt) -> bool {
        let is_gone = job.waiter.as_ref().is_some_and(Waiter::is_gone);
        let host = self.connection.as_ref().map(|connection| &connection.host);
        // A large provider counts attempts over all its hosts: trying the next one would only add to the count.
        let is_counted = attempt.has_reply(Trouble::wants_pause) && host.and_then(provider_of).is_some();
        let wants_another = attempt.has_reply(Trouble::wants_new_connection);
        let is_closing = self.outbound.closing.has_begun();
        !attempt.is_in_doubt && !is_gone && !is_closing && !is_counted && !wants_another && attempt.results.iter().all(Result::is_err)
    }

    async fn open(&mut self, job: &Job, tried: &mut TriedHosts) -> Result<(), Trouble> {
        let outbound = self.outbound.clone();
        // Nothing has started before the connection.
        let opened = tokio::select! {
            biased;
            opened = caught(connect(&outbound.connector, &self.lane.plan, &job.domain, tried)) => opened,
            () = outbound.closing.begun() => return Err(Trouble::unreachable("the server shuts down")),
        };
        let connection = opened.unwrap_or_else(|| Err(Trouble::bug("an internal error while connecting")))?;
        self.connection = Some(connection);
        self.lane.state().connected += 1;
        Ok(())
    }

    /// One transaction for the recipients at these indices.
    async fn transact(&mut self, job: &Job, indices: &[usize], content: &Content) -> Attempt {
        let Some(connection) = &mut self.connection else { return Attempt::bug(indices.len()) };
        let attempt = if indices.len() == job.claimed.recipients.len() {
            caught(deliver(connection, &self.outbound.shared().store, &job.claimed, content)).await
        } else {
            let recipients = indices.iter().filter_map(|index| job.claimed.recipients.get(*index).cloned()).collect();
            let claimed = Claimed {
                message: job.claimed.message.clone(),
                content: job.claimed.content.clone(),
                recipients,
                lease: job.claimed.lease,
            };
            caught(deliver(connection, &self.outbound.shared().store, &claimed, content)).await
        };
        let attempt = attempt.unwrap_or_else(|| Attempt::bug(indices.len()));
        if attempt.is_in_doubt
            && let Some(connection) = &self.connection
        {
            delivery_log::in_doubt(self.outbound.shared(), job, &connection.host);
        }
        attempt
    }

    /// Leaves the host: the next session is with another address, or with this one using DATA.
    async fn leave_host(&mut self, wants_data: bool, reusable: bool, tried: &mut TriedHosts) {
        if let Some(connection) = &self.connection {
            if wants_data {
                tracing::warn!(host = %connection.host, "the host offers CHUNKING but rejects BDAT; using DATA from now on");
                self.outbound.breakers().learn_data_only(&connection.host, self.outbound.shared().clock.now_ms());
            } else {
                tracing::info!(host = %connection.host, "the failure is the host's own; trying the next one");
                tried.add(connection);
            }
        }
        self.drop_connection(reusable).await;
    }
}

/// Merges the results of a transaction, for the recipients at these indices.
fn merged(before: Option<Attempt>, attempt: Attempt, indices: &[usize]) -> Attempt {
    let Some(before) = before else { return attempt };
    let Attempt { results, stale, wants_data, is_in_doubt, reusable } = attempt;
    let mut all = before.results;
    for (index, result) in indices.iter().zip(results) {
        if let Some(known) = all.get_mut(*index) {
            *known = result;
        }
    }
    Attempt { results: all, stale, wants_data, is_in_doubt, reusable }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::Scope;

    #[test]
    fn a_later_host_changes_only_the_results_of_its_recipients() {
        let no = Trouble::permanent(Scope::Recipient, 1, 1, "no");
        let (full, down) = (Trouble::temporary(Scope::Host, 3, 1, "full"), Trouble::temporary(Scope::Host, 3, 2, "down"));
        let attempt =
            |troubles: &[&Trouble]| Attempt { results: troubles.iter().map(|t| Err((*t).clone())).collect(), ..Attempt::default() };
        let both = merged(Some(attempt(&[&no, &full])), attempt(&[&down]), &[1]);
        let texts: Vec<&str> = both.results.iter().filter_map(|result| result.as_ref().err()).map(|t| t.text.as_str()).collect();
        assert_eq!(texts, ["no", "down"]);
    }
}
