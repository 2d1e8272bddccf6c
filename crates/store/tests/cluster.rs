//! Several nodes over one PostgreSQL: claims, leases, and who settles what.
#![allow(clippy::disallowed_methods, clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod world;

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use mail::{EnhancedCode, QueueId};
use pg_lab::Cable;
use store::{Content, Disposition, NewMessage, PostgresSettings, RecipientKey, Settlement, Store, StoreError};
use world::message;
use world::nodes::{LATE_MS, Nodes, done, key, lane, until};

async fn claim_some(store: &Store) -> Vec<RecipientKey> {
    let claimed = store.claim(lane(), LATE_MS, i64::MAX / 2, 7).await.unwrap();
    claimed.iter().flat_map(|c| c.recipients.iter().map(|r| r.key)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_claim_at_the_same_time_never_claim_the_same() {
    let mut nodes = Nodes::new();
    let (a, b) = (nodes.start("a").await, nodes.start("b").await);
    a.commit((1..=500).map(|id| message(id, &["me@x.test"], false)).collect(), 0).await.unwrap();
    let claim_all = |store: Store, mut claimed: Vec<RecipientKey>| {
        tokio::spawn(async move {
            loop {
                let some = claim_some(&store).await;
                if some.is_empty() {
                    return claimed;
                }
                claimed.extend(some);
            }
        })
    };
    // Each has some from the beginning: on a busy machine one may claim all the rest.
    let (first_of_a, first_of_b) = (claim_some(&a).await, claim_some(&b).await);
    let (of_a, of_b) = (claim_all(a.clone(), first_of_a), claim_all(b, first_of_b));
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
async fn a_node_that_leaves_has_no_lease_and_takes_no_other_one() {
    let mut nodes = Nodes::new();
    let (a, b) = (nodes.start("a").await, nodes.start("b").await);
    let lease = a.commit(vec![message(1, &["me@x.test"], true)], i64::MAX / 2).await.unwrap().lease();
    a.leave().await.unwrap();
    let alive = || nodes.server.sql("SELECT count(*) FROM node WHERE name = 'a' AND lease_until > clock_timestamp()");
    assert_eq!((alive().as_str(), a.may_deliver(lease)), ("0", false));
    assert!(a.claim(lane(), LATE_MS, i64::MAX / 2, 9).await.unwrap().is_empty());
    until("b takes over", Duration::from_secs(12), async || b.claim(lane(), LATE_MS, i64::MAX / 2, 9).await.unwrap().len() == 1).await;
    // A heartbeat of a comes within that time, or now.
    until("a heartbeat", Duration::from_secs(12), async || b.heartbeat_age().is_some_and(|age| age > Duration::from_secs(4))).await;
    assert_eq!(alive(), "0");
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
