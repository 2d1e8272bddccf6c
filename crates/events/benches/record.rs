//! The cost of the events of one forwarded message, in nanoseconds: to make both, and to give each to a sink.
//!
//! `cargo bench --package events`. The work of a sink is its own; the history's and the metrics' are not in this figure.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::disallowed_methods)]

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use events::{Event, EventKind, EventSink, Events, Fact};
use mail::QueueId;

const MESSAGES: u32 = 500_000;

/// Counts facts.
struct Counter(AtomicUsize);

impl EventSink for Counter {
    fn record(&self, event: &Arc<Event>) {
        self.0.fetch_add(event.facts.len(), Ordering::Relaxed);
    }
}

/// The decision about a message, as `mta` describes it.
fn handed_over(client: IpAddr) -> Event {
    let event = Event::new(EventKind::MessageHandedOver, 1_800_000_000_000).of_message(QueueId(7)).client(client);
    let event = event.message_id(Some("20261128.183205.1234567890@mail.foreign.test")).from("her@foreign.test").to("me@example.test");
    let event = event.host("mx1.foreign.test").fact(Fact::Spf, "pass foreign.test").fact(Fact::Dkim, "pass foreign.test s2026a");
    let event = event.fact(Fact::Dmarc, "pass p=reject").fact(Fact::Iprev, "mx1.foreign.test").fact(Fact::FromField, "her@foreign.test");
    let event = event.fact(Fact::Flow, "forward").fact(Fact::SizeBytes, 10_240).fact(Fact::Recipients, 1);
    let event = event.fact(Fact::Tls, "TLSv1_3 with TLS13_AES_256_GCM_SHA384").fact(Fact::Listener, "mx");
    event.fact(Fact::ReceivedInMs, 12).fact(Fact::TookMs, 34)
}

/// Its delivery.
fn delivered() -> Event {
    let event = Event::new(EventKind::Delivered, 1_800_000_000_000).of_message(QueueId(7)).from("her@foreign.test").to("me@example.test");
    let event = event.target("foo.bar@inbox.test").fact(Fact::Flow, "forward").fact(Fact::TookMs, 30).fact(Fact::AgeMs, 33);
    let event = event.host("mx.inbox.test").reply("250 2.0.0 OK 1764354725 a640c23a62f3a-4366fb0a5b2si12345678a12.345 - smtp");
    let event = event.fact(Fact::Attempt, 1).fact(Fact::Tls, "TLSv1_3 with TLS13_AES_256_GCM_SHA384");
    event.fact(Fact::Verified, "mta-sts")
}

fn measure(name: &str, events: &Events) {
    let client: IpAddr = "192.0.2.1".parse().expect("an address");
    let begun = Instant::now();
    for _ in 0..MESSAGES {
        events.record_with(|| handed_over(black_box(client)));
        events.record_with(|| black_box(delivered()));
    }
    println!("{name:<24} {:>6} ns a message", begun.elapsed().as_nanos() / u128::from(MESSAGES));
}

fn main() {
    measure("nothing takes events", &Events::default());
    measure("one sink", &Events::new(vec![Arc::new(Counter(AtomicUsize::new(0)))]));
}
