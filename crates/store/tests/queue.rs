//! The queue on a real disk: commit, claim, settle, restart, and damaged records.
#![allow(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used, clippy::expect_used)]

mod world;

use bytes::Bytes;
use mail::{Body, Domain, EnhancedCode, Mailbox, Notify, QueueId, ReversePath};
use store::{Content, Disposition, Flow, ListFilter, Message, NewMessage, NewRecipient, Settlement, Store, StoreError, TlsWish};
use world::{World, over_engines};

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn message(id: i64, content: &Content, recipients: &[&str], claimed: bool) -> NewMessage {
    let new = world::message(id, recipients, claimed);
    let message = Message {
        reverse_path: ReversePath::Mailbox(mailbox("her@foreign.test")),
        body: Body::EightBit,
        envid: Some("env".into()),
        tls: TlsWish::Required,
        arrived_ms: 1000,
        expires_ms: 9_000_000,
        prefix: Bytes::from_static(b"Delivered-To: me@example.test\r\n"),
        ..new.message
    };
    let notify = Notify::parse("FAILURE,DELAY").unwrap();
    let known = |to: NewRecipient| NewRecipient { notify, known_as: Some(mailbox("me@example.test")), ..to };
    NewMessage { message, content: content.clone(), recipients: new.recipients.into_iter().map(known).collect(), ..new }
}

fn small(id: i64) -> Content {
    Content::memory(QueueId(id), Bytes::from_static(b"Subject: hi\r\n\r\nbody\r\n"))
}

fn lane(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

async fn large(store: &Store, id: i64) -> Content {
    store.put(QueueId(id), &vec![b'x'; 300_000]).await.unwrap()
}

async fn a_message_lives_from_commit_to_settlement(world: World) {
    let store = world.open().await;
    let content = small(1);
    store
        .commit(vec![message(1, &content, &["a@x.test", "b@x.test", "c@y.test"], false), message(2, &content, &["d@x.test"], false)], 0)
        .await
        .unwrap();
    let due = store.lanes().await.unwrap();
    assert_eq!(due.iter().map(|l| l.lane.as_str()).collect::<Vec<_>>(), ["x.test", "y.test"]);
    let claimed = store.claim(lane("x.test"), 1000, 50_000, 10).await.unwrap();
    assert_eq!(claimed.iter().map(|c| c.recipients.len()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(claimed[0].message, message(1, &content, &[], false).message);
    assert!(store.claim(lane("x.test"), 1000, 50_000, 10).await.unwrap().is_empty(), "a claim holds");
    assert_eq!(store.content(QueueId(2)).await.unwrap().front(), content.front());

    let keys: Vec<_> = claimed.iter().flat_map(|c| c.recipients.iter().map(|r| r.key)).collect();
    let deferred = Disposition::Deferred { next_attempt_ms: 70_000, status: EnhancedCode(4, 2, 0), reason: "later".into(), counts: true };
    let settlement = Settlement {
        recipients: vec![(keys[0], Disposition::Done), (keys[1], deferred), (keys[2], Disposition::Done)],
        ..Settlement::default()
    };
    store.settle(settlement, 0).await.unwrap();
    let listed = store.list(ListFilter { limit: 10, ..ListFilter::default() }).await.unwrap();
    assert_eq!(listed.len(), 1, "the message without recipients is gone, its content is not: {listed:?}");
    assert_eq!(listed[0].recipients[0].reason.as_deref(), Some("later"));
    assert_eq!(listed[0].recipients[0].attempts, 1);
    assert!(store.claim(lane("x.test"), 69_999, 90_000, 10).await.unwrap().is_empty());
    assert_eq!(store.claim(lane("x.test"), 70_000, 90_000, 10).await.unwrap()[0].recipients[0].attempts, 1);
}

async fn a_restart_finds_everything_and_releases_claims(world: World) {
    {
        let store = world.open().await;
        assert!(matches!(world.try_open().await, Err(StoreError::InUse(_))), "one owner at a time");
        let content = large(&store, 1).await;
        store.commit(vec![message(1, &content, &["a@x.test"], true)], 1_000_000).await.unwrap();
        // Committed as claimed, so it cannot be claimed again.
        assert!(store.claim(lane("x.test"), 2000, 50_000, 10).await.unwrap().is_empty());
    }
    let store = world.reopen().await;
    assert_eq!(world.large_contents(), 1);
    let now_ms = world.now_ms();
    let released = store.release_claims(now_ms).await.unwrap();
    // A node of a cluster frees by itself what its last process had claimed.
    assert!(released == 1 || world.server.is_some(), "{released}");
    let claimed = store.claim(lane("x.test"), now_ms, now_ms + 50_000, 10).await.unwrap();
    let content = store.content(QueueId(1)).await.unwrap();
    assert_eq!(content.size_bytes(), 300_000);
    let settlement = Settlement { recipients: vec![(claimed[0].recipients[0].key, Disposition::Done)], ..Settlement::default() };
    store.settle(settlement, 0).await.unwrap();
    assert_eq!(store.totals().await.unwrap(), Default::default());
    assert_eq!(world.large_contents(), 0, "the file goes with its message");
}

async fn a_claim_ends_with_its_lease(world: World) {
    let store = world.open().await;
    store.commit(vec![message(1, &small(1), &["a@x.test"], false)], 0).await.unwrap();
    // The delivery that has it is gone without an outcome: the recipient comes back once, when the lease ends, and then has a new one.
    let claims = [(1_000, 10_000, 1), (9_999, 20_000, 0), (10_000, 20_000, 1), (19_999, 30_000, 0), (20_000, 30_000, 1)];
    for (now_ms, lease_ms, found) in claims {
        assert_eq!(store.claim(lane("x.test"), now_ms, lease_ms, 10).await.unwrap().len(), found, "at {now_ms}");
    }
}

/// The threads of the previous store end a moment after its last handle.
async fn damaged_records_are_set_aside_and_the_rest_goes_on(world: World) {
    let store = world.open().await;
    for id in 1..=4 {
        store.commit(vec![message(id, &small(id), &["a@x.test"], false)], 0).await.unwrap();
    }
    world.execute("UPDATE recipient SET mailbox = 'no mailbox' WHERE message_id = 1");
    world.execute("UPDATE message SET flow = 'odd' WHERE id = 2");
    world.execute("DELETE FROM message WHERE id = 3");
    let claimed = store.claim(lane("x.test"), 1000, 50_000, 10).await.unwrap();
    assert_eq!(claimed.iter().map(|c| c.message.id.0).collect::<Vec<_>>(), [4]);
    assert_eq!(store.totals().await.unwrap().set_aside, 3);
    world.set_content(4, &[0]);
    assert!(matches!(store.content(QueueId(4)).await, Err(StoreError::Corrupt(_))));
    // The operator repairs a record and retries it.
    world.execute("UPDATE message SET flow = 'own' WHERE id = 2");
    assert_eq!(store.retry(Some(QueueId(2)), None, 2000).await.unwrap(), 1);
    assert_eq!(store.claim(lane("x.test"), 2000, 50_000, 10).await.unwrap()[0].message.flow, Flow::Own);
}

async fn dropping_or_retrying_an_absent_message_is_an_error(world: World) {
    let store = world.open().await;
    store.commit(vec![message(1, &small(1), &["a@x.test", "b@y.test"], false)], 0).await.unwrap();
    assert!(matches!(store.remove(QueueId(7), None).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.retry(Some(QueueId(7)), None, 0).await, Err(StoreError::NotFound(_))));
    store.claim(lane("y.test"), 1000, 50_000, 10).await.unwrap();
    assert!(matches!(store.remove(QueueId(1), Some(1)).await, Err(StoreError::Exists(_))), "it is being delivered");
    store.release_claims(1000).await.unwrap();
    store.remove(QueueId(1), Some(0)).await.unwrap();
    assert_eq!(store.totals().await.unwrap().recipients, 1);
    store.remove(QueueId(1), None).await.unwrap();
    assert_eq!(store.totals().await.unwrap(), Default::default());
}

async fn all_mail_is_retried_in_steps(world: World) {
    let store = world.open().await;
    let content = small(1);
    store.commit((1..=6000).map(|id| message(id, &content, &["a@x.test", "b@y.test"], false)).collect(), 0).await.unwrap();
    assert!(store.claim(lane("x.test"), 500, 50_000, 10).await.unwrap().is_empty());
    assert_eq!(store.retry(None, None, 500).await.unwrap(), 12_000);
    assert_eq!(store.claim(lane("x.test"), 500, 50_000, 10).await.unwrap().len(), 10);
    assert_eq!(store.retry(None, None, 500).await.unwrap(), 0, "no recipient waits for a later time");
}

#[tokio::test]
async fn a_database_of_a_later_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let db = rusqlite::Connection::open(dir.path().join("waypost.db")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let refused = Store::open(dir.path()).unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 99, .. }), "{refused:?}");
    assert!(refused.to_string().contains("newer Waypost"), "{refused}");
}

#[tokio::test]
async fn other_users_cannot_read_the_database() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let mode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    std::fs::write(dir.path().join("waypost.db"), "").unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.release_claims(0).await.unwrap();
    assert_eq!((mode("waypost.db"), mode("waypost.db-wal")), (0o600, 0o600));
}

async fn held_mail_waits_for_its_release_and_srs_senders_expire(world: World) {
    let store = world.open().await;
    let content = Content::memory(QueueId(1), Bytes::from_static(b"Subject: x\r\n\r\n"));
    let mut held = message(1, &content, &["a@x.test"], false);
    held.held = Some("suspicious".into());
    store.commit(vec![held], 0).await.unwrap();
    assert!(store.lanes().await.unwrap().is_empty(), "held mail is not due");
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.held, totals.held_bytes), (1, content.size_bytes()));
    assert_eq!(store.unnoticed(10).await.unwrap().held_count, 1);
    store.release(QueueId(1), 5000, 9000).await.unwrap();
    assert!(store.release(QueueId(1), 5000, 9000).await.is_err(), "it is released once");
    assert_eq!(store.lanes().await.unwrap().len(), 1);
    assert_eq!(store.unnoticed(10).await.unwrap().held_count, 0);

    let sender = mailbox("someone.with.a.long.name@foreign.test");
    store.remember_sender("TOKEN".into(), &sender, 0).await.unwrap();
    assert_eq!(store.remembered_sender("TOKEN".into()).await.unwrap(), Some(sender.clone()));
    store.remember_sender("aB3/xY".into(), &sender, 0).await.unwrap();
    for case in ["aB3/xY", "AB3/XY", "ab3/xy"] {
        assert_eq!(store.remembered_sender(case.into()).await.unwrap(), Some(sender.clone()), "{case}");
    }
    store.remember_sender("LATER".into(), &sender, 24 * 86_400_000).await.unwrap();
    assert_eq!(store.remembered_sender("TOKEN".into()).await.unwrap(), None, "it has expired");
}

async fn a_failure_is_in_one_notice_and_stays_listed(world: World) {
    let store = world.open().await;
    let failed = |n: i64| store::FailedDelivery {
        message: QueueId(n),
        at_ms: n,
        from: "her@foreign.test".into(),
        to: "me@example.test".into(),
        target: "foo@inbox.test".into(),
        status: "5.1.1".into(),
        reason: "no".into(),
    };
    let settlement = Settlement { failed: vec![failed(1), failed(2)], ..Settlement::default() };
    store.settle(settlement, 0).await.unwrap();
    let unnoticed = store.unnoticed(1).await.unwrap();
    assert_eq!((unnoticed.failed_count, unnoticed.failed.as_slice()), (2, [failed(2)].as_slice()));
    store.notice(Vec::new(), unnoticed.up_to, 77).await.unwrap();
    let after = store.unnoticed(1).await.unwrap();
    assert_eq!((after.failed_count, after.last_told_ms), (0, 77));
    let all = store.failed(None, 10).await.unwrap();
    let [(newest, second), (_, first)] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((second, first), (&failed(2), &failed(1)));
    assert_eq!(store.failed(Some(*newest), 10).await.unwrap(), all[1..]);
}

#[tokio::test]
async fn setting_the_clock_moves_waits_and_claims() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.commit(vec![message(1, &small(1), &["a@one.test"], false), message(2, &small(2), &["b@two.test"], true)], 50_000).await.unwrap();
    let step = |by_ms, latest_ms| store::ClockStep { ages_by_ms: by_ms, waits_by_ms: by_ms, latest_ms };
    let year = 31_536_000_000;
    assert_eq!(store.step_clock(step(year, year + 100_000)).await.unwrap(), 0);
    // The claim has not ended, and the message is no older.
    assert!(store.claim(lane("two.test"), year + 49_999, year + 60_000, 10).await.unwrap().is_empty());
    assert!(store.claim(lane("one.test"), year + 999, year + 60_000, 10).await.unwrap().is_empty());
    let listed = store.list(ListFilter { limit: 10, ..ListFilter::default() }).await.unwrap();
    assert_eq!((listed[0].message.arrived_ms, listed[0].message.expires_ms), (year + 1000, year + 9_000_000));
    // A clock that was ahead and is right now: no recipient waits longer than allowed.
    assert_eq!(store.step_clock(store::ClockStep { ages_by_ms: 0, waits_by_ms: 0, latest_ms: 5000 }).await.unwrap(), 1);
    assert_eq!(store.claim(lane("one.test"), 5000, 60_000, 10).await.unwrap().len(), 1);
}

over_engines!(
    a_message_lives_from_commit_to_settlement,
    a_restart_finds_everything_and_releases_claims,
    a_claim_ends_with_its_lease,
    damaged_records_are_set_aside_and_the_rest_goes_on,
    dropping_or_retrying_an_absent_message_is_an_error,
    all_mail_is_retried_in_steps,
    held_mail_waits_for_its_release_and_srs_senders_expire,
    a_failure_is_in_one_notice_and_stays_listed,
);
