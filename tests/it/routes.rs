//! Routes: local mailboxes, fallback and pinned smarthosts, IPv6.

use std::time::Duration;

use it::{
    Dns, Lab, LabAuthority, LabIpv6, MX_PORT, OutboundScene, SUBMISSION_PORT, Sink, Talk, Waypost, content, python, tlsa_digest, txt,
    wait_within, zone,
};

/// Prints each message of a Maildir, read by Python.
const READ: &str = "
import mailbox, sys
for key, m in mailbox.Maildir(sys.argv[1], create=False).items():
    print('KEY', key); print(m.as_bytes().decode())
";

#[test]
fn a_maildir_route_delivers_locally() {
    let lab = Lab::new();
    let place = lab.path().join("boxes");
    let _dns = Dns::start(&lab, &zone(&lab));
    let elsewhere = Sink::start(lab.address(2), MX_PORT);
    let route = format!("[[route]]\ndomains = [\"local.test\"]\nmaildir = \"{}/{{domain}}/{{user}}/Maildir\"\n", place.display());
    let mut waypost = Waypost::started(&lab, "Foo@local.test", &format!("[retry]\nwaits_s = [1]\n{route}"));
    waypost.ok(&["alias", "add", "both@example.test", "bar@local.test", "bar@inbox.test"]);
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    let large = "a line of sixty octets, which is here again and again and \r\n".repeat(8000);
    let letter = |subject: &str, body: &str| format!("From: her@foreign.test\r\nSubject: {subject}\r\n\r\n{body}\r\n");
    talk.taken("her@foreign.test", "me@example.test", &letter("one", "grüße\r\n..dots"));
    talk.taken("her@foreign.test", "me@example.test", &letter("two", &large));
    talk.taken("her@foreign.test", "both@example.test", &letter("three", "x"));
    waypost.wait_for_empty_queue();
    let foo = python(&["-c", READ, &place.join("local.test/foo/Maildir").display().to_string()], "");
    assert_eq!(foo.matches("\nReturn-Path: <").count() + usize::from(foo.starts_with("Return-Path: <")), 2, "{foo:.2000}");
    assert!(foo.contains("Delivered-To: Foo@local.test\n") && foo.contains("\n\ngrüße\n.dots\n"), "{foo:.2000}");
    assert_eq!(foo.matches("a line of sixty octets").count(), 8000);
    assert!(!foo.contains('\r'));
    let bar = python(&["-c", READ, &place.join("local.test/bar/Maildir").display().to_string()], "");
    assert!(bar.contains("Subject: three\n") && bar.matches("KEY ").count() == 1, "{bar}");
    elsewhere.wait_for("Subject: three");
    // An unwritable Maildir: mail is deferred with the reason, and tmp stays empty.
    std::fs::create_dir_all(place.join("local.test/odd")).unwrap();
    std::fs::write(place.join("local.test/odd/Maildir"), "a file").unwrap();
    waypost.ok(&["alias", "add", "odd@example.test", "odd@local.test"]);
    talk.taken("her@foreign.test", "odd@example.test", &letter("four", "x"));
    let reason = waypost.wait_for_reason("cannot write");
    assert!(reason.contains("local.test/odd/Maildir"), "{reason}");
    waypost.stop();
    std::fs::remove_file(place.join("local.test/odd/Maildir")).unwrap();
    waypost.start();
    waypost.wait_for_empty_queue();
    let odd = place.join("local.test/odd/Maildir");
    assert_eq!(std::fs::read_dir(odd.join("new")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(odd.join("tmp")).unwrap().count(), 0);
    waypost.assert_no_bugs();
}

#[test]
fn unreachable_hosts_fall_back_to_the_fallback_route() {
    let lab = Lab::new();
    let records = format!(
        "dead MX 10 mx.dead\nmx.dead A {0}\nlive MX 10 mx.live\nmx.live A {1}\nsmart A {2}\n",
        lab.address(13),
        lab.address(11),
        lab.address(12)
    );
    let route = format!("[[route]]\nwhen = \"unreachable\"\nhost = \"smart.test\"\nport = {MX_PORT}\ntls = \"none\"\nverify = false\n");
    let far = OutboundScene::in_lab(lab, &records, &route);
    let live = Sink::start(far.lab.address(11), MX_PORT);
    far.send("you@dead.test", "not yet.");
    let line = far.fate("deferred", "you@dead.test");
    assert!(line.contains("cannot connect to smart.test"), "{line}");
    let smart = Sink::start(far.lab.address(12), MX_PORT);
    far.waypost.ok(&["queue", "retry", "--all"]);
    smart.wait_for("not yet.");
    for n in 0..3 {
        far.send("you@dead.test", &format!("by the way round {n}."));
        smart.wait_for(&format!("by the way round {n}."));
        far.send("you@live.test", &format!("straight {n}."));
        live.wait_for(&format!("straight {n}."));
    }
    assert_eq!((smart.messages().len(), live.messages().len()), (4, 3));
    // A host that refuses is not bypassed.
    let no = Sink::deciding(far.lab.address(13), MX_PORT, |_| Some(mail::Reply::new(550, (5, 1, 1), "nobody here")));
    far.waypost.ok(&["queue", "retry", "--all"]);
    wait_within(Duration::from_secs(30), "the host to be asked again", || {
        far.send("you@dead.test", "asked.");
        (no.connections() > 0).then_some(())
    });
    far.fate("failed", "you@dead.test");
    far.waypost.wait_for_empty_queue();
    far.waypost.assert_no_bugs();
}

#[test]
fn a_smarthost_is_verified_by_its_pinned_key() {
    for (is_right, name) in [(true, "another.test"), (false, "smart.test")] {
        let lab = Lab::new();
        let issued = LabAuthority::new(&lab).issue(&[name]);
        let pin = if is_right { tlsa_digest(&issued, 0, 1) } else { "ab".repeat(32) };
        let records = format!("smart A {}\n", lab.address(11));
        let route = format!(
            "[[route]]\ndomains = [\"far.test\"]\nhost = \"smart.test\"\nport = {MX_PORT}\ntls = \"required\"\npin = [\"{pin}\"]\n"
        );
        // The lab's authority is not trusted: only the pinned key counts, for any name.
        let smart = Sink::with_tls(lab.address(11), MX_PORT, &issued);
        let far = OutboundScene::in_lab(lab, &records, &route);
        far.send("you@far.test", "pinned.");
        if is_right {
            assert!(smart.wait_for("pinned.").tls);
            assert!(far.fate("delivered", "you@far.test").contains("verified=\"pin\""), "{}", far.waypost.log());
        } else {
            let line = far.fate("deferred", "you@far.test");
            assert!(line.contains("trouble=4.7.5 ") && line.contains("does not match its pin"), "{line}");
            assert!(smart.messages().is_empty());
        }
        far.waypost.assert_no_bugs();
    }
}

/// Another Waypost as the smarthost, which accepts only From fields of the account.
#[test]
fn route_check_finds_a_smarthost_that_refuses_foreign_from() {
    let there = OutboundScene::new(&[("far", 11)], "");
    let inbox = Sink::start(there.lab.address(11), MX_PORT);
    let password = there.waypost.account("relay@example.test");
    let lab = Lab::new();
    let secret = lab.write("password", &format!("{password}\n"));
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let _dns = Dns::start(&lab, &format!("mx.example A {}\n", there.waypost.address));
    let waypost = Waypost::configured(
        &lab,
        &format!(
            "postmaster = \"boss@far.test\"\n[forward]\ndomain = \"fwd.mine.test\"\n[tls]\nextra_authorities = \"{}\"\n\
             [[route]]\nhost = \"mx.example.test\"\nport = {SUBMISSION_PORT}\nuser = \"relay@example.test\"\npassword_file = \"password\"\n",
            there.waypost.certificate().display()
        ),
    );
    waypost.ok(&["domain", "add", "--bare", "mine.test"]);
    let steps = |arguments: &[&str]| -> Vec<(String, bool, String)> {
        let output = waypost.command(arguments);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        let steps = said["smarthosts"][0]["steps"].as_array().unwrap_or_else(|| panic!("{said:#}"));
        let text = |step: &serde_json::Value, name: &str| step[name].as_str().unwrap_or_default().to_owned();
        steps.iter().map(|step| (text(step, "what"), step["ok"] == true, text(step, "found") + &text(step, "fix"))).collect()
    };
    let failed = |steps: &[(String, bool, String)]| -> Vec<String> { steps.iter().filter(|s| !s.1).map(|s| s.0.clone()).collect() };
    // The account may send only as itself, so the smarthost refuses both return addresses.
    let found = steps(&["--json", "route", "check"]);
    assert_eq!(failed(&found), ["own mail", "forwards"], "{found:#?}");
    assert!(found[1].2.contains("name and authority verified, pin "), "{found:#?}");
    assert!(found[3].2.contains("register mine.test as a sender"), "{found:#?}");
    // Now it accepts the domains, but not the From field of a forward.
    there.waypost.ok(&["account", "senders", "relay@example.test", "@mine.test", "@fwd.mine.test"]);
    assert_eq!(failed(&steps(&["--json", "route", "check"])), Vec::<String>::new());
    let found = steps(&["--json", "route", "check", "--send"]);
    assert_eq!(failed(&found), ["foreign From"], "{found:#?}");
    assert!(found.last().unwrap().2.contains("forwards need another route"), "{found:#?}");
    assert!(inbox.messages().is_empty());
    // A smarthost that accepts any From field; setup tries it too.
    there.waypost.ok(&["account", "senders", "relay@example.test", "*"]);
    let found = steps(&["--json", "setup", "mine.test", "--forward", "me=foo@far.test"]);
    assert_eq!(failed(&found), Vec::<String>::new(), "{found:#?}");
    assert!(
        inbox
            .wait_for("does the smarthost accept a foreign From?")
            .text()
            .contains("From: Test of Waypost <foreign-from-trial@example.net>")
    );
    steps(&["--json", "setup", "mine.test", "--forward", "me=foo@far.test", "--no-trial"]);
    std::fs::write(&secret, "wrong\n").unwrap();
    let found = steps(&["--json", "route", "check"]);
    assert_eq!(failed(&found), ["login"]);
    assert!(found.iter().all(|step| !step.2.contains("wrong")), "no secret is shown: {found:#?}");
    assert_eq!(inbox.messages().len(), 1);
    there.waypost.assert_no_bugs();
}

#[test]
fn ipv6_needs_reverse_dns_and_spf() {
    // The last one is complete.
    for damage in ["no name", "no spf", "another name", ""] {
        let lab = Lab::new();
        let (ours, theirs) = (LabIpv6::new(&lab, 1), LabIpv6::new(&lab, 11));
        let (zone_name, place) = ours.reverse();
        let name = if damage == "another name" { "other.example.test." } else { "mx.example.test." };
        let reverse = if damage == "no name" { String::new() } else { format!("{place} PTR {name}\n") };
        let spf = if damage == "no spf" { "v=spf1 ip4:127.0.0.0/8 -all".into() } else { format!("v=spf1 ip6:{} -all", ours.address) };
        let records = format!(
            "{}{}mx.example AAAA {us}\nother.example AAAA {them}\nfar MX 10 mx.far\nmx.far A {}\nmx.far AAAA {them}\nsix MX 10 mx.six\nmx.six AAAA {them}\n",
            zone(&lab),
            txt("example", &spf),
            lab.address(11),
            us = ours.address,
            them = theirs.address
        );
        let _dns = Dns::with_zone(&lab, &records, &zone_name, &reverse);
        let (by_v4, by_v6) = (Sink::start(lab.address(11), MX_PORT), Sink::start(theirs.address, MX_PORT));
        let delivery = format!("[delivery]\nloopback = true\nipv6 = true\nsource = \"{}\"\n", ours.address);
        let waypost = Waypost::started(&lab, "foo@inbox.test", &delivery);
        let password = waypost.account("me@example.test");
        let mut talk = waypost.logged_in("me@example.test", &password);
        talk.taken("me@example.test", "you@far.test", &content("which way?"));
        let (right, wrong) = if damage.is_empty() { (&by_v6, &by_v4) } else { (&by_v4, &by_v6) };
        right.wait_for("which way?");
        assert_eq!(wrong.connections(), 0, "{damage}: {}", waypost.log());
        // A host without other addresses is tried anyway.
        talk.taken("me@example.test", "you@six.test", &content("the only way."));
        by_v6.wait_for("the only way.");
        waypost.assert_no_bugs();
    }
}

#[test]
fn route_check_tries_opportunistic_tls() {
    let lab = Lab::new();
    let issued = LabAuthority::new(&lab).issue(&["with.test"]);
    let _dns = Dns::start(&lab, &format!("with A {}\nwithout A {}\n", lab.address(11), lab.address(12)));
    let (_with, _without) = (Sink::with_tls(lab.address(11), MX_PORT, &issued), Sink::start(lab.address(12), MX_PORT));
    let route = |host: &str| format!("[[route]]\nhost = \"{host}\"\nport = {MX_PORT}\ntls = \"opportunistic\"\nverify = false\n");
    let routes = format!("postmaster = \"boss@with.test\"\n{}{}", route("with.test"), route("without.test"));
    let waypost = Waypost::configured(&lab, &routes);
    let shown = waypost.ok(&["route", "check"]);
    assert!(shown.contains("not verified (verify = false), pin "), "{shown}");
    assert!(shown.contains("not offered: mail is sent unencrypted, as tls = \"opportunistic\" allows"), "{shown}");
}
