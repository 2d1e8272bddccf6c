//! Aliases whose targets cannot receive mail: found by commands, doctor and the daily check.

use std::fs;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use it::{Dns, Lab, MX_PORT, Sink, Waypost, wait_within};
use serde_json::Value;

/// gmail.com accepts mail, gmial.com does not exist, null.test has a null MX, bare.test has neither MX nor address.
fn world(lab: &Lab) -> Dns {
    let records = format!("inbox A {}\nnull MX 0 .\nbare TXT \"x\"\n", lab.address(2));
    Dns::with_zone(
        lab,
        &records,
        "com",
        &format!("gmail MX 10 mx.inbox.test.\nhotmial MX 10 mx.inbox.test.\nmx.inbox A {}\n", lab.address(2)),
    )
}

fn warnings(waypost: &Waypost, arguments: &[&str]) -> String {
    let output = waypost.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

const CANNOT: [(&str, &str); 5] = [
    ("foo@gmial.com", "the domain gmial.com does not exist; did you mean gmail.com?"),
    ("foo@gmail", "gmail is not a full domain name; did you mean gmail.com?"),
    ("foo@hotmial.com", "did you mean hotmail.com?"),
    ("foo@null.test", "accepts no mail (null MX)"),
    ("foo@bare.test", "has no mail server and no address"),
];

#[test]
fn an_unreachable_target_is_accepted_with_a_warning() {
    let lab = Lab::new();
    let dns = world(&lab);
    let waypost = Waypost::configured(&lab, "");
    waypost.ok(&["domain", "add", "example.test"]);
    for target in ["foo@gmail.com", "foo@inbox.test", "foo@[192.0.2.1]"] {
        assert_eq!(warnings(&waypost, &["alias", "add", "good@example.test", target, "--replace"]), "", "{target}");
    }
    for (target, said) in CANNOT {
        let reported = warnings(&waypost, &["alias", "add", "me@example.test", target, "--replace"]);
        assert!(reported.contains(said), "{target}: {reported}");
        let tested = waypost.ok(&["alias", "test", "me@example.test"]);
        assert!(tested.contains(said), "{target}: {tested}");
    }
    for wildcard in [["*@example.test", "foo@inbox.test"], ["@example.test", "*@inbox.test"]] {
        let refused = waypost.refused(&["alias", "add", wildcard[0], wildcard[1]]);
        assert!(refused.contains("a user called `*`") && refused.contains("use @"), "{refused}");
    }
    // A DNS timeout is not a result.
    drop(dns);
    assert_eq!(warnings(&waypost, &["alias", "add", "me@example.test", "foo@nowhere.test", "--replace"]), "");
    assert!(waypost.ok(&["alias", "test", "me@example.test"]).contains("cannot look up"));
    // A resolver that says nothing: whoever types the command waits for a moment only. Left alone, the resolver takes more than 4 s.
    let _silent = UdpSocket::bind((lab.address(53), it::DNS_PORT)).unwrap();
    let begin = Instant::now();
    assert!(waypost.ok(&["alias", "test", "me@example.test"]).contains("no answer in time"));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[test]
fn doctor_and_a_notice_list_targets_that_cannot_receive_mail() {
    let lab = Lab::new();
    let _dns = world(&lab);
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let mut waypost = Waypost::configured(&lab, "postmaster = \"owner@inbox.test\"\n[dns]\ncheck_every = 1\n");
    waypost.start_hosting("foo@inbox.test");
    waypost.ok(&["alias", "add", "slip@example.test", "foo@gmial.com"]);
    let letter = inbox.wait_for("mail to gmial.com cannot be delivered");
    assert!(letter.text().contains("foo@gmial.com: the domain gmial.com does not exist; did you mean gmail.com?"), "{}", letter.text());
    waypost.ok(&["alias", "add", "null@example.test", "foo@null.test"]);
    inbox.wait_for("mail to null.test cannot be delivered");
    let letters = || inbox.messages().iter().filter(|message| message.text().contains("gmial.com cannot be delivered")).count();
    assert_eq!(letters(), 1, "once for each");
    let output = waypost.command(&["--json", "doctor", "--time-server", ""]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let red = |about: &str| {
        let found =
            report["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == "aliases" && finding["about"] == about);
        found.is_some_and(|finding| finding["severity"] == "error")
    };
    assert!(red("foo@gmial.com") && red("foo@null.test"), "{report}");
    // A restart repeats no notice.
    waypost.stop();
    let seen = fs::read_to_string(waypost.data.join("targets-seen.json")).unwrap();
    assert!(seen.contains("gmial.com") && seen.contains("null.test"), "{seen}");
    waypost.start();
    wait_within(std::time::Duration::from_secs(20), "another look", || {
        (waypost.log().matches("alias targets checked").count() > 4).then_some(())
    });
    assert_eq!(letters(), 1);
    waypost.assert_no_bugs();
}
