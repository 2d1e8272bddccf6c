//! Health, DNS, the server and Gmail's form, through the API.

use super::*;

#[tokio::test]
async fn gmails_form_names_the_account_and_what_stops_it() {
    let api = api().await;
    api.domain("x.test").await;
    let form = api.get("/api/v1/send-as?address=me@x.test").await;
    assert_eq!((&form["user_name"], &form["port"], &form["secured_connection"]), (&Value::Null, &json!(587), &json!("TLS")));
    let problems = form["problems"].to_string();
    assert!(problems.contains("no account may send as me@x.test") && problems.contains("goes nowhere"), "{problems}");
    api.alias("me@x.test", &["foo@gmail.test"]).await;
    api.ok("POST", "/api/v1/accounts", json!({ "login": "boss@x.test", "may_send_as": ["@x.test"] })).await;
    let form = api.get("/api/v1/send-as?address=me@x.test").await;
    assert_eq!((&form["user_name"], &form["targets"], &form["problems"]), (&json!("boss@x.test"), &json!(["foo@gmail.test"]), &json!([])));
    api.ok("POST", "/api/v1/accounts", json!({ "login": "other@x.test" })).await;
    let form = api.get("/api/v1/send-as?address=me@x.test&login=other@x.test").await;
    assert!(form["problems"][0].as_str().unwrap().contains("other@x.test may not send as me@x.test"), "{form}");
    assert_eq!(api.refused("GET", "/api/v1/send-as?address=me@x.test&login=gone@x.test", Value::Null).await.0, 404);
    assert_eq!(api.refused("GET", "/api/v1/send-as?address=nonsense", Value::Null).await.0, 400);
}

#[tokio::test]
async fn dns_is_planned_for_the_hosted_domains() {
    let api = api().await;
    api.domain("x.test").await;
    assert_eq!(api.get("/api/v1/dns").await["addresses"], json!(["x.test"]));
    assert_eq!(api.ok("POST", "/api/v1/dns/check", json!({ "domain": "x.test" })).await["records"], json!([]));
    assert_eq!(api.refused("GET", "/api/v1/dns?domain=y.test", Value::Null).await.0, 404);
    assert_eq!(api.refused("GET", "/api/v1/dns?domain=-", Value::Null).await.0, 400);
}

#[tokio::test]
async fn only_a_running_server_checks_itself() {
    let api = api().await;
    assert_eq!(api.refused("GET", "/api/v1/health", Value::Null).await.0, 409);
    let (status, error) = api.refused("POST", "/api/v1/health/check", Value::Null).await;
    assert!(status == 409 && error.contains("waypost doctor"), "{error}");
}

#[tokio::test]
async fn a_note_is_an_option_of_an_alias() {
    let api = api().await;
    api.domain("x.test").await;
    api.alias("me@x.test", &["foo@gmail.test"]).await;
    api.ok("PATCH", "/api/v1/aliases/me@x.test/options", json!({ "note": "for the shop" })).await;
    assert_eq!(api.get("/api/v1/aliases/me@x.test").await["note"], "for the shop");
    assert_eq!(api.refused("PATCH", "/api/v1/aliases/me@x.test/options", json!({ "note": "two\nlines" })).await.0, 400);
}
