//! Cut-through: the targets answer while the sender waits, and some server is responsible for the message at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use it::{Delivered, Dns, Gate, Lab, MX_PORT, Script, Sink, Talk, Waypost, obedient, wait_for, zone};
use mail::Reply;

/// me@example.test leads to foo@inbox.test; her@foreign.test passes SPF, nobody@stranger.test has no records.
const FORWARD: &str = "[forward]\ndomain = \"fwd.example.test\"\nunauthenticated = \"accept\"\n";

struct Scene {
    waypost: Waypost,
    _dns: Dns,
    lab: Lab,
}

fn scene(extra: &str) -> Scene {
    let lab = Lab::new();
    let dns = Dns::start(&lab, &(zone(&lab) + &format!("box MX 10 mx.box\nmx.box A {}\n", lab.address(4))));
    let waypost = Waypost::started(&lab, "foo@inbox.test", &format!("{FORWARD}{extra}"));
    Scene { waypost, _dns: dns, lab }
}

impl Scene {
    fn talk(&self) -> Talk {
        Talk::greeted(self.waypost.address, MX_PORT)
    }

    fn send(&self, from: &str, subject: &str) -> String {
        self.talk().message(from, "me@example.test", &letter(from, subject))
    }

    /// A target that refuses the command with this word, or the content for ".".
    fn refusing(&self, at: &'static str, reply: &'static str) -> Script {
        Script::answering(self.lab.address(2), MX_PORT, move |_, command| {
            if command.starts_with(at) { Some(format!("{reply}\r\n")) } else { obedient(command) }
        })
    }

    /// A target that answers content while the gate is open, and the number of messages that it has received.
    fn gated(&self) -> (Sink, Arc<AtomicUsize>, Gate) {
        let (gate, begun) = (Gate::closed(), Arc::new(AtomicUsize::new(0)));
        let (waits, count) = (gate.clone(), begun.clone());
        let judge = move |_: &Delivered| {
            count.fetch_add(1, Ordering::SeqCst);
            waits.pass();
            None
        };
        (Sink::judging(self.lab.address(2), MX_PORT, |_| None, judge), begun, gate)
    }

    fn nothing_left(&self) {
        self.waypost.wait_for_empty_queue();
        self.waypost.wait_for_no_file("content");
        self.waypost.assert_no_bugs();
    }
}

fn letter(from: &str, subject: &str) -> String {
    format!("From: <{from}>\r\nMessage-ID: <{subject}@foreign.test>\r\nSubject: {subject}\r\n\r\nhello\r\n")
}

fn assert_masked(reply: &str) {
    let reply = reply.to_lowercase();
    for secret in ["inbox", "foo", "no such", "greylisted", "127.", "mx.", "spam"] {
        assert!(!reply.contains(secret), "{secret} leaks: {reply}");
    }
}

#[test]
fn cut_through_passes_the_targets_refusal_to_the_sender() {
    for (at, said, heard) in [
        ("RCPT", "550 5.1.1 <foo@inbox.test> no such user", "550 5.1.1 "),
        ("RCPT", "550-5.2.1 The account foo\r\n550 5.2.1 of inbox.test is off", "550 5.2.1 "),
        ("RCPT", "552 5.2.2 foo@inbox.test is full", "550 5.2.2 "),
        (".", "550-5.7.1 foo: this looks like spam\r\n550 5.7.1 mx.inbox.test", "554 5.7.1 "),
        (".", "554 no such thing here at inbox.test", "554 5."),
    ] {
        for from in ["her@foreign.test", "nobody@stranger.test"] {
            let scene = scene("");
            let _target = scene.refusing(at, said);
            let reply = scene.send(from, "refused");
            assert!(reply.starts_with(heard), "{said}: {reply}");
            assert_masked(&reply);
            // No DSN is sent: the sender's server makes it.
            scene.nothing_left();
            assert_eq!(scene.waypost.json(&["failed"]).as_array().map(Vec::len), Some(0));
        }
    }
}

#[test]
fn a_deferred_target_is_queued_for_a_known_sender() {
    let scene = scene("[retry]\nwaits_s = [1]\n");
    let busy = Arc::new(AtomicBool::new(true));
    let is_busy = busy.clone();
    let decide = move |_: &str| is_busy.load(Ordering::SeqCst).then(|| Reply::new(450, (4, 2, 0), "greylisted, foo@inbox.test"));
    let inbox = Sink::deciding(scene.lab.address(2), MX_PORT, decide);
    let unknown = scene.send("nobody@stranger.test", "unknown");
    assert!(unknown.starts_with("450 4.2.0 "), "{unknown}");
    assert_masked(&unknown);
    let known = scene.send("her@foreign.test", "known");
    assert!(known.starts_with("250 2.0.0 queued as "), "{known}");
    busy.store(false, Ordering::SeqCst);
    inbox.wait_for("Subject: known");
    scene.nothing_left();
    assert_eq!(inbox.messages().len(), 1);
}

#[test]
fn one_accepting_target_of_several_makes_us_responsible() {
    let scene = scene("");
    let inbox = Sink::start(scene.lab.address(2), MX_PORT);
    let refuse = |_: &str| Some(Reply::new(550, (5, 1, 1), "no such user at box.test"));
    let _other = Sink::deciding(scene.lab.address(4), MX_PORT, refuse);
    scene.waypost.ok(&["alias", "add", "team@example.test", "foo@inbox.test", "bar@box.test"]);
    // No DSN can reach this sender; the failure is listed.
    let reply = scene.talk().message("nobody@stranger.test", "team@example.test", &letter("nobody@stranger.test", "half"));
    assert!(reply.starts_with("250 "), "{reply}");
    inbox.wait_for("Subject: half");
    let failed = wait_for("the failure in the list", || scene.waypost.json(&["failed"]).as_array().and_then(|list| list.first().cloned()));
    assert_eq!((failed["to"].as_str(), failed["target"].as_str()), (Some("team@example.test"), Some("bar@box.test")), "{failed}");
    scene.nothing_left();
    assert_eq!(inbox.messages().len(), 1);
}

#[test]
fn a_slow_target_is_awaited_until_the_deadline_only() {
    let scene = scene("cut_through_timeout_s = 1\n");
    let (inbox, begun, gate) = scene.gated();
    let reply = scene.send("her@foreign.test", "slow");
    assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
    assert!(inbox.messages().is_empty());
    gate.open();
    inbox.wait_for("Subject: slow");
    scene.nothing_left();
    assert_eq!((inbox.messages().len(), begun.load(Ordering::SeqCst)), (1, 1));
    // No DSN can reach this sender. The target accepts the message after that, and the next copy is not delivered again.
    gate.close();
    let reply = scene.send("nobody@stranger.test", "unknown");
    assert!(reply.starts_with("451 4."), "{reply}");
    gate.open();
    inbox.wait_for("Subject: unknown");
    scene.waypost.wait_for_log("delivered after its sender got a temporary failure");
    let again = scene.send("nobody@stranger.test", "unknown");
    assert!(again.starts_with("250 "), "{again}");
    scene.nothing_left();
    assert_eq!((inbox.messages().len(), begun.load(Ordering::SeqCst)), (2, 2));
}

#[test]
fn a_sender_that_reconnects_and_resends_delivers_one_message() {
    let scene = scene("");
    let (inbox, begun, gate) = scene.gated();
    let mut talk = scene.talk();
    talk.begin("her@foreign.test", "me@example.test");
    talk.send(format!("{}.\r\n", letter("her@foreign.test", "again")).as_bytes());
    wait_for("the target to have the content", || (begun.load(Ordering::SeqCst) == 1).then_some(()));
    talk.reset();
    let again = || scene.send("her@foreign.test", "again");
    let early = again();
    assert!(early.starts_with("451 4.4.7 "), "{early}");
    gate.open();
    let reply = wait_for("the target's answer to the first", || Some(again()).filter(|reply| !reply.starts_with("451 4.4.7 ")));
    assert!(reply.starts_with("250 "), "{reply}");
    let other = scene.send("her@foreign.test", "another");
    assert!(other.starts_with("250 "), "{other}");
    inbox.wait_for("Subject: another");
    scene.nothing_left();
    assert_eq!(inbox.messages().iter().filter(|m| m.text().contains("Subject: again")).count(), 1, "{}", scene.waypost.log());
}

#[test]
fn a_kill_before_the_targets_reply_acknowledges_nothing() {
    let mut scene = scene("");
    let (inbox, begun, gate) = scene.gated();
    let mut talk = scene.talk();
    talk.begin("her@foreign.test", "me@example.test");
    talk.send(format!("{}.\r\n", letter("her@foreign.test", "killed")).as_bytes());
    wait_for("the target to have the content", || (begun.load(Ordering::SeqCst) == 1).then_some(()));
    scene.waypost.kill();
    assert!(talk.is_closed(), "an answer without responsibility");
    gate.open();
    scene.waypost.start();
    assert_eq!(scene.waypost.queued(), 0);
    let reply = scene.send("her@foreign.test", "killed");
    assert!(reply.starts_with("250 "), "{reply}");
    inbox.wait_for("Subject: killed");
    scene.nothing_left();
}

#[test]
fn mail_with_notify_success_is_queued() {
    let scene = scene("");
    let inbox = Sink::start(scene.lab.address(2), MX_PORT);
    let mut talk = scene.talk();
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<me@example.test> NOTIFY=SUCCESS", "250");
    talk.expect("DATA", "354");
    talk.send(letter("her@foreign.test", "wanted").as_bytes());
    let reply = talk.say(".");
    assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
    inbox.wait_for("Subject: wanted");
}

#[test]
fn a_duplicate_waits_for_the_delivery_of_the_first() {
    let scene = scene("");
    let (inbox, begun, gate) = scene.gated();
    let mut first = scene.talk();
    first.begin("her@foreign.test", "me@example.test");
    first.send(letter("her@foreign.test", "twice").as_bytes());
    first.send(b".\r\n");
    wait_for("the target to hold the first", || (begun.load(Ordering::SeqCst) == 1).then_some(()));
    let second = scene.send("her@foreign.test", "twice");
    assert!(second.starts_with("451 4.4.7 "), "{second}");
    gate.open();
    let answer = first.reply();
    assert!(answer.starts_with("250 "), "{answer}");
    let third = scene.send("her@foreign.test", "twice");
    assert!(third.starts_with("250 "), "{third}");
    scene.nothing_left();
    assert_eq!(inbox.messages().len(), 1);
}
