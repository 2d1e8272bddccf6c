//! A node and its PostgreSQL: what is refused, what is said, outages, and what a load costs.
#![allow(clippy::disallowed_methods, clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod world;

use std::time::{Duration, Instant};

use bytes::Bytes;
use mail::{EnhancedCode, QueueId};
use pg_lab::PgServer;
use store::{Content, DirectoryChange, Disposition, NewMessage, PostgresSettings, Settlement, Store, StoreError};
use world::message;
use world::nodes::{Nodes, done, key, until};

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_a_node_acknowledges_nothing_and_recovers_by_itself() {
    let mut nodes = Nodes::new();
    let a = nodes.start("a").await;
    let lease = a.commit(vec![message(1, &["me@x.test"], true)], 0).await.unwrap().lease();
    nodes.server.stop();
    let begin = Instant::now();
    for id in 2..5 {
        let refused = a.commit(vec![message(id, &["me@x.test"], false)], 0).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
        assert!(a.totals().await.is_err());
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "a client is not kept waiting: {:?}", begin.elapsed());
    nodes.server.resume();
    until("commits again", Duration::from_secs(5), async || a.commit(vec![message(9, &["me@x.test"], false)], 0).await.is_ok()).await;
    assert!(a.totals().await.is_ok() || a.totals().await.is_ok());
    assert!(a.may_deliver(lease), "a short outage costs no claim");
    a.settle(Settlement { lease, ..done(&[key(1, 0)]) }, 0).await.unwrap();
    assert_eq!(nodes.server.sql("SELECT message_id FROM recipient ORDER BY 1"), "9");
}

/// The counters of news are rows that every node's commits need: a process that is stopped while it holds one would stop all others.
#[tokio::test(flavor = "multi_thread")]
async fn news_is_written_in_one_request_with_the_commit() {
    let mut nodes = Nodes::new();
    let a = nodes.start("a").await;
    nodes.server.sql(
        "CREATE TABLE seen (name text, query text);
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (NEW.name, current_query()); RETURN NEW; END $$;
         CREATE TRIGGER see AFTER UPDATE ON news FOR EACH ROW EXECUTE FUNCTION see();
         GRANT ALL ON seen TO PUBLIC",
    );
    a.shared_put("file/x", b"x".to_vec(), 0).await.unwrap();
    a.shared_remove("file/x").await.unwrap();
    a.change_directory(vec![DirectoryChange::AddDomain("x.test".parse().unwrap())]).await.unwrap();
    assert_eq!(nodes.server.sql("SELECT string_agg(name, ' ' ORDER BY name) FROM seen"), "directory shared shared");
    assert_eq!(nodes.server.sql("SELECT count(*) FROM seen WHERE query NOT LIKE '%; COMMIT'"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_would_lose_mail_is_refused() {
    let mut nodes = Nodes::over(PgServer::start("fsync = on\nsynchronous_commit = off\n"));
    let careful = PostgresSettings { accept_loss: false, ..nodes.settings("a") };
    let refused = nodes.try_start(careful.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("synchronous_commit = off") && refused.to_string().contains("store.accept_loss"), "{refused}");
    nodes.server.stop();
    nodes.server.configure("fsync = off\n");
    nodes.server.resume();
    assert!(nodes.try_start(careful.clone()).await.unwrap_err().to_string().contains("fsync = off"));
    nodes.server.stop();
    nodes.server.configure("fsync = on\n");
    nodes.server.resume();
    nodes.try_start(careful).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_newer_by_one_step_is_served_and_by_two_refused() {
    let mut nodes = Nodes::new();
    drop(nodes.start("a").await);
    nodes.server.sql("UPDATE waypost_schema SET version = version + 1");
    let a = nodes.start("b").await;
    a.commit(vec![message(1, &["me@x.test"], false)], 0).await.unwrap();
    nodes.server.sql("UPDATE waypost_schema SET version = version + 1");
    let refused = nodes.try_start(nodes.settings("c")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Newer { .. }), "{refused}");
}

/// A newer version migrates the database while a node of the version before runs.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_change_under_a_node_cost_a_connection_at_most() {
    let mut nodes = Nodes::new();
    let a = nodes.start("a").await;
    let read = async || a.passkeys("me@x.test".into()).await.and(a.passkey(vec![1]).await);
    let write = async |id| {
        let lease = a.commit(vec![message(id, &["me@x.test"], true)], i64::MAX / 2).await?.lease();
        a.settle(Settlement { lease, ..done(&[key(id, 0)]) }, 0).await
    };
    read().await.unwrap();
    write(1).await.unwrap();
    nodes.server.sql(
        "DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
         LOOP EXECUTE format('ALTER TABLE %I ADD COLUMN added_later text', t); END LOOP; END $$",
    );
    read().await.unwrap();
    write(2).await.unwrap();
    nodes
        .server
        .sql("ALTER TABLE passkey ALTER COLUMN name TYPE varchar(99); ALTER TABLE recipient ALTER COLUMN mailbox TYPE varchar(999)");
    let refused = read().await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    until("new statements", Duration::from_secs(5), async || read().await.is_ok() && write(3).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_said_clearly() {
    let mut nodes = Nodes::new();
    let error = |result: Result<Store, StoreError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        error.to_string()
    };
    let url = nodes.server.url_of("waypost", "absent");
    let absent = error(nodes.try_start(PostgresSettings { url, ..nodes.settings("a") }).await);
    assert!(absent.contains("\"absent\" does not exist"), "{absent}");
    let url = nodes.server.url_of("nobody", "waypost");
    let stranger = error(nodes.try_start(PostgresSettings { url, ..nodes.settings("a") }).await);
    assert!(stranger.contains("refuses the login"), "{stranger}");
    nodes.server.sql("CREATE ROLE weak LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let url = nodes.server.url_of("weak", "waypost");
    let weak = error(nodes.try_start(PostgresSettings { url, ..nodes.settings("a") }).await);
    assert!(weak.contains("does not let this role do that: permission denied for schema public"), "{weak}");
    nodes.server.sql_in("postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    let url = nodes.server.url_of("waypost", "latin");
    let latin = nodes.try_start(PostgresSettings { url, ..nodes.settings("a") }).await.unwrap_err().to_string();
    assert!(latin.contains("encoding LATIN1") && latin.contains("ENCODING 'UTF8'"), "{latin}");
    nodes.server.sql("ALTER DATABASE waypost SET default_transaction_read_only = on");
    let read_only = error(nodes.try_start(nodes.settings("a")).await);
    assert!(read_only.contains("read-only"), "{read_only}");
    nodes.server.sql_in("postgres", "ALTER DATABASE waypost RESET default_transaction_read_only");
    let a = nodes.start("a").await;
    nodes.server.sql("ALTER DATABASE waypost SET default_transaction_read_only = on");
    nodes.server.sql_in("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'waypost'");
    let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waypost a writer'";
    until("the connection to end", Duration::from_secs(10), async || nodes.server.sql_in("postgres", open) == "0").await;
    assert!(matches!(a.commit(vec![message(1, &["me@x.test"], false)], 0).await, Err(StoreError::Unavailable(_))));
    nodes.server.sql_in("postgres", "ALTER DATABASE waypost RESET default_transaction_read_only");
    until("it writes again", Duration::from_secs(5), async || a.commit(vec![message(1, &["me@x.test"], false)], 0).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_with_nul_is_stored_and_does_not_stop_others() {
    let mut nodes = Nodes::new();
    let a = nodes.start("a").await;
    let lease = a.commit(vec![message(1, &["me@x.test"], true)], 0).await.unwrap().lease();
    let deferred = Disposition::Deferred { next_attempt_ms: 5, status: EnhancedCode(4, 0, 0), reason: "bad \0 reply".into(), counts: true };
    a.settle(Settlement { recipients: vec![(key(1, 0), deferred)], lease, ..Settlement::default() }, 0).await.unwrap();
    assert_eq!(nodes.server.sql("SELECT reason FROM recipient"), "bad \u{fffd} reply");
}

const SESSIONS: i64 = 100;
const EACH: i64 = 30;
const CONTENT_BYTES: usize = 10 * 1024;

/// Many sessions that take and settle messages at the same time.
async fn load(a: &Store, round: i64) {
    let content: Bytes = (0..CONTENT_BYTES).map(|n| b'a' + u8::try_from(n * n % 26).unwrap()).collect();
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|session| {
            let (a, content) = (a.clone(), content.clone());
            tokio::spawn(async move {
                for n in 0..EACH {
                    let id = 1 + (round * SESSIONS + session) * EACH + n;
                    let new = NewMessage { content: Content::memory(QueueId(id), content.clone()), ..message(id, &["me@x.test"], true) };
                    let lease = a.commit(vec![new], i64::MAX / 2).await.unwrap().lease();
                    a.settle_beside(Settlement { lease, ..done(&[key(id, 0)]) }, 0).await.unwrap();
                }
            })
        })
        .collect();
    for session in sessions {
        session.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_under_load_shares_transactions_and_its_log_is_bounded() {
    let mut nodes = Nodes::over(PgServer::start("fsync = on\n"));
    let a = nodes.start("a").await;
    let at = |server: &PgServer| server.sql("SELECT pg_current_wal_insert_lsn() - '0/0'").parse::<u64>().unwrap();
    let messages = u64::try_from(SESSIONS * EACH).unwrap();
    let mut fewest = u64::MAX;
    // The best of three rounds: on a busy machine the sessions may get too little time to be a load.
    for round in 0..3 {
        let (before, batches, begin) = (at(&nodes.server), a.batches().committed, Instant::now());
        load(&a, round).await;
        let (transactions, log) = (a.batches().committed - batches, (at(&nodes.server) - before) / messages);
        eprintln!("{:?}: {messages} messages in {transactions} transactions, {log} octets of log each", begin.elapsed());
        assert!(log <= 3 * CONTENT_BYTES as u64, "{log} octets of log for a message of {CONTENT_BYTES}");
        fewest = fewest.min(transactions);
        if messages >= 20 * fewest {
            break;
        }
    }
    assert_eq!(
        nodes.server.sql("SELECT (SELECT count(*) FROM recipient) + (SELECT count(*) FROM message) + (SELECT count(*) FROM content)"),
        "0"
    );
    assert!(messages >= 20 * fewest, "{messages} messages in {fewest} transactions");
}
