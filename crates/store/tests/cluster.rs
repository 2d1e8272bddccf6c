//! Several nodes over one PostgreSQL: claims, leases, duties, news, and what is refused.
#![allow(clippy::disallowed_methods, clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mail::{Body, Domain, EnhancedCode, Mailbox, Notify, QueueId, ReversePath};
use pg_lab::{Cable, PgServer};
use store::{
    Content, DirectoryChange, Disposition, Duty, Flow, Message, NewMessage, NewRecipient, NodeState, PostgresSettings, RecipientKey,
    Settlement, Store, StoreError, TlsWish,
};
use tempfile::TempDir;

/// The nodes of a test, and their server.
struct Nodes {
    server: PgServer,
    homes: Vec<TempDir>,
}

impl Nodes {
    fn new() -> Self {
        Self { server: PgServer::default(), homes: Vec::new() }
    }

    fn settings(&self, node: &str) -> PostgresSettings {
        PostgresSettings { url: self.server.url(), password: None, node: node.into(), accept_loss: true, version: "test".into() }
    }

    /// Starts a node with a data directory of its own.
    async fn start(&mut self, node: &str) -> Store {
        self.try_start(self.settings(node)).await.unwrap()
    }

    async fn try_start(&mut self, settings: PostgresSettings) -> Result<Store, StoreError> {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open_postgres(home.path(), settings).await;
        self.homes.push(home);
        store
    }

    /// Ends the lease of a node, as if it had not been heard for 30 seconds.
    fn end_lease(&self, node: &str) {
        self.server.sql(&format!("UPDATE node SET lease_until = clock_timestamp() - interval '1 second' WHERE name = '{node}'"));
    }
}

fn message(id: i64, recipients: &[&str], claimed: bool) -> NewMessage {
    NewMessage {
        message: Message {
            id: QueueId(id),
            flow: Flow::Forward,
            reverse_path: ReversePath::Null,
            body: Body::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
            tls: TlsWish::AsPublished,
            arrived_ms: 0,
            expires_ms: i64::MAX,
            rewritten_path: None,
            may_report: true,
            mendable: false,
            delay_reported: false,
            prefix: Bytes::new(),
        },
        content: Content::memory(QueueId(id), Bytes::from_static(b"Subject: hi\r\n\r\n")),
        recipients: recipients
            .iter()
            .map(|to| NewRecipient { mailbox: Mailbox::parse(to).unwrap(), notify: Notify::default(), orcpt: None, known_as: None })
            .collect(),
        claimed,
        held: None,
    }
}

fn lane() -> Domain {
    Domain::parse("x.test").unwrap()
}

/// A time at which everything is due.
const LATE_MS: i64 = i64::MAX / 4;

fn key(id: i64, index: u32) -> RecipientKey {
    RecipientKey { message: QueueId(id), index }
}

fn done(keys: &[RecipientKey]) -> Settlement {
    Settlement { recipients: keys.iter().map(|key| (*key, Disposition::Done)).collect(), ..Settlement::default() }
}

async fn until(what: &str, most: Duration, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < most, "{what}: not within {most:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begin.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_claim_at_the_same_time_never_claim_the_same() {
    let mut nodes = Nodes::new();
    let (a, b) = (nodes.start("a").await, nodes.start("b").await);
    a.commit((1..=500).map(|id| message(id, &["me@x.test"], false)).collect(), 0).await.unwrap();
    let claim_all = |store: Store| {
        tokio::spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let some = store.claim(lane(), LATE_MS, i64::MAX / 2, 7).await.unwrap();
                if some.is_empty() {
                    return claimed;
                }
                claimed.extend(some.iter().flat_map(|c| c.recipients.iter().map(|r| r.key)));
            }
        })
    };
    let (of_a, of_b) = (claim_all(a.clone()), claim_all(b));
    let (of_a, of_b) = (of_a.await.unwrap(), of_b.await.unwrap());
    let all: HashSet<_> = of_a.iter().chain(&of_b).collect();
    assert_eq!((all.len(), of_a.len() + of_b.len()), (500, 500));
    assert!(!of_a.is_empty() && !of_b.is_empty(), "both have claimed: {} {}", of_a.len(), of_b.len());
    let claimed: Vec<u64> = a.nodes().await.unwrap().iter().map(|node| node.claimed).collect();
    assert_eq!(claimed, [of_a.len() as u64, of_b.len() as u64]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_had_claimed_is_freed_and_the_node_leaves_it_alone() {
    let mut nodes = Nodes::new();
    let (a, b) = (nodes.start("a").await, nodes.start("b").await);
    let lease = a.commit(vec![message(1, &["me@x.test"], true), message(2, &["me@x.test"], true)], i64::MAX / 2).await.unwrap().lease();
    assert!(a.may_deliver(lease));
    assert!(b.claim(lane(), LATE_MS, i64::MAX / 2, 9).await.unwrap().is_empty(), "the claims of a hold");
    nodes.end_lease("a");
    let mut claimed = Vec::new();
    until("b takes over", Duration::from_secs(12), async || {
        claimed.extend(b.claim(lane(), LATE_MS, i64::MAX / 2, 9).await.unwrap());
        claimed.len() == 2
    })
    .await;
    until("a knows", Duration::from_secs(12), async || !a.may_deliver(lease)).await;
    assert!(b.may_deliver(claimed[0].lease));
    // The outcome of a comes too late: the row is b's.
    let deferred = Disposition::Deferred { next_attempt_ms: 5, status: EnhancedCode(4, 0, 0), reason: "of a".into(), counts: true };
    let late = Settlement {
        recipients: vec![(key(1, 0), deferred.clone())],
        lease,
        follow: vec![message(3, &["her@y.test"], false)],
        ..Settlement::default()
    };
    a.settle(late, 0).await.unwrap();
    assert_eq!(a.totals().await.unwrap().messages, 2, "its DSN is not sent");
    assert_eq!(nodes.server.sql("SELECT count(*) FROM recipient WHERE state = 1 AND reason IS NULL"), "2");
    // But what a has delivered is not delivered again.
    a.settle(Settlement { lease, ..done(&[key(2, 0)]) }, 0).await.unwrap();
    b.settle(Settlement { recipients: vec![(key(1, 0), deferred)], lease: claimed[0].lease, ..Settlement::default() }, 0).await.unwrap();
    assert_eq!(nodes.server.sql("SELECT message_id, state, reason FROM recipient"), "1|0|of a");
    // In its new stay a works on.
    assert_eq!(a.claim(lane(), LATE_MS, i64::MAX / 2, 9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_settle_the_last_recipients_leave_nothing_behind() {
    let mut nodes = Nodes::new();
    let (a, b) = (nodes.start("a").await, nodes.start("b").await);
    for round in 0..40_i64 {
        let (one, other) = (2 * round + 1, 2 * round + 2);
        let shared = Content::memory(QueueId(one), Bytes::from_static(b"Subject: shared\r\n\r\n"));
        let with = |new: NewMessage| NewMessage { content: shared.clone(), ..new };
        a.commit(vec![with(message(one, &["me@x.test", "you@x.test"], true)), with(message(other, &["me@x.test"], true))], 0)
            .await
            .unwrap();
        let (of_a, of_b) = (done(&[key(one, 0)]), done(&[key(one, 1), key(other, 0)]));
        let (first, second) = tokio::join!(a.settle(of_a, 0), b.settle(of_b, 0));
        first.unwrap();
        second.unwrap();
    }
    assert_eq!(
        nodes.server.sql("SELECT (SELECT count(*) FROM recipient), (SELECT count(*) FROM message), (SELECT count(*) FROM content)"),
        "0|0|0"
    );
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_directory_is_heard_on_every_node() {
    let mut nodes = Nodes::new();
    let (a, b) = (nodes.start("a").await, nodes.start("b").await);
    let mut news = b.news();
    until("b has looked", Duration::from_secs(5), async || news.borrow_and_update().work > 0 || nodes.server.sql("SELECT 1") == "1").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = news.borrow_and_update().directory;
    a.change_directory(vec![DirectoryChange::AddDomain(lane())]).await.unwrap();
    let took = until("b hears of it", Duration::from_secs(3), async || news.borrow_and_update().directory != before).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(b.directory("+".into()).await.unwrap().domains.len(), 1);
    let before = news.borrow_and_update().work;
    a.commit(vec![message(1, &["me@x.test"], false)], 0).await.unwrap();
    assert!(
        until("b hears of work", Duration::from_secs(3), async || news.borrow_and_update().work != before).await < Duration::from_secs(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duty_has_one_owner_and_another_one_after_its_end() {
    let mut nodes = Nodes::new();
    let (a, b) = (nodes.start("a").await, nodes.start("b").await);
    let second = Duration::from_secs(1);
    assert!(a.take_duty(Duty::DnsWatch, second).await.unwrap());
    assert!(a.take_duty(Duty::DnsWatch, second).await.unwrap(), "its owner keeps it");
    assert!(!b.take_duty(Duty::DnsWatch, second).await.unwrap());
    assert!(b.take_duty(Duty::Notices, second).await.unwrap(), "another duty");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(b.take_duty(Duty::DnsWatch, Duration::from_secs(600)).await.unwrap());
    assert!(!a.take_duty(Duty::DnsWatch, second).await.unwrap());
    nodes.end_lease("b");
    assert!(a.take_duty(Duty::DnsWatch, second).await.unwrap(), "a dead node has no duty");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_of_a_duty_keeps_its_state() {
    let mut nodes = Nodes::new();
    let (a, b) = (nodes.start("a").await, nodes.start("b").await);
    let keep =
        async |of: &Store, value: u8| of.keep_by_duty(Duty::Notices, "seen/x", vec![value], vec!["notice/1".into()], 5).await.unwrap();
    assert!(!keep(&a, 1).await, "nobody has the duty");
    a.shared_put("notice/1", vec![7], 5).await.unwrap();
    assert!(a.take_duty(Duty::Notices, Duration::from_secs(600)).await.unwrap());
    assert!(!keep(&b, 2).await);
    assert_eq!((a.shared_get("seen/x").await.unwrap(), a.shared_get("notice/1").await.unwrap()), (None, Some(vec![7])));
    assert!(keep(&a, 3).await);
    assert_eq!((a.shared_get("seen/x").await.unwrap(), a.shared_get("notice/1").await.unwrap()), (Some(vec![3]), None));
    nodes.end_lease("a");
    assert!(b.take_duty(Duty::Notices, Duration::from_secs(600)).await.unwrap());
    assert!(keep(&b, 4).await && !keep(&a, 5).await, "it is b's now");
    assert_eq!(a.shared_get("seen/x").await.unwrap(), Some(vec![4]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_have_names_numbers_and_states() {
    let mut nodes = Nodes::new();
    let (a, b) = (nodes.start("a").await, nodes.start("b").await);
    let taken = nodes.try_start(nodes.settings("b")).await.unwrap_err();
    assert!(taken.to_string().contains("store.node"), "{taken}");
    let listed = a.nodes().await.unwrap();
    assert_eq!(listed.iter().map(|n| (n.name.as_str(), n.number, n.is_alive)).collect::<Vec<_>>(), [("a", 0, true), ("b", 1, true)]);
    a.set_node_state("b", NodeState::Draining).await.unwrap();
    until("b drains", Duration::from_secs(8), async || b.is_draining()).await;
    a.commit(vec![message(1, &["me@x.test"], false)], 0).await.unwrap();
    assert!(b.claim(lane(), LATE_MS, i64::MAX / 2, 9).await.unwrap().is_empty(), "a node that drains claims nothing");
    a.set_node_state("b", NodeState::Serving).await.unwrap();
    until("b serves", Duration::from_secs(8), async || !b.is_draining()).await;
    assert_eq!(b.claim(lane(), LATE_MS, i64::MAX / 2, 9).await.unwrap().len(), 1);
    assert!(matches!(a.set_node_state("c", NodeState::Serving).await, Err(StoreError::NotFound(_))));
    for name in ["answered/b", "challenges/a", "challenges/b", "hostname/a", "hostname/b"] {
        a.shared_put(name, vec![1], 5).await.unwrap();
    }
    let values = async || a.shared_list("", 0).await.unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    drop(b);
    until("b has left", Duration::from_secs(5), async || !a.nodes().await.unwrap()[1].is_alive).await;
    a.sweep_nodes().await.unwrap();
    assert_eq!(values().await, ["answered/b", "challenges/a", "hostname/a", "hostname/b"], "b may come back, its orders do not");
    a.shared_put("challenges/b", vec![1], 5).await.unwrap();
    a.remove_node("b").await.unwrap();
    assert_eq!(a.nodes().await.unwrap().len(), 1);
    assert_eq!(values().await, ["challenges/a", "hostname/a"], "nothing of b is left");
    assert_eq!(a.shared_offer("srs", vec![7], 6).await.unwrap(), [7]);
    assert_eq!(a.shared_offer("srs", vec![8], 6).await.unwrap(), [7], "the first one counts");
    a.shared_put("srs", vec![1, 2], 7).await.unwrap();
    assert_eq!((a.shared_get("srs").await.unwrap(), a.shared_get("no").await.unwrap()), (Some(vec![1, 2]), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_offer_of_a_shared_value_counts_and_each_change_is_news() {
    let mut nodes = Nodes::new();
    let (a, b) = (nodes.start("a").await, nodes.start("b").await);
    let mut news = b.news();
    let (first, second) = tokio::join!(a.shared_offer("file/x", vec![1], 10), b.shared_offer("file/x", vec![2], 20));
    let kept = first.unwrap();
    assert_eq!(second.unwrap(), kept, "both have the same");
    a.shared_put("file_y", vec![3], 30).await.unwrap();
    a.shared_put("file/z", vec![4], 40).await.unwrap();
    let names = async |since_ms| b.shared_list("file/", since_ms).await.unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!((names(0).await, names(40).await), (vec!["file/x".to_owned(), "file/z".to_owned()], vec!["file/z".to_owned()]));
    tokio::time::timeout(Duration::from_secs(1), news.wait_for(|news| news.shared >= 3)).await.unwrap().unwrap();
    a.shared_remove("file/z").await.unwrap();
    assert_eq!(names(40).await, Vec::<String>::new());
    tokio::time::timeout(Duration::from_secs(1), news.wait_for(|news| news.shared >= 4)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_split_among_the_nodes_that_serve() {
    let mut nodes = Nodes::new();
    let (a, b) = (nodes.start("a").await, nodes.start("b").await);
    until("a to count both", Duration::from_secs(8), async || a.serving_nodes() == 2).await;
    a.set_node_state("b", NodeState::Draining).await.unwrap();
    until("a to count itself", Duration::from_secs(8), async || a.serving_nodes() == 1 && b.serving_nodes() == 1).await;
    assert!(a.heartbeat_age().unwrap() < Duration::from_secs(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_would_lose_mail_is_refused() {
    let mut nodes = Nodes { server: PgServer::start("fsync = on\nsynchronous_commit = off\n"), homes: Vec::new() };
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
    nodes.server.sql("ALTER DATABASE waypost SET default_transaction_read_only = on");
    let read_only = error(nodes.try_start(nodes.settings("a")).await);
    assert!(read_only.contains("read-only"), "{read_only}");
    nodes.server.sql_in("postgres", "ALTER DATABASE waypost RESET default_transaction_read_only");
    let a = nodes.start("a").await;
    nodes.server.sql("ALTER DATABASE waypost SET default_transaction_read_only = on");
    nodes.server.sql_in("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'waypost'");
    tokio::time::sleep(Duration::from_millis(100)).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn mail_under_load_shares_transactions_and_its_log_is_bounded() {
    const SESSIONS: i64 = 100;
    const EACH: i64 = 30;
    const CONTENT_BYTES: usize = 10 * 1024;
    let mut nodes = Nodes { server: PgServer::start("fsync = on\n"), homes: Vec::new() };
    let a = nodes.start("a").await;
    let content: Vec<u8> = (0..CONTENT_BYTES).map(|n| b'a' + u8::try_from(n * n % 26).unwrap()).collect();
    let at = |server: &PgServer| server.sql("SELECT pg_current_wal_insert_lsn() - '0/0'").parse::<u64>().unwrap();
    let (before, batches, begin) = (at(&nodes.server), a.batches().committed, Instant::now());
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|session| {
            let (a, content) = (a.clone(), Bytes::from(content.clone()));
            tokio::spawn(async move {
                for n in 0..EACH {
                    let id = 1 + session * EACH + n;
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
    let messages = u64::try_from(SESSIONS * EACH).unwrap();
    let (transactions, log) = (a.batches().committed - batches, (at(&nodes.server) - before) / messages);
    eprintln!("{:?}: {messages} messages in {transactions} transactions, {log} octets of log each", begin.elapsed());
    assert_eq!(
        nodes.server.sql("SELECT (SELECT count(*) FROM recipient) + (SELECT count(*) FROM message) + (SELECT count(*) FROM content)"),
        "0"
    );
    assert!(messages >= 20 * transactions, "{messages} messages in {transactions} transactions");
    assert!(log <= 3 * CONTENT_BYTES as u64, "{log} octets of log for a message of {CONTENT_BYTES}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_commit_without_an_answer_had_claimed_is_given_back() {
    let mut nodes = Nodes::new();
    let cable = Cable::to(&nodes.server);
    let settings = PostgresSettings { url: nodes.server.url_over(&cable), ..nodes.settings("a") };
    let a = nodes.try_start(settings).await.unwrap();
    let lease = a.commit(vec![message(1, &["me@x.test"], true)], i64::MAX / 2).await.unwrap().lease();
    cable.deafen(true);
    let unanswered = tokio::spawn({
        let a = a.clone();
        async move { a.commit(vec![message(2, &["me@x.test"], true)], i64::MAX / 2).await }
    });
    until("the database to have it", Duration::from_secs(5), async || nodes.server.sql("SELECT count(*) FROM recipient") == "2").await;
    cable.sever();
    cable.deafen(false);
    let refused = unanswered.await.unwrap().unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    let mut claimed = Vec::new();
    until("the message to be due", Duration::from_secs(15), async || {
        claimed.extend(a.claim(lane(), LATE_MS, i64::MAX / 2, 9).await.unwrap_or_default());
        !claimed.is_empty()
    })
    .await;
    assert_eq!(claimed[0].message.id, QueueId(2), "and only this one");
    assert!(a.may_deliver(lease), "the other claims hold");
    a.settle(Settlement { lease, ..done(&[key(1, 0)]) }, 0).await.unwrap();
    a.settle(Settlement { lease: claimed[0].lease, ..done(&[key(2, 0)]) }, 0).await.unwrap();
    assert_eq!(a.totals().await.unwrap().recipients, 0);
}
