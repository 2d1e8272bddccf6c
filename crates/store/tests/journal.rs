//! The journal on a real disk: what a crash at each point leaves, and what queries see meanwhile.
#![allow(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used, clippy::expect_used)]

mod world;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mail::{Domain, EnhancedCode, QueueId};
use store::{Content, Disposition, ListFilter, Message, NewMessage, RecipientKey, RecipientState, Settlement, Store, StoreError};
use tempfile::TempDir;
use world::try_reopened;

/// Batches start at multiples of this.
const PAGE_BYTES: usize = 4096;

fn message(content: &Content, recipients: &[&str]) -> NewMessage {
    let new = world::message(content_id(content).0, recipients, true);
    let prefix = Bytes::from_static(b"Delivered-To: me@example.test\r\n");
    NewMessage { message: Message { arrived_ms: 1000, expires_ms: 9_000_000, prefix, ..new.message }, content: content.clone(), ..new }
}

/// The subject of each content is its ID.
fn content_id(content: &Content) -> QueueId {
    let subject = std::str::from_utf8(content.front()).unwrap().strip_prefix("Subject: ").unwrap();
    QueueId(subject.split("\r\n").next().unwrap().parse().unwrap())
}

fn octets(id: i64, size: usize) -> Vec<u8> {
    format!("Subject: {id}\r\n\r\n{}", "x".repeat(size)).into_bytes()
}

fn small(id: i64) -> Content {
    Content::memory(QueueId(id), octets(id, 100).into())
}

async fn commit(store: &Store, id: i64) {
    store.commit(vec![message(&small(id), &["a@x.test"])], 50_000).await.unwrap();
}

fn key(id: i64, index: u32) -> RecipientKey {
    RecipientKey { message: QueueId(id), index }
}

async fn settle(store: &Store, results: Vec<(RecipientKey, Disposition)>) {
    store.settle(Settlement { recipients: results, ..Settlement::default() }, 0).await.unwrap();
}

async fn done(store: &Store, id: i64) {
    settle(store, vec![(key(id, 0), Disposition::Done)]).await;
}

/// The IDs in the queue.
async fn ids(store: &Store) -> Vec<i64> {
    store.list(ListFilter { limit: 100, ..ListFilter::default() }).await.unwrap().iter().map(|m| m.message.id.0).collect()
}

/// A copy of the data directory as a crash would leave it at this moment.
fn crashed(data: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() { copy(&entry.path(), &target) } else { assert!(fs::copy(entry.path(), target).is_ok()) }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    copy(data, dir.path());
    fs::remove_file(dir.path().join("waypost.db-shm")).unwrap();
    dir
}

fn journal(data: &Path) -> PathBuf {
    data.join("journal")
}

fn copies_of_damage(data: &Path) -> usize {
    fs::read_dir(data)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("journal.damaged-"))
        .count()
}

/// Changes an octet of a batch that fits in a page.
fn damage(data: &Path, batch: usize, octet: u64) {
    let file = fs::File::options().read(true).write(true).open(journal(data)).unwrap();
    let at = (batch * PAGE_BYTES) as u64 + octet;
    let mut one = [0];
    file.read_exact_at(&mut one, at).unwrap();
    file.write_all_at(&[one[0] ^ 0xff], at).unwrap();
}

/// Opens a directory after the threads of its previous store have ended.
async fn reopened(data: &Path) -> Store {
    try_reopened(data).await.unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_queue_after_a_crash_and_what_was_settled_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for id in 1..=5 {
        commit(&store, id).await;
    }
    done(&store, 2).await;
    done(&store, 4).await;
    let after = crashed(dir.path());
    let db = rusqlite::Connection::open(after.path().join("waypost.db")).unwrap();
    let rows: i64 = db.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0, "the journal alone has them");
    drop(db);
    let store = Store::open(after.path()).unwrap();
    assert_eq!(ids(&store).await, [1, 3, 5]);
    assert_eq!(store.release_claims(2000).await.unwrap(), 3);
    let claimed = store.claim(Domain::parse("x.test").unwrap(), 2000, 50_000, 10).await.unwrap();
    assert_eq!(claimed[0].message, message(&small(1), &[]).message);
    assert_eq!(store.content(QueueId(3)).await.unwrap().front(), small(3).front());
}

#[tokio::test]
async fn a_journal_is_replayed_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    commit(&store, 1).await;
    commit(&store, 2).await;
    done(&store, 1).await;
    let after = crashed(dir.path());
    let before = fs::read(journal(after.path())).unwrap();
    let store = Store::open(after.path()).unwrap();
    assert_eq!(ids(&store).await, [2]);
    // A crash right after the replay: the file is as it was, and the database has what it says.
    let again = crashed(after.path());
    assert_eq!(fs::read(journal(again.path())).unwrap(), before);
    let store = Store::open(again.path()).unwrap();
    assert_eq!(ids(&store).await, [2]);
    // It is delivered now, and the process dies before the file is written again.
    done(&store, 2).await;
    store.move_journal().await.unwrap();
    let last = crashed(again.path());
    assert!(ids(&Store::open(last.path()).unwrap()).await.is_empty(), "it is not delivered twice");
}

#[tokio::test]
async fn a_torn_tail_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for id in 1..=3 {
        commit(&store, id).await;
    }
    // The power fails while the third batch is written: its sync had not returned, so this client got no reply.
    for octet in [40, 0] {
        let after = crashed(dir.path());
        damage(after.path(), 2, octet);
        let store = Store::open(after.path()).unwrap();
        assert_eq!(ids(&store).await, [1, 2]);
        assert_eq!(copies_of_damage(after.path()), 0);
        commit(&store, 4).await;
        assert_eq!(ids(&Store::open(crashed(after.path()).path()).unwrap()).await, [1, 2, 4]);
    }
}

#[tokio::test]
async fn damage_in_the_middle_is_set_aside_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for id in 1..=3 {
        commit(&store, id).await;
    }
    // In a record, and in the head of a batch.
    for octet in [100, 20] {
        let after = crashed(dir.path());
        damage(after.path(), 1, octet);
        let damaged = fs::read(journal(after.path())).unwrap();
        let store = Store::open(after.path()).unwrap();
        assert_eq!(ids(&store).await, [1, 3]);
        let copy = fs::read_dir(after.path()).unwrap().map(|entry| entry.unwrap().path());
        let copy: Vec<PathBuf> = copy.filter(|path| path.to_string_lossy().contains("journal.damaged-")).collect();
        assert_eq!(copy.len(), 1);
        assert_eq!(fs::read(&copy[0]).unwrap(), damaged, "the operator has all of it");
    }
}

#[tokio::test]
async fn every_query_sees_mail_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    commit(&store, 1).await;
    assert_eq!(store.totals().await.unwrap().messages, 1);
    commit(&store, 2).await;
    assert_eq!(store.content(QueueId(2)).await.unwrap().front(), small(2).front());
    commit(&store, 3).await;
    assert!(matches!(store.remove(QueueId(3), None).await, Err(StoreError::Exists(_))), "it is being delivered");
    let listed = store.list(ListFilter { limit: 9, ..ListFilter::default() }).await.unwrap();
    assert!(listed.iter().all(|m| m.recipients[0].state == RecipientState::Claimed && m.recipients[0].next_attempt_ms == 50_000));
    assert_eq!(listed.len(), 3);
    // Two of them are in the database now, the third one arrives.
    commit(&store, 4).await;
    for id in [1, 4] {
        done(&store, id).await;
    }
    assert_eq!(ids(&store).await, [2, 3]);
    assert_eq!(store.release_claims(7).await.unwrap(), 2);
}

#[tokio::test]
async fn a_deferred_recipient_is_due_when_its_settlement_says() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.commit(vec![message(&small(1), &["a@x.test", "b@x.test", "c@y.test"])], 50_000).await.unwrap();
    let later = Disposition::Deferred { next_attempt_ms: 7000, status: EnhancedCode(4, 2, 0), reason: "full".into(), counts: true };
    settle(&store, vec![(key(1, 0), Disposition::Done), (key(1, 1), later)]).await;
    let after = crashed(dir.path());
    for store in [store, Store::open(after.path()).unwrap()] {
        let due = store.lanes().await.unwrap();
        assert_eq!(due.iter().map(|l| (l.lane.as_str(), l.due_ms)).collect::<Vec<_>>(), [("x.test", 7000), ("y.test", 50_000)]);
        let claimed = store.claim(Domain::parse("x.test").unwrap(), 7000, 60_000, 10).await.unwrap();
        assert_eq!((claimed[0].recipients[0].key, claimed[0].recipients[0].attempts), (key(1, 1), 1));
        assert_eq!(store.totals().await.unwrap().recipients, 2);
    }
}

#[tokio::test]
async fn what_follows_a_settlement_is_one_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    commit(&store, 1).await;
    let report = NewMessage { claimed: false, ..message(&small(2), &["her@foreign.test"]) };
    let settlement = Settlement { recipients: vec![(key(1, 0), Disposition::Done)], follow: vec![report], ..Settlement::default() };
    store.settle(settlement, 0).await.unwrap();
    for octet in [None, Some(60)] {
        let after = crashed(dir.path());
        if let Some(octet) = octet {
            damage(after.path(), 1, octet);
        }
        // Torn, the failure is not settled either: the message is tried again.
        let expected = if octet.is_some() { [1] } else { [2] };
        assert_eq!(ids(&Store::open(after.path()).unwrap()).await, expected);
    }
    assert_eq!(store.lanes().await.unwrap()[0].lane.as_str(), "foreign.test");
}

#[tokio::test]
async fn large_content_goes_with_its_last_recipient() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let content = store.put(QueueId(1), &octets(1, 300_000)).await.unwrap();
    let file = |data: &Path| data.join("content").join(QueueId(1).to_string());
    let mut second = message(&content, &["b@y.test"]);
    second.message.id = QueueId(2);
    store.commit(vec![message(&content, &["a@x.test"]), second], 50_000).await.unwrap();
    done(&store, 1).await;
    assert!(file(dir.path()).exists(), "the other target needs it");
    let after = crashed(dir.path());
    {
        let store = Store::open(after.path()).unwrap();
        assert_eq!(store.sweep_orphans(0).await.unwrap().set_apart, 0);
        assert_eq!(ids(&store).await, [2]);
        assert_eq!(store.content(QueueId(2)).await.unwrap().size_bytes(), content.size_bytes());
        done(&store, 2).await;
    }
    drop(reopened(after.path()).await);
    assert!(!file(after.path()).exists());
    done(&store, 2).await;
    assert!(!file(dir.path()).exists());
}

#[tokio::test]
async fn an_id_that_is_under_way_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    commit(&store, 1).await;
    let again = store.commit(vec![message(&small(1), &["b@x.test"])], 50_000).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    assert_eq!(store.totals().await.unwrap().recipients, 1);
}

#[tokio::test]
async fn a_stop_leaves_everything_in_the_database() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = Store::open(dir.path()).unwrap();
        commit(&store, 1).await;
    }
    drop(reopened(dir.path()).await);
    fs::remove_file(journal(dir.path())).unwrap();
    assert_eq!(ids(&reopened(dir.path()).await).await, [1]);
}

#[tokio::test]
async fn many_messages_go_through_a_journal_of_any_length() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    // More than the file holds: it begins again some times. Every second message stays.
    let commits = (1..=400).map(|id| {
        let store = store.clone();
        tokio::spawn(async move {
            let content = Content::memory(QueueId(id), octets(id, 120_000).into());
            store.commit(vec![message(&content, &["a@x.test"])], 50_000).await.unwrap();
            if id % 2 == 0 {
                done(&store, id).await;
            }
        })
    });
    for commit in commits.collect::<Vec<_>>() {
        commit.await.unwrap();
    }
    let after = crashed(dir.path());
    let store = Store::open(after.path()).unwrap();
    assert_eq!(store.totals().await.unwrap().messages, 200);
    assert_eq!(ids(&store).await, (1..=199).step_by(2).collect::<Vec<i64>>(), "the first hundred");
}
