//! The routes, called as commands call them.

mod accounts;
mod actors;
mod facts;
mod history;
mod https;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use mail::{Mailbox, Notify, QueueId, ReversePath};
use serde_json::{Value, json};
use store::{Content, Flow, Message, NewMessage, NewRecipient, Store};
use tower::ServiceExt;

use crate::{ApiContext, Control, ControlError, ControlFuture, ReportFacts, operator_router, router};

struct Api {
    /// For the operator.
    router: Router,
    /// For any actor.
    shared: Router,
    context: ApiContext,
    store: Store,
    live: Arc<mta::LiveDirectory>,
    woken: Arc<AtomicU32>,
    recorded: Arc<Recorded>,
    history: ::history::History,
    _dir: tempfile::TempDir,
}

/// Keeps the events.
#[derive(Default)]
struct Recorded(std::sync::Mutex<Vec<Arc<events::Event>>>);

impl events::EventSink for Recorded {
    fn record(&self, event: &Arc<events::Event>) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// A server that releases every message, accepts no mail, and has an invalid configuration.
struct TestControl {
    woken: Arc<AtomicU32>,
}

impl Control for TestControl {
    fn status(&self) -> Value {
        json!({ "running": true })
    }
    fn retry(&self) {
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
    fn release(&self, id: QueueId, _: bool) -> ControlFuture<'_, Result<QueueId, store::StoreError>> {
        Box::pin(async move { Ok(id) })
    }
    fn submit(&self, _: mta::Submission) -> ControlFuture<'_, Result<mta::Submitted, mail::Reply>> {
        Box::pin(async { Err(mail::Reply::new(451, (4, 3, 0), "not here")) })
    }
    fn message_max_bytes(&self) -> u64 {
        1 << 20
    }
    fn has_route(&self, _: &mail::Domain) -> bool {
        false
    }
    fn confirmations(&self, _: &Mailbox, _: i64) -> Vec<mta::Confirmation> {
        Vec::new()
    }
    fn pauses(&self) -> Option<&mta::Pauses> {
        None
    }
    fn explain(&self, _: mta::ExplainRequest) -> ControlFuture<'_, Result<mta::Explanation, ControlError>> {
        Box::pin(async { Err(ControlError::NotRunning) })
    }
    fn test_notices(&self, _: Option<String>) -> ControlFuture<'_, Result<Vec<crate::api::NoticeAnswer>, ControlError>> {
        Box::pin(async { Err(ControlError::NotRunning) })
    }
    fn reload(&self) -> ControlFuture<'_, Result<String, ControlError>> {
        Box::pin(async { Err(ControlError::Failed("w.toml:3:1: unknown key".into())) })
    }
    fn certificates(&self) -> Result<Vec<net::CertificateInUse>, String> {
        Ok(Vec::new())
    }
    fn renew(&self, _: Option<String>, _: bool) -> ControlFuture<'_, Result<Vec<net::acme::RenewalResult>, ControlError>> {
        Box::pin(async { Err(ControlError::NotRunning) })
    }
    fn health(&self) -> Option<crate::api::HealthView> {
        None
    }
    fn check_health(&self) -> bool {
        false
    }
    fn dns(&self, inputs: crate::DnsInputs) -> ControlFuture<'_, Result<crate::api::DnsView, String>> {
        let addresses = inputs.domains.iter().map(ToString::to_string).collect();
        Box::pin(async move { Ok(crate::api::DnsView { addresses, ..Default::default() }) })
    }
    fn server(&self) -> crate::api::ServerView {
        crate::api::ServerView::default()
    }
    fn submission(&self) -> crate::api::SubmissionFacts {
        crate::api::SubmissionFacts { host: "mx.x.test".into(), starttls_port: Some(587), tls_port: Some(465) }
    }
}

async fn api_with(virtual_file: Option<&str>) -> Api {
    let dir = tempfile::tempdir().unwrap();
    let file = virtual_file.map(|text| {
        let path = dir.path().join("virtual");
        std::fs::write(&path, text).unwrap();
        path.into()
    });
    let store = Store::open(&dir.path().join("data")).unwrap();
    let live = Arc::new(mta::LiveDirectory::open(store.clone(), "+", file).await.unwrap());
    let woken = Arc::new(AtomicU32::new(0));
    let recorded = Arc::new(Recorded::default());
    let keep = ::history::HistoryOptions { days: 30, max_bytes: 1 << 26, subjects: false };
    let history = ::history::History::start(dir.path(), keep, 1_800_000_000_000).unwrap();
    let (clock, password_key) = (net::Clock::simulated(1_800_000_000_000), Arc::new(mta::passwords::PasswordKey::new([7; 32])));
    let events = events::Events::new(vec![recorded.clone()]);
    let parts = door::DoorParts {
        store: store.clone(),
        live: live.clone(),
        key: password_key.clone(),
        clock: clock.clone(),
        events: events.clone(),
    };
    let context = ApiContext {
        store: store.clone(),
        live: live.clone(),
        password_key,
        clock,
        resolver: None,
        report_facts: ReportFacts { addresses: vec!["192.0.2.1".parse().unwrap()], forwarding: "fwd.example.com".parse().unwrap() },
        certificates: dir.path().join("certificates"),
        events,
        history: Some(history.clone()),
        door: door::Door::open(parts).await.unwrap(),
        page_url: Some("https://mx.x.test".into()),
        shared: crate::ApiShared::default(),
        control: Arc::new(TestControl { woken: woken.clone() }),
    };
    let (shared, router) = (router(context.clone()), operator_router(context.clone()));
    Api { router, shared, context, store, live, woken, recorded, history, _dir: dir }
}

async fn api() -> Api {
    api_with(None).await
}

impl Api {
    fn clock(&self) -> &net::Clock {
        &self.context.clock
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("not JSON: {bytes:?}")))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value) = self.call("GET", path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{path}: {value}");
        value
    }

    async fn items(&self, path: &str) -> Value {
        self.get(path).await["items"].clone()
    }

    async fn ok(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, value) = self.call(method, path, body).await;
        assert_eq!(status, StatusCode::OK, "{method} {path}: {value}");
        value
    }

    /// Returns the status, and error and hint as one text.
    async fn refused(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        let (status, value) = self.call(method, path, body).await;
        assert!(!status.is_success(), "{method} {path}: {value}");
        (status.as_u16(), format!("{} | {}", value["detail"].as_str().unwrap(), value["hint"].as_str().unwrap_or_default()))
    }

    async fn alias(&self, source: &str, targets: &[&str]) -> Value {
        self.ok("POST", "/api/v1/aliases", json!({ "source": source, "targets": targets })).await
    }

    async fn domain(&self, name: &str) {
        self.ok("POST", "/api/v1/domains", json!({ "name": name })).await;
    }
}

#[tokio::test]
async fn changes_take_effect_at_once() {
    let api = api().await;
    api.domain("Example.test").await;
    api.alias("me@example.test", &["foo@gmail.test"]).await;
    assert_eq!(api.live.current().expand(&"ME+shop@example.test".parse().unwrap()).unwrap().targets[0].to_string(), "foo+shop@gmail.test");
    assert_eq!(api.items("/api/v1/domains").await, json!([{ "name": "example.test", "enabled": true, "aliases": 1 }]));
    assert_eq!(
        api.items("/api/v1/aliases?domain=example.test").await,
        json!([{ "source": "me@example.test", "targets": ["foo@gmail.test"], "enabled": true, "origin": "database" }])
    );
    api.ok("PATCH", "/api/v1/aliases/me@example.test", json!({ "enabled": false })).await;
    assert!(api.live.current().expand(&"me@example.test".parse().unwrap()).is_err());
    api.ok("DELETE", "/api/v1/aliases/me@example.test", Value::Null).await;
    assert_eq!(api.items("/api/v1/aliases").await, json!([]));
    assert_eq!(api.refused("DELETE", "/api/v1/aliases/me@example.test", Value::Null).await.0, 404);
}

#[tokio::test]
async fn an_alias_loop_is_refused_with_its_path() {
    let api = api().await;
    api.domain("x.test").await;
    api.domain("y.test").await;
    api.ok("POST", "/api/v1/aliases", json!({ "source": "c@x.test", "targets": ["foo@gmail.test"] })).await;
    api.alias("b@x.test", &["c@x.test", "bar@gmail.test"]).await;
    api.alias("a@x.test", &["b@x.test"]).await;
    let (status, error) =
        api.refused("POST", "/api/v1/aliases", json!({ "source": "c@x.test", "targets": ["a@x.test"], "replace": true })).await;
    assert_eq!(status, 409);
    assert!(error.contains("c@x.test → a@x.test → b@x.test → c@x.test"), "{error}");
    let (status, error) = api.refused("POST", "/api/v1/aliases", json!({ "source": "@y.test", "targets": ["@y.test"] })).await;
    assert_eq!(status, 409);
    assert!(error.starts_with("@y.test leads back to itself"), "{error}");
    let (status, error) = api.refused("POST", "/api/v1/aliases", json!({ "source": "d@x.test", "targets": ["e@x.test"] })).await;
    assert_eq!((status, error.contains("waypost alias add e@x.test")), (409, true), "{error}");
    let (status, error) = api.refused("POST", "/api/v1/aliases", json!({ "source": "d@z.test", "targets": ["e@g.test"] })).await;
    assert_eq!((status, error.contains("waypost domain add z.test")), (409, true), "{error}");
}

#[tokio::test]
async fn enabling_an_alias_cannot_make_a_loop() {
    let api = api().await;
    api.domain("x.test").await;
    api.alias("a@x.test", &["foo@gmail.test"]).await;
    api.alias("b@x.test", &["a@x.test"]).await;
    api.ok("PATCH", "/api/v1/aliases/b@x.test", json!({ "enabled": false })).await;
    api.ok("POST", "/api/v1/aliases", json!({ "source": "a@x.test", "targets": ["b@x.test"], "replace": true })).await;
    let (status, error) = api.refused("PATCH", "/api/v1/aliases/b@x.test", json!({ "enabled": true })).await;
    assert_eq!(status, 409);
    assert!(error.contains("a@x.test → b@x.test → a@x.test") || error.contains("b@x.test → a@x.test → b@x.test"), "{error}");
}

#[tokio::test]
async fn removing_an_alias_warns_of_broken_ones() {
    let api = api().await;
    api.domain("x.test").await;
    api.alias("a@x.test", &["foo@gmail.test"]).await;
    api.alias("b@x.test", &["a@x.test"]).await;
    let done = api.ok("DELETE", "/api/v1/aliases/a@x.test", Value::Null).await;
    assert_eq!(done["warnings"], json!(["b@x.test leads to a@x.test, which no alias has"]));
    assert_eq!(api.refused("DELETE", "/api/v1/domains/x.test", Value::Null).await.0, 409);
    api.ok("DELETE", "/api/v1/domains/x.test?with_aliases=true", Value::Null).await;
    assert_eq!(api.items("/api/v1/aliases").await, json!([]));
}

#[tokio::test]
async fn alias_test_shows_each_step() {
    let api = api().await;
    api.domain("x.test").await;
    api.alias("@x.test", &["foo@gmail.test"]).await;
    api.alias("me@x.test", &["you@x.test", "bar@gmail.test"]).await;
    let test = api.get("/api/v1/aliases/test?address=me%2Bshop@x.test").await;
    assert_eq!(test["targets"], json!(["foo@gmail.test", "bar+shop@gmail.test"]));
    assert_eq!(test["steps"][1]["key"], "@x.test");
    let foreign = api.get("/api/v1/aliases/test?address=me@elsewhere.test").await;
    assert_eq!((&foreign["targets"], &foreign["hosted"]), (&json!([]), &json!(false)));
    assert_eq!(api.refused("GET", "/api/v1/aliases/test?address=nonsense", Value::Null).await.0, 400);
}

#[tokio::test]
async fn import_takes_valid_lines_and_reports_the_others() {
    let api = api().await;
    let text =
        "x.test any\nme@x.test foo@gmail.test\nme@x.test twice@gmail.test\nlocal foo@gmail.test\n@y.test @x.test\nz@x.test gone@x.test\n";
    let dry = api.ok("POST", "/api/v1/aliases/import", json!({ "text": text, "dry_run": true })).await;
    assert_eq!(api.items("/api/v1/aliases").await, json!([]));
    let mut done = api.ok("POST", "/api/v1/aliases/import", json!({ "text": text })).await;
    assert_eq!(done["domains"], json!(["x.test", "y.test"]));
    let lines = |value: &Value| value.as_array().unwrap().iter().map(|l| l["line"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!((lines(&done["added"]), lines(&done["warnings"])[..2].to_vec()), (vec![2, 5, 6], vec![3, 4]));
    assert!(lines(&done["warnings"]).contains(&6), "{done}");
    done["dry_run"] = json!(true);
    assert_eq!(done, dry, "a dry run reports what the import does");
    let again = api.ok("POST", "/api/v1/aliases/import", json!({ "text": "me@x.test other@gmail.test\n@y.test @x.test" })).await;
    assert_eq!((lines(&again["added"]), lines(&again["skipped"])), (vec![], vec![1, 2]));
    let circle = "p@x.test q@x.test\nq@x.test p@x.test\nr@x.test foo@gmail.test\ns@x.test\nt@x.test root bar@gmail.test\n";
    let done = api.ok("POST", "/api/v1/aliases/import", json!({ "text": circle })).await;
    assert_eq!((lines(&done["added"]), lines(&done["left_out"])), (vec![3, 5], vec![1, 2, 4, 5]), "{done}");
    assert!(done["left_out"][0]["text"].as_str().unwrap().starts_with("p@x.test leads back to itself: p@x.test → q@x.test"), "{done}");
    assert!(done["left_out"][2]["text"].as_str().unwrap().contains("has no value"), "{done}");
    let origin = json!({ "text": "s@x.test root", "origin": "gmail.test" });
    api.ok("POST", "/api/v1/aliases/import", origin).await;
    let export = api.get("/api/v1/aliases/export").await;
    assert_eq!(
        export["text"],
        "x.test domain\ny.test domain\n@y.test @x.test\nme@x.test foo@gmail.test\nr@x.test foo@gmail.test\ns@x.test root@gmail.test\nt@x.test bar@gmail.test\nz@x.test gone@x.test\n"
    );
}

#[tokio::test]
async fn entries_of_the_virtual_file_cannot_be_changed_here() {
    let api = api_with(Some("x.test any\nme@x.test foo@gmail.test\nbad@x.test\n")).await;
    assert_eq!(api.get("/api/v1/aliases/virtual-file").await["faults"][0]["line"], 3);
    assert_eq!(api.items("/api/v1/aliases").await[0]["origin"], "file");
    for (method, path) in [("DELETE", "/api/v1/aliases/me@x.test"), ("DELETE", "/api/v1/domains/x.test")] {
        let (status, error) = api.refused(method, path, Value::Null).await;
        assert!(status == 409 && error.contains("is defined in the virtual file"), "{error}");
    }
}

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

#[tokio::test]
async fn errors_are_json_with_a_reason() {
    let api = api().await;
    for (method, path, body, status) in [
        ("GET", "/api/v1/nothing", Value::Null, 404),
        ("PUT", "/api/v1/domains", Value::Null, 405),
        ("POST", "/api/v1/domains", json!({ "nam": "x.test" }), 422),
        ("POST", "/api/v1/domains", json!({ "name": "localhost" }), 400),
        ("POST", "/api/v1/domains", json!({ "name": "a b.test" }), 400),
        ("GET", "/api/v1/queue?limit=many", Value::Null, 400),
        ("GET", "/api/v1/queue/xyz", Value::Null, 400),
        ("GET", "/api/v1/aliases?limit=0", Value::Null, 400),
        ("GET", "/api/v1/aliases?limit=1001", Value::Null, 400),
        ("GET", "/api/v1/aliases?cursor=line%20x", Value::Null, 400),
        ("POST", "/api/v1/reload", Value::Null, 409),
    ] {
        assert_eq!(api.refused(method, path, body).await.0, status, "{method} {path}");
    }
    let large = json!({ "text": "x".repeat(17 * 1024 * 1024) });
    assert_eq!(api.refused("POST", "/api/v1/aliases/import", large).await.0, 413);
    assert_eq!(api.get("/api/v1/status").await, json!({ "running": true }));
}

#[tokio::test]
async fn aliases_are_paged_and_searched() {
    let api = api_with(Some("z@x.test c@g.test\ny@x.test d@g.test\n")).await;
    api.domain("x.test").await;
    for name in ["c", "a", "b"] {
        api.alias(&format!("{name}@x.test"), &["a@g.test"]).await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/aliases?limit=2".to_owned();
    loop {
        let page = api.get(&path).await;
        assert_eq!(page["total"], 5);
        seen.extend(page["items"].as_array().unwrap().iter().map(|alias| alias["source"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/aliases?limit=2&cursor={}", cursor.replace(' ', "%20"));
    }
    assert_eq!(seen, ["a@x.test", "b@x.test", "c@x.test", "z@x.test", "y@x.test"], "the file is in its own order");
    api.ok("PATCH", "/api/v1/aliases/b@x.test/options", json!({ "note": "Shop of Eve" })).await;
    assert_eq!(api.get("/api/v1/aliases/b@x.test").await["note"], "Shop of Eve");
    let found = api.get("/api/v1/aliases?q=shop%20OF").await;
    assert_eq!(
        (found["items"].as_array().unwrap().len(), &found["items"][0]["source"], &found["total"]),
        (1, &json!("b@x.test"), &json!(1))
    );
    let two_lines = json!({ "note": "a\nb" });
    assert_eq!(api.refused("PATCH", "/api/v1/aliases/b@x.test/options", two_lines).await.0, 400);
}

#[tokio::test]
async fn the_socket_is_removed_at_shutdown() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let api = api().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("waypost.sock");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (router, at) = (api.router.clone(), path.clone());
    let listener = crate::bind(&at).await.unwrap();
    let task = tokio::spawn(async move { crate::serve(listener, router, &at, async { drop(stopped.await) }).await });
    let mut stream = connect(&path).await;
    stream.write_all(b"GET /api/v1/status HTTP/1.1\r\nhost: waypost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"running\":true}"), "{answer}");
    drop(stop);
    task.await.unwrap().unwrap();
    assert!(!path.exists());
}

async fn connect(path: &Path) -> tokio::net::UnixStream {
    for _ in 0..1000 {
        if let Ok(stream) = tokio::net::UnixStream::connect(path).await {
            return stream;
        }
        tokio::task::yield_now().await;
    }
    panic!("nothing listens on {}", path.display());
}
