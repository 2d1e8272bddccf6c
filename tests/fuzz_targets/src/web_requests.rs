//! Requests over HTTP: to the API, to the owner's page, and for the settings of mail programs.
//!
//! RFC 9110. Invariant: the store behind them is as new for each input: it is made again once a request has changed it.

use std::cell::RefCell;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::request::Builder as RequestBuilder;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::Response;
use control_api::{ApiContext, ApiShared, ReportFacts, operator_router};
use http_body_util::BodyExt;
use mail::Mailbox;
use mta::LiveDirectory;
use mta::passwords::PasswordKey;
use net::Clock;
use owner_page::{LiveEvents, Parts, Visitor};
use public_http::pages::{PageFacts, PageRequest, Pages, PublicData};
use store::Store;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use crate::checks::INPUT_MAX_BYTES;
use crate::idle_control::IdleControl;

const NOW_MS: i64 = 1_800_000_000_000;

/// Marks of an element and of an attribute that a corpus puts into its texts: a page must not have them unescaped.
const INJECTED: [&str; 2] = ["<x-fuzz", "\" x-fuzz="];

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().max_blocking_threads(2).build().expect("a runtime");
    static SITE: RefCell<Option<Site>> = const { RefCell::new(None) };
}

/// The API and the page over a store with one domain, one alias and one account.
struct Site {
    api: Router,
    page: Router,
    _dir: TempDir,
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A request line, and a JSON body: never a fault of the server; an answer is JSON or another document that says so.
pub fn api_requests(data: &[u8]) {
    let (head, body) = split_line(data);
    let Some(request) = request(head) else { return };
    let request = request.header(header::CONTENT_TYPE, "application/json").header(header::HOST, "mx.x.test");
    let Some(answer) = call(|site| site.api.clone(), request, body) else { return };
    let kind = answer.headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_vec()).unwrap_or_default();
    // The answer to HEAD has no body.
    if !answer.body.is_empty() && (kind.starts_with(b"application/json") || kind.starts_with(b"application/problem+json")) {
        let _: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    }
    assert!(!answer.status.is_client_error() || kind.starts_with(b"application/problem+json"), "{} as {kind:?}", answer.status);
}

/// A request line, a Cookie line, an Accept-Language line, and a form: never a fault of the server; texts of the request are escaped; cookies and
/// redirections stay on this host.
pub fn page_requests(data: &[u8]) {
    let (head, rest) = split_line(data);
    let (cookie, rest) = split_line(rest);
    let (language, form) = split_line(rest);
    let Some(request) = request(head) else { return };
    let visitor = Visitor { login: "ada@x.test".into(), is_owner: true, language: None, csrf: "token-of-the-session".into() };
    let request = request
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::COOKIE, cookie)
        .header(header::ACCEPT_LANGUAGE, language)
        .extension(visitor);
    let Some(answer) = call(|site| site.page.clone(), request, form) else { return };
    for cookie in answer.headers.get_all(header::SET_COOKIE) {
        assert!(cookie.as_bytes().starts_with(b"__Host-"), "{cookie:?}");
    }
    if let Some(place) = answer.headers.get(header::LOCATION) {
        let place = place.as_bytes();
        assert!(place.starts_with(b"/") && !place.starts_with(b"//") && !place.contains(&b'\\'), "{place:?}");
    }
    let html = String::from_utf8_lossy(&answer.body).to_lowercase();
    for mark in INJECTED {
        assert!(!html.contains(mark), "{mark} in {html}");
    }
}

/// A request line with a host and a path, and a body: settings, Autodiscover, profiles, the MTA-STS policy. Texts of the request are escaped.
pub fn client_settings(data: &[u8]) {
    let (head, body) = split_line(&data[..data.len().min(INPUT_MAX_BYTES)]);
    let head = String::from_utf8_lossy(head).into_owned();
    let mut words = head.splitn(3, ' ');
    let (method, host, url) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let page = Pages(Arc::new(PublicFacts)).page(&PageRequest { is_post: method == "POST", host, path, query, body });
    let Some(page) = page else { return };
    assert!(matches!(page.status, 200 | 421), "{}", page.status);
    let text = String::from_utf8(page.body).expect("UTF-8");
    for mark in INJECTED {
        assert!(!text.contains(mark), "{mark} in {text}");
    }
}

struct PublicFacts;

impl PageFacts for PublicFacts {
    fn data(&self) -> Arc<PublicData> {
        Arc::new(PublicData {
            hostname: "mx.example.test".into(),
            submissions: Some(465),
            submission: Some(587),
            imap_host: None,
            mta_sts: "version: STSv1\r\n".into(),
        })
    }
    fn hosts(&self, domain: &str) -> bool {
        domain == "example.test"
    }
    fn imap_host_of(&self, address: &Mailbox) -> Option<String> {
        (address.to_string() == "known@example.test").then(|| "imap.known.test".into())
    }
    fn signed(&self, profile: &[u8]) -> Option<Vec<u8>> {
        Some(profile.to_vec())
    }
}

fn split_line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (data[..at].strip_suffix(b"\r").unwrap_or(&data[..at]), &data[at + 1..]),
        None => (data, &[]),
    }
}

/// The beginning of a request, if HTTP allows this line.
fn request(head: &[u8]) -> Option<RequestBuilder> {
    let (method, target) = head.split_at(head.iter().position(|byte| *byte == b' ')?);
    let method = Method::from_bytes(method).ok()?;
    Some(Request::builder().method(method).uri(&target[1..]))
}

/// What the routes answer; `None` if HTTP does not allow the request.
fn call(router: impl Fn(&Site) -> Router, request: RequestBuilder, body: &[u8]) -> Option<Answer> {
    let request = request.body(Body::from(body[..body.len().min(INPUT_MAX_BYTES)].to_vec())).ok()?;
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let what = format!("{} {}", request.method(), request.uri());
    let answer = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            if SITE.with_borrow(Option::is_none) {
                let site = Site::new().await;
                SITE.set(Some(site));
            }
            let router = SITE.with_borrow(|site| site.as_ref().map(&router)).expect("a site");
            answer(router.oneshot(request).await.expect("an answer")).await
        })
    });
    if !is_safe && (answer.status.is_success() || answer.status.is_redirection()) {
        RUNTIME.with(|runtime| runtime.block_on(async { SITE.take() }));
    }
    assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{what}: {}", String::from_utf8_lossy(&answer.body));
    Some(answer)
}

/// Collects an answer; a stream of events, which has no end, is left.
async fn answer(response: Response) -> Answer {
    let (parts, body) = response.into_parts();
    let body = match body.size_hint().exact() {
        Some(_) => body.collect().await.expect("a body").to_bytes().to_vec(),
        None => Vec::new(),
    };
    Answer { status: parts.status, headers: parts.headers, body }
}

impl Site {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(&dir.path().join("data")).expect("a store");
        let live = Arc::new(LiveDirectory::open(store.clone(), "+", None).await.expect("a directory"));
        let (clock, password_key) = (Clock::simulated(NOW_MS), Arc::new(PasswordKey::new([7; 32])));
        let events = events::Events::new(Vec::new());
        let parts = door::DoorParts {
            store: store.clone(),
            live: live.clone(),
            key: password_key.clone(),
            clock: clock.clone(),
            events: events.clone(),
        };
        let context = ApiContext {
            store,
            live,
            password_key,
            clock: clock.clone(),
            resolver: None,
            report_facts: ReportFacts { addresses: Vec::new(), forwarding: "fwd.x.test".parse().expect("a domain") },
            certificates: dir.path().join("certificates"),
            events,
            history: None,
            door: door::Door::open(parts).await.expect("a door"),
            page_url: Some("https://mx.x.test".into()),
            shared: ApiShared::default(),
            control: Arc::new(IdleControl),
        };
        // The page sends each request with its visitor as the actor.
        let for_page = control_api::router(context.clone());
        let api = operator_router(context);
        for (path, body) in [
            ("/api/v1/domains", r#"{"name":"x.test"}"#),
            ("/api/v1/aliases", r#"{"source":"me@x.test","targets":["you@elsewhere.test"]}"#),
            ("/api/v1/accounts", r#"{"login":"ada@x.test"}"#),
        ] {
            let request = Request::post(path).header(header::CONTENT_TYPE, "application/json").body(Body::from(body)).expect("a request");
            let made = api.clone().oneshot(request).await.expect("an answer");
            assert!(made.status().is_success(), "{path}: {}", made.status());
        }
        let parts = Parts { api: for_page, clock, live: LiveEvents::new(), hostname: "mx.x.test".into(), version: "0.1.0" };
        Self { api, page: owner_page::router(parts), _dir: dir }
    }
}
