//! Two identities: forwards and own mail leave under separate addresses and names; and the rotation of DKIM keys.

use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use it::{Dns, Lab, MX_PORT, Script, Sink, Talk, Waypost, signers, wait_for, zone};

/// A host that records each client's address and EHLO name.
fn witness(lab: &Lab, host: u8) -> (Script, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    let script = Script::start(lab.address(host), MX_PORT, move |stream: TcpStream| {
        let from = stream.peer_addr().unwrap().ip();
        let kept = kept.clone();
        // A client may disconnect.
        let _ = it::converse(stream, 0, &move |_, command| {
            if let Some(name) = command.strip_prefix("EHLO ") {
                kept.lock().unwrap().push(format!("{from} {name}"));
            }
            it::obedient(command)
        });
    });
    (script, seen)
}

#[test]
fn forwards_and_own_mail_use_separate_addresses_and_names() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let (_host, seen) = witness(&lab, 2);
    let (own, forwards) = (lab.address(20), lab.address(21));
    let extra = format!(
        "[forward]\nmode = \"queue\"\nsource = \"{forwards}\"\nehlo_name = \"fwd.example.test\"\n\
         [delivery]\nloopback = true\nsource = \"{own}\"\n"
    );
    let waypost = Waypost::started(&lab, "foo@inbox.test", &extra);
    let password = waypost.account("me@example.test");
    waypost.logged_in("me@example.test", &password).taken("me@example.test", "foo@inbox.test", "Subject: own\r\n\r\n");
    Talk::greeted(waypost.address, MX_PORT).taken("her@foreign.test", "me@example.test", "Subject: forwarded\r\n\r\n");
    waypost.wait_for_empty_queue();
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, [format!("{own} mx.example.test"), format!("{forwards} fwd.example.test")]);
    waypost.assert_no_bugs();
}

#[test]
fn dkim_key_rotation_publishes_checks_and_switches() {
    let lab = Lab::new();
    let waypost = {
        let mut waypost = Waypost::configured(&lab, "");
        waypost.ok(&["domain", "add", "--bare", "example.test"]);
        waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
        let missing = waypost.refused(&["key", "rotate", "example.test"]);
        assert!(missing.contains("waypost key add example.test"), "{missing}");
        let first = waypost.keys("example.test");
        let again = waypost.json(&["key", "add", "example.test"]);
        assert_eq!(again["is_new"], false, "{again}");
        waypost.start();
        waypost.ok(&["key", "rotate", "example.test"]);
        // DNS does not answer yet.
        let early = waypost.refused(&["key", "rotate", "example.test"]);
        assert!(early.contains("r2._domainkey.example.test") && early.contains("--force"), "{early}");
        let records = waypost.records("example.test");
        assert!(records.contains("r1._domainkey") && records.contains("r2._domainkey"), "{records}");
        drop(first);
        (waypost, records)
    };
    let (waypost, records) = waypost;
    let _dns = Dns::start(&lab, &(zone(&lab) + &records));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let password = waypost.account("me@example.test");
    let signed_by = |subject: &str| {
        waypost.logged_in("me@example.test", &password).taken("me@example.test", "foo@inbox.test", &format!("Subject: {subject}\r\n\r\n"));
        let arrived = inbox.wait_for(subject);
        assert_eq!(signers(&lab, &arrived.content), ["example.test"]);
        arrived.text().matches("s=r1;").count()
    };
    assert_eq!(signed_by("before"), 1);
    waypost.ok(&["key", "rotate", "example.test"]);
    assert_eq!(signed_by("after"), 0);
    let states = waypost.json(&["key", "list"]);
    let state = |selector: &str| states.as_array().unwrap().iter().find(|k| k["selector"] == selector).map(|k| k["state"].clone());
    assert_eq!((state("r1"), state("r2")), (Some("retired".into()), Some("active".into())));
    wait_for("an empty queue", || (waypost.queued() == 0).then_some(()));
    waypost.assert_no_bugs();
}
