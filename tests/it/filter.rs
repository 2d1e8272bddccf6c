//! Spam filters: Debian's rspamd, OpenDKIM, and misbehaving milters.

use std::io::{Read, Write};

use it::{
    DkimFilter, Dns, Lab, MILTER_PORT, MX_PORT, Milter, RSPAMD_PORT, Script, Sink, SpamFilter, Talk, Waypost, base64, milter_packet,
    wait_for, zone,
};

const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

/// The mailbox host and our server with this `[filter]` section.
fn with_filter(lab: &Lab, filter: &str) -> (Dns, Sink, Waypost) {
    let dns = Dns::start(lab, &zone(lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(lab, "foo@inbox.test", &format!("[filter]\n{filter}\n"));
    (dns, inbox, waypost)
}

/// Mail from outside, and the reply.
fn send(waypost: &Waypost, subject: &str, body: &str) -> String {
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.message("her@foreign.test", "me@example.test", &format!("Subject: {subject}\r\n\r\n{body}\r\n"))
}

/// The reasons of held mail.
fn held(waypost: &Waypost) -> Vec<String> {
    let list = waypost.json(&["held", "list"]);
    let messages = list["items"].as_array().unwrap_or_else(|| panic!("no items in {list}")).clone();
    messages.iter().map(|m| m["recipients"][0]["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn rspamd_refuses_holds_and_accepts() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut rspamd = SpamFilter::start(&lab, 7);
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let section = |more: &str| format!("[filter]\nkind = \"rspamd\"\naddress = \"{}:{RSPAMD_PORT}\"\n{more}\n", lab.address(7));
    let mut waypost = Waypost::started(&lab, "foo@inbox.test", &section("submission = true"));

    let reply = send(&waypost, "bulk", GTUBE);
    assert_eq!(reply, "550 5.7.1 Gtube pattern\r\n", "{}", rspamd.log());
    waypost.wait_for_line(&["message refused", "score=15", "Gtube pattern"]);

    let reply = send(&waypost, "lab spam", "buy this");
    assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
    assert_eq!(held(&waypost), ["spam score 8.25 (LAB_SPAM)"]);

    let reply = send(&waypost, "an honest letter", "hello");
    assert!(reply.starts_with("250 "), "{reply}");
    assert!(!inbox.wait_for("an honest letter").text().contains("X-Spam"));
    waypost.wait_for_line(&["message accepted", "score=0"]);
    let log = rspamd.log();
    let task = log.lines().find(|line| line.contains("rspamd_task_write_log") && line.contains("8.25")).unwrap_or_else(|| panic!("{log}"));
    assert!(task.contains("from: <her@foreign.test>") && task.contains("rcpts: <me@example.test>") && task.contains("ip: 127."), "{task}");

    let password = waypost.account("me@example.test");
    let mut talk = waypost.logged_in("me@example.test", &password);
    let reply = talk.message("me@example.test", "foo@inbox.test", "Subject: lab spam\r\n\r\nfrom an account\r\n");
    assert!(reply.starts_with("550 5.7.1 the message looks like spam"), "{reply}");
    assert!(rspamd.log().contains("user: me@example.test"), "{}", rspamd.log());

    // The same rspamd as a milter, after a reload.
    let filter_by = |kind: &str, port: u16| {
        let address = format!("{}:{port}", lab.address(7));
        waypost.configure(|config| config.set("filter.kind", kind).set("filter.address", address));
    };
    filter_by("milter", MILTER_PORT);
    waypost.hang_up();
    waypost.wait_for_log("is in effect");
    assert_eq!(send(&waypost, "bulk", GTUBE), "550 5.7.1 Gtube pattern\r\n", "{}", waypost.log());
    assert!(send(&waypost, "by way of a milter", "hello").starts_with("250 "), "{}", waypost.log());
    inbox.wait_for("by way of a milter");
    filter_by("rspamd", RSPAMD_PORT);
    waypost.hang_up();
    wait_for("a second reload", || (waypost.log().matches("is in effect").count() > 1).then_some(()));

    rspamd.stop();
    assert!(send(&waypost, "lab spam, unseen", "rspamd is down").starts_with("250 "));
    inbox.wait_for("lab spam, unseen");
    waypost.wait_for_line(&["WARN", "accepting mail without a spam verdict", "cannot connect"]);

    waypost.stop();
    waypost.configure(|config| config.remove("filter.submission").set("filter.when_down", "defer"));
    waypost.start();
    assert!(send(&waypost, "later", "rspamd is down").starts_with("451 4.7.1 the spam filter does not answer"));
    waypost.assert_no_bugs();
}

#[test]
fn submitted_mail_is_filtered_only_if_configured() {
    let lab = Lab::new();
    // No listener there.
    let filter = format!("kind = \"milter\"\naddress = \"{}:{MILTER_PORT}\"\nwhen_down = \"defer\"", lab.address(9));
    let (_dns, inbox, waypost) = with_filter(&lab, &filter);
    let password = waypost.account("me@example.test");
    waypost.logged_in("me@example.test", &password).taken("me@example.test", "foo@inbox.test", "Subject: own\r\n\r\nmail\r\n");
    inbox.wait_for("Subject: own");
    assert!(send(&waypost, "theirs", "x").starts_with("451 4.7.1 "));
}

/// A signature of foreign.test with the body hash of another body.
fn badly_signed() -> String {
    let zeros = |octets: usize| base64(&"\0".repeat(octets));
    format!(
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=foreign.test; s=lab;\r\n\th=From:Subject; bh={}; b={}\r\n",
        zeros(32),
        zeros(256)
    )
}

#[test]
fn opendkim_refuses_a_bad_signature() {
    let lab = Lab::new();
    // A key that this test does not sign with.
    let pair = msgauth::KeyPair::generate(msgauth::Algorithm::Rsa).unwrap();
    let record = format!("lab._domainkey.foreign.test {}\n", msgauth::record(pair.algorithm, &pair.public));
    let (_opendkim, socket) = DkimFilter::start(&lab, &record);
    let (_dns, inbox, waypost) =
        with_filter(&lab, &format!("kind = \"milter\"\naddress = \"unix:{}\"\nwhen_down = \"defer\"", socket.display()));
    let reply = send(&waypost, "not signed", "hello");
    assert!(reply.starts_with("250 "), "{reply}\n{}", waypost.log());
    let delivered = inbox.wait_for("not signed");
    assert!(!delivered.text().contains("DKIM-Filter"), "{}", delivered.text());
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    let content = format!("{}From: <her@foreign.test>\r\nSubject: altered\r\n\r\nhello\r\n", badly_signed());
    let reply = talk.message("her@foreign.test", "me@example.test", &content);
    assert_eq!(reply, "550 5.7.1 bad DKIM signature data\r\n", "{}", waypost.log());
    waypost.assert_no_bugs();
}

/// Answers `at` with these octets, and everything else with "continue".
fn answering(at: u8, octets: Vec<u8>) -> impl Fn(u8) -> Option<Vec<u8>> + Send + Sync + 'static {
    move |letter| Some(if letter == at { octets.clone() } else { milter_packet(b'c', b"") })
}

/// The reply to the client, the reasons of held mail, and the log, with this milter.
fn filtered(answer: impl Fn(u8) -> Option<Vec<u8>> + Send + Sync + 'static) -> (String, Vec<String>, String) {
    let lab = Lab::new();
    let _milter = Milter::start(lab.address(8), answer);
    let filter = format!("kind = \"milter\"\naddress = \"{}:{MILTER_PORT}\"\nwhen_down = \"defer\"\ntimeout_s = 2", lab.address(8));
    let (_dns, _inbox, waypost) = with_filter(&lab, &filter);
    let reply = send(&waypost, "hello", "there");
    waypost.assert_no_bugs();
    (reply, held(&waypost), waypost.log())
}

#[test]
fn milter_replies_become_verdicts() {
    let packet = milter_packet;
    for (at, octets, want) in [
        (b'E', packet(b'a', b""), "250 "),
        (b'C', packet(b'a', b""), "250 "),
        (b'B', packet(b's', b""), "250 "),
        (b'E', packet(b'r', b""), "550 5.7.1 the message was refused by a filter"),
        (b'R', packet(b'r', b""), "550 5.7.1 "),
        (b'M', packet(b't', b""), "451 4.7.1 the spam filter defers the message"),
        (b'E', packet(b'y', b"554 5.7.9 no\r\n250 fine\0"), "550 5.7.1 no\r\n"),
        (b'L', packet(b'y', b"421 4.3.2 not now\0"), "451 4.7.1 not now"),
        (b'E', [packet(b'p', b""), packet(b'h', b"X-Seen\0yes\0"), packet(b'c', b"")].concat(), "250 "),
    ] {
        let (reply, held, log) = filtered(answering(at, octets));
        assert!(reply.starts_with(want) && reply.lines().count() == 1, "{}: {reply}\n{log}", char::from(at));
        assert!(held.is_empty(), "{held:?}");
    }
}

#[test]
fn milter_quarantine_and_discard_hold_the_message() {
    let quarantine = [milter_packet(b'q', b"looks\nodd\0"), milter_packet(b'c', b"")].concat();
    let (reply, held, log) = filtered(answering(b'E', quarantine));
    assert!(reply.starts_with("250 "), "{reply}\n{log}");
    assert_eq!(held, ["the filter says: looks?odd"]);
    let (reply, held, _) = filtered(answering(b'E', milter_packet(b'd', b"")));
    assert!(reply.starts_with("250 "), "{reply}");
    assert_eq!(held, ["the filter would have discarded it"]);
}

#[test]
fn milter_changes_are_negotiated_and_ignored() {
    let lab = Lab::new();
    // Like spamass-milter, it closes the connection unless it may change header fields and body.
    let changes =
        [milter_packet(b'm', b"\0\0\0\x01X-Spam-Flag\0YES\0"), milter_packet(b'b', b"another body"), milter_packet(b'c', b"")].concat();
    let _milter = Milter::demanding(lab.address(8), 0x13, answering(b'E', changes));
    let filter = format!("kind = \"milter\"\naddress = \"{}:{MILTER_PORT}\"\nwhen_down = \"defer\"", lab.address(8));
    let (_dns, inbox, waypost) = with_filter(&lab, &filter);
    let reply = send(&waypost, "kept whole", "the body that came");
    assert!(reply.starts_with("250 "), "{reply}\n{}", waypost.log());
    let text = inbox.wait_for("kept whole").text();
    assert!(text.contains("the body that came") && !text.contains("X-Spam-Flag"), "{text}");
    waypost.assert_no_bugs();
}

#[test]
fn a_filter_that_never_answered_is_an_error_at_startup() {
    let lab = Lab::new();
    // No listener there.
    let filter = format!("kind = \"milter\"\naddress = \"{}:{MILTER_PORT}\"\nwhen_down = \"pass\"", lab.address(9));
    let (_dns, _inbox, waypost) = with_filter(&lab, &filter);
    waypost.wait_for_line(&["ERROR", "the spam filter has never answered", "cannot connect"]);
}

#[test]
fn a_hostile_milter_gives_no_verdict() {
    for (octets, why) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "a packet of 1213486160 octets"),
        (vec![0xff; 64], "a packet of 4294967295 octets"),
        (vec![0; 8], "a packet of 0 octets"),
        (milter_packet(b'z', b""), "0x7a"),
        (milter_packet(b'-', b"<me@example.test>\0"), "changes the envelope"),
        (milter_packet(b'y', b"250 fine\0"), "a reply code that is not a refusal"),
        (milter_packet(b'p', b"").repeat(10_001), "without a verdict"),
        (Vec::new(), "no verdict from the filter within 2 s"),
    ] {
        let (reply, held, log) = filtered(answering(b'E', octets));
        assert!(reply.starts_with("451 4.7.1 the spam filter does not answer"), "{reply}");
        assert!(held.is_empty() && log.contains(why), "{why}: {log}");
    }
    let (reply, _, log) = filtered(|letter| (letter != b'M').then(|| milter_packet(b'c', b"")));
    assert!(reply.starts_with("451 4.7.1 ") && log.contains("connection closed without a verdict"), "{reply}{log}");
}

#[test]
fn a_hostile_rspamd_gives_no_verdict() {
    for (head, endless, why) in [
        ("HTTP/1.1 200 OK\r\n\r\n", true, "length limit exceeded"),
        ("HTTP/1.1 200 OK\r\nX: ", true, "the connection to the filter failed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, "missing field"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n", false, "403 Forbidden: no"),
        ("220 mail.test ESMTP\r\n", false, "the connection to the filter failed"),
    ] {
        let lab = Lab::new();
        let _rspamd = Script::start(lab.address(7), RSPAMD_PORT, move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let mut more = stream.write_all(head.as_bytes());
            while endless && more.is_ok() {
                more = stream.write_all(&[b'x'; 4096]);
            }
        });
        let filter = format!("kind = \"rspamd\"\naddress = \"{}:{RSPAMD_PORT}\"\nwhen_down = \"defer\"", lab.address(7));
        let (_dns, _inbox, waypost) = with_filter(&lab, &filter);
        let reply = send(&waypost, "hello", "there");
        assert!(reply.starts_with("451 4.7.1 the spam filter does not answer"), "{reply}");
        assert!(waypost.log().contains(why), "{why}: {}", waypost.log());
        waypost.assert_no_bugs();
    }
}

#[test]
fn a_milter_gets_the_whole_message() {
    let lab = Lab::new();
    let milter = Milter::start(lab.address(8), |_| Some(milter_packet(b'c', b"")));
    let (_dns, inbox, waypost) = with_filter(&lab, &format!("kind = \"milter\"\naddress = \"{}:{MILTER_PORT}\"", lab.address(8)));
    // Too large to be kept in memory.
    let body = format!("{}\r\n", "0123456789abcde".repeat(60)).repeat(400);
    assert!(send(&waypost, "large", &body).starts_with("250 "));
    inbox.wait_for("large");
    let commands = milter.commands();
    let of = |letter: u8| commands.iter().filter(|(l, _)| *l == letter).map(|(_, data)| data.clone()).collect::<Vec<_>>();
    assert_eq!(of(b'M'), [b"<her@foreign.test>\0"]);
    assert_eq!(of(b'R'), [b"<me@example.test>\0"]);
    assert_eq!(of(b'H'), [b"client.foreign.test\0"]);
    assert_eq!(of(b'L'), [b"From\0<her@foreign.test>\0".to_vec(), b"Subject\0large\0".to_vec()]);
    assert_eq!(of(b'B').concat(), format!("{body}\r\n").into_bytes());
    assert!(of(b'D').iter().any(|macros| macros.starts_with(b"Cj\0mx.example.test\0")));
    assert_eq!((of(b'E').len(), of(b'Q').len()), (1, 1));
}
