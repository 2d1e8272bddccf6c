//! A virtual file with invalid lines, and right-hand sides as written for Postfix.

use std::collections::BTreeSet;
use std::fs;

use it::{Lab, MX_PORT, Postfix, Sink, Talk, Waypost, postmap, wait_for};

/// Valid lines between invalid ones.
const BAD: &str = "file.test anything\none@file.test foo@inbox.test\nno-value@file.test\nbare@file.test root\n\
    partly@file.test foo@inbox.test, |/bin/sh\ntwo@file.test foo@inbox.test\n";

fn recipients_are_answered(waypost: &Waypost) {
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    for (user, reply) in [("one", "250"), ("two", "250"), ("partly", "250"), ("no-value", "550 5.1.1"), ("bare", "451 4.3.5")] {
        talk.expect(&format!("RCPT TO:<{user}@file.test>"), reply);
    }
}

#[test]
fn valid_lines_apply_and_invalid_ones_are_reported() {
    let lab = Lab::new();
    lab.write("virtual", BAD);
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let _dns = it::Dns::start(&lab, &format!("inbox A {}\n", lab.address(2)));
    let mut waypost = Waypost::configured(&lab, "virtual_file = \"virtual\"\npostmaster = \"owner@inbox.test\"\n");
    waypost.start_hosting("foo@inbox.test");
    recipients_are_answered(&waypost);
    for line in [3, 4, 5] {
        waypost.wait_for_log(&format!("virtual:{line}: "));
    }
    let letter = inbox.wait_for("3 lines of the virtual file virtual are not in force");
    for line in [3, 4, 5] {
        assert!(letter.text().contains(&format!("virtual:{line}: ")), "{}", letter.text());
    }
    let checked = waypost.command(&["config", "check"]);
    assert!(!checked.status.success());
    let checked = String::from_utf8(checked.stdout).unwrap();
    for line in [3, 4, 5] {
        assert!(checked.contains(&format!("virtual:{line}:")), "{checked}");
    }
    let listed = waypost.command(&["alias", "list"]);
    let named = String::from_utf8(listed.stderr).unwrap();
    assert!(listed.status.success() && [3, 4, 5].iter().all(|line| named.contains(&format!("virtual:{line}: "))), "{named}");
    // The remedy for a bare name, which needs no restart.
    waypost.configure(|config| config.set("virtual_origin", "inbox.test"));
    waypost.ok(&["reload"]);
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<bare@file.test>", "250");
    fs::write(
        lab.path().join("virtual"),
        BAD.replace("no-value@file.test\n", "no-value@file.test foo@inbox.test\n").replace(", |/bin/sh", ""),
    )
    .unwrap();
    talk.expect("RCPT TO:<no-value@file.test>", "250");
    assert!(waypost.command(&["config", "check"]).status.success());
    waypost.assert_no_bugs();
}

#[test]
fn a_missing_virtual_file_defers_unknown_recipients() {
    let lab = Lab::new();
    let waypost = Waypost::started(&lab, "foo@inbox.test", "virtual_file = \"virtual\"\n");
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<me@example.test>", "250");
    talk.expect("RCPT TO:<unknown@example.test>", "451 4.3.5");
    talk.expect("RCPT TO:<one@file.test>", "451 4.3.5");
    let checked = waypost.command(&["config", "check"]);
    assert!(!checked.status.success() && String::from_utf8(checked.stdout).unwrap().contains("virtual: the file cannot be read"));
    lab.write("virtual", "file.test anything\none@file.test foo@inbox.test\n");
    talk.expect("RCPT TO:<one@file.test>", "250");
    talk.expect("RCPT TO:<unknown@example.test>", "550 5.1.1");
    talk.expect("RCPT TO:<one@foreign.test>", "550 5.7.1");
    waypost.assert_no_bugs();
}

/// Right-hand sides that Postfix delivers, and that we never write.
const ODD: &str = "x.test anything\n\
    n1@x.test \"Joe Doe\" <nm1@c.test>\nn2@x.test nm2@c.test (comment)\nn3@x.test a3@c.test; b3@c.test\n\
    n4@x.test group: a4@c.test, b4@c.test;\nn5@x.test bare5\nn6@x.test u6%c.test\nn7@x.test c.test!u7\n\
    n8@x.test <@r.test:nm8@c.test>\nn9@x.test a9@c.test (x, y@z.test) b9@c.test\nn10@x.test two words@c.test\n\
    n11@x.test Joe Q. Doe <nm11@c.test>, \"b 11\"@c.test\nn12@x.test nm12@c.test <x12@c.test>\nn13@x.test a13 @ c.test\n\
    n14@x.test undisclosed: ;, b14@c.test\nn15@x.test \\a15@c.test a\\,b15@c.test\nn16@x.test a16@c.test. <b16@c.test> <c16@c.test>\n\
    n17@x.test a..b17@c.test\nn18+tag@x.test z18@c.test\nn18@x.test n18+tag@x.test, <y18@c.test>\n";

#[test]
fn right_sides_resolve_as_in_postfix() {
    let lab = Lab::new();
    let table = lab.write("virtual", ODD);
    let waypost = Waypost::configured(&lab, "virtual_file = \"virtual\"\nvirtual_origin = \"origin.test\"\n");
    let sink = Sink::start(lab.address(2), MX_PORT);
    let map = format!("texthash:{}", table.display());
    let main = format!(
        "myorigin = origin.test\nrecipient_delimiter = +\nvirtual_alias_maps = {map}\nvirtual_alias_domains = {map}\n\
         default_transport = smtp:[{}]:{MX_PORT}\nappend_dot_mydomain = no\n",
        lab.address(2)
    );
    let postfix = Postfix::start(&lab, 3, "relay.test", &[], &main, "");
    fs::set_permissions(&table, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let mut talk = Talk::greeted(postfix.address, MX_PORT);
    for number in 1..=18 {
        let recipient = format!("n{number}@x.test");
        assert!(postmap(&postfix.config, &table, &recipient).is_some(), "{recipient}");
        let test = waypost.json(&["alias", "test", &recipient]);
        let ours: BTreeSet<String> = test["targets"].as_array().unwrap().iter().map(|target| target.as_str().unwrap().into()).collect();
        let content = format!("From: her@foreign.test\r\nSubject: number {number}.\r\n\r\n\r\n");
        let reply = talk.message("her@foreign.test", &recipient, &content);
        assert!(reply.starts_with("250"), "{recipient}: {reply}");
        let delivered = || {
            let mine = sink.messages().into_iter().filter(|m| m.text().contains(&format!("Subject: number {number}.\r\n")));
            mine.flat_map(|m| m.to).map(|to| to.trim_matches(['<', '>']).to_owned()).collect::<BTreeSet<String>>()
        };
        wait_for(&format!("mail to {recipient} at {ours:?}"), || (delivered().len() >= ours.len()).then_some(()));
        assert_eq!(delivered(), ours, "{recipient}");
    }
}
