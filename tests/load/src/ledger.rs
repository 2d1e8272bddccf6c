//! The ledgers: what the server acknowledged, what arrived, and the judgement of both.
//!
//! Invariant: a message is lost if it was acknowledged and is neither at the sink nor in the queue, for one of its targets. Copies that the sink did not
//! answer are counted apart from other duplicates: no server can avoid them (RFC 5321 s.4.1.1.4, RFC 1047).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::content::Mark;

/// A message at the sink.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its own field; `None`: a message that the client did not send (a DSN).
    pub mark: Option<Mark>,
    /// The recipients of this transaction.
    pub to: Vec<String>,
    /// When it arrived, in nanoseconds of the process's clock.
    pub at_ns: u64,
    /// Whether its body has the digest that it was sent with.
    pub whole: bool,
    /// Whether the sink answered 250.
    pub answered: bool,
    /// Whether the sink answered 550.
    pub rejected: bool,
}

/// The arrivals of a run.
#[derive(Debug, Clone, Default)]
pub struct Arrivals {
    run: u64,
    /// Messages of this run, in their order.
    pub list: Vec<Arrival>,
    /// Messages of other runs.
    pub stale: u64,
    /// Messages that the client did not send.
    pub foreign: u64,
}

impl Arrivals {
    /// Records messages of this run.
    pub fn of(run: u64) -> Self {
        Self { run, ..Self::default() }
    }

    /// Records a message.
    pub fn record(&mut self, arrival: Arrival) {
        match &arrival.mark {
            Some(mark) if mark.run == self.run => self.list.push(arrival),
            Some(_) => self.stale += 1,
            None => self.foreign += 1,
        }
    }

    /// Numbers of the messages that arrived.
    pub fn numbers(&self) -> BTreeSet<u64> {
        self.list.iter().filter_map(|arrival| arrival.mark.as_ref()).map(|mark| mark.number).collect()
    }
}

/// A message and one of its targets.
pub type Copy = (u64, String);

/// What the client knows.
#[derive(Debug, Default)]
pub struct Sent {
    /// Messages that were offered, with their targets.
    pub offered: BTreeMap<u64, BTreeSet<String>>,
    /// Messages that were acknowledged.
    pub acknowledged: BTreeSet<u64>,
    /// Replies and errors other than a 250, by their first words.
    pub replies: BTreeMap<String, u64>,
}

/// The judgement of a campaign.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    /// Messages acknowledged.
    pub acknowledged: usize,
    /// Copies that this promised: one for each target.
    pub promised: usize,
    /// Copies at the sink, each counted once.
    pub arrived: usize,
    /// Copies in the queue.
    pub queued: usize,
    /// Copies that the sink rejected for good.
    pub rejected: usize,
    /// Promised copies that are nowhere.
    pub lost: usize,
    /// The first of them.
    pub lost_examples: Vec<Copy>,
    /// Copies that arrived with another body than was sent.
    pub damaged: usize,
    /// Copies for a target that the message was not for.
    pub misdirected: usize,
    /// Copies beyond the first whose earlier copy was answered.
    pub duplicates: usize,
    /// Copies beyond the first after a hang-up of the sink.
    pub duplicates_after_hang_up: usize,
    /// Copies of messages whose 250 did not reach the client.
    pub unacknowledged: usize,
    /// Replies and errors other than a 250.
    pub replies: BTreeMap<String, u64>,
}

impl Verdict {
    /// Compares both ledgers with what is still in the queue.
    pub fn of(sent: &Sent, arrivals: &Arrivals, queued: &BTreeSet<Copy>) -> Self {
        let mut times: BTreeMap<Copy, (usize, usize)> = BTreeMap::new();
        let mut rejected = BTreeSet::new();
        let mut verdict = Self { acknowledged: sent.acknowledged.len(), replies: sent.replies.clone(), ..Self::default() };
        for arrival in &arrivals.list {
            let Some(mark) = &arrival.mark else { continue };
            verdict.damaged += usize::from(!arrival.whole);
            for target in &arrival.to {
                let copy = (mark.number, target.clone());
                if arrival.rejected {
                    rejected.insert(copy);
                    continue;
                }
                let is_ours = sent.offered.get(&mark.number).is_some_and(|targets| targets.contains(target));
                verdict.misdirected += usize::from(!is_ours);
                // A damaged copy is no arrival.
                if arrival.whole {
                    let (all, unanswered) = times.entry(copy).or_default();
                    *all += 1;
                    *unanswered += usize::from(!arrival.answered);
                }
            }
        }
        for ((number, _), (all, unanswered)) in &times {
            verdict.duplicates_after_hang_up += (*all - 1).min(*unanswered);
            verdict.duplicates += (*all - 1).saturating_sub(*unanswered);
            verdict.unacknowledged += usize::from(!sent.acknowledged.contains(number));
        }
        for number in &sent.acknowledged {
            for target in sent.offered.get(number).into_iter().flatten() {
                verdict.promised += 1;
                let copy = (*number, target.clone());
                if !times.contains_key(&copy) && !queued.contains(&copy) && !rejected.contains(&copy) {
                    verdict.lost += 1;
                    if verdict.lost_examples.len() < 10 {
                        verdict.lost_examples.push(copy);
                    }
                }
            }
        }
        Self { arrived: times.len(), queued: queued.len(), rejected: rejected.len(), ..verdict }
    }

    /// What no server may do: empty if all is well.
    pub fn faults(&self) -> Vec<String> {
        let counts = [("lost", self.lost), ("damaged", self.damaged), ("misdirected", self.misdirected)];
        counts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(number: u64, to: &[&str]) -> Arrival {
        let mark = Mark { run: 1, number, sent_ns: 0, digest: "-".into() };
        let to = to.iter().map(|to| (*to).to_owned()).collect();
        Arrival { mark: Some(mark), to, at_ns: 0, whole: true, answered: true, rejected: false }
    }

    fn sent(numbers: &[u64]) -> Sent {
        let targets = || BTreeSet::from(["a@x.test".to_owned(), "b@x.test".to_owned()]);
        Sent {
            offered: numbers.iter().map(|number| (*number, targets())).collect(),
            acknowledged: numbers.iter().copied().collect(),
            replies: BTreeMap::new(),
        }
    }

    fn arrivals(list: Vec<Arrival>) -> Arrivals {
        let mut arrivals = Arrivals::of(1);
        list.into_iter().for_each(|arrival| arrivals.record(arrival));
        arrivals
    }

    #[test]
    fn a_copy_that_is_nowhere_is_lost() {
        let arrived = arrivals(vec![arrival(1, &["a@x.test", "b@x.test"]), arrival(2, &["a@x.test"])]);
        let queued = BTreeSet::from([(3, "a@x.test".to_owned()), (3, "b@x.test".to_owned())]);
        let verdict = Verdict::of(&sent(&[1, 2, 3]), &arrived, &queued);
        assert_eq!((verdict.promised, verdict.arrived, verdict.lost), (6, 3, 1));
        assert_eq!(verdict.lost_examples, [(2, "b@x.test".to_owned())]);
        assert_eq!(verdict.faults(), ["1 lost"]);
    }

    #[test]
    fn a_damaged_copy_is_no_arrival() {
        let arrived = arrivals(vec![Arrival { whole: false, ..arrival(1, &["a@x.test", "b@x.test"]) }]);
        let verdict = Verdict::of(&sent(&[1]), &arrived, &BTreeSet::new());
        assert_eq!((verdict.damaged, verdict.lost), (1, 2));
    }

    #[test]
    fn duplicates_after_a_hang_up_are_counted_apart() {
        let both = ["a@x.test", "b@x.test"];
        let unanswered = Arrival { answered: false, ..arrival(1, &both) };
        let arrived = arrivals(vec![unanswered, arrival(1, &both), arrival(2, &both), arrival(2, &both)]);
        let verdict = Verdict::of(&sent(&[1, 2]), &arrived, &BTreeSet::new());
        assert_eq!((verdict.duplicates, verdict.duplicates_after_hang_up, verdict.lost), (2, 2, 0));
    }

    #[test]
    fn mail_for_another_target_is_misdirected() {
        let verdict = Verdict::of(&sent(&[1]), &arrivals(vec![arrival(1, &["a@x.test", "b@x.test", "c@x.test"])]), &BTreeSet::new());
        assert_eq!((verdict.misdirected, verdict.lost), (1, 0));
    }
}
