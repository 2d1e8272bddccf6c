//! Senders that an alias blocks, and senders whose mail it never holds.

use it::{Dns, Lab, MX_PORT, Sink, Talk, Waypost, forwarding_zone};

/// lax.test has p=quarantine, foreign.test p=reject; me@ and you@example.test lead to one mailbox.
fn scene(lab: &Lab) -> (Waypost, Sink, Dns) {
    let mut waypost = Waypost::configured(lab, "[forward]\ndomain = \"fwd.example.test\"\n");
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let keys = waypost.keys("fwd.example.test");
    let more = "_dmarc.lax TXT \"v=DMARC1; p=quarantine\"\nlist TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n";
    let dns = Dns::start(lab, &(forwarding_zone(lab) + more + &keys));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.ok(&["alias", "add", "you@example.test", "foo@inbox.test"]);
    waypost.start();
    (waypost, inbox, dns)
}

fn send(waypost: &Waypost, from: &str, author: &str, to: &str, subject: &str) -> String {
    let content = format!("From: {author}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@{from}>\r\n\r\nthe body\r\n");
    Talk::greeted(waypost.address, MX_PORT).message(from, to, &content)
}

#[test]
fn a_blocked_sender_is_refused_by_its_envelope_and_by_its_from_field() {
    let lab = Lab::new();
    let (waypost, inbox, _dns) = scene(&lab);
    waypost.ok(&["alias", "senders", "me@example.test", "--block", "@list.test", "--block", "Her@Foreign.test"]);
    let shown = waypost.ok(&["alias", "list"]);
    assert!(shown.contains("blocked: her@foreign.test @list.test"), "{shown}");
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.say("MAIL FROM:<bounce-1@list.test>");
    let reply = talk.say("RCPT TO:<me@example.test>");
    assert!(reply.starts_with("550 5.7.1 the recipient does not accept mail from this sender"), "{reply}");
    let reply = talk.say("RCPT TO:<you@example.test>");
    assert!(reply.starts_with("250 "), "another alias accepts the same sender: {reply}");
    let reply = send(&waypost, "bounces@foreign.test", "her@foreign.test", "me@example.test", "by author");
    assert!(reply.starts_with("550 5.7.1 the recipient does not accept"), "{reply}");
    let reply = send(&waypost, "him@foreign.test", "him@foreign.test", "me@example.test", "not blocked");
    assert!(reply.starts_with("250 "), "{reply}");
    inbox.wait_for("Subject: not blocked");
    waypost.ok(&["alias", "senders", "me@example.test", "--unblock", "@list.test", "--unblock", "her@foreign.test"]);
    let reply = send(&waypost, "her@foreign.test", "her@foreign.test", "me@example.test", "allowed again");
    assert!(reply.starts_with("250 "), "{reply}");
    waypost.assert_no_bugs();
}

#[test]
fn an_allowed_sender_is_not_held_but_its_own_policy_still_counts() {
    let lab = Lab::new();
    let (waypost, inbox, _dns) = scene(&lab);
    let reply = send(&waypost, "someone@list.test", "boss@lax.test", "me@example.test", "held");
    assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
    assert_eq!(waypost.json(&["held", "list"])["items"].as_array().map(Vec::len), Some(1));
    waypost.ok(&[
        "alias",
        "senders",
        "me@example.test",
        "--allow",
        "boss@lax.test",
        "--allow",
        "@foreign.test",
        "--allow",
        "@example.test",
    ]);
    let reply = send(&waypost, "someone@list.test", "boss@lax.test", "me@example.test", "passes");
    assert!(reply.starts_with("250 "), "{reply}");
    inbox.wait_for("Subject: passes");
    let reply = send(&waypost, "someone@list.test", "boss@lax.test", "you@example.test", "another alias");
    assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
    assert_eq!(waypost.json(&["held", "list"])["items"].as_array().map(Vec::len), Some(2));
    let reply = send(&waypost, "someone@list.test", "her@foreign.test", "me@example.test", "policy reject");
    assert!(reply.starts_with("550 5.7.1 "), "p=reject stays: {reply}");
    let reply = send(&waypost, "someone@list.test", "me@example.test", "me@example.test", "forged own");
    assert!(reply.starts_with("550 5.7.1 "), "our own domain stays: {reply}");
    let refused = waypost.refused(&["alias", "senders", "me@example.test", "--block", "nobody"]);
    assert!(refused.contains("neither an address nor @"), "{refused}");
    waypost.assert_no_bugs();
}
