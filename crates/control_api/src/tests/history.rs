//! What the routes of the history show, and to whom.

use std::sync::Arc;

use axum::http::StatusCode;
use events::{Event, EventKind, EventSink, Fact};
use mail::QueueId;
use serde_json::{Value, json};

use super::{Api, api};
use crate::{Actor, Scopes};

const NOW_MS: i64 = 1_800_000_000_000;

/// A message of a minute ago.
fn id() -> QueueId {
    QueueId((NOW_MS - 60_000) << 22)
}

/// A message from ada@sender.test for me@x.test, which a host of the target refused.
async fn with_a_message() -> Api {
    let api = api().await;
    api.domain("x.test").await;
    api.alias("me@x.test", &["foo@inbox.test"]).await;
    let id = id();
    let accepted = Event::new(EventKind::MessageAccepted, id.made_ms() + 5)
        .of_message(id)
        .message_id(Some("letter.1@sender.test"))
        .from("ada@sender.test")
        .to("me@x.test")
        .fact(Fact::Flow, "forward");
    let failed = Event::new(EventKind::Failed, id.made_ms() + 900)
        .of_message(id)
        .to("me@x.test")
        .target("foo@inbox.test")
        .host("mx.inbox.test")
        .reply("550 5.1.1 foo@inbox.test: no such mailbox");
    let login = Event::new(EventKind::LoggedIn, NOW_MS).login(Some("me@x.test"));
    [accepted, failed, login].into_iter().for_each(|event| api.history.record(&Arc::new(event)));
    api
}

#[tokio::test]
async fn the_operator_finds_messages_by_any_clue() {
    let api = with_a_message().await;
    let id = id().to_string();
    for clue in
        [id.as_str(), "letter.1@sender.test", "ada@sender.test", "sender.test", "foo@inbox.test", "inbox.test", "no%20such%20mailbox"]
    {
        let found = api.get(&format!("/api/v1/history/messages?clue={clue}")).await;
        assert_eq!(
            (found["items"][0]["queue_id"].as_str(), found["items"][0]["result"].as_str()),
            (Some(id.as_str()), Some("failed")),
            "{clue}: {found}"
        );
    }
    let events = api.get(&format!("/api/v1/history/messages/{id}")).await;
    assert_eq!(events["items"][1]["target"], "foo@inbox.test");
    assert_eq!(events["items"][0]["facts"], json!([["flow", "forward"]]));
    let page = api.get("/api/v1/history?limit=1").await;
    assert_eq!((&page["items"][0]["kind"], &page["next_cursor"]), (&json!("logged-in"), &json!("3")));
    let page = api.get("/api/v1/history?cursor=3&kinds=failed,delivered").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    assert_eq!(api.get("/api/v1/history?group=login&level=info").await["items"].as_array().unwrap().len(), 1);
    assert_eq!(api.get("/api/v1/history?clue=&kinds=").await["items"].as_array().unwrap().len(), 3, "empty is not given");
    let totals = api.get("/api/v1/history/totals?since_ms=0&step=day").await;
    assert!(totals["items"].as_array().unwrap().iter().any(|total| total["kind"] == "message-accepted" && total["flow"] == "forward"));
}

#[tokio::test]
async fn wrong_queries_say_what_is_wrong() {
    let api = with_a_message().await;
    for (query, want) in [
        ("?kinds=exploded", "`exploded` is not a kind of event"),
        ("?group=x", "`x` is not a group"),
        ("?level=x", "`x` is not a level"),
        ("?cursor=x", "`x` is not a cursor"),
        ("?limit=0", "the limit is 0"),
        ("?clue=%3C%3E", "the clue is empty"),
        ("/totals?step=year", "`year` is not a step"),
        ("/messages/short", "not a queue ID"),
    ] {
        let (status, text) = api.refused("GET", &format!("/api/v1/history{query}"), Value::Null).await;
        assert!(status == 400 && text.contains(want), "{query}: {status} {text}");
    }
    assert_eq!(api.refused("GET", "/api/v1/history/messages/6h22d211fvjng", Value::Null).await.0, 404);
}

#[tokio::test]
async fn only_the_operator_and_owners_see_the_mailbox_behind_an_alias() {
    let api = with_a_message().await;
    let reader = Actor::token("reader", Scopes::READ, None, None);
    let owner = Actor::owner("me@x.test".parse().unwrap());
    let path = format!("/api/v1/history/messages/{}", id());
    assert!(api.by(Some(&owner), "GET", &path, Value::Null).await.1.to_string().contains("foo@inbox.test"));
    for path in [path.as_str(), "/api/v1/history", "/api/v1/history/messages?clue=me@x.test", "/api/v1/history?kinds=failed"] {
        let (status, shown) = api.by(Some(&reader), "GET", path, Value::Null).await;
        assert_eq!(status, StatusCode::OK);
        assert!(shown.to_string().contains("me@x.test") && !shown.to_string().contains("inbox.test"), "{path}: {shown}");
    }
    for clue in ["foo@inbox.test", "inbox.test", "no%20such%20mailbox"] {
        let (_, found) = api.by(Some(&reader), "GET", &format!("/api/v1/history?clue={clue}"), Value::Null).await;
        assert_eq!(found["items"], json!([]), "a clue of the target must not match: {found}");
    }
    let account = Actor::account("me@x.test".parse().unwrap());
    let limited = Actor::token("limited", Scopes::READ, Some(vec!["x.test".parse().unwrap()]), None);
    for actor in [account, limited] {
        assert_eq!(api.by(Some(&actor), "GET", "/api/v1/history", Value::Null).await.0, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn the_use_of_an_alias_has_counts_and_senders() {
    let api = with_a_message().await;
    let used = api.get("/api/v1/history/aliases/me@x.test").await;
    assert_eq!(used["first"]["from"], "ada@sender.test", "{used}");
    let uses = api.get("/api/v1/history/aliases?sources=me@x.test,none@x.test").await;
    assert_eq!(uses["items"].as_array().unwrap().len(), 1);
    assert_eq!(api.refused("GET", "/api/v1/history/aliases/none@x.test", Value::Null).await.0, 404);
}
