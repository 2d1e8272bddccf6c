//! Who may do what.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use events::{EventKind, Fact};
use http_body_util::BodyExt;
use mail::Domain;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Api, api};
use crate::{Actor, Scopes};

impl Api {
    /// Sends a request of this actor, or of none.
    pub(super) async fn by(&self, actor: Option<&Actor>, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        if let Some(actor) = actor {
            request = request.extension(actor.clone());
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer = self.shared.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (status, kind) = (answer.status(), answer.headers()["content-type"].to_str().unwrap().to_owned());
        let value = serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!(kind, if status.is_success() { "application/json" } else { "application/problem+json" }, "{value}");
        (status, value)
    }
}

async fn with_two_accounts() -> Api {
    let api = api().await;
    for domain in ["x.test", "y.test"] {
        api.domain(domain).await;
    }
    for login in ["me@x.test", "you@y.test"] {
        api.ok("POST", "/api/v1/accounts", json!({ "login": login, "password": "correct horse" })).await;
        api.alias(login, &["someone@elsewhere.test"]).await;
        api.alias(&login.replace('@', ".shop@"), &[login]).await;
    }
    api
}

#[tokio::test]
async fn without_credentials_401_without_the_scope_403() {
    let api = with_two_accounts().await;
    let (status, problem) = api.by(None, "GET", "/api/v1/aliases", Value::Null).await;
    assert_eq!((status.as_u16(), &problem["status"], &problem["title"]), (401, &json!(401), &json!("Unauthorized")));
    assert!(problem["hint"].as_str().unwrap().contains("waypost token add"), "{problem}");
    let reader = Actor::token("grafana", Scopes::READ, None, None);
    let (aliases, queue) = (Actor::token("a", Scopes::ALIASES, None, None), Actor::token("q", Scopes::QUEUE, None, None));
    let account = Actor::account("me@x.test".parse().unwrap());
    let new = json!({ "source": "new@x.test", "targets": ["a@b.test"] });
    for (actor, method, path, body, wanted) in [
        (&reader, "GET", "/api/v1/status", Value::Null, 200),
        (&reader, "POST", "/api/v1/aliases", new.clone(), 403),
        (&reader, "POST", "/api/v1/queue/retry", json!({ "all": true }), 403),
        (&aliases, "POST", "/api/v1/aliases", new.clone(), 200),
        (&aliases, "GET", "/api/v1/queue", Value::Null, 403),
        (&queue, "GET", "/api/v1/queue", Value::Null, 200),
        (&queue, "GET", "/api/v1/accounts", Value::Null, 403),
        (&account, "GET", "/api/v1/accounts", Value::Null, 403),
        (&account, "GET", "/api/v1/queue", Value::Null, 403),
        (&account, "POST", "/api/v1/aliases", new, 403),
    ] {
        let (status, value) = api.by(Some(actor), method, path, body).await;
        assert_eq!(status.as_u16(), wanted, "{actor:?} {method} {path}: {value}");
    }
    let owner = Actor::owner("me@x.test".parse().unwrap());
    assert_eq!(api.by(Some(&owner), "POST", "/api/v1/messages", Value::Null).await.0, 403, "only users of the machine submit");
}

#[tokio::test]
async fn objects_of_others_do_not_exist() {
    let api = with_two_accounts().await;
    let me = Actor::account("me@x.test".parse().unwrap());
    let sources = |value: Value| -> Vec<String> {
        value["items"].as_array().unwrap().iter().map(|alias| alias["source"].as_str().unwrap().to_owned()).collect()
    };
    let (_, own) = api.by(Some(&me), "GET", "/api/v1/aliases", Value::Null).await;
    assert_eq!(sources(own), ["me.shop@x.test", "me@x.test"]);
    let both = Actor::token("own", Scopes::OWN | Scopes::ALIASES, None, me.login.clone());
    for (actor, method, path, body, wanted) in [
        (&me, "PATCH", "/api/v1/aliases/me.shop@x.test", json!({ "enabled": false }), 200),
        (&me, "PATCH", "/api/v1/aliases/you.shop@y.test", json!({ "enabled": false }), 404),
        (&me, "GET", "/api/v1/accounts/me@x.test", Value::Null, 200),
        (&me, "GET", "/api/v1/accounts/you@y.test", Value::Null, 404),
        (&me, "POST", "/api/v1/accounts/me@x.test/passwords", json!({ "name": "phone" }), 200),
        (&me, "POST", "/api/v1/accounts/you@y.test/passwords", json!({ "name": "phone" }), 404),
        // The wider scope is for aliases; passwords are still those of the own account.
        (&both, "PATCH", "/api/v1/aliases/you.shop@y.test", json!({ "enabled": false }), 200),
        (&both, "POST", "/api/v1/accounts/you@y.test/passwords", json!({ "name": "phone" }), 404),
    ] {
        let (status, value) = api.by(Some(actor), method, path, body).await;
        assert_eq!(status.as_u16(), wanted, "{actor:?} {method} {path}: {value}");
    }
}

#[tokio::test]
async fn a_token_of_one_domain_sees_that_domain() {
    let api = with_two_accounts().await;
    let domains: Vec<Domain> = vec!["x.test".parse().unwrap()];
    let token = Actor::token("x", Scopes::ALIASES | Scopes::READ, Some(domains), None);
    let (_, seen) = api.by(Some(&token), "GET", "/api/v1/domains", Value::Null).await;
    assert_eq!(seen["items"].as_array().unwrap().len(), 1, "{seen}");
    for (method, path, body, wanted) in [
        ("POST", "/api/v1/aliases", json!({ "source": "n@x.test", "targets": ["a@b.test"] }), 200),
        ("POST", "/api/v1/aliases", json!({ "source": "n@y.test", "targets": ["a@b.test"] }), 404),
        ("DELETE", "/api/v1/aliases/you.shop@y.test", Value::Null, 404),
        ("GET", "/api/v1/accounts/you@y.test", Value::Null, 404),
        // What concerns the whole server.
        ("GET", "/api/v1/aliases/export", Value::Null, 403),
        ("GET", "/api/v1/status", Value::Null, 403),
    ] {
        let (status, value) = api.by(Some(&token), method, path, body).await;
        assert_eq!(status.as_u16(), wanted, "{method} {path}: {value}");
    }
}

#[tokio::test]
async fn a_change_is_recorded_with_its_actor() {
    let api = with_two_accounts().await;
    api.recorded.0.lock().unwrap().clear();
    let owner = Actor::owner("me@x.test".parse().unwrap());
    api.by(Some(&owner), "POST", "/api/v1/aliases", json!({ "source": "n@x.test", "targets": ["a@b.test"] })).await;
    api.by(Some(&owner), "POST", "/api/v1/queue/retry", json!({ "all": true })).await;
    let recorded = api.recorded.0.lock().unwrap().clone();
    let [alias, retry] = recorded.as_slice() else { panic!("{recorded:?}") };
    assert_eq!(
        (alias.kind, alias.login.as_deref(), alias.to.as_slice()),
        (EventKind::DirectoryChanged, Some("me@x.test"), &["n@x.test".to_owned()][..])
    );
    assert_eq!((alias.get(Fact::What), alias.get(Fact::Change)), (Some("alias"), Some("n@x.test → a@b.test")));
    assert_eq!((retry.kind, retry.get(Fact::What)), (EventKind::ServerChanged, Some("queue")));
}
