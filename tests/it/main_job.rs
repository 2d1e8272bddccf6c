//! The main job: a message is forwarded.

use it::{Dns, Lab, MX_PORT, Sink, Talk, Waypost, zone};

#[test]
fn a_message_is_forwarded_byte_for_byte() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let content = "From: her@foreign.test\r\nSubject: forwarded\r\n\r\n..dots and \u{e9}\r\n";
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    let reply = talk.message("her@foreign.test", "me@example.test", content);
    assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
    let delivered = inbox.wait_for("forwarded");
    assert!(delivered.from.starts_with("<SRS0=") && delivered.from.ends_with("=foreign.test=her@mx.example.test>"), "{}", delivered.from);
    assert_eq!(delivered.to, ["<foo@inbox.test>"]);
    assert!(delivered.text().ends_with("\r\n\r\n.dots and \u{e9}\r\n"), "{}", delivered.text());
    it::wait_for("an empty queue", || (waypost.queued() == 0).then_some(()));
    waypost.assert_no_bugs();
}
