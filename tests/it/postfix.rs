//! Postfix -> Waypost -> Postfix: mail is forwarded unchanged, and refusals are reported to the sender.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use it::{Dns, Lab, MX_PORT, Postfix, SUBMISSION_PORT, SUBMISSIONS_PORT, Script, Sink, Talk, Waypost, wait_for};

/// A Postfix for foreign.test that sends, our server, and a Postfix for inbox.test that receives.
struct Way {
    sender: Postfix,
    waypost: Waypost,
    inbox: Postfix,
    _dns: Dns,
    _lab: Lab,
}

const SENDER: u8 = 3;
const INBOX: u8 = 2;

fn zone(lab: &Lab) -> String {
    let host = |name: &str, number| format!("{name} MX 10 mx.{name}\nmx.{name} A {}\n", lab.address(number));
    host("example", 1) + &host("inbox", INBOX) + &host("foreign", SENDER)
}

fn way() -> Way {
    let lab = Lab::new();
    let dns = Dns::start(&lab, &zone(&lab));
    let transport = format!("transport_maps = inline:{{ {{example.test = smtp:[{}]:{MX_PORT}}} }}", lab.address(1));
    let sender = Postfix::start(&lab, SENDER, "foreign.test", &["her"], &transport, "");
    let inbox = Postfix::start(&lab, INBOX, "inbox.test", &["foo", "bar"], "message_size_limit = 4000000", "");
    let waypost = Waypost::started(&lab, "foo@inbox.test", "[limits]\nmessage_bytes = \"6 MiB\"\n");
    waypost.ok(&["alias", "add", "team@example.test", "foo@inbox.test", "bar@inbox.test"]);
    waypost.ok(&["alias", "add", "gone@example.test", "nobody@inbox.test"]);
    Way { sender, waypost, inbox, _dns: dns, _lab: lab }
}

impl Way {
    /// Sends through the first Postfix, which accepts it.
    fn send(&self, to: &[&str], content: &[u8]) {
        let mut talk = Talk::greeted(self.sender.address, MX_PORT);
        talk.expect(&format!("MAIL FROM:<her@foreign.test> SIZE={} BODY=8BITMIME", content.len()), "250");
        for to in to {
            talk.expect(&format!("RCPT TO:<{to}>"), "250");
        }
        talk.expect("DATA", "354");
        talk.send(&stuffed(content));
        talk.expect(".", "250");
    }

    fn finished(&self) {
        wait_for("an empty queue", || (self.waypost.queued() == 0).then_some(()));
        self.waypost.assert_no_bugs();
    }
}

fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out
}

/// Content as Postfix stores it.
fn kept(content: &[u8]) -> Vec<u8> {
    content.iter().copied().filter(|b| *b != b'\r').collect()
}

/// A header section that a careless program would change.
fn letter(subject: &str, body: &[u8]) -> Vec<u8> {
    let mut content = format!(
        "From: \"Her\"  <her@foreign.test>\r\nTO: me@example.test,\r\n\tteam@example.test\r\nsubject:{subject}\r\n\
         Date: Tue, 24 Nov 2026 09:00:00 +0000\r\nMessage-ID: <{subject}@foreign.test>\r\nX-Odd:   \r\n folded  \r\nX-Odd: \t twice \r\n\
         DKIM-Signature: v=1; a=rsa-sha256; d=foreign.test;\r\n\tbh=AAAA=; b=BBBB\r\n BBBB=\r\n\r\n"
    )
    .into_bytes();
    content.extend_from_slice(body);
    content
}

/// Requires the content in the mailbox, after the fields that the servers on the way added.
fn assert_intact(way: &Way, user: &str, subject: &str, content: &[u8]) {
    let got = way.inbox.wait_for(user, &format!("subject:{subject}\n"));
    let want = kept(content);
    assert!(got.ends_with(&want), "{subject}: not as it was sent:\n{}", String::from_utf8_lossy(&got[..got.len().min(4000)]));
    let top = String::from_utf8_lossy(&got[..got.len() - want.len()]).into_owned();
    let fields = top.lines().filter(|line| !line.starts_with(['\t', ' '])).map(|line| line.split(':').next().unwrap_or_default());
    let known = ["Return-Path", "X-Original-To", "Delivered-To", "Received", "X-Forwarded-For", "X-Forwarded-To", "Authentication-Results"];
    assert!(fields.into_iter().all(|name| known.contains(&name)), "{subject}: unknown fields on top:\n{top}");
    assert!(top.starts_with("Return-Path: <SRS0=") && top.contains("=foreign.test=her@mx.example.test>\n"), "{top}");
    assert!(top.contains("with ESMTPS id") && top.contains("(using TLSv1.3"), "{subject}: not both ways over TLS:\n{top}");
    assert!(top.contains("by mx.example.test") && top.contains("by mx.foreign.test") && top.contains("by mx.inbox.test"), "{top}");
}

#[test]
fn forwarding_between_postfix_servers_keeps_the_message() {
    let way = way();
    let long = format!("{}\r\n", "x".repeat(998)).repeat(3);
    let large = format!("{}\r\n", "0123456789abcdef".repeat(4)).repeat((1 << 20) / 66 + 1);
    let eight_bit: Vec<u8> = (0x80..=0xff).chain(*b"\r\n").collect();
    let bodies: [(&str, &[u8]); 6] = [
        ("plain", b"hello\r\n"),
        ("empty", b""),
        ("eightbit", &eight_bit),
        ("long", long.as_bytes()),
        ("dots", b".\r\n..\r\n...\r\n.x\r\n\r\n.\r\n"),
        ("large", large.as_bytes()),
    ];
    for (subject, body) in bodies {
        way.send(&["me@example.test"], &letter(subject, body));
    }
    for (subject, body) in bodies {
        assert_intact(&way, "foo", subject, &letter(subject, body));
    }
    way.finished();
}

#[test]
fn a_message_from_sendmail_reaches_each_recipient_once() {
    let way = way();
    let content = letter("several", b"for all\r\n");
    way.sender.sendmail("her@foreign.test", &["me@example.test", "team@example.test"], &kept(&content));
    assert_intact(&way, "foo", "several", &content);
    assert_intact(&way, "bar", "several", &content);
    way.finished();
    assert_eq!((way.inbox.mailbox("foo").len(), way.inbox.mailbox("bar").len()), (1, 1));
}

#[test]
fn an_unknown_mailbox_at_the_target_is_reported_to_the_sender() {
    let way = way();
    way.send(&["gone@example.test", "me@example.test"], &letter("half", b"secret body\r\n"));
    assert_intact(&way, "foo", "half", &letter("half", b"secret body\r\n"));
    let report = String::from_utf8_lossy(&way.sender.wait_for("her", "report-type=delivery-status")).into_owned();
    assert!(report.starts_with("Return-Path: <>\n"), "{report}");
    for part in ["Reporting-MTA: dns; mx.example.test", "Final-Recipient: rfc822; gone@example.test", "Action: failed", "Status: 5.1.1"] {
        assert!(report.contains(part), "no {part} in:\n{report}");
    }
    assert!(!report.contains("nobody@inbox.test"), "the report tells the target of the alias:\n{report}");
    way.finished();
}

#[test]
fn an_unknown_address_here_is_reported_by_the_senders_own_server() {
    let way = way();
    way.send(&["unknown@example.test"], &letter("nowhere", b"\r\n"));
    let report = String::from_utf8_lossy(&way.sender.wait_for("her", "report-type=delivery-status")).into_owned();
    assert!(report.contains("Reporting-MTA: dns; mx.foreign.test") && report.contains("Status: 5.1.1"), "{report}");
    way.finished();
}

#[test]
fn size_limits_are_announced_on_both_sides() {
    let way = way();
    let body = |size: usize| format!("{}\r\n", "y".repeat(70)).repeat(size / 72);
    // Above our limit: Postfix reads our SIZE and does not send it.
    way.send(&["me@example.test"], &letter("toolarge", body(8_000_000).as_bytes()));
    let report = String::from_utf8_lossy(&way.sender.wait_for("her", "toolarge")).into_owned();
    assert!(report.contains("Reporting-MTA: dns; mx.foreign.test") && report.contains("5.3.4"), "{report}");
    // Below our limit and above the inbox's: we send the DSN.
    way.send(&["me@example.test"], &letter("tootight", body(5_000_000).as_bytes()));
    let report = String::from_utf8_lossy(&way.sender.wait_for("her", "tootight")).into_owned();
    assert!(report.contains("Reporting-MTA: dns; mx.example.test") && report.contains("Status: 5.3.4"), "{report}");
    way.finished();
}

#[test]
fn a_success_dsn_is_sent_on_request() {
    let way = way();
    let mut talk = Talk::greeted(way.sender.address, MX_PORT);
    talk.expect("MAIL FROM:<her@foreign.test> RET=HDRS ENVID=QQ314159", "250");
    talk.expect("RCPT TO:<me@example.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;me@example.test", "250");
    talk.expect("DATA", "354");
    talk.send(&letter("wanted", b"the body\r\n"));
    talk.expect(".", "250");
    let report = String::from_utf8_lossy(&way.sender.wait_for("her", "Reporting-MTA: dns; mx.example.test")).into_owned();
    for part in ["Original-Envelope-Id: QQ314159", "Original-Recipient: rfc822;", "Action: relayed", "subject:wanted"] {
        assert!(report.contains(part), "no {part} in:\n{report}");
    }
    assert!(!report.contains("the body") && !report.contains("foo@inbox.test"), "{report}");
    way.finished();
}

#[test]
fn postfix_uses_us_as_its_smarthost() {
    for (port, tls) in [(SUBMISSION_PORT, "smtp_tls_security_level = encrypt"), (SUBMISSIONS_PORT, WRAPPED)] {
        let lab = Lab::new();
        let _dns = Dns::start(&lab, &zone(&lab));
        let inbox = Postfix::start(&lab, INBOX, "inbox.test", &["foo"], "", "");
        let waypost = Waypost::started(&lab, "foo@inbox.test", "");
        let password = waypost.account("me@example.test");
        let us = format!("[{}]:{port}", waypost.address);
        let relay = format!(
            "relayhost = {us}\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_security_options = noanonymous\n\
             smtp_sasl_password_maps = inline:{{ {{{us} = me@example.test:{password}}} }}\n{tls}"
        );
        let office = Postfix::start(&lab, SENDER, "office.test", &[], &relay, "");
        office.sendmail("me@example.test", &["foo@inbox.test"], b"From: me@example.test\nSubject: outward\n\n.dot\n");
        let got = String::from_utf8_lossy(&inbox.wait_for("foo", "outward")).into_owned();
        assert!(got.starts_with("Return-Path: <me@example.test>\n") && got.ends_with("\n\n.dot\n"), "{got}");
        waypost.assert_no_bugs();
    }
}

#[test]
fn postfix_works_as_our_smarthost() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &format!("{}relay A {}\n", zone(&lab), lab.address(4)));
    lab.write("password", "letmein\n");
    std::fs::set_permissions(lab.path().join("password"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let _logins = Script::start(lab.address(4), AUTH_PORT, logins);
    let submission = format!(
        "{}:{SUBMISSION_PORT} inet n - n - - smtpd\n  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes\n  \
         -o smtpd_relay_restrictions=permit_sasl_authenticated,reject -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject\n",
        lab.address(4)
    );
    let far = Sink::start(lab.address(INBOX), MX_PORT);
    let main = format!(
        "smtpd_sasl_type = dovecot\nsmtpd_sasl_path = inet:{}:{AUTH_PORT}\n\
         transport_maps = inline:{{ {{inbox.test = smtp:[{}]:{MX_PORT}}} }}",
        lab.address(4),
        lab.address(INBOX)
    );
    let relay = Postfix::start(&lab, 4, "relay.test", &[], &main, &submission);
    let route = format!(
        "[[route]]\nhost = \"relay.test\"\nport = {SUBMISSION_PORT}\ntls = \"required\"\nverify = false\nuser = \"us\"\n\
         password_file = \"password\"\n"
    );
    let waypost = Waypost::started(&lab, "foo@inbox.test", &route);
    Talk::greeted(waypost.address, MX_PORT).message("her@foreign.test", "me@example.test", "From: her@foreign.test\r\n\r\nrelayed\r\n");
    let arrived = far.wait_for("relayed");
    assert!(arrived.from.ends_with("=foreign.test=her@mx.example.test>"), "{}", arrived.from);
    assert_eq!(arrived.to, ["<foo@inbox.test>"]);
    assert!(relay.log().contains("sasl_username=us"), "{}", relay.log());
    waypost.assert_no_bugs();
}

const AUTH_PORT: u16 = 2600;

/// Dovecot's authentication protocol, as far as Postfix speaks it: the user `us` with the password `letmein`.
fn logins(mut stream: TcpStream) {
    let right = "AHVzAGxldG1laW4=";
    let _ = stream.write_all(b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t0123456789abcdef0123456789abcdef\nDONE\n");
    for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
        let fields: Vec<&str> = line.split('\t').collect();
        if let ["AUTH", id, "PLAIN", ..] = fields.as_slice() {
            let ok = fields.contains(&format!("resp={right}").as_str());
            let _ = stream.write_all(if ok { format!("OK\t{id}\tuser=us\n") } else { format!("FAIL\t{id}\n") }.as_bytes());
        }
    }
}

const WRAPPED: &str = "smtp_tls_security_level = encrypt\nsmtp_tls_wrappermode = yes";
