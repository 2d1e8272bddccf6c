//! What a clue finds: messages, each with its result, and events that belong to no message.
//!
//! Invariant: the result of a message with several recipients is the worst of theirs, so that a failure is never hidden by a success.

use std::collections::BTreeMap;

use events::{Event, EventKind, Fact};
use mail::QueueId;
use serde::Serialize;

use crate::recorded::Recorded;

/// A message, or an event that belongs to none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The number of the newest event about it; a cursor.
    pub id: i64,
    /// The queue ID; `None` if there was no message.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    pub queue_id: Option<QueueId>,
    /// The first event about it.
    pub at_ms: i64,
    /// The last event about it.
    pub last_ms: i64,
    /// Its Message-ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The reverse-path; empty for a null reverse-path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The recipients.
    pub to: Vec<String>,
    /// The result so far.
    pub result: EventKind,
    /// The reply that belongs to the result. For the owner only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// The reason of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of events about it.
    pub events: usize,
}

fn shown<S: serde::Serializer>(id: &Option<QueueId>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serializer.collect_str(id),
        None => serializer.serialize_none(),
    }
}

/// The queue IDs of a DSN.
fn named(dsn: &Recorded) -> impl Iterator<Item = QueueId> {
    let copies = dsn.event.get(Fact::Copies).unwrap_or_default();
    dsn.event.queue_id.into_iter().chain(copies.split(' ').filter_map(|id| id.parse().ok()))
}

/// How much a result needs a look: of several recipients, the one with the greatest counts. `None` if a kind is no result.
fn weight(kind: EventKind) -> Option<u8> {
    use EventKind::*;
    Some(match kind {
        Duplicate | AutoReplyDropped | ReportStored | Released | MessageHandedOver | Delivered | DeliveredLate => 1,
        MessageAccepted | NotTaken | Rewritten => 2,
        MessageHeld | Deferred | HeldBack | UnderWay | InDoubt => 3,
        Dropped => 4,
        MessageRefused | MessageNotStored | ContentNotStored | ContentDeferred | RecipientRefused | SenderRefused | SetAside => 5,
        Failed | SignatureBroken => 6,
        _ => return None,
    })
}

impl Found {
    /// Sums up a message by its events, oldest first; `None` if there are none.
    pub(crate) fn of_message(id: QueueId, timeline: &[Recorded]) -> Option<Self> {
        // The results of a DSN are not those of the message.
        let of_dsns: Vec<QueueId> =
            timeline.iter().filter(|recorded| recorded.event.kind == EventKind::DsnQueued).flat_map(named).collect();
        let is_own = |recorded: &&Recorded| recorded.event.queue_id.is_some_and(|of| of == id || !of_dsns.contains(&of));
        let own: Vec<&Recorded> = timeline.iter().filter(is_own).collect();
        let (first, last) = (own.first()?, own.last()?);
        let mut found = Self::of_event(first);
        found.queue_id = Some(id);
        found.id = last.id;
        found.last_ms = last.event.at_ms;
        found.events = own.len();
        // A recipient's result is its last one; a result without a recipient is that of the whole message.
        let mut results: BTreeMap<&str, &Event> = BTreeMap::new();
        for event in own.iter().map(|recorded| recorded.event.as_ref()) {
            found.message_id = found.message_id.or_else(|| event.message_id.clone());
            found.from = found.from.or_else(|| event.from.clone());
            for to in event.to.iter().filter(|to| !found.to.contains(to)).collect::<Vec<_>>() {
                found.to.push(to.clone());
            }
            if weight(event.kind).is_none() {
                continue;
            }
            if event.to.is_empty() {
                results.clear();
                results.insert("", event);
            }
            results.extend(event.to.iter().map(|to| (to.as_str(), event)));
        }
        if let Some(worst) = results.values().max_by_key(|event| (weight(event.kind), event.at_ms)) {
            found.result = worst.kind;
            found.reply = worst.reply.clone();
            found.reason = worst.reason.clone();
        }
        Some(found)
    }

    /// An event that belongs to no message.
    pub(crate) fn of_event(recorded: &Recorded) -> Self {
        let event = &recorded.event;
        Self {
            id: recorded.id,
            queue_id: event.queue_id,
            at_ms: event.at_ms,
            last_ms: event.at_ms,
            message_id: event.message_id.clone(),
            from: event.from.clone(),
            to: event.to.clone(),
            result: event.kind,
            reply: event.reply.clone(),
            reason: event.reason.clone(),
            events: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn result(events: &[(EventKind, &[&str])]) -> EventKind {
        let id = QueueId(7);
        let timeline: Vec<Recorded> = events
            .iter()
            .zip(1..)
            .map(|((kind, to), n)| {
                let event = to.iter().fold(Event::new(*kind, n).of_message(id), |event, to| event.to(*to));
                Recorded { id: n, event: Arc::new(event) }
            })
            .collect();
        Found::of_message(id, &timeline).unwrap().result
    }

    #[test]
    fn the_worst_recipient_is_the_result_and_each_counts_with_its_last() {
        use EventKind::*;
        let accepted = (MessageAccepted, ["a@x.test", "b@x.test"].as_slice());
        assert_eq!(result(&[accepted]), MessageAccepted);
        assert_eq!(result(&[accepted, (Deferred, &["a@x.test"])]), Deferred);
        assert_eq!(result(&[accepted, (Deferred, &["a@x.test"]), (Delivered, &["a@x.test"])]), MessageAccepted, "b waits");
        assert_eq!(result(&[accepted, (Delivered, &["a@x.test"]), (Deferred, &["b@x.test"]), (Delivered, &["b@x.test"])]), Delivered);
        assert_eq!(result(&[accepted, (Failed, &["a@x.test"]), (Delivered, &["b@x.test"])]), Failed);
        assert_eq!(result(&[(MessageHeld, &["a@x.test"]), (Released, &[]), (Delivered, &["a@x.test"])]), Delivered);
        assert_eq!(result(&[(MessageHeld, &["a@x.test"]), (Dropped, &[])]), Dropped);
        assert_eq!(result(&[(MessageHandedOver, &["a@x.test"])]), MessageHandedOver);
    }
}
