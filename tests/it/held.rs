//! Mail with a forged author: refused, or held until the operator decides. Threats 43 and 44.

use std::thread::sleep;
use std::time::Duration;

use it::{Dns, Lab, MX_PORT, Sink, Talk, Waypost, forwarding_zone, signers, wait_for};

struct Scene {
    waypost: Waypost,
    inbox: Sink,
    _dns: Dns,
    lab: Lab,
}

/// lax.test has p=quarantine, foreign.test p=reject. `forward` is added to the section of that name.
fn scene(forward: &str) -> Scene {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, &format!("[forward]\ndomain = \"fwd.example.test\"\n{forward}"));
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let keys = waypost.keys("fwd.example.test");
    let more = "_dmarc.lax TXT \"v=DMARC1; p=quarantine\"\nlist TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n";
    let dns = Dns::start(&lab, &(forwarding_zone(&lab) + more + &keys));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.start();
    Scene { waypost, inbox, _dns: dns, lab }
}

impl Scene {
    fn send(&self, from: &str, author: &str, subject: &str) -> String {
        let content = format!("From: {author}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@{from}>\r\n\r\nthe body\r\n");
        Talk::greeted(self.waypost.address, MX_PORT).message(from, "me@example.test", &content)
    }

    /// Sends a message that will be held; returns its id.
    fn hold(&self, subject: &str) -> String {
        let reply = self.send("someone@list.test", "boss@lax.test", subject);
        let id = reply.strip_prefix("250 2.0.0 queued as ").unwrap_or_else(|| panic!("{reply}")).trim().to_owned();
        assert_eq!(self.held(), std::slice::from_ref(&id));
        let shown = self.waypost.ok(&["held", "list"]);
        assert!(
            shown.contains("from     boss@lax.test (sent by someone@list.test)") && shown.contains(&format!("subject  {subject}")),
            "{shown}"
        );
        id
    }

    fn held(&self) -> Vec<String> {
        let list = self.waypost.json(&["held", "list"]);
        let messages = list["items"].as_array().unwrap_or_else(|| panic!("no items in {list}"));
        messages.iter().filter_map(|message| message["id"].as_str()).map(ToOwned::to_owned).collect()
    }
}

#[test]
fn threat_43_a_forged_sender_of_a_hosted_domain_is_refused() {
    for unauthenticated in ["reject", "hold", "accept"] {
        let scene = scene(&format!("unauthenticated = \"{unauthenticated}\"\n"));
        for author in ["me@example.test", "ceo@EXAMPLE.test", "\"me@example.test\" <me@example.test>, her@foreign.test"] {
            let reply = scene.send("her@foreign.test", author, "forged");
            assert!(reply.starts_with("550 5.7.1 "), "{unauthenticated}, {author}: {reply}");
        }
        assert!(scene.inbox.messages().is_empty() && scene.held().is_empty());
        scene.waypost.assert_no_bugs();
    }
}

#[test]
fn threat_44_a_domain_that_asks_for_refusal_gets_it() {
    for unauthenticated in ["reject", "hold", "accept"] {
        let scene = scene(&format!("unauthenticated = \"{unauthenticated}\"\n"));
        for from in ["someone@list.test", "nobody@stranger.test", ""] {
            let reply = scene.send(from, "her@foreign.test", "nothing aligned");
            assert!(reply.starts_with("550 5.7.1 "), "{unauthenticated}, {from}: {reply}");
        }
        let aligned = scene.send("her@foreign.test", "her@foreign.test", "aligned");
        assert!(aligned.starts_with("250 "), "{aligned}");
        scene.inbox.wait_for("Subject: aligned");
        assert_eq!(scene.inbox.messages().len(), 1);
    }
}

#[test]
fn held_mail_is_released_unchanged() {
    let scene = scene("");
    let id = scene.hold("looked at");
    let shown = scene.waypost.ok(&["held", "show", &id]);
    assert!(shown.contains("quarantine") && shown.contains("lax.test") && shown.contains("me@example.test"), "{shown}");
    scene.waypost.ok(&["queue", "retry", "--all"]);
    sleep(Duration::from_millis(300));
    assert!(scene.inbox.messages().is_empty(), "a retry releases nothing");
    scene.waypost.ok(&["held", "release", &id]);
    let arrived = scene.inbox.wait_for("Subject: looked at");
    assert!(arrived.text().contains("From: boss@lax.test\r\n") && arrived.text().contains("dmarc=fail"), "{}", arrived.text());
    assert!(arrived.from.ends_with("=list.test=someone@fwd.example.test>"), "{}", arrived.from);
    assert_eq!(signers(&scene.lab, &arrived.content), ["fwd.example.test"]);
    assert!(scene.held().is_empty());
    scene.waypost.refused(&["held", "release", &id]);
    scene.waypost.wait_for_empty_queue();
    scene.waypost.assert_no_bugs();
}

#[test]
fn held_mail_is_released_as_an_attachment() {
    let scene = scene("");
    let id = scene.hold("in paper");
    scene.waypost.ok(&["held", "release", &id, "--wrapped"]);
    let arrived = scene.inbox.wait_for("Subject: Fwd: in paper");
    let text = arrived.text();
    let (head, inner) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("<postmaster@fwd.example.test>\r\n") && head.contains("Content-Type: message/rfc822\r\n"), "{text}");
    assert!(!head.contains("boss@lax.test") && inner.contains("From: boss@lax.test\r\n") && inner.ends_with("the body\r\n"), "{text}");
    assert_eq!(signers(&scene.lab, &arrived.content), ["fwd.example.test"]);
    assert!(scene.held().is_empty());
    scene.waypost.wait_for_empty_queue();
    scene.waypost.assert_no_bugs();
}

#[test]
fn held_mail_is_dropped() {
    let scene = scene("");
    let id = scene.hold("unwanted");
    scene.waypost.ok(&["held", "drop", &id, "--yes"]);
    assert!(scene.held().is_empty() && scene.inbox.messages().is_empty());
    scene.waypost.refused(&["held", "show", &id]);
    scene.waypost.assert_no_bugs();
}

#[test]
fn held_mail_expires() {
    let mut scene = scene("hold_for = \"1s\"\n");
    scene.hold("forgotten");
    sleep(Duration::from_millis(1100));
    scene.waypost.kill();
    // Expiry is checked at startup and every minute.
    scene.waypost.start();
    wait_for("the held message to be gone", || scene.held().is_empty().then_some(()));
    assert_eq!((scene.inbox.messages().len(), scene.waypost.queued()), (0, 0));
    scene.waypost.assert_no_bugs();
}

#[test]
fn mail_beyond_the_held_limit_is_deferred() {
    let scene = scene("held_bytes = \"64 KiB\"\n");
    let first = scene.send("someone@list.test", "boss@lax.test", "first");
    assert!(first.starts_with("250 "), "{first}");
    let content = format!("From: boss@lax.test\r\nSubject: second\r\n\r\n{}\r\n", "0123456789abcdef\r\n".repeat(4000));
    let reply = Talk::greeted(scene.waypost.address, MX_PORT).message("someone@list.test", "me@example.test", &content);
    assert!(reply.starts_with("452 4.3.1 "), "{reply}");
    assert_eq!(scene.held().len(), 1);
}

#[test]
fn the_postmaster_is_notified_once_of_each_held_message() {
    let mut scene = scene("notice_every = \"1s\"\n");
    scene.waypost.configure(|config| config.set("postmaster", "me@example.test"));
    scene.waypost.stop();
    scene.waypost.start();
    let id = scene.hold("curious");
    let letter = scene.inbox.wait_for("Subject: Waypost: 1 messages are held");
    assert_eq!((letter.from.as_str(), letter.to.join(" ").as_str()), ("<>", "<foo@inbox.test>"));
    assert!(letter.text().contains(&format!("{id}  from <someone@list.test> for me@example.test\r\n")), "{}", letter.text());
    assert!(letter.text().contains("fails DMARC of lax.test"), "{}", letter.text());
    scene.waypost.ok(&["held", "release", &id]);
    scene.inbox.wait_for("Subject: curious");
    sleep(Duration::from_millis(2500));
    assert_eq!(scene.inbox.messages().len(), 2, "no second notice");
    scene.waypost.assert_no_bugs();
}
