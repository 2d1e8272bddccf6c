//! Nodes whose clocks stand still until the test moves them: what a node does that cannot be sure of its lease, and what a lost answer must not do.
#![allow(clippy::disallowed_methods, clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod world;

use std::time::Duration;

use mail::{Domain, EnhancedCode, QueueId};
use store::{Disposition, Duty, RecipientKey, Settlement, SimulatedNode, Store};
use world::{World, message};

/// A time at which everything is due.
const LATE_MS: i64 = i64::MAX / 4;

async fn start(world: &World, node: &SimulatedNode) -> Store {
    Store::open_postgres_simulated(world.data(), world.settings("a"), node).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_be_sure_of_its_lease_claims_nothing() {
    let (world, node) = (World::postgres(), SimulatedNode::default());
    let store = start(&world, &node).await;
    let lane = || Domain::parse("x.test").unwrap();
    store.commit(vec![message(1, &["me@x.test"], false)], 0).await.unwrap();
    node.advance(Duration::from_secs(20));
    assert!(store.claim(lane(), LATE_MS, LATE_MS, 9).await.unwrap().is_empty(), "it would keep from others what it may not deliver");
    node.beat().await.unwrap();
    let claimed = store.claim(lane(), LATE_MS, LATE_MS, 9).await.unwrap();
    assert!(claimed.len() == 1 && store.may_deliver(claimed[0].lease));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_whose_answer_was_lost_can_be_sent_again() {
    let (world, node) = (World::postgres(), SimulatedNode::default());
    let store = start(&world, &node).await;
    let lease = store.commit(vec![message(1, &["me@x.test"], true)], LATE_MS).await.unwrap().lease();
    let key = RecipientKey { message: QueueId(1), index: 0 };
    let deferred = Disposition::Deferred { next_attempt_ms: 5, status: EnhancedCode(4, 0, 0), reason: "busy".into(), counts: true };
    let settlement = Settlement {
        recipients: vec![(key, deferred)],
        delay_reported: vec![QueueId(1)],
        follow: vec![message(2, &["her@y.test"], false)],
        lease,
        ..Settlement::default()
    };
    store.settle(settlement.clone(), 0).await.unwrap();
    store.settle(settlement, 0).await.unwrap();
    assert_eq!(world.number("SELECT attempts FROM recipient WHERE message_id = 1"), 1, "it is one attempt");
    assert_eq!(world.number("SELECT count(*) FROM message"), 2, "and one DSN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_lease_has_ended_has_no_duty_in_its_next_stay() {
    let (world, node, home) = (World::postgres(), SimulatedNode::default(), tempfile::tempdir().unwrap());
    let a = start(&world, &node).await;
    let b = Store::open_postgres_simulated(home.path(), world.settings("b"), &SimulatedNode::default()).await.unwrap();
    let long = Duration::from_secs(600);
    assert!(a.take_duty(Duty::Notices, long).await.unwrap());
    world.execute("UPDATE node SET lease_until = clock_timestamp() WHERE name = 'a'");
    node.beat().await.unwrap();
    assert!(b.take_duty(Duty::Notices, long).await.unwrap(), "it was of the stay that has ended");
    assert!(!a.take_duty(Duty::Notices, long).await.unwrap(), "two would have it");
}
