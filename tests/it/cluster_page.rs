//! The nodes on the owner's page, in a real browser: shown where nodes share a database, drained and resumed without a script, on a phone and in the dark.
//!
//! `PICTURES=DIRECTORY` keeps pictures.

use std::time::Duration;

use it::{Dns, HTTP_PORT, HTTPS_PORT, Lab, OWNER, Visit, Waypost, wait_within, zone};
use pg_lab::PgServer;
use serde_json::json;

use crate::browser::{DESKTOP, PHONE, browse};

/// A name that no server has, with what a page must not take over.
const HOSTILE: &str = "<script>window.pwned=1</script>\"'>\u{202e}x";

#[test]
fn the_page_shows_the_nodes_and_drains_and_resumes_them() {
    let (lab, database) = (Lab::new(), PgServer::default());
    let _dns = Dns::start(&lab, &zone(&lab));
    let node = |name, host| {
        let node = Waypost::node(&lab, (name, host), &database.url(), "[client_config]\n");
        let at = |port: u16| vec![format!("{}:{port}", node.address)];
        node.configure(|config| {
            config
                .set("listen.http", at(HTTP_PORT))
                .set("listen.https", at(HTTPS_PORT))
                .set("hostname", if name == "a" { "mx.example.test" } else { "mx2.example.test" })
        });
        node
    };
    let (mut a, mut b) = (node("a", 11), node("b", 12));
    a.ok(&["domain", "add", "--bare", "example.test"]);
    let password = a.account(OWNER);
    a.ok(&["account", "owner", OWNER]);
    a.start();
    b.start();
    database.sql(&format!(
        "INSERT INTO node (name, number, instance, stay, started, seen, lease_until, version, schema) \
         VALUES ('{}', 77, 'x', nextval('node_stay'), now(), now() - interval '3 hours', now() - interval '3 hours', '<b>1</b>', 1)",
        HOSTILE.replace('\'', "''")
    ));

    let visit = Visit::new(&lab, &a, "jar");
    assert_eq!(visit.log_in(OWNER, &password).status, 303);
    let page = visit.get("/server").body;
    let card =
        page.split("id=\"nodes\"").nth(1).and_then(|rest| rest.split("</section>").next()).unwrap_or_else(|| panic!("{page}")).to_owned();
    assert!(card.contains("&lt;script&gt;window.pwned=1&lt;/script&gt;&quot;'&gt;\u{fffd}x</bdi>") && !card.contains("<script"), "{card}");
    assert!(card.contains("this one") && card.contains("stopped") && !card.contains("<b>1</b>"), "{card}");
    assert!(page.contains("are in the database that [store] names"), "{page}");
    let state = |name: &str| {
        let all = a.json(&["node", "list"]);
        all.as_array().unwrap().iter().find(|node| node["name"] == name).unwrap()["state"].as_str().unwrap().to_owned()
    };
    let drained = visit.change("/server/nodes", &[("name", "b"), ("change", "drain")]);
    assert_eq!((drained.status, state("b").as_str()), (303, "drained"));
    assert!(visit.get("/server").body.contains("stops taking new mail within 5 seconds"));
    assert_eq!(visit.change("/server/nodes", &[("name", "b"), ("change", "remove")]).status / 100, 4, "the page removes nothing");
    assert_eq!(visit.change("/server/nodes", &[("name", "c"), ("change", "drain")]).status, 404);
    visit.change("/server/nodes", &[("name", "b"), ("change", "resume")]);
    assert_eq!(state("b"), "active");

    for (size, more) in [
        (PHONE, json!({ "locale": "zh-CN" })),
        (PHONE, json!({})),
        (DESKTOP, json!({})),
        (PHONE, json!({ "scripts": false, "shots": null })),
    ] {
        let mut options = json!({ "login": OWNER, "password": password, "shots": std::env::var("PICTURES").ok(), "node": "b" });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        browse(&a, "nodes.js", size, options);
    }
    wait_within(Duration::from_secs(10), "b to serve", || (state("b") == "active").then_some(()));
    a.assert_no_bugs();
    b.assert_no_bugs();
}
