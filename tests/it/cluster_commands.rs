//! What the commands say to the operator of servers over one PostgreSQL: which store is used, where a backup goes, what a drained node does, and what to do
//! while the database is down.

use std::fs;

use it::{Dns, Lab, MX_PORT, Sink, Talk, Waypost, run, wait_for, zone};
use pg_lab::PgServer;
use serde_json::Value;

/// Nodes over a database; the first one hosts example.test with the alias `me@`.
struct Scene {
    nodes: Vec<Waypost>,
    database: PgServer,
    _dns: Dns,
    lab: Lab,
}

impl Scene {
    fn start(names: &[&str]) -> Self {
        let (lab, database) = (Lab::new(), PgServer::default());
        let dns = Dns::start(&lab, &zone(&lab));
        let mut nodes: Vec<Waypost> =
            (11..).zip(names).map(|(host, name)| Waypost::node(&lab, (name, host), &database.url(), "")).collect();
        for (place, node) in nodes.iter_mut().enumerate() {
            if place == 0 { node.start_hosting("foo@inbox.test") } else { node.start() }
        }
        Self { nodes, database, _dns: dns, lab }
    }

    fn path(&self, name: &str) -> String {
        self.lab.path().join(name).display().to_string()
    }

    /// The address of a new, empty database.
    fn new_database(&self, name: &str) -> String {
        self.database.sql_in("postgres", &format!("CREATE DATABASE {name}"));
        self.database.url_of("waypost", name)
    }
}

/// What a command prints, on both outputs, and whether it succeeds.
fn said(node: &Waypost, arguments: &[&str]) -> (String, bool) {
    let output = node.command(arguments);
    (String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(), output.status.success())
}

/// The findings of doctor about this.
fn findings(node: &Waypost, check: &str) -> Vec<Value> {
    let output = node.command(&["--json", "doctor", "--time-server", ""]);
    let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    all["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check).cloned().collect()
}

#[test]
fn a_backup_is_restored_into_a_database_and_not_where_no_server_looks() {
    let mut scene = Scene::start(&["a"]);
    let content = "From: her@foreign.test\r\nSubject: in the backup\r\n\r\nhello\r\n";
    Talk::greeted(scene.nodes[0].address, MX_PORT).taken("her@foreign.test", "me@example.test", content);
    let (backup, restored) = (scene.path("backup"), scene.path("restored"));
    scene.nodes[0].ok(&["backup", &backup, "--all"]);
    scene.nodes[0].stop();
    let moved = scene.lab.path().join("a.old");
    fs::rename(&scene.nodes[0].data, &moved).unwrap();

    let refused = scene.nodes[0].refused(&["restore", &backup]);
    for part in ["(store.url)", "no server would deliver", "--data-dir", "waypost store copy"] {
        assert!(refused.contains(part), "no {part} in {refused}");
    }
    assert!(!scene.nodes[0].data.exists(), "nothing is restored");
    let done = scene.nodes[0].ok(&["restore", &backup, "--data-dir", &restored]);
    assert!(done.contains("1 messages") && done.contains(&format!("next: waypost store copy {restored} 'postgres://")), "{done}");
    assert!(!done.contains("waypost serve"), "{done}");
    assert!(moved.join("node").exists() && !scene.lab.path().join("restored/node").exists(), "the identity of a node is not restored");
    assert!(scene.lab.path().join("restored/passwords.key").exists());

    let url = scene.new_database("second");
    let copied = scene.nodes[0].ok(&["store", "copy", &restored, &url]);
    assert!(copied.contains("passwords.key") && copied.contains(&restored), "it says which files are to be copied: {copied}");
    fs::create_dir(&scene.nodes[0].data).unwrap();
    fs::copy(format!("{restored}/passwords.key"), scene.nodes[0].data.join("passwords.key")).unwrap();
    scene.nodes[0].configure(|config| config.set("store.url", url.as_str()));
    let inbox = Sink::start(scene.lab.address(2), MX_PORT);
    scene.nodes[0].start();
    scene.nodes[0].ok(&["queue", "retry", "--all"]);
    inbox.wait_for("in the backup");
    scene.nodes[0].assert_no_bugs();
}

#[test]
fn a_copy_goes_to_an_address_or_into_a_directory_that_can_be_meant() {
    let (lab, database) = (Lab::new(), PgServer::default());
    let node = Waypost::configured(&lab, "");
    node.ok(&["domain", "add", "--bare", "example.test"]);
    let data = node.data.display().to_string();
    let copy = |to: &str| {
        let output = run(it::binary().to_str().unwrap(), &["--config", node.config.to_str().unwrap(), "store", "copy", &data, to]);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (text, output.status.success())
    };
    let before = fs::read_dir(lab.path()).unwrap().count();
    for (to, why, remedy) in [
        ("postgress://waypost:canary@h/x", "postgress:// is not PostgreSQL", "hint: write it as postgres://"),
        ("host=127.0.0.5 user=waypost password=canary dbname=x", "it is in the form KEY=VALUE", "hint: write it as postgres://"),
        ("postgres://waypost:ca/nary@h/x", "has a character that means something else", "hint: write @ as %40"),
        (&format!("{data}/none/below"), "there is no directory", "hint: name a directory in one that exists"),
        (&format!("{data}/."), "the source and the target are the same", "hint: name a new data directory"),
    ] {
        let (text, is_done) = copy(to);
        assert!(!is_done && text.contains(why) && text.contains(remedy), "{to}\n{text}");
        assert!(!text.contains("canary") && !text.contains("nary"), "{text}");
    }
    assert_eq!(fs::read_dir(lab.path()).unwrap().count(), before, "no directory was made");
    let (text, is_done) = copy(&database.url());
    assert!(is_done && text.contains("passwords.key"), "{text}");
    let (text, is_done) = copy(&database.url());
    assert!(!is_done && text.contains("hint: copy into a new database"), "{text}");
    let other = Lab::new();
    let open = Waypost::started(&other, "foo@inbox.test", "");
    let source = open.data.display().to_string();
    let (text, is_done) = said(&open, &["store", "copy", &source, &lab.path().join("copy").display().to_string()]);
    assert!(!is_done && text.contains("hint: stop the other one first"), "{text}");
}

#[test]
fn which_store_is_used_is_said() {
    let scene = Scene::start(&["a"]);
    let checked = scene.nodes[0].ok(&["config", "check"]);
    assert!(checked.contains(&format!("store      {} (node a)", scene.database.url())), "{checked}");
    assert!(findings(&scene.nodes[0], "store")[0]["found"].as_str().unwrap().contains("(node a)"));
    // One from before, whose mail no server delivers.
    fs::write(scene.nodes[0].data.join("waypost.db"), "").unwrap();
    let found = findings(&scene.nodes[0], "store");
    assert!(found[0]["found"].as_str().unwrap().contains("it is not used"), "{found:?}");
    assert!(found[0]["fix"].as_str().unwrap().contains("waypost store copy"), "{found:?}");
    fs::remove_file(scene.nodes[0].data.join("waypost.db")).unwrap();

    let alone = Waypost::configured(&scene.lab, "");
    assert!(alone.ok(&["config", "check"]).contains(&format!("store      SQLite in {}", alone.data.display())));
    alone.configure(|config| config.set("store.node", "b"));
    let (text, is_done) = said(&alone, &["config", "check"]);
    assert!(!is_done && text.contains("store.node is set, but store.url is not"), "{text}");
}

#[test]
fn a_change_of_the_store_waits_for_a_restart() {
    let scene = Scene::start(&["a"]);
    assert!(!scene.nodes[0].ok(&["reload"]).contains("[store]"));
    scene.nodes[0].configure(|config| config.set("store.node", "other"));
    let said = scene.nodes[0].ok(&["reload"]);
    assert!(said.contains("restart the server to change [store]"), "{said}");
}

#[test]
fn without_its_database_a_server_says_that_it_runs_and_what_to_check() {
    let mut scene = Scene::start(&["a"]);
    scene.database.stop();
    let (text, is_done) = said(&scene.nodes[0], &["status"]);
    assert!(!is_done && text.contains("running: version") && text.contains("the server runs, but cannot read its queue"), "{text}");
    assert!(text.contains("hint: check that the database server runs"), "{text}");
    let (text, is_done) = said(&scene.nodes[0], &["reload"]);
    assert!(!is_done && text.contains("the old configuration stays in effect") && text.contains("hint: check that the database"), "{text}");
    assert!(!text.contains("correct the configuration"), "{text}");
    scene.database.resume();
    wait_for("the server to read its queue", || said(&scene.nodes[0], &["status"]).1.then_some(()));
}

#[test]
fn a_drained_node_over_a_database_leaves_deliveries_to_others() {
    let scene = Scene::start(&["a"]);
    assert!(scene.nodes[0].ok(&["queue", "retry", "--all"]).contains("retrying 0 recipients now"));
    scene.nodes[0].ok(&["node", "drain"]);
    let status = scene.nodes[0].ok(&["status"]);
    assert!(status.contains("leaves deliveries to the other nodes") && !status.contains("goes on delivering"), "{status}");
    let found = findings(&scene.nodes[0], "server");
    assert!(found[0]["found"].as_str().unwrap().contains("leaves deliveries to the other nodes"), "{found:?}");
    let (text, is_done) = said(&scene.nodes[0], &["queue", "retry", "--all"]);
    assert!(is_done && text.contains("0 recipients are due now") && text.contains("warning: no node serves"), "{text}");
    scene.nodes[0].ok(&["node", "resume"]);
    for command in ["list", "drain", "resume", "remove"] {
        assert!(scene.nodes[0].ok(&["node", command, "--help"]).contains("Examples:"), "{command}");
    }
}

#[test]
fn a_key_that_is_not_that_of_the_first_node_is_a_finding() {
    let scene = Scene::start(&["a", "b"]);
    let about_key = |node: &Waypost| {
        findings(node, "store").into_iter().filter(|found| found["about"].as_str().unwrap().contains("passwords.key")).count()
    };
    assert_eq!([about_key(&scene.nodes[0]), about_key(&scene.nodes[1])], [0, 1]);
}
