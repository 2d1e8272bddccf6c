//! Counts events.
//!
//! Invariant: recording an event reads it and adds to atomic numbers; it copies, allocates and waits for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use events::{Event, EventKind, EventSink, Fact};
use mail::EnhancedCode;
use policy::Cause;

use crate::cells::{Counts, Histogram};
use crate::minutes::{HourOfFlow, Minutes};
use crate::words;

/// Upper bounds of the time of an acceptance or a hand-over, in milliseconds.
const ANSWER_MS: &[u64] = &[1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000];

/// Upper bounds of the time of a delivery, in milliseconds: up to five days.
const DELIVERY_MS: &[u64] =
    &[50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000, 14_400_000, 86_400_000, 432_000_000];

/// Upper bounds of the size of a message, in octets.
const SIZE_BYTES: &[u64] = &[1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20];

/// Everything that is counted from events. It is an [`EventSink`].
#[derive(Debug)]
pub struct Metrics {
    minutes: Minutes,
    pub(crate) events: Vec<AtomicU64>,
    pub(crate) connections_refused: Counts,
    pub(crate) logins: Counts,
    pub(crate) senders_refused: Counts,
    pub(crate) recipients_refused: Counts,
    pub(crate) content_deferred: Counts,
    pub(crate) accepted: Counts,
    pub(crate) refused: Counts,
    pub(crate) received_tls: Counts,
    pub(crate) size: Histogram,
    pub(crate) spf: Counts,
    pub(crate) dkim: Counts,
    pub(crate) dmarc: Counts,
    pub(crate) arc: Counts,
    pub(crate) accept: Histogram,
    pub(crate) hand_over: Histogram,
    pub(crate) deliveries: Counts,
    pub(crate) troubles: Counts,
    pub(crate) meanings: Vec<(&'static str, AtomicU64)>,
    pub(crate) sent_tls: Counts,
    pub(crate) first_attempt: Histogram,
    pub(crate) delivery: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let by_cause = || Counts::of(&[words::CAUSES]);
        let by_result = || Counts::of(&[words::RESULTS]);
        Self {
            minutes: Minutes::default(),
            events: EventKind::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            connections_refused: by_cause(),
            logins: Counts::of(&[words::LOGINS]),
            senders_refused: by_cause(),
            recipients_refused: by_cause(),
            content_deferred: by_cause(),
            accepted: Counts::of(&[words::HOW, words::FLOWS]),
            refused: by_cause(),
            received_tls: Counts::of(&[words::TLS]),
            size: Histogram::of(SIZE_BYTES),
            spf: by_result(),
            dkim: by_result(),
            dmarc: by_result(),
            arc: by_result(),
            accept: Histogram::of(ANSWER_MS),
            hand_over: Histogram::of(ANSWER_MS),
            deliveries: Counts::of(&[words::OUTCOMES, words::FLOWS]),
            troubles: Counts::of(&[words::OUTCOMES, words::CAUSES]),
            meanings: policy::reply_rows().into_iter().map(|row| (row, AtomicU64::new(0))).collect(),
            sent_tls: Counts::of(&[words::TLS, words::VERIFIED]),
            first_attempt: Histogram::of(DELIVERY_MS),
            delivery: Histogram::of(DELIVERY_MS),
        }
    }
}

impl EventSink for Metrics {
    fn record(&self, event: &Arc<Event>) {
        if let Some(count) = EventKind::ALL.iter().position(|kind| *kind == event.kind).and_then(|place| self.events.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.minutes.count(event.kind, event.at_ms);
        match event.kind {
            EventKind::ConnectionRefused => self.connections_refused.add(&[cause(event)]),
            EventKind::SenderRefused => self.senders_refused.add(&[cause(event)]),
            EventKind::RecipientRefused => self.recipients_refused.add(&[cause(event)]),
            EventKind::ContentDeferred => self.content_deferred.add(&[cause(event)]),
            EventKind::LoggedIn => self.logins.add(&[words::place(words::LOGINS, "accepted")]),
            EventKind::LoginRefused => self.logins.add(&[words::place(words::LOGINS, "refused")]),
            EventKind::MessageAccepted => self.taken(event, "queued"),
            EventKind::MessageHandedOver => self.taken(event, "handed-over"),
            EventKind::MessageHeld => self.taken(event, "held"),
            EventKind::ReportStored => self.taken(event, "report"),
            EventKind::AutoReplyDropped => self.taken(event, "auto-reply"),
            EventKind::MessageRefused | EventKind::MessageNotStored => {
                self.refused.add(&[cause(event)]);
                self.evidence(event);
            }
            EventKind::Delivered | EventKind::DeliveredLate => self.delivered(event),
            EventKind::Deferred => self.not_delivered(event, "deferred"),
            EventKind::Failed => self.not_delivered(event, "failed"),
            EventKind::HeldBack => self.not_delivered(event, "held-back"),
            EventKind::NotTaken => self.not_delivered(event, "not-taken"),
            _ => {}
        }
    }
}

impl Metrics {
    /// Returns the flow of the last hour, by minute.
    pub fn last_hour(&self, now_ms: i64) -> HourOfFlow {
        self.minutes.read(now_ms)
    }

    /// Counts a message that was accepted.
    fn taken(&self, event: &Event, how: &str) {
        self.accepted.add(&[words::place(words::HOW, how), flow(event)]);
        self.received_tls.add(&[words::tls_place(event.get(Fact::Tls))]);
        self.evidence(event);
        if let Some(size_bytes) = number(event, Fact::SizeBytes) {
            self.size.add(size_bytes);
        }
        let answer = match event.kind {
            EventKind::MessageAccepted => &self.accept,
            EventKind::MessageHandedOver => &self.hand_over,
            _ => return,
        };
        if let Some(took_ms) = number(event, Fact::TookMs) {
            answer.add(took_ms);
        }
    }

    /// Counts what was found out about the sender; a check that was not made is not counted.
    fn evidence(&self, event: &Event) {
        for (fact, counts) in [(Fact::Spf, &self.spf), (Fact::Dkim, &self.dkim), (Fact::Dmarc, &self.dmarc), (Fact::Arc, &self.arc)] {
            if let Some(result) = event.get(fact) {
                counts.add(&[words::result_place(result)]);
            }
        }
    }

    fn delivered(&self, event: &Event) {
        self.deliveries.add(&[words::place(words::OUTCOMES, "delivered"), flow(event)]);
        let verified = event.get(Fact::Verified).unwrap_or("none");
        self.sent_tls.add(&[words::tls_place(event.get(Fact::Tls)), words::place(words::VERIFIED, verified)]);
        if let Some(age_ms) = number(event, Fact::AgeMs) {
            self.delivery.add(age_ms);
        }
        self.attempted(event);
    }

    fn not_delivered(&self, event: &Event, outcome: &str) {
        let outcome = words::place(words::OUTCOMES, outcome);
        self.deliveries.add(&[outcome, flow(event)]);
        self.troubles.add(&[outcome, cause(event)]);
        let meaning = event.get(Fact::Meaning);
        if let Some((_, count)) = self.meanings.iter().find(|(row, _)| Some(*row) == meaning) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if event.kind != EventKind::HeldBack {
            self.attempted(event);
        }
    }

    fn attempted(&self, event: &Event) {
        if number(event, Fact::Attempt) == Some(1)
            && let Some(age_ms) = number(event, Fact::AgeMs)
        {
            self.first_attempt.add(age_ms);
        }
    }
}

/// Returns the place of the cause: by the reply, or else by the enhanced code of the outcome.
fn cause(event: &Event) -> usize {
    let status = || event.get(Fact::Status).and_then(EnhancedCode::parse);
    let cause = event.reply.as_deref().map_or_else(|| Cause::of_codes(0, status()), Cause::of_text);
    Cause::ALL.iter().position(|known| *known == cause).unwrap_or_default()
}

fn flow(event: &Event) -> usize {
    words::place(words::FLOWS, event.get(Fact::Flow).unwrap_or_default())
}

fn number(event: &Event, fact: Fact) -> Option<u64> {
    event.get(fact)?.parse().ok()
}
