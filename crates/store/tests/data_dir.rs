//! The data directory: a lost database, orphans, the lock, modes.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bytes::Bytes;
use mail::{Mailbox, QueueId};
use store::{Content, Disposition, ListFilter, Message, NewMessage, Settlement, Store, StoreError, Swept};
use world::{World, over_engines, try_reopened};

const DAY_MS: i64 = 86_400_000;

fn message(id: i64, content: &Content) -> NewMessage {
    let new = world::message(id, &["a@x.test"], false);
    NewMessage { message: Message { expires_ms: 0, may_report: false, ..new.message }, content: content.clone(), ..new }
}

fn small(id: i64) -> Content {
    Content::memory(QueueId(id), Bytes::from_static(b"Subject: hi\r\n\r\n"))
}

/// A data directory with one message whose content is a file.
async fn with_large_content(data: &Path) {
    let store = Store::open(data).unwrap();
    let content = store.put(QueueId(1), &vec![b'x'; 300_000]).await.unwrap();
    store.commit(vec![message(1, &content)], 0).await.unwrap();
}

/// Opens it after the threads of the previous store have ended.
fn remove_database(data: &Path) {
    for file in ["waypost.db", "waypost.db-wal", "waypost.db-shm"] {
        let _ = fs::remove_file(data.join(file));
    }
}

#[tokio::test]
async fn a_lost_database_is_not_created_again() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path(), dir.path().join("content").join(QueueId(1).to_string()));
    with_large_content(data).await;
    drop(try_reopened(data).await.unwrap());
    for empty in [false, true] {
        remove_database(data);
        if empty {
            fs::write(data.join("waypost.db"), "").unwrap();
        }
        let error = try_reopened(data).await.unwrap_err();
        assert!(matches!(&error, StoreError::DatabaseLost { evidence, .. } if evidence.contains("content of messages")), "{error}");
        assert!(error.remedy(data).unwrap().contains("backup"));
        assert!(file.exists(), "the content is untouched");
    }
    // Small messages leave no file; the mark shows that there was a database.
    fs::remove_file(&file).unwrap();
    remove_database(data);
    let error = try_reopened(data).await.unwrap_err();
    assert!(matches!(&error, StoreError::DatabaseLost { evidence, .. } if evidence.contains("database-made")), "{error}");
    assert!(!data.join("waypost.db").exists());
    fs::remove_file(data.join("database-made")).unwrap();
    try_reopened(data).await.unwrap();
}

#[tokio::test]
async fn a_log_without_its_database_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("waypost.db-wal"), "frames").unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(&error, StoreError::DatabaseLost { evidence, .. } if evidence.contains("waypost.db-wal")), "{error}");
    assert_eq!(fs::read(dir.path().join("waypost.db-wal")).unwrap(), b"frames");
}

#[tokio::test]
async fn orphans_are_set_apart_and_removed_a_month_later() {
    let dir = tempfile::tempdir().unwrap();
    let content = dir.path().join("content");
    with_large_content(dir.path()).await;
    let (orphan, note) = (QueueId(99).to_string(), content.join("a note of the operator"));
    fs::write(content.join(&orphan), "an orphan").unwrap();
    fs::write(&note, "kept").unwrap();
    let store = try_reopened(dir.path()).await.unwrap();
    assert!(content.join(&orphan).exists(), "a command that opens the store moves nothing");
    let made = fs::metadata(&note).unwrap().modified().unwrap();
    let now_ms = i64::try_from(made.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    assert_eq!(store.sweep_orphans(now_ms).await.unwrap(), Swept { set_apart: 1, removed: 0 });
    assert_eq!(fs::read(content.join("orphans").join(&orphan)).unwrap(), b"an orphan");
    assert_eq!(store.sweep_orphans(now_ms + 29 * DAY_MS).await.unwrap(), Swept { set_apart: 0, removed: 0 });
    assert_eq!(store.sweep_orphans(now_ms + 31 * DAY_MS).await.unwrap(), Swept { set_apart: 0, removed: 1 });
    assert_eq!(store.content(QueueId(1)).await.unwrap().size_bytes(), 300_000);
    assert!(note.exists());
}

async fn a_duplicate_id_fails_only_its_own_message(world: World) {
    let store = world.open().await;
    store.commit(vec![message(50, &small(50))], 0).await.unwrap();
    // Sent together, they share a transaction.
    let commits: Vec<_> = (1..=100)
        .map(|id| {
            let store = store.clone();
            tokio::spawn(async move { (id, store.commit(vec![message(id, &small(id))], 0).await) })
        })
        .collect();
    for commit in commits {
        let (id, result) = commit.await.unwrap();
        assert_eq!(id == 50, matches!(&result, Err(StoreError::Conflict(_))), "{id}: {result:?}");
        assert_eq!(id != 50, result.is_ok(), "{id}");
    }
    assert_eq!(store.totals().await.unwrap().messages, 100);
}

async fn new_ids_are_above_those_in_the_database(world: World) {
    let ahead = QueueId(QueueId::next(1_900_000_000_000, 0).0 + 7_000_000_000);
    let store = world.open().await;
    store.commit(vec![message(ahead.0, &small(ahead.0))], 0).await.unwrap();
    drop(store);
    world.reopen().await;
    assert!(QueueId::next(1_800_000_000_000, 0) > ahead, "a clock that was set back repeats no id");
}

#[tokio::test]
async fn other_users_cannot_write_to_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mode = || fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    drop(Store::open(dir.path()).unwrap());
    assert_eq!(mode(), 0o755);
}

async fn damaged_content_is_detected(world: World) {
    let store = world.open().await;
    let content = store.put(QueueId(1), &vec![b'x'; 600_000]).await.unwrap();
    store.commit(vec![message(1, &content)], 0).await.unwrap();
    store.commit(vec![message(2, &small(2))], 0).await.unwrap();
    for (id, size) in [(1, 600_000), (2, small(2).size_bytes())] {
        assert_eq!(store.content(QueueId(id)).await.unwrap().size_bytes(), size);
    }
    world.damage_large(1, 200_000);
    world.set_content(2, b"Subject: ho\r\n\r\n");
    for id in [1, 2] {
        let error = store.content(QueueId(id)).await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("CRC-32 does not match")), "{error}");
    }
    // Content of an older version has no CRC-32.
    world.execute("UPDATE content SET crc32 = NULL");
    assert!(store.content(QueueId(1)).await.is_ok() && store.content(QueueId(2)).await.is_ok());
}

async fn totals_follow_every_change(world: World) {
    let store = world.open().await;
    let held = |id: i64, content: &Content| NewMessage { held: Some("suspicious".into()), ..message(id, content) };
    let content = small(1);
    // Three held messages share a content, as the targets of an alias do; it counts once.
    store.commit(vec![held(1, &content), held(2, &content), held(3, &content), message(4, &small(4))], 0).await.unwrap();
    let totals = async || {
        let t = store.totals().await.unwrap();
        (t.messages, t.recipients, t.held, t.held_bytes, t.set_aside)
    };
    let size = content.size_bytes();
    assert_eq!(totals().await, (4, 4, 3, size, 0));
    store.release(QueueId(2), 0, 0).await.unwrap();
    assert_eq!(totals().await, (4, 4, 2, size, 0));
    store.remove(QueueId(1), None).await.unwrap();
    assert_eq!(totals().await, (3, 3, 1, size, 0));
    assert_eq!(store.expire_held(0).await.unwrap(), 1, "it has expired");
    assert_eq!(totals().await, (2, 2, 0, 0, 0));
    let key = store::RecipientKey { message: QueueId(4), index: 0 };
    let aside = Settlement { recipients: vec![(key, Disposition::SetAside { reason: "odd".into() })], ..Settlement::default() };
    store.settle(aside, 0).await.unwrap();
    assert_eq!(totals().await, (2, 2, 0, 0, 1));
    store.retry(Some(QueueId(4)), None, 0).await.unwrap();
    assert_eq!(totals().await, (2, 2, 0, 0, 0));
}

async fn a_list_finds_messages_far_behind(world: World) {
    let store = world.open().await;
    let content = small(1);
    store.commit((1..=5000).map(|id| message(id, &content)).collect(), 0).await.unwrap();
    let mut last = message(9000, &small(9000));
    last.recipients[0].mailbox = Mailbox::parse("rare@y.test").unwrap();
    last.held = Some("odd".into());
    store.commit(vec![last], 0).await.unwrap();
    let ids = async |filter: ListFilter| store.list(filter).await.unwrap().iter().map(|m| m.message.id.0).collect::<Vec<_>>();
    let filter = ListFilter { limit: 10, ..ListFilter::default() };
    assert_eq!(ids(ListFilter { address: Some("rare@".into()), ..filter.clone() }).await, [9000]);
    assert!(ids(ListFilter { address: Some("absent@".into()), ..filter.clone() }).await.is_empty());
    assert_eq!(ids(ListFilter { held: Some(true), ..filter.clone() }).await, [9000]);
    assert_eq!(ids(ListFilter { only: Some(QueueId(4000)), ..filter.clone() }).await, [4000]);
    assert_eq!(ids(ListFilter { after: Some(QueueId(4995)), ..filter.clone() }).await, [4996, 4997, 4998, 4999, 5000, 9000]);
    assert_eq!(ids(ListFilter { limit: 5001, held: Some(false), ..filter }).await.len(), 5000);
}

over_engines!(
    a_duplicate_id_fails_only_its_own_message,
    new_ids_are_above_those_in_the_database,
    damaged_content_is_detected,
    totals_follow_every_change,
    a_list_finds_messages_far_behind,
);
