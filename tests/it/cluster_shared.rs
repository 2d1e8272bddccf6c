//! Servers that share a PostgreSQL act as one: any of them drains another, and all have the same secrets and certificates.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use it::{Dns, HTTP_PORT, HTTPS_PORT, Lab, MX_PORT, Pebble, SUBMISSIONS_PORT, Sink, Talk, Waypost, domain, wait_for, wait_within, zone};
use mail::Reply;
use pg_lab::PgServer;

/// A heartbeat, and some time to notice it.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);

struct Nodes {
    a: Waypost,
    b: Waypost,
    lab: Lab,
    database: PgServer,
    _dns: Dns,
}

impl Nodes {
    /// Two nodes; the first one hosts example.test with the alias `me@`, and runs.
    fn first(zone: impl Fn(&Lab) -> String) -> Self {
        let (lab, database) = (Lab::new(), PgServer::default());
        let dns = Dns::start(&lab, &zone(&lab));
        let node = |name, host| {
            let node = Waypost::node(&lab, (name, host), &database.url(), "");
            let at = |port: u16| vec![format!("{}:{port}", node.address)];
            node.configure(|config| config.set("listen.http", at(HTTP_PORT)).set("listen.https", at(HTTPS_PORT)));
            node
        };
        let (mut a, b) = (node("a", 11), node("b", 12));
        a.start_hosting("foo@inbox.test");
        Self { a, b, lab, database, _dns: dns }
    }

    fn both(zone: impl Fn(&Lab) -> String) -> Self {
        let mut nodes = Self::first(zone);
        nodes.b.start();
        nodes
    }
}

/// The state of a node, as another one shows it.
fn state(of: &Waypost, name: &str) -> String {
    let all = of.json(&["node", "list"]);
    let node = all.as_array().unwrap().iter().find(|node| node["name"] == name).unwrap_or_else(|| panic!("no {name} in {all}"));
    node["state"].as_str().unwrap().to_owned()
}

fn banner(node: &Waypost) -> String {
    Talk::connect(node.address, MX_PORT).reply()
}

#[test]
fn any_node_drains_and_resumes_another_and_removes_one_that_is_gone() {
    let Nodes { a, mut b, lab, database, _dns } = Nodes::both(zone);
    let all = a.json(&["node", "list"]);
    let this: Vec<_> =
        all.as_array().unwrap().iter().map(|node| (node["name"].as_str().unwrap(), node["this"].as_bool().unwrap())).collect();
    assert_eq!(this, [("a", true), ("b", false)]);
    assert_eq!((state(&b, "a"), state(&b, "b")), ("active".into(), "active".into()));

    a.ok(&["node", "drain", "b"]);
    assert_eq!((state(&a, "a"), state(&a, "b")), ("active".into(), "drained".into()));
    wait_within(NOTICED_WITHIN, "b to take no mail", || banner(&b).starts_with("421 4.3.2").then_some(()));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    Talk::greeted(a.address, MX_PORT).taken(
        "her@foreign.test",
        "me@example.test",
        "From: her@foreign.test\r\nSubject: over a\r\n\r\nx\r\n",
    );
    inbox.wait_for("over a");
    let traced = b.command(&["trace", "over", "a"]);
    assert!(
        String::from_utf8_lossy(&traced.stderr).contains("this is the history of node b; what others did is in theirs: a"),
        "{traced:?}"
    );
    // Over a restart, too.
    b.stop();
    b.start();
    assert!(banner(&b).starts_with("421 4.3.2"), "it stays drained");
    // This node itself: at once.
    b.ok(&["node", "resume"]);
    assert!(banner(&b).starts_with("220"), "it takes mail again");

    let refused = a.refused(&["node", "remove", "b"]);
    assert!(refused.contains("b is running"), "{refused}");
    assert!(a.refused(&["node", "drain", "c"]).contains("there is no node c"));
    b.kill();
    database.sql("UPDATE node SET lease_until = clock_timestamp() WHERE name = 'b'");
    assert_eq!(state(&a, "b"), "stopped");
    a.ok(&["node", "remove", "b"]);
    assert_eq!(a.json(&["node", "list"]).as_array().unwrap().len(), 1);
    let drained = a.command(&["node", "drain"]);
    assert!(format!("{drained:?}").contains("no other node serves"), "{drained:?}");
    a.assert_no_bugs();
}

#[test]
fn a_node_is_ready_as_long_as_the_database_commits() {
    let Nodes { a, mut database, b: _b, lab: _lab, _dns } = Nodes::first(zone);
    let url = format!("http://{}:{HTTP_PORT}/health/ready", a.address);
    let status = || {
        let out = it::run("curl", &["-s", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", &url]);
        String::from_utf8(out.stdout).unwrap()
    };
    wait_for("the node to be ready", || (status() == "200").then_some(()));
    database.stop();
    // No mail comes that would show it.
    wait_within(Duration::from_secs(20), "the node not to be ready", || (status() == "503").then_some(()));
    database.resume();
    wait_within(NOTICED_WITHIN, "the node to be ready again", || (status() == "200").then_some(()));
}

#[test]
fn all_nodes_have_the_secrets_of_the_first_one_and_hear_of_new_ones() {
    let Nodes { a, mut b, lab: _lab, database: _database, _dns } = Nodes::first(zone);
    let read = |node: &Waypost, name: &str| fs::read_to_string(node.data.join(name)).unwrap();
    // A secret that b made before it knew the database is kept aside.
    fs::write(b.data.join("srs.secrets"), "0123456789abcdef-of-b\n").unwrap();
    fs::set_permissions(b.data.join("srs.secrets"), fs::Permissions::from_mode(0o600)).unwrap();
    b.start();
    assert_eq!(read(&a, "srs.secrets"), read(&b, "srs.secrets"));
    assert_ne!(read(&a, "passwords.key"), read(&b, "passwords.key"), "a copy of the database must not be enough to read passwords");
    b.wait_for_log("the key that seals passwords is not that of the other nodes");
    assert_eq!(read(&b, "srs.secrets.before"), "0123456789abcdef-of-b\n");

    let new = format!("a-new-secret-of-the-operator\n{}", read(&b, "srs.secrets"));
    fs::write(b.data.join("srs.secrets"), &new).unwrap();
    b.hang_up();
    wait_for("a to have the new secret", || (read(&a, "srs.secrets") == new).then_some(()));
    a.wait_for_log("is in effect");
    assert_eq!(read(&b, "srs.secrets"), new);
}

#[test]
fn a_pause_that_is_ended_on_one_node_ends_on_all() {
    let with_narrow = |lab: &Lab| zone(lab) + &domain(lab, "narrow", 4);
    let Nodes { a, b, lab, database: _database, _dns } = Nodes::both(with_narrow);
    let is_full = Arc::new(AtomicBool::new(true));
    let full = is_full.clone();
    let host =
        Sink::deciding(lab.address(4), MX_PORT, move |_| full.load(Ordering::SeqCst).then(|| Reply::new(452, (4, 2, 2), "over quota")));
    a.ok(&["alias", "add", "full@example.test", "box@narrow.test"]);
    let is_paused = |node: &Waypost| node.ok(&["queue", "paused"]).contains("box@narrow.test");
    for (node, subject) in [(&a, "by a"), (&b, "by b")] {
        let content = format!("From: her@foreign.test\r\nSubject: {subject}\r\n\r\nx\r\n");
        wait_for("the alias", || {
            Talk::greeted(node.address, MX_PORT).message("her@foreign.test", "full@example.test", &content).starts_with("250").then_some(())
        });
        wait_for("the pause", || is_paused(node).then_some(()));
    }
    let shown = a.command(&["queue", "paused"]);
    assert!(String::from_utf8_lossy(&shown.stderr).contains("these are the pauses of node a; others have their own: b"), "{shown:?}");
    is_full.store(false, Ordering::SeqCst);
    assert!(a.ok(&["queue", "resume", "Box@narrow.test"]).contains("on all nodes"));
    wait_for("the pause of b to end", || (!is_paused(&b)).then_some(()));
    b.wait_for_log("resumed what the operator has resumed on another node");
    host.wait_for("by a");
    host.wait_for("by b");
    // One that only the other node has.
    is_full.store(true, Ordering::SeqCst);
    Talk::greeted(b.address, MX_PORT).taken(
        "her@foreign.test",
        "full@example.test",
        "From: her@foreign.test\r\nSubject: again\r\n\r\nx\r\n",
    );
    wait_for("the pause", || is_paused(&b).then_some(()));
    is_full.store(false, Ordering::SeqCst);
    if !is_paused(&a) {
        assert!(a.ok(&["queue", "resume", "box@narrow.test"]).contains("on the other nodes"));
    }
    host.wait_for("again");
    a.assert_no_bugs();
    b.assert_no_bugs();
}

/// The certificate of this name, in use by a node.
fn serial(node: &Waypost, name: &str) -> Option<String> {
    let output = node.command(&["--json", "cert", "status"]);
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let found = all["certificates"].as_array()?.iter().find(|c| c["name"] == name).cloned()?;
    Some(found["serial"].as_str()?.to_owned())
}

#[test]
fn one_node_orders_a_certificate_another_answers_the_authority_and_both_use_it() {
    // The authority finds b, while a orders.
    let at_b = |lab: &Lab| {
        let b = lab.address(12);
        format!("mx.example A {b}\nmta-sts.example A {b}\ninbox MX 10 mx.inbox\nmx.inbox A {}\n", lab.address(2))
    };
    let Nodes { a, b, lab, database, _dns } = Nodes::both(at_b);
    let pebble = Pebble::start(&lab);
    let enable = |node: &Waypost| {
        node.configure(|config| {
            config.set("acme.enabled", true).set("acme.directory", pebble.directory()).set("acme.contact", "me@example.test");
            config.set("acme.authority_root", pebble.own_root.display().to_string()).set("acme.challenge", "http-01")
        });
        node.hang_up();
    };
    enable(&a);
    wait_for("a to have the duty", || (database.sql("SELECT count(*) FROM duty WHERE name = 'certificates'") == "1").then_some(()));
    enable(&b);
    for name in ["mx.example.test", "example.test"] {
        let ours = wait_within(Duration::from_secs(60), "a's certificate", || serial(&a, name));
        wait_for("b to use the same", || (serial(&b, name).as_ref() == Some(&ours)).then_some(()));
    }
    let root = pebble.root(&lab);
    for node in [&a, &b] {
        let mut talk = Talk::connect(node.address, SUBMISSIONS_PORT);
        talk.handshake(&root).expect("the certificate of the authority");
    }
    assert!(!b.log().contains("created an ACME account"), "b orders nothing");
    assert_eq!(fs::read_dir(a.data.join("acme")).unwrap().count(), fs::read_dir(b.data.join("acme")).unwrap().count(), "b has the account");
    assert_eq!(database.sql("SELECT count(*) FROM shared WHERE name LIKE 'challenges/%'"), "0", "nothing is answered any more");
    // The duty is a's as long as it lives.
    let refused = b.command(&["cert", "renew"]);
    assert!(
        !refused.status.success() && format!("{refused:?}").contains("node a orders this certificate: run this command there"),
        "{refused:?}"
    );
    drop(a);
    database.sql("UPDATE node SET lease_until = clock_timestamp() WHERE name = 'a'");
    let before = serial(&b, "example.test");
    b.ok(&["cert", "renew", "--force"]);
    assert_ne!(serial(&b, "example.test"), before);
}
