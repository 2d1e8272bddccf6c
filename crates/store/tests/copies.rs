//! Copies between engines: everything arrives, and nothing goes where something is.
#![allow(clippy::disallowed_methods, clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use mail::{Body, Domain, EnhancedCode, Mailbox, Notify, QueueId, ReversePath};
use pg_lab::PgServer;
use store::{
    Content, DirectoryChange, Disposition, FailedDelivery, Flow, ListFilter, Message, NewMessage, NewRecipient, Place, PostgresSettings,
    RecipientKey, Settlement, Store, StoreError, TlsWish, copy_store,
};

fn message(id: i64, content: &Content, claimed: bool) -> NewMessage {
    NewMessage {
        message: Message {
            id: QueueId(id),
            flow: Flow::Own,
            reverse_path: ReversePath::Mailbox(Mailbox::parse("her@foreign.test").unwrap()),
            body: Body::EightBit,
            smtputf8: true,
            ret: Some(mail::Ret::Full),
            envid: Some("e".into()),
            tls: TlsWish::Optional,
            arrived_ms: 1000,
            expires_ms: 9000,
            rewritten_path: None,
            may_report: true,
            mendable: true,
            delay_reported: false,
            prefix: Bytes::from_static(b"X: 1\r\n"),
        },
        content: content.clone(),
        recipients: vec![NewRecipient {
            mailbox: Mailbox::parse("a@x.test").unwrap(),
            notify: Notify::default(),
            orcpt: None,
            known_as: None,
        }],
        claimed,
        held: None,
    }
}

/// Fills a store with one of each.
async fn fill(store: &Store) {
    let domain = DirectoryChange::AddDomain(Domain::parse("x.test").unwrap());
    let alias = directory::Alias {
        source: "me@x.test".parse().unwrap(),
        targets: vec!["foo@y.test".parse().unwrap()],
        enabled: false,
        origin: directory::Origin::Database,
    };
    store.change_directory(vec![domain, DirectoryChange::AddAlias { alias, replace: false }]).await.unwrap();
    let large = store.put(QueueId(2), &(0..700_000_u32).map(|n| n.to_le_bytes()[0]).collect::<Vec<u8>>()).await.unwrap();
    let small = Content::memory(QueueId(1), Bytes::from_static(b"Subject: \xff\r\n\r\n"));
    let lease =
        store.commit(vec![message(1, &small, false), message(2, &large, true), message(3, &small, false)], 50_000).await.unwrap().lease();
    let failed = FailedDelivery {
        message: QueueId(3),
        at_ms: 1,
        from: "her@foreign.test".into(),
        to: "me@x.test".into(),
        target: "a@x.test".into(),
        status: "5.1.1".into(),
        reason: "no \0 such".into(),
    };
    let later = Disposition::Deferred { next_attempt_ms: 70, status: EnhancedCode(4, 2, 1), reason: "full".into(), counts: true };
    let recipients = vec![(RecipientKey { message: QueueId(1), index: 0 }, later)];
    store.settle(Settlement { recipients, failed: vec![failed], lease, ..Settlement::default() }, 0).await.unwrap();
    store.shared_put("secret", vec![0, 255], 5).await.unwrap();
}

/// What a store has, as text.
async fn contents(store: &Store) -> String {
    let list = store.list(ListFilter { limit: 10, ..ListFilter::default() }).await.unwrap();
    let large = store.content(QueueId(2)).await.unwrap();
    let (mut reader, mut size, mut sum) = (large.read().await.unwrap(), 0, 0_u64);
    while let Some(piece) = reader.next().await.unwrap() {
        size += piece.len();
        sum = piece.iter().fold(sum, |sum, octet| sum.wrapping_mul(31).wrapping_add(u64::from(*octet)));
    }
    let small = store.content(QueueId(3)).await.unwrap();
    let failed: Vec<_> =
        store.failed(None, 10).await.unwrap().into_iter().map(|(_, failed)| failed.reason.replace('\0', "\u{fffd}")).collect();
    let directory = store.directory("+".into()).await.unwrap();
    format!("{list:?} {size} {sum} {:?} {failed:?} {:?} {:?}", small.front(), directory.domains, store.shared_get("secret").await.unwrap())
}

fn settings(server: &PgServer) -> PostgresSettings {
    PostgresSettings {
        url: server.url(),
        password_file: None,
        node: "a".into(),
        accept_loss: true,
        version: "test".into(),
        wall_clock: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_there_and_back() {
    let (first, node, last) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = PgServer::default();
    let store = Store::open(first.path()).unwrap();
    fill(&store).await;
    store.release_claims(60).await.unwrap();
    let before = contents(&store).await;
    drop(store);
    let postgres = Place::Postgres { url: server.url(), password: None };
    let there = copy_store(&Place::Data(first.path().to_owned()), &postgres, 60).await.unwrap();
    assert_eq!(there.large_contents, 1);
    assert!(there.rows.contains(&("message", 3)) && there.rows.contains(&("alias", 1)), "{there:?}");
    let refused = copy_store(&Place::Data(first.path().to_owned()), &postgres, 60).await.unwrap_err();
    assert!(matches!(refused, StoreError::Exists(_)), "{refused}");
    let store = Store::open_postgres(node.path(), settings(&server)).await.unwrap();
    assert_eq!(contents(&store).await, before);
    // Numbers go on.
    store.settle(Settlement { failed: vec![store.failed(None, 1).await.unwrap()[0].1.clone()], ..Settlement::default() }, 0).await.unwrap();
    assert_eq!(store.failed(None, 10).await.unwrap().len(), 2);
    store.shared_put("hostname/a", b"a.x.test".to_vec(), 5).await.unwrap();
    let expected = contents(&store).await;
    let target = Place::Data(last.path().to_owned());
    let refused = copy_store(&postgres, &target, 60).await.unwrap_err().to_string();
    assert!(refused.contains("nodes run on the source: a;"), "what it takes meanwhile would be missing: {refused}");
    drop(store);
    let back = copy_store(&postgres, &target, 60).await.unwrap();
    assert_eq!(back.large_contents, 1);
    let last = Store::open(last.path()).unwrap();
    assert_eq!(contents(&last).await, expected);
    assert_eq!(last.shared_get("hostname/a").await.unwrap(), None, "what a node has stored for itself stays with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_is_due_in_the_copy() {
    let (first, node) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = PgServer::default();
    let store = Store::open_postgres(node.path(), settings(&server)).await.unwrap();
    fill(&store).await;
    let postgres = Place::Postgres { url: server.url(), password: None };
    drop(store);
    // As after a crash.
    server.sql("UPDATE recipient SET state = 1");
    copy_store(&postgres, &Place::Data(first.path().to_owned()), 7777).await.unwrap();
    let copy = Store::open(first.path()).unwrap();
    let claimed = copy.claim(Domain::parse("x.test").unwrap(), 7777, 9999, 10).await.unwrap();
    assert_eq!(claimed.len(), 3, "also those that the node was delivering");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_half_way_leaves_nothing_and_a_used_target_is_refused() {
    let (first, node) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = PgServer::default();
    let source = Place::Data(first.path().to_owned());
    let postgres = Place::Postgres { url: server.url(), password: None };
    let store = Store::open(first.path()).unwrap();
    fill(&store).await;
    drop(store);
    // The directory and small contents are copied before this one fails.
    let large = std::fs::read_dir(first.path().join("content")).unwrap().next().unwrap().unwrap().path();
    let octets = std::fs::read(&large).unwrap();
    std::fs::remove_file(&large).unwrap();
    assert!(matches!(copy_store(&source, &postgres, 60).await, Err(StoreError::Corrupt(_))));
    assert_eq!(
        server.sql("SELECT (SELECT count(*) FROM domain) + (SELECT count(*) FROM content) + (SELECT count(*) FROM content_piece)"),
        "0"
    );
    std::fs::write(&large, &octets).unwrap();
    copy_store(&source, &postgres, 60).await.unwrap();

    // Into a directory too, and a rest of a killed copy is no content.
    let back = tempfile::tempdir().unwrap();
    let target = Place::Data(back.path().to_owned());
    server.sql("CREATE TABLE kept AS SELECT * FROM content_piece; DELETE FROM content_piece");
    assert!(matches!(copy_store(&postgres, &target, 60).await, Err(StoreError::Corrupt(_))));
    server.sql("INSERT INTO content_piece SELECT * FROM kept");
    std::fs::write(back.path().join("content").join(format!("{}.new", QueueId(2))), b"half").unwrap();
    assert_eq!(copy_store(&postgres, &target, 60).await.unwrap().large_contents, 1);

    server.sql("TRUNCATE domain, alias, alias_options, account, message, recipient, content, content_piece, failed");
    let refused = copy_store(&source, &postgres, 60).await.unwrap_err().to_string();
    assert!(refused.contains("its table shared has rows"), "{refused}");
    server.sql("TRUNCATE shared");
    let store = Store::open_postgres(node.path(), settings(&server)).await.unwrap();
    let refused = copy_store(&source, &postgres, 60).await.unwrap_err().to_string();
    assert!(refused.contains("nodes run on the target: a;"), "{refused}");
    drop(store);
    copy_store(&source, &postgres, 60).await.unwrap();
}
