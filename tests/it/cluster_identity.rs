//! A node that must not act: its clock is not that of the database, or another process is the same node with a copy of its data directory.

use std::time::Duration;

use it::{Dns, Lab, MX_PORT, Sink, Talk, Waypost, binary, run_ok, set_clock, under_clock, wait_within, zone};
use mail::Reply;
use pg_lab::PgServer;

/// A lease, heartbeats on both sides, and a slow machine.
const SOON: Duration = Duration::from_secs(60);

fn content(subject: &str) -> String {
    format!("From: her@foreign.test\r\nSubject: {subject}\r\n\r\nhello\r\n")
}

fn offer(node: &Waypost, subject: &str) -> String {
    Talk::greeted(node.address, MX_PORT).message("her@foreign.test", "me@example.test", &content(subject))
}

#[test]
fn a_node_whose_clock_is_wrong_fails_no_mail() {
    let (lab, database) = (Lab::new(), PgServer::default());
    let _dns = Dns::start(&lab, &zone(&lab));
    // What is tried after its time has ended would be failed.
    let inbox = Sink::deciding(lab.address(2), MX_PORT, |_| Some(Reply::new(450, (4, 2, 0), "not now")));
    let [mut a, mut b] =
        [("a", 11), ("b", 12)].map(|name| Waypost::node(&lab, name, &database.url(), "[retry]\nwaits_s = [1]\nlifetime = \"5d\"\n"));
    for node in [&a, &b] {
        node.configure(|config| config.set("forward.mode", "queue"));
    }
    a.start_hosting("foo@inbox.test");
    for n in 0..3 {
        let reply = offer(&a, &format!("number {n}"));
        assert!(reply.starts_with("250"), "{reply}");
    }

    let stamp = lab.write("clock", "+6d");
    let mut wrong = under_clock(&stamp)(binary());
    let refused = wrong.arg("--config").arg(&b.config).arg("serve").output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("the clock of this machine is 6 days ahead of that of the database"), "{said}");

    set_clock(&stamp, "+0");
    b.start_by(under_clock(&stamp));
    let reply = offer(&b, "number 3");
    assert!(reply.starts_with("250"), "{reply}");
    for (set, side) in [("+6d", "ahead of"), ("-6d", "behind")] {
        set_clock(&stamp, set);
        let reply = offer(&b, "refused");
        assert!(reply.starts_with("451"), "{reply}");
        wait_within(SOON, "readiness to say so", || {
            b.log().contains("the clock of this machine is not that of the database").then_some(())
        });
        let alive = || database.sql("SELECT string_agg(name, ' ' ORDER BY name) FROM node WHERE lease_until > clock_timestamp()");
        wait_within(SOON, "b to lose its lease", || (alive() == "a").then_some(()));
        let log = b.log();
        assert!(log.contains("not renewed") && log.contains(&format!("6 days {side} that of the database")), "{log}");
        set_clock(&stamp, "+0");
        wait_within(SOON, "b to be back", || (alive() == "a b").then_some(()));
    }
    let reply = offer(&b, "number 4");
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!((a.queued(), inbox.messages().len()), (5, 0), "nothing was failed, and nothing refused was kept");
    for node in [&a, &b] {
        assert!(!node.log().contains(": failed id="), "{}", node.log());
        node.assert_no_bugs();
    }
}

#[test]
fn a_copy_of_a_data_directory_is_no_second_node() {
    let (lab, database) = (Lab::new(), PgServer::default());
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let mut a = Waypost::node(&lab, ("a", 11), &database.url(), "");
    a.start_hosting("foo@inbox.test");
    let copy = Waypost::node(&lab, ("copy", 12), &database.url(), "");
    run_ok("rm", &["-r", &copy.data.display().to_string()]);
    run_ok("cp", &["-a", &a.data.display().to_string(), &copy.data.display().to_string()]);
    copy.configure(|config| config.set("store.node", "a"));
    for command in [&["serve"][..], &["queue", "list"]] {
        let said = copy.refused(command);
        assert!(said.contains("another process is the node \"a\" of this database, with a copy of this data directory"), "{said}");
    }
    // The directory itself goes on at once after a crash.
    a.kill();
    a.start();
    assert!(offer(&a, "after the crash").starts_with("250"));
    inbox.wait_for("after the crash");
    // With a name of its own the copy is another node.
    copy.configure(|config| config.set("store.node", "b"));
    let listed = copy.ok(&["node", "list"]);
    assert!(listed.contains("b (this)"), "{listed}");
    a.assert_no_bugs();
}
