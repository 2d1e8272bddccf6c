//! What several nodes share: duties, names, states, limits, small values, and news of changes.
#![allow(clippy::disallowed_methods, clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod world;

use std::time::Duration;

use mail::Domain;
use store::{DirectoryChange, Duty, NodeState, Store, StoreError};
use world::message;
use world::nodes::{LATE_MS, Nodes, lane, until};

/// How long the quickest of three changes took to be heard: on a busy machine some may take longer. Without a notification, a node looks every
/// two seconds. One change more, the first, may come just before a look; each later one comes after the look that found the one before.
async fn quickest(mut change: impl AsyncFnMut(i64), mut heard: impl AsyncFnMut() -> bool) -> Duration {
    let mut quickest = Duration::MAX;
    for n in 0..4 {
        change(n).await;
        let took = until("the news", Duration::from_secs(10), &mut heard).await;
        if n > 0 {
            quickest = quickest.min(took);
        }
    }
    quickest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_directory_is_heard_on_every_node() {
    let mut nodes = Nodes::new();
    let (a, b) = (nodes.start("a").await, nodes.start("b").await);
    let mut news = b.news();
    let looked =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waypost b watch' AND state = 'idle' AND query LIKE '%FROM news'";
    until("b has looked", Duration::from_secs(10), async || nodes.server.sql(looked) == "1").await;
    let mut known = *news.borrow_and_update();
    let add = async |n| {
        let domain = Domain::parse(&format!("x{n}.test")).unwrap();
        a.change_directory(vec![DirectoryChange::AddDomain(domain)]).await.unwrap();
    };
    let took = quickest(add, async || std::mem::replace(&mut known, *news.borrow_and_update()).directory != known.directory).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(b.directory("+".into()).await.unwrap().domains.len(), 4);
    let commit = async |n| {
        a.commit(vec![message(1 + n, &["me@x.test"], false)], 0).await.unwrap();
    };
    let took = quickest(commit, async || std::mem::replace(&mut known, *news.borrow_and_update()).work != known.work).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
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
    let long = Duration::from_secs(600);
    until("the duty of a to end", Duration::from_secs(10), async || b.take_duty(Duty::DnsWatch, long).await.unwrap()).await;
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
    tokio::time::timeout(Duration::from_secs(10), news.wait_for(|news| news.shared >= 3)).await.unwrap().unwrap();
    a.shared_remove("file/z").await.unwrap();
    assert_eq!(names(40).await, Vec::<String>::new());
    tokio::time::timeout(Duration::from_secs(10), news.wait_for(|news| news.shared >= 4)).await.unwrap().unwrap();
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
