//! The operator sees a host's full replies: in the log, the queue, the list of failures, and in DSNs on own mail.

use it::{Dns, Lab, MX_PORT, OutboundScene, Script, Sink, Talk, Waypost, content, forwarding_zone, obedient, zone};

const NO: &str = "550-5.1.1 The account Foo@inbox.test that you tried to reach\r\n550 5.1.1 does not exist gsmtp\r\n";

/// me@example.test leads to foo@inbox.test, whose host refuses the recipient.
fn refusing(extra: &str) -> (Lab, Dns, Waypost) {
    let lab = Lab::new();
    let dns = Dns::start(&lab, &zone(&lab));
    Script::answering(lab.address(2), MX_PORT, |_, command| if command.starts_with("RCPT") { Some(NO.into()) } else { obedient(command) });
    let waypost = Waypost::started(&lab, "foo@inbox.test", extra);
    (lab, dns, waypost)
}

fn letter(waypost: &Waypost) -> String {
    letter_from(waypost, "her@foreign.test")
}

fn letter_from(waypost: &Waypost, from: &str) -> String {
    let content = format!("From: <{from}>\r\nSubject: hi\r\n\r\nhello\r\n");
    Talk::greeted(waypost.address, MX_PORT).message(from, "me@example.test", &content)
}

#[test]
fn the_log_has_the_full_text_of_a_masked_refusal() {
    const WAITING: &str = "[forward]\ndomain = \"fwd.example.test\"\nunauthenticated = \"accept\"\n";
    let (_lab, _dns, waypost) = refusing(WAITING);
    let reply = letter(&waypost);
    assert!(reply.starts_with("550 5.1.1 ") && !reply.to_lowercase().contains("foo"), "{reply}");
    let line = waypost.wait_for_line(&["not accepted while the sender waited"]);
    for part in [
        "to=foo@inbox.test",
        "alias=\"me@example.test\"",
        "cause=\"",
        "mx.inbox.test said: 550 5.1.1 The account Foo@inbox.test that you tried to reach",
        "does not exist gsmtp",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    waypost.wait_for_line(&["message refused", "to=\"<me@example.test>\""]);
    // The command accepts the text of the log.
    let explained = waypost.json(&["explain-reply", &line]);
    assert!(explained["reply"].as_str().unwrap().starts_with("550 5.1.1 The account"), "{explained}");
    waypost.assert_no_bugs();

    let (_lab, _dns, waypost) = refusing(&format!("{WAITING}[log]\ntargets = false\n"));
    assert!(letter(&waypost).starts_with("550 5.1.1 "));
    let line = waypost.wait_for_line(&["not accepted while the sender waited", "to=f***@inbox.test", "The account f***@inbox.test"]);
    assert!(!line.to_lowercase().contains("foo"), "{line}");
    assert!(!waypost.log().to_lowercase().contains("foo@inbox"), "{}", waypost.log());
}

#[test]
fn the_log_of_a_failure_has_the_hosts_reply() {
    let (_lab, _dns, waypost) = refusing("");
    // This sender is not authenticated, so no DSN is sent.
    assert!(letter_from(&waypost, "nobody@stranger.test").starts_with("250 "));
    let line = waypost.wait_for_line(&[": failed id=", "to=foo@inbox.test", "cause=\"", "mx.inbox.test said: 550 5.1.1"]);
    assert!(line.contains("alias=\"me@example.test\""), "{line}");
    let shown =
        it::wait_for("the failure", || Some(waypost.ok(&["failed"])).filter(|shown| shown.contains("mx.inbox.test said: 550 5.1.1")));
    assert!(shown.contains("does not exist gsmtp"), "{shown}");
    waypost.assert_no_bugs();
}

#[test]
fn held_mail_is_logged_with_the_reason() {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, "[forward]\ndomain = \"fwd.example.test\"\nunauthenticated = \"hold\"\n");
    waypost.ok(&["domain", "add", "example.test"]);
    let _dns = Dns::start(&lab, &(forwarding_zone(&lab) + &waypost.keys("fwd.example.test")));
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.start();
    let content = "From: <nobody@stranger.test>\r\nSubject: hi\r\n\r\nhello\r\n";
    let reply = Talk::greeted(waypost.address, MX_PORT).message("nobody@stranger.test", "me@example.test", content);
    assert!(reply.starts_with("250 "), "{reply}");
    let line = waypost.wait_for_line(&["message held", "to=\"<me@example.test>\"", "reason=\""]);
    let reason = waypost.json(&["held", "list"])["items"][0]["recipients"][0]["reason"].as_str().unwrap().to_owned();
    assert!(!reason.is_empty() && line.contains(&reason), "{reason}: {line}");
    assert!(!waypost.log().contains("message accepted"));
    waypost.assert_no_bugs();
}

#[test]
fn a_dsn_on_own_mail_names_the_host_and_its_reply() {
    let far = OutboundScene::new(&[("far", 11)], "");
    let _host = Script::answering(far.lab.address(11), MX_PORT, |_, command| {
        if command.starts_with("RCPT") { Some("550-5.1.1 no such\r\n550 5.1.1 mailbox\r\n".into()) } else { obedient(command) }
    });
    far.send("you@far.test", "to nobody.");
    let report = far.inbox.wait_for("Final-Recipient: rfc822; you@far.test").text();
    for field in
        ["\r\nRemote-MTA: dns; mx.far.test\r\n", "\r\nDiagnostic-Code: smtp; 550 5.1.1 no such mailbox\r\n", "\r\nStatus: 5.1.1\r\n"]
    {
        assert!(report.contains(field), "{field} not in {report}");
    }
    far.waypost.assert_no_bugs();
}

#[test]
fn a_dsn_without_the_original_header_names_no_return_address() {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, "[forward]\ndomain = \"fwd.example.test\"\nunauthenticated = \"accept\"\n");
    waypost.ok(&["domain", "add", "example.test"]);
    let _dns = Dns::start(&lab, &(forwarding_zone(&lab) + &waypost.keys("fwd.example.test")));
    let (inbox, hers) = (Sink::start(lab.address(2), MX_PORT), Sink::start(lab.address(3), MX_PORT));
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.start();
    assert!(letter(&waypost).starts_with("250 "));
    let path = inbox.wait_for("Subject: hi").from.trim_matches(['<', '>']).to_owned();
    let dsn = content("failed").replace("From: me@example.test", "From: <mailer-daemon@inbox.test>").replace(
        "\r\n\r\nthe body\r\n",
        &format!(
            "\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
             Reporting-MTA: dns; mx.inbox.test\r\n\r\nFinal-Recipient: rfc822; {path}\r\nAction: failed\r\nStatus: 5.2.2\r\n\r\n--b--\r\n"
        ),
    );
    let reply = Talk::greeted(waypost.address, MX_PORT).message("", &path, &dsn);
    assert!(reply.starts_with("250 "), "{reply}");
    let report = hers.wait_for("Action: failed").text();
    assert!(report.contains("Final-Recipient: rfc822; her@foreign.test\r\n") && report.contains("Status: 5.2.2"), "{report}");
    let body = report.split_once("\r\n\r\n").unwrap().1;
    assert!(!body.contains("SRS0="), "{report}");
    waypost.assert_no_bugs();
}
