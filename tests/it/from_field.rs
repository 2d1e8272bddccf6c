//! The From field in every form of RFC 5322, and in common invalid forms.

use it::{Dns, Lab, MX_PORT, Sink, Talk, Waypost, zone};

/// Valid by RFC 5322 s.3.4 and s.4.4, or accepted as Postfix does.
const TAKEN: [&str; 14] = [
    "her@foreign.test",
    "\"john smith\"@foreign.test",
    "John <\"john smith\"@foreign.test>",
    "her(comment)@foreign.test",
    "(a comment) her (another) @ (one more) foreign.test",
    "her @ foreign.test",
    "her . name@foreign.test",
    "<@relay.test:her@foreign.test>",
    "Her <@relay.test,@other.test:her@foreign.test>",
    "\"Doe, Jane\" <her@foreign.test>,\r\n\t\"J. Doe\" <j@foreign.test>",
    "Authors: her@foreign.test, j@foreign.test;",
    // Addresses of Japanese carriers.
    "a..b@foreign.test",
    "a.@foreign.test",
    // A comma that is not quoted, with one address.
    "Doe, Jane <her@foreign.test>",
];

const REFUSED: [(&str, &str); 6] = [
    ("her name@foreign.test", "words next to the address"),
    ("<her@foreign.test> <eve@evil.test>", "angle brackets do not match"),
    ("Her <her@foreign.test", "angle brackets do not match"),
    ("her@foreign.test (not ended", "a comment in it does not end"),
    ("her@foreign..test", "invalid address"),
    ("MAILER-DAEMON <>", "has no address"),
];

#[test]
fn valid_from_fields_are_accepted_unchanged() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    for (n, from) in TAKEN.into_iter().enumerate() {
        let reply = talk.message("her@foreign.test", "me@example.test", &format!("From: {from}\r\nSubject: number {n}.\r\n\r\nbody\r\n"));
        assert!(reply.starts_with("250 "), "{from}: {reply}");
        let text = inbox.wait_for(&format!("Subject: number {n}.")).text();
        assert!(text.contains(&format!("\r\nFrom: {from}\r\n")), "{text}");
    }
    for (from, why) in REFUSED {
        let reply = talk.message("her@foreign.test", "me@example.test", &format!("From: {from}\r\nSubject: refused\r\n\r\nbody\r\n"));
        assert!(reply.starts_with("550 5.6.0 ") && reply.contains(why), "{from}: {reply}");
    }
    for from in ["a..b@foreign.test", "a.@foreign.test"] {
        let reply = talk.message(from, "me@example.test", "From: her@foreign.test\r\nSubject: dots\r\n\r\nbody\r\n");
        assert!(reply.starts_with("250 "), "{from}: {reply}");
    }
    waypost.assert_no_bugs();
}

#[test]
fn dmarc_applies_to_a_quoted_from_address() {
    let lab = Lab::new();
    let records = zone(&lab) + "_dmarc.strict TXT \"v=DMARC1; p=reject\"\nstrict TXT \"v=spf1 -all\"\n";
    let _dns = Dns::start(&lab, &records);
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    for from in
        ["\"john smith\"@strict.test", "ceo(x)@strict.test", "<@relay.test:ceo@strict.test>", "ceo @ strict.test", "a..b@strict.test"]
    {
        let reply = talk.message("her@foreign.test", "me@example.test", &format!("From: {from}\r\nSubject: forged\r\n\r\nbody\r\n"));
        assert!(reply.starts_with("550 5.7.1 ") && reply.contains("strict.test"), "{from}: {reply}");
    }
}

#[test]
fn accounts_get_a_reason_for_an_invalid_from_field() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let password = waypost.account("me@example.test");
    let mut talk = waypost.logged_in("me@example.test", &password);
    let mut send = |from: &str, subject: &str| {
        talk.message("me@example.test", "you@inbox.test", &format!("From: {from}\r\nSubject : {subject}\r\n\r\nbody\r\n"))
    };
    let reply = send("Doe, John <me@example.test>", "a comma");
    assert!(reply.starts_with("550 5.6.0 ") && reply.contains("must be in quotation marks"), "{reply}");
    let reply = send("eve(me@example.test)@foreign.test", "another");
    assert!(reply.starts_with("550 5.7.1 "), "{reply}");
    let reply = send("\"Doe, John\" <me @ example.test>", "mine.");
    assert!(reply.starts_with("250 "), "{reply}");
    // The space before the colon is removed before signing.
    let text = inbox.wait_for("mine.").text();
    assert!(text.contains("\r\nSubject: mine.\r\n"), "{text}");
    waypost.assert_no_bugs();
}
