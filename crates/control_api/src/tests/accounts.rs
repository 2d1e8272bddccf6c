//! Accounts, their passwords and permissions, through the API.

use super::*;

#[tokio::test]
async fn a_generated_password_is_shown_once() {
    let api = api().await;
    api.domain("x.test").await;
    let made = api.ok("POST", "/api/v1/accounts", json!({ "login": "me@x.test", "may_send_as": ["@x.test"] })).await;
    let password = made["password"].as_str().unwrap().to_owned();
    let verifies = |password: &str| {
        let account = api.live.current().account("me@x.test").cloned();
        mta::passwords::find_password(account.as_ref(), &sasl::Secret::new(password), &mta::passwords::PasswordKey::new([7; 32])).is_some()
    };
    assert!(verifies(&password));
    let list = api.items("/api/v1/accounts").await;
    assert_eq!(list, json!([{ "login": "me@x.test", "may_send_as": ["@x.test"], "enabled": true, "clients": ["first"], "owner": false }]));
    assert_eq!(api.refused("POST", "/api/v1/accounts", json!({ "login": "ME@x.test" })).await.0, 409);
    let given = api.ok("POST", "/api/v1/accounts/me@x.test/passwords", json!({ "password": "tanstaaf" })).await;
    assert!(given.get("password").is_none() && verifies("tanstaaf") && !verifies(&password));
    assert_eq!(api.refused("POST", "/api/v1/accounts/me@x.test/passwords", json!({ "password": "short" })).await.0, 400);
    let verified = api.ok("POST", "/api/v1/accounts/me@x.test/verify", json!({ "password": "tanstaaf" })).await;
    assert_eq!(verified, json!({ "right": true, "name": "first", "but": null }));
    api.ok("PATCH", "/api/v1/accounts/me@x.test", json!({ "enabled": false, "may_send_as": [] })).await;
    let verified = api.ok("POST", "/api/v1/accounts/me@x.test/verify", json!({ "password": "tanstaaf" })).await;
    assert_eq!(verified["but"], "the account is disabled");
    assert_eq!(api.items("/api/v1/accounts").await[0]["enabled"], false);
    assert_eq!(api.refused("PATCH", "/api/v1/accounts/me@x.test", json!({ "may_send_as": ["me"] })).await.0, 400);
    api.ok("DELETE", "/api/v1/accounts/me@x.test", Value::Null).await;
    assert_eq!(api.refused("DELETE", "/api/v1/accounts/me@x.test", Value::Null).await.0, 404);
}

#[tokio::test]
async fn each_client_has_its_own_password() {
    let api = api().await;
    api.domain("x.test").await;
    api.alias("me@x.test", &["foo@gmail.test"]).await;
    api.alias("info@x.test", &["me@x.test", "bar@gmail.test"]).await;
    api.ok("POST", "/api/v1/accounts", json!({ "login": "me@x.test", "name": "gmail" })).await;
    api.ok("POST", "/api/v1/accounts/me@x.test/passwords", json!({ "name": "phone" })).await;
    let (status, error) = api.refused("POST", "/api/v1/accounts/me@x.test/passwords", json!({})).await;
    assert!(status == 409 && error.contains("gmail, phone") && error.contains("--name NAME"), "{error}");
    let digest = "ab".repeat(32);
    api.ok("POST", "/api/v1/accounts/me@x.test/certificates", json!({ "name": "printer", "sha256": digest })).await;
    assert_eq!(api.refused("POST", "/api/v1/accounts/me@x.test/certificates", json!({ "name": "other", "sha256": "x" })).await.0, 400);
    assert_eq!(api.refused("POST", "/api/v1/accounts/me@x.test/certificates", json!({ "name": "other", "sha256": digest })).await.0, 409);
    let detail = api.get("/api/v1/accounts/me@x.test").await;
    assert_eq!((&detail["clients"], &detail["aliases"]), (&json!(["gmail", "phone", "printer"]), &json!(["info@x.test"])));
    assert!(!detail.to_string().contains("argon2"), "{detail}");
    api.ok("DELETE", "/api/v1/accounts/me@x.test/passwords/phone", Value::Null).await;
    api.ok("DELETE", "/api/v1/accounts/me@x.test/certificates/printer", Value::Null).await;
    let last = api.ok("DELETE", "/api/v1/accounts/me@x.test/passwords/gmail", Value::Null).await;
    assert!(last["warnings"][0].as_str().unwrap().contains("has no password left"), "{last}");
    assert_eq!(api.refused("DELETE", "/api/v1/accounts/me@x.test/passwords/gmail", Value::Null).await.0, 404);
    for n in 0..mta::passwords::PASSWORDS_MAX {
        api.ok("POST", "/api/v1/accounts/me@x.test/passwords", json!({ "name": n.to_string(), "password": "tanstaaf" })).await;
    }
    assert_eq!(api.refused("POST", "/api/v1/accounts/me@x.test/passwords", json!({ "name": "more" })).await.0, 409);
}

#[tokio::test]
async fn permissions_of_an_account_change() {
    let api = api().await;
    api.domain("x.test").await;
    api.ok("POST", "/api/v1/accounts", json!({ "login": "me@x.test" })).await;
    let patch = json!({ "suspended": "sent too much", "limits": { "recipients_per_hour": 5 }, "imap_host": "imap.gmail.com" });
    api.ok("PATCH", "/api/v1/accounts/me@x.test", patch).await;
    let detail = api.get("/api/v1/accounts/me@x.test").await;
    assert_eq!((&detail["suspended"], &detail["recipients_per_hour"]), (&json!("sent too much"), &json!(5)));
    assert_eq!((&detail["new_recipients_per_day"], &detail["imap_host"]), (&Value::Null, &json!("imap.gmail.com")));
    assert!(!api.live.current().account("me@x.test").unwrap().is_active());
    api.ok("PATCH", "/api/v1/accounts/me@x.test", json!({ "suspended": "", "imap_host": "" })).await;
    assert!(api.live.current().account("me@x.test").unwrap().is_active());
    let changed = api.ok("PATCH", "/api/v1/accounts/me@x.test", json!({ "legacy_mechanisms": ["cram-md5"] })).await;
    assert!(changed["warnings"][1].as_str().unwrap().contains("first"), "{changed}");
    let (status, error) = api.refused("PATCH", "/api/v1/accounts/me@x.test", json!({ "legacy_mechanisms": ["PLAIN"] })).await;
    assert!(status == 400 && error.contains("CRAM-MD5"), "{error}");
    assert_eq!(api.refused("PATCH", "/api/v1/accounts/me@x.test", json!({ "imap_host": "a b" })).await.0, 400);
}

#[tokio::test]
async fn import_adds_accounts_and_reports_the_others() {
    let api = api().await;
    api.domain("x.test").await;
    api.ok("POST", "/api/v1/accounts", json!({ "login": "there@x.test" })).await;
    let hash = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
    let import = |dry_run: bool| {
        json!({ "dry_run": dry_run, "legacy_mechanisms": ["CRAM-MD5"], "may_send_as": ["info@x.test"], "accounts": [
            { "login": "ann@x.test", "password": "Hello world!" },
            { "login": "bob@x.test", "verifier": hash },
            { "login": "there@x.test", "password": "secret77" },
            { "login": "nodomain", "password": "secret77" },
            { "login": "odd@x.test", "verifier": "$unknown$" },
            { "login": "ANN@x.test", "password": "another" },
            { "login": "a b@x.test", "password": "another" },
            { "login": "stopped@x.test", "verifier": hash, "suspended": "Dovecot says so" },
        ] })
    };
    let dry = api.ok("POST", "/api/v1/accounts/import", import(true)).await;
    assert_eq!(api.items("/api/v1/accounts").await.as_array().unwrap().len(), 1);
    let done = api.ok("POST", "/api/v1/accounts/import", import(false)).await;
    assert_eq!((&dry["imported"], &dry["skipped"], &dry["warnings"]), (&done["imported"], &done["skipped"], &done["warnings"]));
    assert_eq!((&done["imported"], done["skipped"].as_array().unwrap().len()), (&json!(["ann@x.test", "bob@x.test", "stopped@x.test"]), 5));
    let stopped = api.get("/api/v1/accounts/stopped@x.test").await;
    assert_eq!((&stopped["suspended"], &stopped["may_send_as"]), (&json!("Dovecot says so"), &json!(["info@x.test"])));
    let (ann, bob) = (api.live.current().account("ann@x.test").unwrap().clone(), api.live.current().account("bob@x.test").unwrap().clone());
    assert!(ann.passwords[0].sealed.is_some() && ann.legacy_mechanisms == ["CRAM-MD5"], "{ann:?}");
    assert!(bob.passwords[0].scram_sha256.is_none() && bob.legacy_mechanisms.is_empty(), "{bob:?}");
    for login in ["ann@x.test", "bob@x.test"] {
        let right = api.ok("POST", &format!("/api/v1/accounts/{login}/verify"), json!({ "password": "Hello world!" })).await;
        assert_eq!(right["right"], true, "{login}");
    }
}
