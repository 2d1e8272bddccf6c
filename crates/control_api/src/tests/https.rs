//! The API for holders of a token, and password managers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Api, api};
use crate::{https_router, managers_router};

/// Failed tokens that a client may send.
const ALLOWED: u32 = 3;

impl Api {
    fn https(&self) -> Router {
        let tried = Arc::new(AtomicU32::new(0));
        let count = Arc::new(move |_| tried.fetch_add(1, Ordering::SeqCst) < ALLOWED);
        https_router(self.context.clone(), count.clone()).merge(managers_router(self.context.clone(), count))
    }

    async fn token(&self, new: Value) -> String {
        self.ok("POST", "/api/v1/tokens", new).await["token"].as_str().unwrap().to_owned()
    }
}

/// Sends a request with these header fields.
async fn send(router: &Router, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> (u16, HeaderMap, Value) {
    let mut request = Request::builder().method(method).uri(path).header("host", "mx.x.test");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let client: SocketAddr = "192.0.2.7:5".parse().unwrap();
    let request = request.extension(ConnectInfo(client)).body(Body::from(body.to_owned())).unwrap();
    let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn get(router: &Router, path: &str, token: &str) -> (u16, HeaderMap, Value) {
    send(router, "GET", path, &[("authorization", &format!("Bearer {token}"))], "").await
}

async fn with_account() -> Api {
    let api = api().await;
    api.domain("x.test").await;
    api.alias("me@x.test", &["me@elsewhere.test"]).await;
    api.ok("POST", "/api/v1/accounts", json!({ "login": "me@x.test", "password": "correct horse" })).await;
    api
}

#[tokio::test]
async fn a_token_opens_its_scopes_until_it_is_removed_or_ends() {
    let api = with_account().await;
    let https = api.https();
    let token = api.token(json!({ "name": "phone", "scopes": ["aliases"], "days": 1 })).await;
    assert!(token.starts_with("wpt_") && token.len() == 44, "{token}");
    assert_eq!(get(&https, "/api/v1/aliases", &token).await.0, 200);
    assert_eq!(get(&https, "/api/v1/queue", &token).await.0, 403);
    assert_eq!(get(&https, "/api/v1/nothing", &token).await.0, 404);
    let (status, headers, _) = send(&https, "GET", "/api/v1/aliases", &[], "").await;
    assert_eq!((status, headers["www-authenticate"].to_str().unwrap()), (401, "Bearer realm=\"waypost\""));
    let listed = api.items("/api/v1/tokens").await;
    assert_eq!((&listed[0]["name"], listed[0]["used_ms"].is_i64(), listed[0].get("token")), (&json!("phone"), true, None));
    assert!(!format!("{:?}", api.store.api_tokens().await.unwrap()).contains(&token), "the token itself is not stored");
    assert_eq!(api.refused("POST", "/api/v1/tokens", json!({ "name": "phone", "scopes": ["read"] })).await.0, 409);
    api.clock().advance(std::time::Duration::from_secs(86_400));
    assert_eq!(get(&https, "/api/v1/aliases", &token).await.0, 401, "it has ended");
    let other = api.token(json!({ "name": "other", "scopes": ["read"] })).await;
    assert_eq!(get(&https, "/api/v1/status", &other).await.0, 200);
    api.ok("DELETE", "/api/v1/tokens/other", Value::Null).await;
    assert_eq!(get(&https, "/api/v1/status", &other).await.0, 401, "it is removed");
}

#[tokio::test]
async fn tokens_are_checked_when_they_are_made() {
    let api = with_account().await;
    for (new, status) in [
        (json!({ "name": "", "scopes": ["read"] }), 400),
        (json!({ "name": "a", "scopes": [] }), 400),
        (json!({ "name": "a", "scopes": ["everything"] }), 400),
        (json!({ "name": "a", "scopes": ["own"] }), 400),
        (json!({ "name": "a", "scopes": ["read"], "days": 0 }), 400),
        (json!({ "name": "a", "scopes": ["read"], "domains": ["y.test"] }), 409),
        (json!({ "name": "a", "scopes": ["own"], "login": "you@x.test" }), 409),
    ] {
        assert_eq!(api.refused("POST", "/api/v1/tokens", new.clone()).await.0, status, "{new}");
    }
    assert_eq!(api.refused("DELETE", "/api/v1/tokens/a", Value::Null).await.0, 404);
}

#[tokio::test]
async fn wrong_tokens_are_limited_and_valid_ones_are_not() {
    let api = with_account().await;
    let https = api.https();
    let token = api.token(json!({ "name": "phone", "scopes": ["read"] })).await;
    for _ in 0..ALLOWED {
        assert_eq!(get(&https, "/api/v1/status", "wpt_guess").await.0, 401);
    }
    let (status, headers, _) = get(&https, "/api/v1/status", "wpt_guess").await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (429, "600"));
    assert_eq!(get(&https, "/api/v1/status", &token).await.0, 200);
    api.ok("PATCH", "/api/v1/accounts/me@x.test", json!({ "enabled": false })).await;
}

#[tokio::test]
async fn a_token_ends_with_its_account() {
    let api = with_account().await;
    let https = api.https();
    let token = api.token(json!({ "name": "phone", "scopes": ["own"], "login": "me@x.test" })).await;
    assert_eq!(get(&https, "/api/v1/accounts/me@x.test", &token).await.0, 200);
    assert_eq!(get(&https, "/api/v1/accounts", &token).await.0, 403);
    api.ok("PATCH", "/api/v1/accounts/me@x.test", json!({ "enabled": false })).await;
    assert_eq!(get(&https, "/api/v1/accounts/me@x.test", &token).await.0, 401);
}

#[tokio::test]
async fn hostile_bodies_are_refused() {
    let api = with_account().await;
    let https = api.https();
    let token = api.token(json!({ "name": "phone", "scopes": ["admin"] })).await;
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (body, status) in [(deep.as_str(), 400), ("{", 400), ("{}", 422), (&"x".repeat(17 * 1024 * 1024), 413)] {
        let (found, _, problem) = send(&https, "POST", "/api/v1/domains", &fields, body).await;
        assert_eq!(found, status, "{problem}");
    }
    let (found, ..) = send(&https, "POST", "/api/v1/domains", &[("authorization", &bearer)], "{}").await;
    assert_eq!(found, 415);
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer() {
    let api = with_account().await;
    let https = api.https();
    let token = api.token(json!({ "name": "a", "scopes": ["aliases"] })).await;
    let other = api.token(json!({ "name": "b", "scopes": ["aliases"] })).await;
    let add = async |token: &str, key: &str, source: &str| {
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
        send(&https, "POST", "/api/v1/aliases", &fields, &json!({ "source": source, "targets": ["a@b.test"] }).to_string()).await
    };
    let first = add(&token, "k1", "new@x.test").await;
    let again = add(&token, "k1", "new@x.test").await;
    assert_eq!((first.0, &first.2, again.1.contains_key("idempotent-replayed")), (200, &again.2, true));
    assert_eq!(add(&token, "k1", "other@x.test").await.0, 422, "another request");
    assert_eq!(add(&token, "k2", "new@x.test").await.0, 409, "another key");
    assert_eq!(add(&other, "k1", "new@x.test").await.0, 409, "another actor");
    assert_eq!(add(&token, &"k".repeat(201), "n2@x.test").await.0, 400);
    assert_eq!(add(&token, "k2", "new@x.test").await.0, 409, "a refusal is repeated too");
}

/// As Bitwarden's client sends it: libs/tools/generator, addy.io with the server URL https://mx.x.test/addy.
#[tokio::test]
async fn bitwarden_makes_an_alias_as_with_addy_io() {
    let api = with_account().await;
    let https = api.https();
    let token = api.token(json!({ "name": "bitwarden", "scopes": ["aliases"], "login": "me@x.test" })).await;
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("x-requested-with", "XMLHttpRequest")];
    let body = json!({ "domain": "x.test", "description": "Website: shop.test. Generated by Bitwarden." });
    let (status, headers, made) = send(&https, "POST", "/addy/api/v1/aliases", &fields, &body.to_string()).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (201, "application/json"), "{made}");
    let email = made["data"]["email"].as_str().unwrap();
    let alias = api.get(&format!("/api/v1/aliases/{email}")).await;
    assert_eq!((&alias["targets"], &alias["note"]), (&json!(["me@x.test"]), &json!("Website: shop.test. Generated by Bitwarden.")));
    let form = [("authorization", bearer.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(send(&https, "POST", "/addy/api/v1/aliases", &form, "domain=x.test").await.0, 201, "the older mobile client");
    let (status, _, problem) = send(&https, "POST", "/addy/api/v1/aliases", &fields, r#"{"domain":"y.test"}"#).await;
    assert_eq!((status, problem["message"].as_str().is_some()), (404, true), "{problem}");
    let (status, _, problem) = send(&https, "POST", "/addy/api/v1/aliases", &[("authorization", "Bearer wpt_no")], "{}").await;
    assert_eq!((status, problem["message"].as_str().is_some()), (401, true));
}

/// As Bitwarden's client sends it: SimpleLogin with the server URL https://mx.x.test/simplelogin.
#[tokio::test]
async fn bitwarden_makes_an_alias_as_with_simple_login() {
    let api = with_account().await;
    let https = api.https();
    let token = api.token(json!({ "name": "bitwarden", "scopes": ["own"], "login": "me@x.test" })).await;
    let fields = [("authentication", token.as_str()), ("content-type", "application/json")];
    let path = "/simplelogin/api/alias/random/new?hostname=shop.test";
    let (status, _, made) = send(&https, "POST", path, &fields, r#"{"note":"Generated by Bitwarden."}"#).await;
    assert_eq!(status, 201, "{made}");
    let alias = api.get(&format!("/api/v1/aliases/{}", made["alias"].as_str().unwrap())).await;
    assert_eq!((&alias["targets"], &alias["note"]), (&json!(["me@x.test"]), &json!("Generated by Bitwarden.")));
    let reader = api.token(json!({ "name": "reader", "scopes": ["read"], "login": "me@x.test" })).await;
    let (status, _, refused) = send(&https, "POST", path, &[("authentication", &reader)], "{}").await;
    assert_eq!((status, refused["error"].as_str().is_some()), (403, true));
    let preflight = [("origin", "https://vault.test"), ("access-control-request-method", "POST")];
    let (status, headers, _) = send(&https, "OPTIONS", path, &preflight, "").await;
    assert_eq!((status, headers["access-control-allow-origin"].to_str().unwrap()), (204, "*"));
}
