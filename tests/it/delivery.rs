//! Delivery: choice of hosts, connection limits, isolation of misbehaving hosts. RFC 5321 s.5.

use std::io::{Read, Write};
use std::sync::Mutex;
use std::time::Duration;

use it::{Dns, Lab, MX_PORT, OutboundScene, SUBMISSION_PORT, Script, Sink, Talk, Waypost, content, obedient, wait_for, wait_within, zone};
use mail::Reply;

#[test]
fn mx_hosts_are_tried_in_order_of_preference() {
    let lab = Lab::new();
    let mut records: String =
        [("a", 11), ("b", 12), ("down", 13), ("busy", 14), ("rude", 15)].map(|(host, n)| format!("{host} A {}\n", lab.address(n))).concat();
    records += "preferred MX 20 b\npreferred MX 10 a\nfirst-down MX 10 down\nfirst-down MX 20 a\nfirst-busy MX 10 busy\nfirst-busy MX 20 a\n\
                first-rude MX 10 rude\nfirst-rude MX 20 a\naliased CNAME preferred\nto-alias MX 10 host-alias\nhost-alias CNAME a\n";
    let far = OutboundScene::in_lab(lab, &records, "");
    let (a, b) = (Sink::start(far.lab.address(11), MX_PORT), Sink::start(far.lab.address(12), MX_PORT));
    let _busy = Script::answering(far.lab.address(14), MX_PORT, |_, _| Some("421 4.3.2 busy\r\n".into()));
    let _rude = Script::answering(far.lab.address(15), MX_PORT, |_, _| Some("554 5.7.1 go away\r\n".into()));
    // The last one has no MX: its own address is its host.
    for domain in ["preferred", "first-down", "first-busy", "first-rude", "aliased", "to-alias", "a"] {
        far.send(&format!("x@{domain}.test"), &format!("to {domain}."));
        a.wait_for(&format!("to {domain}."));
    }
    assert_eq!(b.connections(), 0);
    far.waypost.wait_for_empty_queue();
    far.waypost.assert_no_bugs();
}

#[test]
fn a_nonexistent_domain_fails() {
    let far = OutboundScene::new(&[], "");
    far.send("a@nowhere.test", "to nobody");
    let line = far.fate("failed", "a@nowhere.test");
    assert!(line.contains("trouble=5.1.2 "), "{line}");
    assert!(far.inbox.wait_for("Final-Recipient: rfc822; a@nowhere.test").text().contains("Status: 5.1.2\r\n"));
}

#[test]
fn threat_65_dns_that_answers_with_an_error_defers() {
    let far = OutboundScene::new(&[], "");
    for to in ["a@servfail.broken", "a@refused.elsewhere"] {
        far.send(to, "not lost");
        let line = far.fate("deferred", to);
        assert!(line.contains("trouble=4.4.3 "), "{line}");
    }
    assert_eq!(far.waypost.queued(), 2);
    far.waypost.assert_no_bugs();
}

#[test]
fn threat_65_dns_that_does_not_answer_defers() {
    let lab = Lab::new();
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let password = waypost.account("me@example.test");
    // Mail of accounts needs no DNS for SPF.
    let mut talk = waypost.logged_in("me@example.test", &password);
    talk.taken("me@example.test", "foo@inbox.test", "Subject: waits\r\n\r\n");
    let line = waypost.wait_for_line(&["deferred", "to=foo@inbox.test"]);
    assert!(line.contains("trouble=4.4.3 "), "{line}");
    assert_eq!(waypost.queued(), 1);
    // Mail of other senders does, and is deferred without an answer.
    let mut stranger = it::Talk::greeted(waypost.address, MX_PORT);
    let reply = stranger.message("her@foreign.test", "me@example.test", "Subject: waits\r\n\r\n");
    assert!(reply.starts_with("451 4.4.3 "), "{reply}");
    waypost.assert_no_bugs();
}

#[test]
fn domains_with_a_shared_first_mx_keep_their_own_second() {
    let lab = Lab::new();
    let mut records: String =
        [("down", 13), ("one-b", 11), ("two-b", 12)].map(|(host, n)| format!("{host} A {}\n", lab.address(n))).concat();
    records += "one MX 10 down\none MX 20 one-b\ntwo MX 10 down\ntwo MX 20 two-b\n";
    let far = OutboundScene::in_lab(lab, &records, "");
    let (one, two) = (Sink::start(far.lab.address(11), MX_PORT), Sink::start(far.lab.address(12), MX_PORT));
    far.send("a@one.test", "for one");
    one.wait_for("for one");
    far.send("a@two.test", "for two");
    two.wait_for("for two");
    assert_eq!(one.messages().len(), 1);
    far.waypost.assert_no_bugs();
}

#[test]
fn connections_are_reused_within_the_limit_per_host() {
    let lab = Lab::new();
    // Two domains whose MX lists share one host.
    let records = format!("mx.far A {}\nfar MX 10 mx.far\nnear MX 10 mx.far\nnear MX 20 mx.gone\n", lab.address(11));
    let far = OutboundScene::in_lab(lab, &records, "[delivery]\nloopback = true\nconnections_per_host = 3\nidle_timeout_s = 60\n");
    let host = Script::answering(far.lab.address(11), MX_PORT, |_, command| {
        if command == "." {
            std::thread::sleep(Duration::from_millis(10));
        }
        obedient(command)
    });
    let mut talk = far.session();
    let mut send = |count: usize, domains: &[&str]| {
        for n in 0..count {
            let to = format!("u{n}@{}.test", domains[n % domains.len()]);
            talk.taken("me@example.test", &to, &content("one of many"));
        }
        far.waypost.wait_for_empty_queue();
    };
    send(40, &["far"]);
    let alone = host.connections();
    assert!(alone <= 6, "{alone} connections for 40 messages");
    // Two domains compete for the same three connections, so the number of new ones varies.
    send(40, &["far", "near"]);
    assert!(host.most_at_once() <= 3, "{} at once", host.most_at_once());
    assert!(host.connections() < alone + 40, "{} connections for 40 messages more", host.connections() - alone);
    far.waypost.assert_no_bugs();
}

#[test]
fn an_unresponsive_address_falls_back_to_the_next() {
    let lab = Lab::new();
    let dead: String = (201..204).map(|n| format!("two A {}\n", lab.address(n))).collect();
    let records = format!("{dead}two A {}\nsix AAAA ::1\nsix A {}\n", lab.address(11), lab.address(11));
    let far = OutboundScene::in_lab(lab, &records, "[delivery]\nloopback = true\nipv6 = true\n");
    let host = Sink::start(far.lab.address(11), MX_PORT);
    far.send("a@two.test", "past three dead addresses");
    host.wait_for("past three dead addresses");
    far.send("a@six.test", "past a dead IPv6 address");
    host.wait_for("past a dead IPv6 address");
    far.waypost.wait_for_empty_queue();
    far.waypost.assert_no_bugs();
}

#[test]
fn recipients_in_one_transaction_have_separate_results() {
    let far = OutboundScene::new(&[("far", 11)], "");
    let host = Sink::deciding(far.lab.address(11), MX_PORT, |to| (to == "<b@far.test>").then(|| Reply::new(550, (5, 1, 1), "no b here")));
    let mut talk = far.session();
    talk.expect("MAIL FROM:<me@example.test>", "250");
    for to in ["a", "b", "c"] {
        talk.expect(&format!("RCPT TO:<{to}@far.test>"), "250");
    }
    talk.expect("DATA", "354");
    talk.send(content("for three").as_bytes());
    talk.expect(".", "250");
    assert_eq!(host.wait_for("for three").to, ["<a@far.test>", "<c@far.test>"]);
    let report = far.inbox.wait_for("Final-Recipient: rfc822; b@far.test").text();
    assert_eq!(report.matches("Final-Recipient:").count(), 1, "{report}");
    assert!(report.contains("no b here") && report.contains("Status: 5.1.1\r\n"), "{report}");
    far.waypost.wait_for_empty_queue();
    assert_eq!((host.messages().len(), far.inbox.messages().len()), (1, 1));
}

#[test]
fn a_tarpit_delays_no_other_domain() {
    let far = OutboundScene::new(&[("tar", 11)], "");
    let held = Mutex::new(Vec::new());
    let tarpit = Script::start(far.lab.address(11), MX_PORT, move |stream| held.lock().unwrap().push(stream));
    let mut talk = far.session();
    for n in 0..60 {
        talk.taken("me@example.test", &format!("u{n}@tar.test"), &content("stuck"));
    }
    wait_for("the tarpit to hold us", || (tarpit.connections() >= 4).then_some(()));
    far.send("foo@inbox.test", "not stuck");
    far.inbox.wait_for("not stuck");
    assert_eq!(tarpit.connections(), 4, "a host that has taken nothing yet gets few connections");
    // The inbox shows a message a moment before it answers.
    wait_for("only the stuck messages to be left", || (far.waypost.queued() == 60).then_some(()));
    far.waypost.assert_no_bugs();
}

#[test]
fn failed_opportunistic_tls_falls_back_to_plaintext() {
    let far = OutboundScene::new(&[("broken", 11)], "");
    let _host = Script::start(far.lab.address(11), MX_PORT, |mut stream| {
        let mut bytes = [0; 4096];
        let mut read =
            move |stream: &mut std::net::TcpStream| stream.read(&mut bytes).map(|n| String::from_utf8_lossy(&bytes[..n]).into_owned());
        let _ = stream.write_all(b"220 host\r\n");
        while let Ok(said) = read(&mut stream) {
            let reply = match said.get(..4).unwrap_or_default() {
                "EHLO" => "250-host\r\n250 STARTTLS\r\n",
                "STAR" => "220 go\r\n",
                "DATA" => "354 go\r\n",
                "MAIL" | "RCPT" => "250 ok\r\n",
                _ if said.ends_with("\r\n.\r\n") => "250 ok\r\n",
                "" => return,
                // A ClientHello, which this host does not understand.
                _ if !said.is_ascii() => "500 what\r\n",
                _ => continue,
            };
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    far.send("a@broken.test", "in the clear");
    let line = far.fate("delivered", "a@broken.test");
    assert!(!line.contains("tls="), "{line}");
    far.waypost.assert_no_bugs();
    wait_for("the history to say why", || {
        let told = far.waypost.ok(&["trace", "a@broken.test"]);
        told.contains("not encrypted: TLS failed").then_some(())
    });
}

#[test]
fn a_closed_idle_connection_is_replaced_at_once() {
    for last_words in [None, Some("421 4.4.2 idle for too long\r\n".to_owned())] {
        let far = OutboundScene::new(&[("far", 11)], "[delivery]\nloopback = true\nidle_timeout_s = 60\n");
        let mails = Mutex::new(vec![0; 10]);
        let host = Script::answering(far.lab.address(11), MX_PORT, move |connection, command| {
            if command.starts_with("MAIL") {
                let mut mails = mails.lock().unwrap();
                mails[connection] += 1;
                if connection == 0 && mails[connection] == 2 {
                    return last_words.clone();
                }
            }
            obedient(command)
        });
        for to in ["a@far.test", "b@far.test"] {
            far.send(to, "twice in a row");
            far.fate("delivered", to);
        }
        assert_eq!(host.connections(), 2);
        assert!(!far.waypost.log().contains("deferred"), "{}", far.waypost.log());
        far.waypost.assert_no_bugs();
    }
}

#[test]
fn a_route_without_tls() {
    let lab = Lab::new();
    let records = format!("smart A {}\n", lab.address(11));
    let far = OutboundScene::in_lab(
        lab,
        &records,
        &format!("[[route]]\ndomains = [\"far.test\"]\nhost = \"smart.test\"\nport = {MX_PORT}\ntls = \"none\"\n"),
    );
    let host = Sink::start(far.lab.address(11), MX_PORT);
    far.send("a@far.test", "by the smarthost");
    assert_eq!(host.wait_for("by the smarthost").to, ["<a@far.test>"]);
    far.send("foo@inbox.test", "by its MX");
    far.inbox.wait_for("by its MX");
    assert_eq!(host.messages().len(), 1);
}

/// Another Waypost as the smarthost, with an account for ours. Its certificate names mx.example.test.
#[test]
fn a_smarthost_needs_a_trusted_certificate() {
    let there = OutboundScene::new(&[("far", 11)], "");
    let host = Sink::start(there.lab.address(11), MX_PORT);
    let password = there.waypost.account("relay@example.test");
    there.waypost.ok(&["account", "senders", "relay@example.test", "*"]);
    for trusted in [false, true] {
        let lab = Lab::new();
        let secret = lab.write("password", &format!("{password}\n"));
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let authorities =
            if trusted { format!("[tls]\nextra_authorities = \"{}\"\n", there.waypost.certificate().display()) } else { String::new() };
        let records = format!("smart A {0}\nmx.example A {0}\n", there.waypost.address);
        let route = format!(
            "[[route]]\nhost = \"mx.example.test\"\nport = {SUBMISSION_PORT}\ntls = \"required\"\nuser = \"relay@example.test\"\npassword_file = \"password\"\n"
        );
        let dns = it::Dns::start(&lab, &records);
        let waypost = Waypost::started(&lab, "a@far.test", &format!("{authorities}{route}"));
        let account = waypost.account("me@example.test");
        let subject = format!("trusted {trusted}");
        waypost.logged_in("me@example.test", &account).taken("me@example.test", "b@far.test", &content(&subject));
        if trusted {
            let delivered = host.wait_for(&subject);
            assert!(delivered.text().contains("with ESMTPSA"), "{}", delivered.text());
        } else {
            let line = waypost.wait_for_line(&["deferred", "to=b@far.test"]);
            assert!(line.contains("trouble=4.7.5 "), "{line}");
        }
        assert!(!waypost.log().contains(&password), "no secret in the log");
        waypost.assert_no_bugs();
        drop(dns);
    }
    assert_eq!(host.messages().len(), 1);
}

#[test]
fn each_message_expires_after_its_own_lifetime() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let waypost = Waypost::started(&lab, "foo@inbox.broken", "[retry]\nwaits_s = [1]\nlifetime = 2\n");
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    for _ in 0..20 {
        talk.expect("MAIL FROM:<her@foreign.test>", "250");
        talk.expect("RCPT TO:<me@example.test> NOTIFY=NEVER", "250");
        talk.expect("DATA", "354");
        talk.send(b"From: her@foreign.test\r\n\r\n");
        talk.expect(".", "250");
        // Each expires at a time of its own, and only that wakes the queue.
        std::thread::sleep(Duration::from_millis(60));
    }
    wait_within(Duration::from_secs(10), "all to be given up", || (waypost.queued() == 0).then_some(()));
    waypost.assert_no_bugs();
}
