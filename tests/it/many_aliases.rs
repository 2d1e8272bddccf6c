//! Thousands of aliases: the list is complete, and a change affects only its alias.

use it::{Dns, Lab, MX_PORT, Sink, Talk, Waypost, zone};

const COUNT: usize = 3_000;

#[test]
fn a_long_alias_list_is_complete_and_current() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let text: String = (0..COUNT).map(|n| format!("a{n}@example.test b{n}@inbox.test\n")).collect();
    let file = lab.write("list", &text);
    waypost.ok(&["alias", "import", "virtual", &file.display().to_string()]);
    let listed = || {
        let list = waypost.json(&["alias", "list"]);
        let all = list.as_array().unwrap().iter().map(|alias| alias["source"].as_str().unwrap().to_owned());
        all.collect::<Vec<_>>()
    };
    let all = listed();
    assert_eq!(all.len(), COUNT + 1);
    assert!(all.is_sorted(), "in order");
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<new@example.test>", "550 5.1.1");
    waypost.ok(&["alias", "add", "new@example.test", "a7@example.test"]);
    talk.expect("RCPT TO:<new@example.test>", "250");
    waypost.ok(&["alias", "disable", "a7@example.test"]);
    talk.expect("RCPT TO:<a7@example.test>", "550 5.2.1");
    waypost.ok(&["alias", "enable", "a7@example.test"]);
    waypost.ok(&["alias", "remove", "a8@example.test"]);
    talk.expect("RCPT TO:<a8@example.test>", "550 5.1.1");
    // A change of an account does not change aliases.
    waypost.account("me@example.test");
    assert_eq!(listed().len(), COUNT + 1);
    talk.expect("DATA", "354");
    talk.send(b"From: her@foreign.test\r\nSubject: to the new one\r\n\r\n");
    talk.expect(".", "250");
    assert_eq!(inbox.wait_for("Subject: to the new one").to, ["<b7@inbox.test>"]);
    waypost.assert_no_bugs();
}
