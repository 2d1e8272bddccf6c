//! The queue, through the API.

use mail::{Notify, ReversePath};
use store::{Content, Flow, Message, NewMessage, NewRecipient};

use super::*;

async fn enqueue(store: &Store, now_ms: i64, to: &[&str]) -> QueueId {
    let id = QueueId::next(now_ms, 0);
    let message = Message {
        id,
        flow: Flow::Own,
        reverse_path: ReversePath::Mailbox("me@x.test".parse().unwrap()),
        body: Default::default(),
        smtputf8: false,
        ret: None,
        envid: None,
        tls: store::TlsWish::AsPublished,
        arrived_ms: now_ms,
        expires_ms: now_ms + 1000,
        rewritten_path: None,
        may_report: true,
        mendable: false,
        delay_reported: false,
        prefix: Default::default(),
    };
    let mailbox = |text: &&str| text.parse::<Mailbox>().unwrap();
    let recipients =
        to.iter().map(|to| NewRecipient { mailbox: mailbox(to), notify: Notify::default(), orcpt: None, known_as: None }).collect();
    let content = Content::memory(id, "Subject: x\r\n\r\nx\r\n".into());
    store.commit(vec![NewMessage { message, content, recipients, claimed: false, held: None }], now_ms).await.unwrap();
    id
}

#[tokio::test]
async fn the_queue_is_paged_retried_and_dropped() {
    let api = api().await;
    assert_eq!(api.get("/api/v1/queue").await["items"], json!([]));
    assert_eq!(
        api.get("/api/v1/queue/totals").await,
        json!({ "messages": 0, "recipients": 0, "set_aside": 0, "held": 0, "held_bytes": 0 })
    );
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(enqueue(&api.store, 1_800_000_000_001 + n, &["a@gmail.test", "b@other.test"]).await.to_string());
    }
    let first = api.get("/api/v1/queue?limit=3").await;
    let shown = |page: &Value| page["items"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(shown(&first), ids[..3]);
    let next = first["next_cursor"].as_str().unwrap();
    let second = api.get(&format!("/api/v1/queue?limit=3&cursor={next}")).await;
    assert_eq!((shown(&second), &second["next_cursor"]), (ids[3..].to_vec(), &Value::Null));
    assert_eq!(api.get(&format!("/api/v1/queue/{}", ids[0])).await["recipients"][1]["to"], "b@other.test");
    assert_eq!(shown(&api.get("/api/v1/queue?address=nobody").await), Vec::<String>::new());

    assert_eq!(api.ok("POST", "/api/v1/queue/retry", json!({ "domain": "gmail.test" })).await["recipients"], 5);
    assert_eq!(api.woken.load(Ordering::SeqCst), 1);
    assert_eq!(api.refused("POST", "/api/v1/queue/retry", json!({})).await.0, 400);
    assert_eq!(api.refused("POST", "/api/v1/queue/retry", json!({ "id": "0000000000000" })).await.0, 404);
    api.ok("DELETE", &format!("/api/v1/queue/{}?recipient=0", ids[0]), Value::Null).await;
    assert_eq!(api.refused("DELETE", &format!("/api/v1/queue/{}?recipient=0", ids[0]), Value::Null).await.0, 404);
    api.ok("DELETE", &format!("/api/v1/queue/{}", ids[1]), Value::Null).await;
    assert_eq!(
        api.get("/api/v1/queue/totals").await,
        json!({ "messages": 4, "recipients": 7, "set_aside": 0, "held": 0, "held_bytes": 0 })
    );
    assert_eq!(api.refused("GET", &format!("/api/v1/queue/{}", ids[1]), Value::Null).await.0, 404);
}
