//! The history as a whole: found by every clue, bounded, and alive after damage.

use std::fs;
use std::sync::Arc;

use events::{Event, EventKind, EventSink, Fact, Group, Level};
use mail::QueueId;
use rusqlite::Connection;

use crate::{Clue, Filter, History, HistoryOptions};

const DAY_MS: i64 = 86_400_000;
const NOW_MS: i64 = 1_800_000_000_000;
const OPTIONS: HistoryOptions = HistoryOptions { days: 30, max_bytes: 1 << 30, subjects: false };

fn start(dir: &tempfile::TempDir, options: HistoryOptions) -> History {
    History::start(dir.path(), options, NOW_MS).unwrap()
}

fn record(history: &History, event: Event) {
    history.record(&Arc::new(event));
}

/// The queue ID of the n-th message, a second after the one before.
fn id(n: i64) -> QueueId {
    QueueId((NOW_MS + n * 1000) << 22)
}

fn at(n: i64) -> i64 {
    NOW_MS + n * 1000
}

fn accepted(n: i64) -> Event {
    Event::new(EventKind::MessageAccepted, at(n))
        .of_message(id(n))
        .message_id(Some(format!("Letter.{n}@sender{n}.test")))
        .from(format!("Ada{n}@sender{n}.test"))
        .to(format!("alias{n}@example.test"))
        .client(format!("192.0.{n}.7").parse().unwrap())
        .host(format!("out.sender{n}.test"))
        .fact(Fact::Flow, "forward")
        .fact(Fact::Spf, "pass sender.test")
        .fact(Fact::Subject, "a secret")
}

fn delivered(n: i64) -> Event {
    Event::new(EventKind::Delivered, at(n) + 300)
        .of_message(id(n))
        .to(format!("alias{n}@example.test"))
        .target(format!("box{n}@inbox{n}.test"))
        .client("198.51.100.2".parse().unwrap())
        .host(format!("mx1.hosts.inbox{n}.test"))
        .reply("250 2.0.0 ok")
        .fact(Fact::TookMs, 240)
}

fn failed(n: i64) -> Event {
    let event = delivered(n).reply(format!("550 5.1.1 No such user code{n}")).reason(Some("the mailbox does not exist"));
    Event { kind: EventKind::Failed, ..event }
}

async fn found(history: &History, clue: &str) -> Vec<String> {
    let page = history.find(Filter::of_clue(Clue::parse(clue).unwrap()), None, 100).await.unwrap();
    page.items.iter().map(|found| found.queue_id.map_or_else(|| "-".into(), |id| id.to_string())).collect()
}

#[tokio::test]
async fn every_clue_finds_its_message() {
    let dir = tempfile::tempdir().unwrap();
    let history = start(&dir, OPTIONS);
    for n in 1..=3 {
        record(&history, accepted(n));
        record(&history, if n == 2 { failed(n) } else { delivered(n) });
    }
    record(&history, Event::new(EventKind::LoggedIn, at(4)).login(Some("smith")).client("2001:db8::7".parse().unwrap()));
    let two = vec![id(2).to_string()];
    for clue in [
        id(2).to_string().as_str(),
        "<letter.2@SENDER2.test>",
        "ada2@sender2.test",
        "alias2@example.test",
        "alias2",
        "box2@inbox2.test",
        "inbox2.test",
        "hosts.inbox2.test",
        "mx1.hosts.inbox2.test",
        "sender2.test",
        "192.0.2.7",
        "192.0.2.0/24",
        "no such user",
        "code2",
        "5.1.1 user",
        "mailbox does not",
    ] {
        assert_eq!(found(&history, clue).await, two, "{clue}");
    }
    assert_eq!(found(&history, "example.test").await, [id(3), id(2), id(1)].map(|id| id.to_string()));
    assert_eq!(found(&history, "192.0.0.0/16").await.len(), 3);
    assert_eq!(found(&history, "smith").await, ["-"]);
    assert_eq!(found(&history, "2001:db8::/32").await, ["-"]);
    assert_eq!(found(&history, "nobody@nowhere.test").await, [""; 0]);
    assert_eq!(found(&history, "secret").await, [""; 0], "subjects are off");
    history.close().await;
}

#[tokio::test]
async fn a_timeline_has_all_events_of_a_message_as_they_were_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let history = start(&dir, HistoryOptions { subjects: true, ..OPTIONS });
    for event in [accepted(1), accepted(2), delivered(2), failed(1)] {
        record(&history, event);
    }
    // A DSN about the first message, and its delivery.
    let dsn = Event::new(EventKind::DsnQueued, at(5)).of_message(id(5)).from("").to("ada1@sender1.test").fact(Fact::About, id(1));
    let returned = Event::new(EventKind::Delivered, at(6)).of_message(id(5)).to("ada1@sender1.test");
    record(&history, dsn.clone());
    record(&history, returned.clone());
    let timeline: Vec<Event> = history.timeline(id(1)).await.unwrap().iter().map(|recorded| recorded.event.as_ref().clone()).collect();
    assert_eq!(timeline, [accepted(1), failed(1), dsn, returned]);
    assert_eq!(history.timeline(id(5)).await.unwrap().len(), 4, "the DSN leads to its message");
    assert_eq!(found(&history, "a secret").await.len(), 2);
    let page = history.find(Filter::of_clue(Clue::parse("letter.1@sender1.test").unwrap()), None, 10).await.unwrap();
    let one = page.items.first().unwrap();
    assert_eq!((one.result, one.events, one.to.as_slice()), (EventKind::Failed, 2, ["alias1@example.test".to_owned()].as_slice()));
    assert_eq!(one.reason.as_deref(), Some("the mailbox does not exist"));
    history.close().await;
}

#[tokio::test]
async fn a_message_with_several_targets_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let history = start(&dir, OPTIONS);
    let copies = format!("{} {}", id(11), id(12));
    record(&history, accepted(10).to("alias11@example.test").fact(Fact::Copies, copies));
    for event in [delivered(10), Event { queue_id: Some(id(10)), ..failed(11) }] {
        record(&history, event);
    }
    record(&history, Event { kind: EventKind::Deferred, ..delivered(12) });
    for n in [10, 11, 12] {
        assert_eq!(history.timeline(id(n)).await.unwrap().len(), 4, "{n}");
    }
    let page = history.find(Filter::of_clue(Clue::parse("inbox12.test").unwrap()), None, 10).await.unwrap();
    assert_eq!(page.items.iter().map(|found| (found.queue_id, found.result)).collect::<Vec<_>>(), [(Some(id(10)), EventKind::Failed)]);
    history.close().await;
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition() {
    let dir = tempfile::tempdir().unwrap();
    let history = start(&dir, OPTIONS);
    for n in 1..=20 {
        record(&history, accepted(n));
    }
    for n in 1..=20 {
        record(&history, delivered(n));
    }
    let filter = Filter::of_clue(Clue::parse("example.test").unwrap());
    let (mut cursor, mut messages) = (None, Vec::new());
    loop {
        let page = history.find(filter.clone(), cursor, 7).await.unwrap();
        messages.extend(page.items.iter().map(|found| found.queue_id.unwrap()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(messages, (1..=20).rev().map(id).collect::<Vec<_>>());

    let (mut cursor, mut ids) = (None, Vec::new());
    loop {
        let page = history.events(Filter::default(), cursor, 7).await.unwrap();
        ids.extend(page.items.iter().map(|recorded| recorded.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(ids, (1..=40).rev().collect::<Vec<i64>>());
    let after = history.events_after(filter, 38, 10).await.unwrap();
    assert_eq!(after.iter().map(|recorded| recorded.id).collect::<Vec<_>>(), [39, 40]);
    history.close().await;
}

#[tokio::test]
async fn events_are_selected_by_kind_group_level_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let history = start(&dir, OPTIONS);
    for n in 1..=4 {
        record(&history, accepted(n));
        record(&history, if n == 2 { failed(n) } else { delivered(n) });
    }
    let count = async |filter: Filter| history.events(filter, None, 100).await.unwrap().items.len();
    assert_eq!(count(Filter { kinds: vec![EventKind::Delivered], ..Filter::default() }).await, 3);
    assert_eq!(count(Filter::default().group(Group::Message)).await, 4);
    assert_eq!(count(Filter::default().level(Level::Warning)).await, 1);
    assert_eq!(count(Filter { since_ms: Some(at(3)), ..Filter::default() }).await, 4);
    assert_eq!(count(Filter { since_ms: Some(at(2)), until_ms: Some(at(3)), ..Filter::default() }).await, 2);
    let clue = Some(Clue::parse("example.test").unwrap());
    assert_eq!(count(Filter { clue, until_ms: Some(at(2)), ..Filter::default() }.group(Group::Delivery)).await, 1);
    history.close().await;
}

#[tokio::test]
async fn a_restart_keeps_the_events_and_a_command_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let history = start(&dir, OPTIONS);
    record(&history, accepted(1));
    history.close().await;
    record(&history, accepted(2));
    assert_eq!(history.lost(), 1, "it was closed");
    let offline = History::read_only(dir.path());
    assert_eq!(found(&offline, "example.test").await, [id(1).to_string()]);
    let again = start(&dir, OPTIONS);
    assert!(again.damage_at_start(NOW_MS).is_none());
    record(&again, delivered(1));
    assert_eq!(again.timeline(id(1)).await.unwrap().iter().map(|recorded| recorded.id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(found(&History::read_only(&dir.path().join("none")), "example.test").await, [""; 0], "no file is an empty history");
    again.close().await;
}

#[tokio::test]
async fn a_live_view_gets_each_event_with_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let history = start(&dir, OPTIONS);
    let mut live = history.follow();
    record(&history, accepted(1));
    record(&history, delivered(1));
    let (first, second) = (live.recv().await.unwrap(), live.recv().await.unwrap());
    assert_eq!((first.id, first.event.kind, second.id), (1, EventKind::MessageAccepted, 2));
    assert_eq!(first.event.get(Fact::Subject), None, "subjects are off");
    history.close().await;
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("history.db"), vec![b'x'; 10_000]).unwrap();
    let history = start(&dir, OPTIONS);
    let event = history.damage_at_start(NOW_MS).unwrap();
    assert!(event.get(Fact::What).is_some_and(|what| what.ends_with("history.db.damaged-1800000000")), "{event:?}");
    assert_eq!(fs::read(dir.path().join("history.db.damaged-1800000000")).unwrap(), vec![b'x'; 10_000]);
    record(&history, accepted(1));
    assert_eq!(found(&history, "example.test").await.len(), 1);
    history.close().await;
}

#[tokio::test]
async fn damage_found_by_a_query_begins_a_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let history = start(&dir, OPTIONS);
    for n in 1..=200 {
        record(&history, accepted(n % 250));
    }
    history.close().await;
    let file = dir.path().join("history.db");
    let mut octets = fs::read(&file).unwrap();
    // Everything but the head of the file and its list of tables.
    octets.iter_mut().skip(3 * 4096).for_each(|octet| *octet = 0xA5);
    fs::write(&file, octets).unwrap();
    let history = start(&dir, OPTIONS);
    let clue = Filter::of_clue(Clue::parse("example.test").unwrap());
    let is_seen_at_once = history.damage_at_start(NOW_MS).is_some();
    if !is_seen_at_once {
        assert!(history.find(clue.clone(), None, 10).await.unwrap_err().is_damage());
        record(&history, accepted(1));
        let all = history.events(Filter::default(), None, 10).await.unwrap();
        assert!(all.items.iter().any(|recorded| recorded.event.kind == EventKind::HistoryDamaged), "{all:?}");
    } else {
        record(&history, accepted(1));
    }
    assert_eq!(history.find(clue, None, 10).await.unwrap().items.len(), 1);
    let aside = fs::read_dir(dir.path()).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("damaged"));
    assert!(aside.count() >= 1);
    history.close().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_loses_events_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let in_the_way = dir.path().join("history.db");
    fs::create_dir(&in_the_way).unwrap();
    let history = start(&dir, OPTIONS);
    record(&history, accepted(1));
    record(&history, delivered(1));
    assert!(history.events(Filter::default(), None, 10).await.is_err());
    assert_eq!(history.lost(), 2);
    fs::remove_dir(&in_the_way).unwrap();
    record(&history, accepted(2));
    let kept = history.events(Filter::default(), None, 10).await.unwrap().items;
    assert_eq!(kept.iter().map(|recorded| recorded.event.kind).collect::<Vec<_>>(), [EventKind::MessageAccepted, EventKind::EventsLost]);
    assert_eq!(kept.last().unwrap().event.reason.as_deref(), Some("2 events could not be written"));
    history.close().await;
}

#[tokio::test]
async fn old_events_go_and_the_file_stays_within_its_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let options = HistoryOptions { days: 3, max_bytes: 8 << 20, subjects: false };
    let history = start(&dir, options);
    let mut n = 0i64;
    for day in 0..10 {
        for _ in 0..20 {
            for _ in 0..400 {
                n += 1;
                let event = accepted(n % 250);
                record(&history, Event { at_ms: NOW_MS + day * DAY_MS + n, ..event });
            }
            history.events(Filter::default(), None, 1).await.unwrap();
        }
    }
    // Trimming follows the batches.
    for _ in 0..200 {
        record(&history, Event { at_ms: NOW_MS + 10 * DAY_MS, ..accepted(1) });
        history.events(Filter::default(), None, 1).await.unwrap();
    }
    let clue = Filter::of_clue(Clue::parse("example.test").unwrap());
    let old = Filter { until_ms: Some(NOW_MS + 6 * DAY_MS), ..clue };
    assert_eq!(history.find(old, None, 10).await.unwrap().items.len(), 0);
    assert!(!history.totals(NOW_MS, DAY_MS).await.unwrap().is_empty());
    history.close().await;
    let size = fs::metadata(dir.path().join("history.db")).unwrap().len();
    assert!(size < (8 << 20) + (2 << 20), "{size}");
    let db = Connection::open(dir.path().join("history.db")).unwrap();
    let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[tokio::test]
async fn counts_by_hour_and_by_alias() {
    let dir = tempfile::tempdir().unwrap();
    let history = start(&dir, OPTIONS);
    for n in [1, 2, 2, 3] {
        record(&history, accepted(n));
    }
    record(&history, Event { at_ms: NOW_MS + DAY_MS, from: Some("eve@late.test".into()), ..accepted(2) });
    let refused = |to: &str| Event::new(EventKind::RecipientRefused, NOW_MS).from("spam@bad.test").to(to);
    record(&history, refused("ALIAS2@example.test"));
    record(&history, refused("guessed@example.test"));
    let aliases = ["Alias2@example.test", "guessed@example.test"].map(str::to_owned).to_vec();
    let uses = history.alias_uses(aliases, NOW_MS + DAY_MS).await.unwrap();
    assert_eq!(uses.len(), 1, "an invented address gets no row");
    let used = uses.get("Alias2@example.test").unwrap();
    let counts = [used.today, used.week, used.month].map(|count| (count.accepted, count.refused));
    assert_eq!(counts, [(1, 0), (3, 1), (3, 1)]);
    assert_eq!((used.first.at_ms, used.last.at_ms), (at(2), NOW_MS + DAY_MS));
    assert_eq!((used.first.from.as_str(), used.last.from.as_str()), ("Ada2@sender2.test", "eve@late.test"));
    let totals = history.totals(NOW_MS, DAY_MS).await.unwrap();
    let shown: Vec<(i64, EventKind, u64)> =
        totals.iter().map(|total| ((total.from_ms - NOW_MS) / DAY_MS, total.kind, total.count)).collect();
    assert!(shown.contains(&(0, EventKind::MessageAccepted, 4)) && shown.contains(&(1, EventKind::MessageAccepted, 1)), "{shown:?}");
    assert!(shown.contains(&(0, EventKind::RecipientRefused, 2)));
    history.close().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_hides_no_event() {
    let dir = tempfile::tempdir().unwrap();
    let history = start(&dir, OPTIONS);
    for n in (1..=10).chain(-7200..-7190) {
        let event = accepted(3);
        record(&history, Event { at_ms: at(n), ..event });
    }
    let filter = |since: i64, until: i64| Filter { since_ms: Some(at(since)), until_ms: Some(at(until)), ..Filter::default() };
    assert_eq!(history.events(filter(-7200, -7190), None, 100).await.unwrap().items.len(), 10);
    assert_eq!(history.events(filter(1, 11), None, 100).await.unwrap().items.len(), 10);
    history.close().await;
}
