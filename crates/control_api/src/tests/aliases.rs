//! Aliases and the virtual file, through the API.

use super::*;

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
