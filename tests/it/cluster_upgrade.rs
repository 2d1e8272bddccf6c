//! Nodes of two versions over one database: the older one serves a schema that is newer by one step, makes no copy of it, and refuses one of two steps.

use it::{Dns, Lab, MX_PORT, Sink, Talk, Waypost, wait_for, zone};
use pg_lab::PgServer;

/// What a newer version may do to any table while nodes of the version before run.
const NEXT_VERSION: &str = "DO $$ DECLARE t text; BEGIN \
     FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'waypost_schema' \
     LOOP EXECUTE format('ALTER TABLE %I ADD COLUMN added_later text', t); END LOOP; \
     CREATE TABLE later (n bigint); UPDATE waypost_schema SET version = version + 1; END $$";

fn forward(node: &Waypost, inbox: &Sink, subject: &str) {
    let content = format!("From: her@foreign.test\r\nSubject: {subject}\r\n\r\n{}", "0123456789abcdef\r\n".repeat(12_000));
    Talk::greeted(node.address, MX_PORT).taken("her@foreign.test", "me@example.test", &content);
    inbox.wait_for(subject);
    node.wait_for_empty_queue();
}

#[test]
fn an_older_node_serves_the_next_schema_and_copies_nothing_of_it() {
    let (lab, database) = (Lab::new(), PgServer::default());
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let [mut a, mut b] = [("a", 11), ("b", 12)].map(|name| Waypost::node(&lab, name, &database.url(), ""));
    for node in [&a, &b] {
        node.configure(|config| config.set("forward.mode", "queue"));
    }
    a.start_hosting("foo@inbox.test");
    b.start();
    forward(&a, &inbox, "before the upgrade");
    // Another node is upgraded, and migrates the database under those that run.
    database.sql(NEXT_VERSION);
    forward(&a, &inbox, "over open connections");
    // One that is restarted meanwhile reads everything anew.
    b.stop();
    b.start();
    assert!(b.log().contains("a newer Waypost has migrated the database"), "{}", b.log());
    forward(&b, &inbox, "after a restart");
    a.ok(&["alias", "add", "you@example.test", "foo@inbox.test"]);
    wait_for("b to know the alias", || b.ok(&["alias", "list"]).contains("you@example.test").then_some(()));
    a.ok(&["node", "list"]);
    // A copy by this version would lack what the newer one keeps.
    let backup = lab.path().join("backup").display().to_string();
    for command in [&["backup", &backup][..], &["store", "copy", &database.url(), &lab.path().join("copy").display().to_string()]] {
        let said = a.refused(command);
        assert!(said.contains("newer Waypost (schema 2)") && said.contains("hint: do this with the newer version"), "{said}");
    }
    for node in [&a, &b] {
        node.assert_no_bugs();
    }
    database.sql("UPDATE waypost_schema SET version = version + 1");
    forward(&a, &inbox, "what runs goes on");
    b.stop();
    let said = b.refused(&["serve"]);
    assert!(said.contains("newer Waypost (schema 3)"), "{said}");
    forward(&a, &inbox, "and takes the rest");
}
