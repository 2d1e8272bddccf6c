//! Carries notices to their channels, and tries again while one is not accepted.
//!
//! Invariants: the attempts of a notice end; what waits for one survives a restart, under the same ID, by which a receiver knows a repetition; what was
//! not accepted is logged and recorded.

use std::collections::HashMap;
use std::sync::Arc;

use events::{Event, EventKind, Events, Fact};
use mail::QueueId;
use net::{Clock, random_u32};
use serde::{Deserialize, Serialize};
use tokio::task::{Id, JoinError, JoinSet};

use super::channel::{Channel, Channels};
use super::notice::Notice;

/// Wait before each attempt, in seconds: about five hours in all.
const WAITS_S: [i64; 7] = [0, 5, 60, 300, 1800, 3600, 14_400];

/// Maximum notices that wait.
const WAITING_MAX: usize = 100;

/// A notice on its way to one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Carried {
    id: String,
    channel: Channel,
    notice: Notice,
    /// Attempts that failed.
    attempts: usize,
    /// When the next attempt is due, Unix milliseconds.
    due_ms: i64,
    /// The last answer.
    answer: String,
}

/// The notices that are not accepted yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting(Vec<Carried>);

impl Waiting {
    /// Adds a notice for a channel.
    pub fn add(&mut self, channel: Channel, notice: Notice, clock: &Clock) {
        if self.0.len() >= WAITING_MAX {
            tracing::warn!(channel = channel.name(), subject = notice.subject, "too many notices are under way: this one is dropped");
            return;
        }
        let (id, due_ms) = (new_id(clock), clock.now_ms());
        self.0.push(Carried { id, channel, notice, attempts: 0, due_ms, answer: String::new() });
    }

    /// Notes that an attempt failed. Returns the notice when it was the last one.
    fn put_off(&mut self, id: &str, answer: String, now_ms: i64) -> Option<Carried> {
        let place = self.0.iter().position(|carried| carried.id == id)?;
        let carried = self.0.get_mut(place)?;
        carried.attempts += 1;
        carried.answer = answer;
        match WAITS_S.get(carried.attempts) {
            Some(wait_s) => {
                carried.due_ms = now_ms + wait_s * 1000;
                None
            }
            None => Some(self.0.remove(place)),
        }
    }

    fn take(&mut self, id: &str) -> Option<Carried> {
        let place = self.0.iter().position(|carried| carried.id == id)?;
        Some(self.0.remove(place))
    }

    /// Returns what is due. A time further ahead than any wait comes from a clock that was wrong.
    fn due(&self, now_ms: i64) -> impl Iterator<Item = &Carried> {
        let is_due = move |carried: &&Carried| {
            let wait_ms = WAITS_S.get(carried.attempts).map_or(0, |wait_s| wait_s * 1000);
            !(1..=wait_ms).contains(&carried.due_ms.saturating_sub(now_ms))
        };
        self.0.iter().filter(is_due)
    }
}

/// Makes the ID of a notice.
pub fn new_id(clock: &Clock) -> String {
    format!("msg_{}", QueueId::next(clock.now_ms(), random_u32()))
}

/// The end of an attempt.
pub type AttemptEnd = Result<(Id, Result<String, String>), JoinError>;

/// Makes the attempts.
#[derive(Debug)]
pub struct Courier {
    channels: Arc<Channels>,
    record: Events,
    attempts: JoinSet<Result<String, String>>,
    /// The notices of the attempts.
    under_way: HashMap<Id, String>,
}

impl Courier {
    /// Sends over these channels.
    pub fn new(channels: Arc<Channels>, record: Events) -> Self {
        Self { channels, record, attempts: JoinSet::new(), under_way: HashMap::new() }
    }

    /// Begins the attempts that are due.
    pub fn begin(&mut self, waiting: &Waiting) {
        for carried in waiting.due(self.channels.clock.now_ms()) {
            if self.under_way.values().any(|id| *id == carried.id) {
                continue;
            }
            let (channels, Carried { id, channel, notice, .. }) = (self.channels.clone(), carried.clone());
            let sent = id.clone();
            let task = self.attempts.spawn(async move { channels.send(channel, &sent, &notice).await });
            self.under_way.insert(task.id(), id);
        }
    }

    /// Ends the attempts: another node makes them now.
    pub fn abandon(&mut self) {
        self.attempts = JoinSet::new();
        self.under_way.clear();
    }

    /// Waits for the end of an attempt; `None` if none is under way.
    pub async fn ended(&mut self) -> Option<AttemptEnd> {
        self.attempts.join_next_with_id().await
    }

    /// Notes the end of an attempt.
    pub fn settle(&mut self, end: AttemptEnd, waiting: &mut Waiting) {
        let (task, answer) = match end {
            Ok(ended) => ended,
            Err(error) => (error.id(), Err(format!("sending it has a bug: {error}"))),
        };
        let Some(id) = self.under_way.remove(&task) else { return };
        match answer {
            Ok(answer) => {
                let Some(Carried { channel, notice, .. }) = waiting.take(&id) else { return };
                tracing::info!(channel = channel.name(), subject = notice.subject, answer, "{}", EventKind::Notified.words());
                // The letter has an event of its own.
                if channel != Channel::Mail || self.channels.settings.route.is_some() {
                    self.record.record_with(|| self.event(EventKind::Notified, channel, &notice));
                }
            }
            Err(error) => {
                tracing::warn!(id, error, "the notice was not accepted; it is tried again");
                let Some(Carried { channel, notice, answer, .. }) = waiting.put_off(&id, error, self.channels.clock.now_ms()) else {
                    return;
                };
                let (kind, next_step) = (EventKind::NotNotified, "waypost notify test");
                tracing::error!(channel = channel.name(), subject = notice.subject, error = answer, next_step, "{}", kind.words());
                self.record.record_with(|| self.event(kind, channel, &notice).reason(Some(answer)));
            }
        }
    }

    fn event(&self, kind: EventKind, channel: Channel, notice: &Notice) -> Event {
        Event::new(kind, self.channels.clock.now_ms()).host(channel.name()).fact(Fact::What, &notice.subject)
    }
}

#[cfg(test)]
mod tests {
    use super::super::notice::NoticeKind;
    use super::*;

    fn due(waiting: &Waiting, now_ms: i64) -> usize {
        waiting.due(now_ms).count()
    }

    #[test]
    fn a_notice_waits_longer_after_each_failure_and_survives_a_restart() {
        let clock = Clock::simulated(1_800_000_000_000);
        let mut now_ms = clock.now_ms();
        let mut waiting = Waiting::default();
        waiting.add(Channel::Webhook, Notice::urgent(NoticeKind::DiskLow, "", "the disk is nearly full", "text"), &clock);
        let id = waiting.0[0].id.clone();
        for wait_s in &WAITS_S[1..] {
            assert_eq!(due(&waiting, now_ms), 1);
            assert_eq!(waiting.put_off(&id, "503".into(), now_ms), None);
            let text = serde_json::to_string(&waiting).unwrap();
            waiting = serde_json::from_str(&text).unwrap();
            assert_eq!((due(&waiting, now_ms), due(&waiting, now_ms + wait_s * 1000 - 1)), (0, 0), "{wait_s}");
            assert_eq!(due(&waiting, now_ms - 20_000_000), 1, "the clock went back");
            now_ms += wait_s * 1000;
        }
        assert_eq!(waiting.put_off(&id, "503".into(), now_ms).unwrap().id, id, "the last attempt");
        assert_eq!(waiting, Waiting::default());
    }
}
