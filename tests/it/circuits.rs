//! Circuit breakers: deliveries that a host asks us to stop are paused, and no others.
//!
//! The length and the end of a pause are tested with simulated time in `policy`; here only that nothing is tried meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use it::{MX_PORT, OutboundScene, Script, Sink, Talk, content, obedient, wait_for};
use mail::Reply;

#[test]
fn a_full_mailbox_is_paused_but_not_its_neighbours() {
    let far = OutboundScene::new(&[("far", 11)], "[retry]\nwaits_s = [1]\n");
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let host = Sink::deciding(far.lab.address(11), MX_PORT, move |to| {
        (to == "<full@far.test>").then(|| {
            counted.fetch_add(1, Ordering::SeqCst);
            Reply::new(452, (4, 2, 2), "over quota")
        })
    });
    far.send("full@far.test", "the first");
    let line = far.fate("deferred", "full@far.test");
    assert!(line.contains("meaning=any-full ") && line.contains("again_in_s=3600"), "{line}");
    far.send("full@far.test", "the second");
    far.fate("held back", "full@far.test");
    far.send("roomy@far.test", "for a neighbour");
    host.wait_for("for a neighbour");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let waiting = far.waypost.json(&["queue", "list"]);
    let of = |n: usize, what: &str| waiting["items"][n]["recipients"][0][what].clone();
    assert_eq!((of(0, "attempts"), of(1, "attempts")), (1.into(), 0.into()), "{waiting}");
    // The advice comes first, then the host's reply.
    assert!(of(0, "reason").as_str().unwrap().starts_with("The mailbox is full. Free space"), "{waiting}");
    assert!(of(0, "reason").as_str().unwrap().contains("(mx.far.test said: 452 4.2.2 over quota)"), "{waiting}");
    assert!(of(1, "reason").as_str().unwrap().starts_with("not tried: the mailbox is paused: The mailbox is full."), "{waiting}");
    far.waypost.ok(&["queue", "retry", "--all"]);
    wait_for("the mailbox to be asked again", || (asked.load(Ordering::SeqCst) >= 2).then_some(()));
    far.waypost.assert_no_bugs();
}

#[test]
fn a_throttling_host_gets_one_connection_and_delays_no_other_host() {
    let far = OutboundScene::new(&[("slow", 11), ("near", 12)], "[retry]\nwaits_s = [1]\n");
    let slow = Script::answering(far.lab.address(11), MX_PORT, |_, command| match command {
        c if c.starts_with("MAIL") => Some(
            "421-4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from\r\n\
             421 4.7.28 your IP address. a1si2 - gsmtp\r\n"
                .into(),
        ),
        other => obedient(other),
    });
    let near = Sink::start(far.lab.address(12), MX_PORT);
    far.send("a@slow.test", "the first");
    let line = far.fate("deferred", "a@slow.test");
    assert!(line.contains("meaning=gmail-rate-ip "), "{line}");
    far.send("b@slow.test", "the second");
    let line = far.fate("held back", "b@slow.test");
    assert!(line.contains("our address"), "{line}");
    far.send("c@near.test", "elsewhere");
    near.wait_for("elsewhere");
    assert_eq!(slow.connections(), 1);
    assert!(far.waypost.log().contains("a reply that needs action by the operator"), "{}", far.waypost.log());
    far.waypost.ok(&["queue", "retry", "--domain", "slow.test"]);
    wait_for("the host to be asked again", || (slow.connections() >= 2).then_some(()));
    far.waypost.assert_no_bugs();
}

#[test]
fn a_host_that_asks_for_a_new_connection_gets_one_at_once() {
    // The connection is not closed while it is idle: only the host ends one.
    let far = OutboundScene::new(&[("short", 11)], "[delivery]\nconnections_per_host = 1\nidle_timeout_s = 60\nloopback = true\n");
    let taken = AtomicUsize::new(0);
    let host = Script::answering(far.lab.address(11), MX_PORT, move |connection, command| match command {
        c if c.starts_with("MAIL") && connection == 0 && taken.fetch_add(1, Ordering::SeqCst) > 0 => {
            Some("451 4.7.0 too many messages in this connection\r\n".into())
        }
        other => obedient(other),
    });
    let mut talk = far.session();
    for n in 0..3 {
        talk.taken("me@example.test", &format!("u{n}@short.test"), &content("one of three"));
    }
    // By the schedule alone they would wait for a minute.
    far.waypost.wait_for_empty_queue();
    assert_eq!(host.connections(), 2);
    far.waypost.assert_no_bugs();
}

#[test]
fn a_permanently_invalid_address_is_logged_as_an_error() {
    let far = OutboundScene::new(&[("far", 11)], "");
    let _host = Sink::deciding(far.lab.address(11), MX_PORT, |_| Some(Reply::new(550, (5, 1, 1), "no such user")));
    for n in 0..3 {
        assert!(!far.waypost.log().contains("repeatedly"));
        far.send("gone@far.test", "to nobody");
        wait_for("the failure", || (far.waypost.log().matches(": failed id=").count() > n).then_some(()));
    }
    far.waypost.wait_for_line(&["repeatedly", "target=gone@far.test", "times=3"]);
    far.waypost.assert_no_bugs();
}

#[test]
fn mail_for_a_full_mailbox_is_deferred_at_once() {
    let far = OutboundScene::new(&[("narrow", 11)], "[forward]\nunauthenticated = \"accept\"\n");
    let _host = Sink::deciding(far.lab.address(11), MX_PORT, |_| Some(Reply::new(452, (4, 2, 2), "over quota, secret@narrow.test")));
    far.waypost.ok(&["alias", "add", "full@example.test", "secret@narrow.test"]);
    let mut talk = it::Talk::greeted(far.waypost.address, MX_PORT);
    let reply = talk.message("her@nobody.test", "full@example.test", "Subject: one\r\n\r\n");
    assert!(reply.starts_with("450 4.2.2 ") && !reply.contains("secret"), "{reply}");
    talk.expect("MAIL FROM:<her@nobody.test>", "250");
    let reply = talk.say("RCPT TO:<full@example.test>");
    assert!(reply.starts_with("450 4.2.1 ") && !reply.contains("secret"), "{reply}");
    far.waypost.assert_no_bugs();
}

#[test]
fn a_rate_limit_on_forwards_does_not_stop_own_mail() {
    let far = OutboundScene::new(&[("gmail", 11)], "[retry]\nwaits_s = [600]\n");
    let host = Script::answering(far.lab.address(11), MX_PORT, |_, command| match command {
        c if c.starts_with("MAIL FROM:<SRS0=") => Some("421 4.7.28 unusual rate of mail from your IP address. a1si2 - gsmtp\r\n".into()),
        other => obedient(other),
    });
    far.waypost.ok(&["alias", "add", "list@example.test", "foo@gmail.test"]);
    let letter = "From: <her@foreign.test>\r\nSubject: hi\r\n\r\nhello\r\n";
    let mut talk = Talk::greeted(far.waypost.address, MX_PORT);
    talk.taken("her@foreign.test", "list@example.test", letter);
    far.fate("deferred", "foo@gmail.test");
    talk.taken("her@foreign.test", "list@example.test", letter);
    far.fate("held back", "foo@gmail.test");
    far.send("you@gmail.test", "from the owner.");
    far.fate("delivered", "you@gmail.test");
    assert!(host.connections() >= 2);
    far.waypost.assert_no_bugs();
}

#[test]
fn a_pause_outlives_a_restart() {
    let mut far = OutboundScene::new(&[("far", 11)], "[retry]\nwaits_s = [1]\n");
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let _host = Sink::deciding(far.lab.address(11), MX_PORT, move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Some(Reply::new(452, (4, 2, 2), "over quota"))
    });
    far.send("full@far.test", "the first");
    far.fate("deferred", "full@far.test");
    far.waypost.stop();
    far.waypost.start();
    far.send("full@far.test", "the second");
    far.fate("held back", "full@far.test");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    far.waypost.assert_no_bugs();
}

/// A host of Gmail's name in the lab, at address 11, for the mailboxes of mail.test.
fn gmail(options: &str) -> (OutboundScene, Sink) {
    let lab = it::Lab::new();
    let host = "gmail-smtp-in.l.google.com.";
    let google = format!("gmail-smtp-in.l A {}\n", lab.address(11));
    let far = OutboundScene::with_zone(lab, &format!("mail MX 10 {host}\n"), ("google.com", &google), options);
    let sink = Sink::start(far.lab.address(11), MX_PORT);
    (far, sink)
}

/// Sends until `found` finds a message that is held back; returns it, and the number of messages. After its burst the mailbox gets one in 1.5 s,
/// so how many that takes depends on the machine.
fn send_until<T>(mut send: impl FnMut(usize), found: impl Fn() -> Option<T>) -> (T, usize) {
    let sent = (1..=60).find_map(|n| {
        send(n);
        Some((found()?, n))
    });
    sent.expect("mail faster than the pace is held back")
}

#[test]
fn mail_to_a_gmail_mailbox_is_spread_out_and_nothing_fails() {
    let (far, host) = gmail("");
    let mut talk = far.session();
    let why = "not tried: the mailbox is paused: it gets mail faster than 40 messages a minute; Gmail locks a mailbox beyond 60";
    let held_back = || {
        let waiting = far.waypost.json(&["queue", "list"]);
        waiting["items"].as_array().unwrap().iter().find(|message| message["recipients"][0]["reason"] == why).cloned()
    };
    let send = |n| talk.taken("me@example.test", "foo@mail.test", &content(&format!("letter {n}.")));
    let (held, sent) = send_until(send, held_back);
    assert_eq!(held["recipients"][0]["attempts"], 0, "{held}");
    let id = held["id"].as_str().unwrap();
    let trace = far.waypost.ok(&["trace", id]);
    assert!(trace.contains("Gmail locks a mailbox beyond 60"), "{trace}");
    // Its neighbour does not wait.
    talk.taken("me@example.test", "bar@mail.test", &content("for a neighbour"));
    host.wait_for("for a neighbour");
    far.waypost.wait_for_empty_queue();
    assert_eq!(host.messages().len(), sent + 1);
    let log = far.waypost.log();
    assert!(!log.contains(": deferred id=") && !log.contains(": failed id="), "{log}");
    far.waypost.assert_no_bugs();
}

#[test]
fn a_sender_who_waits_for_gmail_is_not_told_of_the_pace() {
    let (far, host) = gmail("[forward]\nmode = \"cut-through\"\n");
    far.waypost.ok(&["alias", "add", "list@example.test", "foo@mail.test"]);
    let mut talk = Talk::greeted(far.waypost.address, MX_PORT);
    let send = |n| {
        let letter = format!("From: <her@foreign.test>\r\nSubject: letter {n}.\r\n\r\nhello\r\n");
        let reply = talk.message("her@foreign.test", "list@example.test", &letter);
        assert!(reply.starts_with("250 "), "{reply}");
    };
    let ((), sent) = send_until(send, || far.waypost.log().contains(": held back id=").then_some(()));
    far.waypost.wait_for_empty_queue();
    assert_eq!(host.messages().len(), sent);
    far.waypost.assert_no_bugs();
}
