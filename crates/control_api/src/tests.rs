//! The routes, called as commands call them.

mod accounts;
mod actors;
mod aliases;
mod facts;
mod history;
mod https;
mod queue;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use mail::{Mailbox, QueueId};
use serde_json::{Value, json};
use store::Store;
use tower::ServiceExt;

use crate::{ApiContext, Control, ControlError, ControlFuture, ReloadFault, ReportFacts, operator_router, router};

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
    fn nodes(&self) -> ControlFuture<'_, Result<Vec<crate::api::NodeView>, store::StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn change_node<'a>(&'a self, _: &'a str, _: crate::NodeChange) -> ControlFuture<'a, Result<bool, crate::NodeFault>> {
        Box::pin(async { Err(crate::NodeFault::Unknown) })
    }
    fn explain(&self, _: mta::ExplainRequest) -> ControlFuture<'_, Result<mta::Explanation, ControlError>> {
        Box::pin(async { Err(ControlError::NotRunning) })
    }
    fn test_notices(&self, _: Option<String>) -> ControlFuture<'_, Result<Vec<crate::api::NoticeAnswer>, ControlError>> {
        Box::pin(async { Err(ControlError::NotRunning) })
    }
    fn reload(&self) -> ControlFuture<'_, Result<String, ReloadFault>> {
        Box::pin(async { Err(ReloadFault::Configuration("w.toml:3:1: unknown key".into())) })
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
        ("GET", "/api/v1/aliases/%ff@x.test", Value::Null, 400),
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
