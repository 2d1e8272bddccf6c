//! What a person types to find a message, against a real history.
//!
//! Invariant: one history for each thread, written once.

use std::sync::Arc;

use events::{Event, EventKind, EventSink, Fact};
use history::{Clue, Filter, History, HistoryOptions};
use mail::QueueId;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::checks::text;

const NOW_MS: i64 = 1_800_000_000_000;

thread_local! {
    static HISTORY: KeptHistory = KeptHistory::start();
}

struct KeptHistory {
    runtime: Runtime,
    history: History,
    events: Vec<Event>,
    _dir: TempDir,
}

impl KeptHistory {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let dir = tempfile::tempdir().expect("a directory");
        let options = HistoryOptions { days: 30, max_bytes: 1 << 30, subjects: true };
        let history = History::start(dir.path(), options, NOW_MS).expect("a history");
        let events: Vec<Event> = (1..=3).flat_map(|n| [accepted(n), delivered(n)]).collect();
        for event in &events {
            history.record(&Arc::new(event.clone()));
        }
        Self { runtime, history, events, _dir: dir }
    }
}

fn id(n: i64) -> QueueId {
    QueueId((NOW_MS + n * 1000) << 22)
}

fn accepted(n: i64) -> Event {
    Event::new(EventKind::MessageAccepted, NOW_MS + n * 1000)
        .of_message(id(n))
        .message_id(Some(format!("Letter.{n}@sender{n}.test")))
        .from(format!("\"Ada {n}\"@sender{n}.test"))
        .to(format!("gr\u{fc}\u{df}e{n}@example.test"))
        .client(format!("2001:db8:{n}::7").parse().expect("an address"))
        .host(format!("out.sender{n}.test"))
        .fact(Fact::Subject, "Ein GRU\u{1e9e} \u{4f60}\u{597d} \"quoted\" * AND NOT")
}

fn delivered(n: i64) -> Event {
    Event::new(EventKind::Delivered, NOW_MS + n * 1000 + 300)
        .of_message(id(n))
        .to(format!("alias{n}@example.test"))
        .target(format!("box+{n}@inbox{n}.test"))
        .client(format!("198.51.100.{n}").parse().expect("an address"))
        .host(format!("mx1.hosts.inbox{n}.test"))
        .reply(format!("250 2.0.0 Ok: queued as 4f{n}-a (x'y) \u{fb01}"))
}

/// Any clue that is accepted is a query that can be answered, and finds every event that it matches.
pub fn history_clues(data: &[u8]) {
    let text = text(data);
    let Ok(clue) = Clue::parse(&text) else { return };
    assert_eq!(Clue::parse(clue.as_str()).as_ref(), Ok(&clue));
    HISTORY.with(|kept| {
        let found = kept.runtime.block_on(kept.history.events(Filter::of_clue(clue.clone()), None, 100)).expect("an answer");
        let found: Vec<&Event> = found.items.iter().map(|recorded| recorded.event.as_ref()).collect();
        for event in &kept.events {
            assert_eq!(found.iter().any(|other| other.at_ms == event.at_ms), clue.matches(event), "{clue:?} and {event:?}");
        }
    });
}
