//! Hostile next hops. Numbers and codes are those of the list of hostile inputs.

use std::io::Write;

use it::{Lab, MX_PORT, OutboundScene, Script, Sink, content, obedient};

#[test]
fn threat_45_replies_without_end_or_sense() {
    let far = OutboundScene::new(&[("endless", 11), ("huge", 12), ("odd", 13)], "");
    let address = |host| far.lab.address(host);
    let pour = |piece: &'static [u8]| {
        move |mut stream: std::net::TcpStream| {
            let _ = stream.write_all(b"220 hello\r\n");
            // 1 GB, or until the client disconnects.
            for _ in 0..(1 << 30) / piece.len() {
                if stream.write_all(piece).is_err() {
                    return;
                }
            }
        }
    };
    let _endless = Script::start(address(11), MX_PORT, pour(b"250-and so on\r\n"));
    let _huge = Script::start(address(12), MX_PORT, pour(&[b'2'; 65_536]));
    let _odd = Script::answering(address(13), MX_PORT, |_, _| Some("999 what\r\n".into()));
    // Password hashing takes memory too, so it happens before the measurement.
    let mut talk = far.session();
    let before_kib = far.waypost.resident_kib();
    for domain in ["endless", "huge", "odd"] {
        let to = format!("a@{domain}.test");
        talk.taken("me@example.test", &to, &content("into the void"));
        let line = far.fate("deferred", &to);
        assert!(line.contains("trouble=4.5.0 "), "{line}");
    }
    let grown_kib = far.waypost.resident_kib() - before_kib;
    assert!(grown_kib < 24 * 1024, "grew by {grown_kib} KiB");
    far.waypost.assert_no_bugs();
}

#[test]
fn threat_46_plaintext_behind_the_starttls_reply() {
    let far = OutboundScene::new(&[("injected", 11)], "");
    let host = Script::answering(far.lab.address(11), MX_PORT, |_, command| match command {
        c if c.starts_with("EHLO") => Some("250-host\r\n250 STARTTLS\r\n".into()),
        "STARTTLS" => Some("220 go\r\n250 injected\r\n".into()),
        other => obedient(other),
    });
    far.send("a@injected.test", "never in plaintext");
    let line = far.fate("deferred", "a@injected.test");
    assert!(line.contains("trouble=4.7.5 "), "{line}");
    assert_eq!(host.connections(), 1);
    far.waypost.assert_no_bugs();
}

#[test]
fn threat_48_death_after_the_dot() {
    let far = OutboundScene::new(&[("dying", 11)], "[retry]\nwaits_s = [1]\n");
    let host = Script::answering(far.lab.address(11), MX_PORT, |connection, command| match command {
        "." if connection == 0 => None,
        other => obedient(other),
    });
    far.send("a@dying.test", "perhaps twice");
    far.fate("delivered", "a@dying.test");
    assert_eq!(host.connections(), 2);
    assert_eq!(far.waypost.log().matches("possible duplicate").count(), 1, "{}", far.waypost.log());
    far.waypost.wait_for_empty_queue();
    far.waypost.assert_no_bugs();
}

#[test]
fn threat_49_routes_that_lead_back_and_null_mx() {
    let lab = Lab::new();
    let us = lab.address(1);
    let records = format!(
        "named MX 10 mx.example\ndisguised MX 10 mx.disguised\nmx.disguised A {us}\nbehind MX 10 mx.example\nbehind MX 20 mx.inbox\nnull MX 0 .\n"
    );
    let far = OutboundScene::in_lab(lab, &records, &format!("[delivery]\nloopback = true\nsource = \"{us}\"\n"));
    for (domain, code) in [("named", "5.4.6"), ("disguised", "5.4.6"), ("behind", "5.4.6"), ("null", "5.1.10")] {
        let to = format!("a@{domain}.test");
        far.send(&to, "round and round");
        let line = far.fate("failed", &to);
        assert!(line.contains(&format!("trouble={code} ")), "{line}");
        let report = far.inbox.wait_for(&format!("Final-Recipient: rfc822; {to}"));
        assert!(report.text().contains(&format!("Status: {code}\r\n")), "{}", report.text());
    }
    far.waypost.wait_for_empty_queue();
    far.waypost.assert_no_bugs();
}

#[test]
fn threat_49_a_loopback_host_outside_a_laboratory() {
    let far = OutboundScene::new(&[("local", 11)], "[delivery]\nloopback = false\n");
    let host = Sink::start(far.lab.address(11), MX_PORT);
    far.send("a@local.test", "to this machine");
    let line = far.fate("failed", "a@local.test");
    assert!(line.contains("trouble=5.4.6 "), "{line}");
    assert_eq!(host.connections(), 0);
    far.waypost.assert_no_bugs();
}

#[test]
fn threat_50_errors_that_carry_lines_and_controls() {
    let far = OutboundScene::new(&[("armed", 11)], "");
    let _host = Script::answering(far.lab.address(11), MX_PORT, |_, command| {
        let said = "no\rX-Injected: cr\u{1b}[2J\0\u{9b}2J <script>x</script>";
        match command {
            c if c.starts_with("RCPT TO:<later@") => Some(format!("450-4.2.1 {said}\r\n450 4.2.1 X-Injected: lf\r\n")),
            c if c.starts_with("RCPT TO:<never@") => Some(format!("550-5.1.1 {said}\r\n550-5.1.1 X-Injected: lf\r\n550 5.1.1 \r\n")),
            other => obedient(other),
        }
    });
    far.send("later@armed.test", "armed");
    far.send("never@armed.test", "armed");
    let report = far.inbox.wait_for("Final-Recipient: rfc822; never@armed.test").text();
    let reason = far.waypost.wait_for_reason("X-Injected");
    assert!(!reason.chars().any(char::is_control), "{reason:?}");
    for text in
        [&report, &far.waypost.log(), &far.waypost.ok(&["queue", "list"]), &far.waypost.ok(&["queue", "show", &far.waypost.first_id()])]
    {
        assert!(!text.lines().any(|line| line.trim_start().starts_with("X-Injected")), "{text}");
        assert!(!text.chars().any(|c| c.is_control() && !"\r\n\t".contains(c)), "{text:?}");
        assert!(!text.replace("\r\n", "").contains('\r'), "{text:?}");
    }
    far.waypost.assert_no_bugs();
}
