//! `cargo bench -p history [-- EVENTS]`: what the history costs, and how fast it answers. Default: 1,000,000 events; the goal is stated for 10,000,000.
//!
//! A forwarded message makes two events, which go through the same line and writer as in the server. The time of the writer's thread is that of the
//! kernel's scheduler, so that it counts what it used and not what it waited for. The second table compares ways to index the clues.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    missing_docs
)]

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use events::{Event, EventKind, EventSink, Fact};
use history::{Clue, Filter, History, HistoryOptions};
use mail::QueueId;
use rusqlite::Connection;

const START_MS: i64 = 1_800_000_000_000;

/// Messages in a second: the highest rate that the server forwards at.
const RATE: i64 = 2_700;

/// Events that are recorded at once.
const BATCH: i64 = 1_350;

/// Events of the comparison.
const COMPARED: i64 = 200_000;

/// A number that looks random, from another.
fn mixed(n: i64, of: i64) -> i64 {
    let mut hasher = DefaultHasher::new();
    (n, of).hash(&mut hasher);
    i64::try_from(hasher.finish() % of.unsigned_abs()).unwrap()
}

/// Few senders write much, many write little.
fn sender(n: i64) -> i64 {
    mixed(n, 1 + mixed(n + 1, 50_000))
}

fn event(n: i64) -> Event {
    let (message, is_delivery) = (n / 2, n % 2 == 1);
    let at_ms = START_MS + message * 1000 / RATE;
    let id = QueueId((at_ms << 22) + message % 1000);
    let (sender, alias) = (sender(message), mixed(message, 2000));
    let (from, to) = (format!("sender{sender}@domain{}.example", sender % 5000), format!("alias{alias}@example.org"));
    if is_delivery {
        return Event::new(EventKind::Delivered, at_ms + 400)
            .of_message(id)
            .from(from)
            .to(to)
            .target(format!("box{}@gmail.example", alias % 500))
            .client("198.51.100.27".parse().unwrap())
            .host("gmail-smtp-in.l.google.example")
            .reply(format!("250 2.0.0 OK  {} a1b2c3d4e5-{message:x}si123456 - gsmtp", at_ms / 1000))
            .fact(Fact::Flow, "forward")
            .fact(Fact::Attempt, 1)
            .fact(Fact::Tls, "TLSv1_3 with TLS13_AES_256_GCM_SHA384")
            .fact(Fact::Verified, "certificate")
            .fact(Fact::TookMs, 240)
            .fact(Fact::AgeMs, 400);
    }
    let domain = format!("domain{}.example", sender % 5000);
    Event::new(EventKind::MessageAccepted, at_ms)
        .of_message(id)
        .message_id(Some(format!("{message:032x}@{domain}")))
        .from(&from)
        .to(to)
        .client(std::net::Ipv4Addr::from_bits(0x0A00_0000 + u32::try_from(sender).unwrap()).into())
        .host(format!("out{}.{domain}", sender % 7))
        .fact(Fact::FromField, from)
        .fact(Fact::Spf, format!("pass {domain}"))
        .fact(Fact::Dkim, format!("pass {domain} s1"))
        .fact(Fact::Dmarc, "pass p=reject")
        .fact(Fact::Iprev, format!("out.{domain}"))
        .fact(Fact::Flow, "forward")
        .fact(Fact::SizeBytes, 10_240)
        .fact(Fact::Recipients, 1)
        .fact(Fact::Tls, "TLSv1_3 with TLS13_AES_256_GCM_SHA384")
        .fact(Fact::Listener, "mx")
        .fact(Fact::ReceivedInMs, 12)
        .fact(Fact::TookMs, 31)
}

/// The processor time of the writer's thread, in microseconds.
fn writer_us() -> f64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let writer = tasks.into_iter().find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "history")).unwrap();
    let schedstat = fs::read_to_string(writer.join("schedstat")).unwrap();
    schedstat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1000.0
}

async fn fill(history: &History, events: i64) {
    let mut recording_us = 0.0;
    for start in (0..events).step_by(usize::try_from(BATCH).unwrap()) {
        let batch: Vec<Arc<Event>> = (start..(start + BATCH).min(events)).map(|n| Arc::new(event(n))).collect();
        let begun = Instant::now();
        batch.iter().for_each(|event| history.record(event));
        recording_us += begun.elapsed().as_secs_f64() * 1e6;
        history.alias_uses(Vec::new(), 0).await.unwrap();
        if (start / BATCH) % (events / BATCH / 5).max(1) == 0 && start > 0 {
            println!("  after {:>10} events: {:.1} us of the writer for each", start + BATCH, writer_us() / (start + BATCH) as f64);
        }
    }
    println!(
        "  in all: {:.1} us of the writer and {:.2} us of the recorder for each event",
        writer_us() / events as f64,
        recording_us / events as f64
    );
}

async fn ask(history: &History, events: i64) {
    let middle = events / 4;
    let known = event(middle * 2);
    let clues = [
        ("queue ID", known.queue_id.unwrap().to_string()),
        ("Message-ID", known.message_id.clone().unwrap()),
        ("sender", known.from.clone().unwrap()),
        ("alias", known.to[0].clone()),
        ("target", "box7@gmail.example".into()),
        ("domain of a sender", "domain77.example".into()),
        ("domain of all", "example.org".into()),
        ("host of all", "google.example".into()),
        ("IP address", known.client.unwrap().to_string()),
        ("network /24", "10.0.7.0/24".into()),
        ("words, none", "mailbox full".into()),
        ("nobody", "nobody@nowhere.example".into()),
    ];
    for (name, clue) in clues {
        let filter = Filter::of_clue(Clue::parse(&clue).unwrap());
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..5 {
            let begun = Instant::now();
            found = history.find(filter.clone(), None, 20).await.unwrap().items.len();
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        println!("  find by {name:<20} {found:>3} messages, {:.1} ms (first {:.1} ms at most)", times[2], times[4]);
    }
    let now_ms = START_MS + events / 2 * 1000 / RATE;
    let begun = Instant::now();
    history.timeline(known.queue_id.unwrap()).await.unwrap();
    println!("  timeline {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
    let begun = Instant::now();
    history.totals(now_ms - 30 * 86_400_000, 86_400_000).await.unwrap();
    println!("  totals {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
    let begun = Instant::now();
    history.alias_uses((0..100).map(|n| format!("alias{n}@example.org")).collect(), now_ms).await.unwrap();
    println!("  use of 100 aliases {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
}

/// The processor time of this thread, in microseconds.
fn own_us() -> f64 {
    fs::read_to_string("/proc/thread-self/schedstat").unwrap().split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1000.0
}

/// Measures one way to index the clues, without the history's own code.
fn compare(name: &str, table: &str, insert: &str, is_one_text: bool) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("compared.db");
    let mut db = Connection::open(&path).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4096; PRAGMA cache_size = -2048;",
    )
    .unwrap();
    db.execute_batch(&format!("CREATE TABLE event (id INTEGER PRIMARY KEY, octets BLOB); {table}")).unwrap();
    let mut spent_us = 0.0;
    for start in (0..COMPARED).step_by(usize::try_from(BATCH).unwrap()) {
        let rows: Vec<(i64, Vec<String>)> = (start..start + BATCH)
            .map(|n| {
                let event = event(n);
                let texts = event.from.iter().chain(&event.to).chain(&event.target).chain(&event.host).chain(&event.message_id).cloned();
                (n, texts.chain(event.queue_id.map(|id| id.to_string())).chain(event.client.map(|ip| ip.to_string())).collect())
            })
            .collect();
        let begun = own_us();
        let transaction = db.transaction().unwrap();
        for (n, clues) in &rows {
            transaction.prepare_cached("INSERT INTO event VALUES (?1, zeroblob(300))").unwrap().execute([n]).unwrap();
            if insert.is_empty() {
                continue;
            }
            let mut statement = transaction.prepare_cached(insert).unwrap();
            if is_one_text {
                statement.execute((n, clues.join(" "))).unwrap();
                continue;
            }
            for clue in clues {
                let mut hasher = DefaultHasher::new();
                clue.hash(&mut hasher);
                statement.execute((n, (hasher.finish() >> 8) as i64)).unwrap();
            }
        }
        transaction.commit().unwrap();
        spent_us += own_us() - begun;
    }
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let octets = fs::metadata(&path).unwrap().len();
    println!("  {name:<44} {:>5.1} us, {:>4} octets for each event", spent_us / COMPARED as f64, octets / COMPARED.unsigned_abs());
}

fn main() {
    let events = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::tempdir().unwrap();
    let options = HistoryOptions { days: 3650, max_bytes: 1 << 40, subjects: false };
    println!("{events} events");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let history = History::start(dir.path(), options, START_MS).unwrap();
        fill(&history, events).await;
        ask(&history, events).await;
        history.close().await;
    });
    let octets = fs::metadata(dir.path().join("history.db")).unwrap().len();
    println!("  {} octets for each event", octets / events.unsigned_abs());
    println!("ways to index, {COMPARED} events, 7 clues each at most");
    compare("no index", "", "", false);
    compare(
        "FTS5 without positions",
        "CREATE VIRTUAL TABLE clue USING fts5 (t, content = '', detail = none, columnsize = 0)",
        "INSERT INTO clue (rowid, t) VALUES (?1, ?2)",
        true,
    );
    compare(
        "FTS5, trigrams",
        "CREATE VIRTUAL TABLE clue USING fts5 (t, content = '', detail = none, columnsize = 0, tokenize = 'trigram')",
        "INSERT INTO clue (rowid, t) VALUES (?1, ?2)",
        true,
    );
    compare(
        "B-tree of hashed clues",
        "CREATE TABLE clue (h INTEGER, n INTEGER, PRIMARY KEY (h, n)) WITHOUT ROWID",
        "INSERT OR IGNORE INTO clue (n, h) VALUES (?1, ?2)",
        false,
    );
}
