//! REQUIRETLS, and the TLS-Required header field.
//!
//! RFC 8689.

use it::{Lab, LabAuthority, MX_PORT, Postfix, Sink, TlsSender, content, domain, tlsa, tlsa_digest, wait_for};
use net::Issued;

#[test]
fn requiretls_mail_goes_only_to_verified_hosts() {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let issued = authority.issue(&["mx.right.test"]);
    // Postfix 3.7 does not support REQUIRETLS; the sink, with our own session, does.
    let postfix = Postfix::start(&lab, 12, "old.test", &["you"], "", "");
    let pem = std::fs::read_to_string(postfix.config.join("tls.pem")).unwrap();
    let old = tlsa_digest(&Issued { chain: pem, key: String::new() }, 0, 1);
    let records = domain(&lab, "right", 11)
        + &tlsa("right", &format!("3 1 1 {}", tlsa_digest(&issued, 0, 1)))
        + &domain(&lab, "nobody", 11)
        + &domain(&lab, "old", 12)
        + &tlsa("old", &format!("3 1 1 {old}"));
    let inbox = Sink::with_tls(lab.address(11), MX_PORT, &issued);
    let sender = TlsSender::start(&lab, "upstream", &records, &[]);
    // It survives an alias.
    sender.waypost.ok(&["alias", "add", "passed@example.test", "you@right.test"]);
    let send = |to: &str| {
        let mut talk = sender.waypost.logged_in("me@example.test", &sender.password);
        talk.expect("MAIL FROM:<me@example.test> REQUIRETLS", "250");
        talk.expect(&format!("RCPT TO:<{to}>"), "250");
        talk.expect("DATA", "354");
        talk.expect(&format!("{}\r\n.", content(&format!("to {to}.")).trim_end()), "250");
    };
    for to in ["you@right.test", "passed@example.test"] {
        send(to);
        let arrived = inbox.wait_for(&format!("to {to}."));
        assert!(arrived.requiretls && arrived.tls, "{to}");
    }
    send("you@nobody.test");
    let line = sender.fate("failed", "you@nobody.test");
    assert!(line.contains("trouble=5.7.30 ") && line.contains("has neither TLSA records nor an MTA-STS policy"), "{line}");
    send("you@old.test");
    let line = sender.fate("failed", "you@old.test");
    assert!(line.contains("trouble=5.7.30 ") && line.contains("REQUIRETLS support required"), "{line}");
    assert_eq!(inbox.messages().len(), 2);
    // Without TLS it is not offered.
    let mut talk = it::Talk::greeted(sender.waypost.address, MX_PORT);
    talk.expect("MAIL FROM:<her@foreign.test> REQUIRETLS", "555");
    sender.waypost.assert_no_bugs();
}

#[test]
fn tls_required_no_delivers_despite_a_failing_policy() {
    let lab = Lab::new();
    let issued = LabAuthority::new(&lab).issue(&["mx.far.test"]);
    let far = Sink::with_tls(lab.address(11), MX_PORT, &issued);
    let wrong = format!("3 1 1 {}", "00".repeat(32));
    let records = domain(&lab, "far", 11) + &tlsa("far", &wrong) + &domain(&lab, "later", 12) + &tlsa("later", &wrong);
    let mut sender = TlsSender::start(&lab, "upstream", &records, &[]);
    let send = |sender: &TlsSender, to: &str, parameters: &str, field: &str, subject: &str| {
        let mut talk = sender.waypost.logged_in("me@example.test", &sender.password);
        talk.expect(&format!("MAIL FROM:<me@example.test>{parameters}"), "250");
        talk.expect(&format!("RCPT TO:<{to}>"), "250");
        talk.expect("DATA", "354");
        talk.expect(&format!("{field}{}\r\n.", content(subject).trim_end()), "250");
    };
    send(&sender, "you@far.test", "", "", "held back by the record.");
    sender.fate("deferred", "you@far.test");
    send(&sender, "you@far.test", "", "TLS-Required: No\r\n", "it must arrive.");
    assert!(far.wait_for("it must arrive.").tls, "TLS is used if offered");
    send(&sender, "you@far.test", "", "TLS-Required: perhaps\r\n", "no word of ours.");
    // REQUIRETLS overrides the field.
    send(&sender, "you@far.test", " REQUIRETLS", "TLS-Required: No\r\n", "demanded all the same.");
    // The field survives a restart.
    send(&sender, "you@later.test", "", "TLS-Required: no\r\n", "it must arrive later.");
    sender.fate("deferred", "you@later.test");
    sender.waypost.stop();
    let later = Sink::with_tls(lab.address(12), MX_PORT, &issued);
    sender.waypost.start();
    sender.waypost.ok(&["queue", "retry", "--all"]);
    later.wait_for("it must arrive later.");
    // The sink shows a message a moment before it answers.
    wait_for("only what may not be sent to be left", || (sender.waypost.queued() == 3).then_some(()));
    assert_eq!(far.messages().len(), 1);
    sender.waypost.assert_no_bugs();
}
