//! Events: what the history has of each message, session and login, and that no kind of event is a dead word.
//!
//! docs/events.md is the list. Invariant: an alias's owner can see the host's reply and the mailbox behind the alias; a sender never does.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use it::{Dns, Lab, MX_PORT, SUBMISSION_PORT, Sink, Talk, Waypost, base64, forwarding_zone, wait_for};
use mail::Reply;
use serde_json::Value;

struct Scene {
    waypost: Waypost,
    _dns: Dns,
    lab: Lab,
}

/// me@example.test leads to foo@inbox.test; her@foreign.test passes SPF and DMARC, someone@list.test only SPF; lax.test has p=quarantine.
fn scene(options: &str) -> Scene {
    let lab = Lab::new();
    let more = "_dmarc.lax TXT \"v=DMARC1; p=quarantine\"\nlist TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\nforeign TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n";
    let mut waypost = Waypost::configured(&lab, options);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let keys = waypost.keys("fwd.example.test");
    let dns = Dns::start(&lab, &(forwarding_zone(&lab) + more + &keys));
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.start();
    Scene { waypost, _dns: dns, lab }
}

/// `mode` is that of forwarding.
fn forwarding(mode: &str) -> String {
    format!("[forward]\ndomain = \"fwd.example.test\"\nmode = \"{mode}\"\n[retry]\nwaits_s = [1]\n")
}

impl Scene {
    fn send(&self, from: &str, author: &str, subject: &str) -> String {
        let content = format!("From: Her <{author}>\r\nSubject: {subject}\r\nMessage-ID: <{subject}@{from}>\r\n\r\nhello\r\n");
        Talk::greeted(self.waypost.address, MX_PORT).message(from, "me@example.test", &content)
    }

    /// The events of the history, oldest first.
    fn events(&self) -> Vec<Value> {
        let page = get(&self.waypost.data, "/api/v1/history?limit=500");
        let mut items = page["items"].as_array().unwrap_or_else(|| panic!("no items in {page}")).clone();
        items.reverse();
        items
    }

    /// Waits for an event of this kind whose field has this value; returns it.
    fn event(&self, kind: &str, field: &str, value: &str) -> Value {
        let holds = |event: &Value| event["kind"] == kind && (text(event, field) == value);
        wait_for(&format!("{kind} with {field} {value:?} among {:?}", self.kinds()), || self.events().into_iter().find(holds))
    }

    fn kinds(&self) -> Vec<String> {
        self.events().iter().map(|event| text(event, "kind")).collect()
    }
}

/// Asks the admin socket.
fn get(data: &Path, path: &str) -> Value {
    let mut socket = UnixStream::connect(data.join("waypost.sock")).expect("the admin socket");
    socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n").as_bytes()).expect("a request");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// A field of an event, or one of its facts, as text; empty without it.
fn text(event: &Value, name: &str) -> String {
    let facts = event["facts"].as_array().into_iter().flatten();
    let fact = facts.filter(|fact| fact[0] == name).find_map(|fact| fact[1].as_str());
    match &event[name] {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => fact.unwrap_or_default().to_owned(),
    }
}

#[track_caller]
fn assert_has(event: &Value, expected: &[(&str, &str)]) {
    let found: BTreeMap<&str, String> = expected.iter().map(|(name, _)| (*name, text(event, name))).collect();
    let expected: BTreeMap<&str, String> = expected.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    assert_eq!(found, expected, "{event:#}");
}

#[track_caller]
fn assert_numbers(event: &Value, names: &[&str]) {
    for name in names {
        assert!(text(event, name).parse::<u64>().is_ok(), "{name} in {event:#}");
    }
}

#[test]
fn a_forwarded_message_makes_an_event_for_the_decision_and_one_for_the_delivery() {
    for (mode, kind) in [("queue", "message-accepted"), ("cut-through", "message-handed-over")] {
        let scene = scene(&forwarding(mode));
        let inbox = Sink::start(scene.lab.address(2), MX_PORT);
        let reply = scene.send("her@foreign.test", "her@foreign.test", "hello");
        inbox.wait_for("Subject: hello");
        let delivered = scene.event("delivered", "to", "me@example.test");
        let decided = scene.event(kind, "to", "me@example.test");
        let id = text(&decided, "queue_id");
        assert!(reply.contains(&id), "{reply}");
        assert_has(
            &decided,
            &[
                ("from", "her@foreign.test"),
                ("message_id", "hello@her@foreign.test"),
                ("host", "client.foreign.test"),
                ("spf", "pass foreign.test"),
                ("dkim", "none"),
                ("dmarc", "pass p=reject"),
                ("from_field", "her@foreign.test"),
                ("flow", "forward"),
                ("listener", "mx"),
                ("recipients", "1"),
                ("subject", ""),
                ("target", ""),
                ("reply", ""),
            ],
        );
        assert!(text(&decided, "client").starts_with("127."), "{decided:#}");
        assert_numbers(&decided, &["size_bytes", "took_ms", "received_in_ms"]);
        assert_has(
            &delivered,
            &[
                ("queue_id", &id),
                ("from", "her@foreign.test"),
                ("target", "foo@inbox.test"),
                ("host", "mx.inbox.test"),
                ("attempt", "1"),
                ("flow", "forward"),
                ("reason", ""),
            ],
        );
        assert_eq!(text(&delivered, "client"), scene.lab.address(2).to_string());
        assert!(text(&delivered, "reply").starts_with("250 "), "{delivered:#}");
        assert_numbers(&delivered, &["took_ms", "age_ms"]);
        let kinds = scene.kinds();
        assert_eq!(kinds.iter().filter(|kind| *kind == "delivered" || kind.starts_with("message-")).count(), 2, "{kinds:?}");
        scene.waypost.assert_no_bugs();
    }
}

#[test]
fn a_message_for_two_targets_names_its_copy() {
    let scene = scene(&forwarding("queue"));
    let inbox = Sink::start(scene.lab.address(2), MX_PORT);
    scene.waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test", "bar@inbox.test", "--replace"]);
    scene.send("her@foreign.test", "her@foreign.test", "twice");
    wait_for("both copies", || (inbox.messages().len() == 2).then_some(()));
    let first = scene.event("delivered", "target", "foo@inbox.test");
    let second = scene.event("delivered", "target", "bar@inbox.test");
    let decided = scene.event("message-accepted", "to", "me@example.test");
    let mut of_decision = vec![text(&decided, "queue_id"), text(&decided, "copies")];
    let mut of_deliveries = vec![text(&first, "queue_id"), text(&second, "queue_id")];
    of_decision.sort();
    of_deliveries.sort();
    assert_eq!(of_decision, of_deliveries);
}

#[test]
fn held_mail_says_why_and_who_released_it() {
    let scene = scene(&forwarding("queue"));
    let inbox = Sink::start(scene.lab.address(2), MX_PORT);
    scene.send("someone@list.test", "boss@lax.test", "held");
    let held = scene.event("message-held", "from", "someone@list.test");
    assert_has(&held, &[("from_field", "boss@lax.test"), ("dmarc", "fail p=quarantine"), ("spf", "pass list.test")]);
    assert!(text(&held, "reason").contains("lax.test"), "{held:#}");
    let id = text(&held, "queue_id");
    scene.waypost.ok(&["held", "release", &id, "--wrapped"]);
    inbox.wait_for("Subject: held");
    let released = scene.event("released", "queue_id", &id);
    let leaves_as = text(&released, "copies");
    assert_ne!((text(&released, "login").as_str(), leaves_as.as_str()), ("", ""));
    scene.event("delivered", "queue_id", &leaves_as);
    scene.send("someone@list.test", "boss@lax.test", "again");
    let again = scene.event("message-held", "message_id", "again@someone@list.test");
    scene.waypost.ok(&["held", "drop", &text(&again, "queue_id"), "--yes"]);
    scene.event("dropped", "queue_id", &text(&again, "queue_id"));
}

#[test]
fn refusals_before_and_after_the_content_have_our_reply() {
    let scene = scene(&forwarding("queue"));
    let mut talk = Talk::greeted(scene.waypost.address, MX_PORT);
    talk.say("EHLO client.foreign.test");
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<nobody@example.test>", "550");
    let refused = scene.event("recipient-refused", "to", "nobody@example.test");
    assert_has(&refused, &[("from", "her@foreign.test"), ("host", "client.foreign.test"), ("listener", "mx"), ("queue_id", "")]);
    assert!(text(&refused, "reply").starts_with("550 5.1.1 "), "{refused:#}");
    let reply = scene.send("someone@list.test", "her@foreign.test", "forged");
    assert!(reply.starts_with("550 5.7.1 "), "{reply}");
    let refused = scene.event("message-refused", "from", "someone@list.test");
    assert_has(&refused, &[("to", "me@example.test"), ("dmarc", "fail p=reject"), ("reply", reply.trim_end())]);
}

#[test]
fn a_refused_login_names_the_account_only_if_there_is_one() {
    let scene = scene(&forwarding("queue"));
    let password = scene.waypost.account("me@example.test");
    drop(scene.waypost.logged_in("me@example.test", &password));
    let entered = scene.event("logged-in", "login", "me@example.test");
    assert_has(&entered, &[("mechanism", "PLAIN"), ("new", "first")]);
    for (login, named) in [("me@example.test", "me@example.test"), ("hunter2", "")] {
        let mut talk = Talk::greeted(scene.waypost.address, SUBMISSION_PORT);
        talk.start_tls(&scene.waypost.certificate());
        talk.expect("EHLO client.foreign.test", "250");
        talk.expect(&format!("AUTH PLAIN {}", base64(&format!("\0{login}\0wrong"))), "535 5.7.8");
        let refused = wait_for("the refused login", || self::last(&scene, "login-refused").filter(|event| text(event, "login") == named));
        assert_has(&refused, &[("mechanism", "PLAIN"), ("login", named)]);
        assert!(text(&refused, "reply").starts_with("535 5.7.8 "), "{refused:#}");
    }
    assert!(!scene.events().iter().any(|event| event.to_string().contains("hunter2")), "it may be a password");
}

fn last(scene: &Scene, kind: &str) -> Option<Value> {
    scene.events().into_iter().rev().find(|event| event["kind"] == kind)
}

#[test]
fn each_attempt_has_the_hosts_own_reply_until_it_is_delivered() {
    let scene = scene(&forwarding("queue"));
    let busy = Arc::new(AtomicBool::new(true));
    let is_busy = busy.clone();
    let decide = move |_: &str| is_busy.load(Ordering::SeqCst).then(|| Reply::new(450, (4, 2, 0), "greylisted, foo@inbox.test"));
    let inbox = Sink::deciding(scene.lab.address(2), MX_PORT, decide);
    scene.send("her@foreign.test", "her@foreign.test", "later");
    let deferred = scene.event("deferred", "to", "me@example.test");
    let expected =
        [("target", "foo@inbox.test"), ("host", "mx.inbox.test"), ("reply", "450 4.2.0 greylisted, foo@inbox.test"), ("status", "4.2.0")];
    assert_has(&deferred, &expected);
    assert_numbers(&deferred, &["attempt", "retry_in_s", "took_ms", "age_ms"]);
    busy.store(false, Ordering::SeqCst);
    inbox.wait_for("Subject: later");
    let delivered = scene.event("delivered", "queue_id", &text(&deferred, "queue_id"));
    assert!(text(&delivered, "attempt").parse::<u32>().is_ok_and(|attempt| attempt >= 2), "{delivered:#}");
}

#[test]
fn a_failure_leads_to_its_dsn() {
    let scene = scene(&forwarding("queue"));
    let refuse = |_: &str| Some(Reply::new(550, (5, 1, 1), "no such user foo"));
    let _inbox = Sink::deciding(scene.lab.address(2), MX_PORT, refuse);
    let origin = Sink::start(scene.lab.address(3), MX_PORT);
    scene.send("her@foreign.test", "her@foreign.test", "lost");
    let failed = scene.event("failed", "to", "me@example.test");
    assert_has(&failed, &[("reply", "550 5.1.1 no such user foo"), ("status", "5.1.1"), ("reported", "yes"), ("attempt", "1")]);
    origin.wait_for("Content-Type: multipart/report");
    let dsn = scene.event("dsn-queued", "about", &text(&failed, "queue_id"));
    assert_has(&dsn, &[("to", "her@foreign.test"), ("from", "")]);
    let delivered = scene.event("delivered", "queue_id", &text(&dsn, "queue_id"));
    assert_has(&delivered, &[("flow", "report"), ("target", "")]);
}

#[test]
fn cut_through_has_the_targets_refusal_and_the_sender_a_masked_one() {
    let scene = scene(&forwarding("cut-through"));
    let refuse = |_: &str| Some(Reply::new(550, (5, 1, 1), "no such user foo"));
    let _inbox = Sink::deciding(scene.lab.address(2), MX_PORT, refuse);
    let reply = scene.send("her@foreign.test", "her@foreign.test", "no");
    let not_taken = scene.event("not-taken", "to", "me@example.test");
    assert_has(&not_taken, &[("target", "foo@inbox.test"), ("reply", "550 5.1.1 no such user foo"), ("host", "mx.inbox.test")]);
    let refused = scene.event("message-refused", "queue_id", &text(&not_taken, "queue_id"));
    assert_has(&refused, &[("reply", reply.trim_end()), ("target", "")]);
    assert!(!refused.to_string().contains("inbox"), "{refused:#}");
}

#[test]
fn the_subject_is_kept_only_if_a_setting_says_so() {
    let scene = scene(&(forwarding("queue") + "[history]\nsubjects = true\n"));
    let inbox = Sink::start(scene.lab.address(2), MX_PORT);
    scene.send("her@foreign.test", "her@foreign.test", "topical");
    inbox.wait_for("Subject: topical");
    assert_has(&scene.event("message-accepted", "to", "me@example.test"), &[("subject", "topical")]);
}

#[test]
fn start_and_stop_are_recorded_across_restarts() {
    let mut scene = scene(&forwarding("queue"));
    scene.waypost.stop();
    scene.waypost.start();
    wait_for("the second start", || {
        let kinds = scene.kinds();
        let of_server: Vec<&str> = kinds.iter().map(String::as_str).filter(|kind| matches!(*kind, "started" | "stopped")).collect();
        (of_server == ["started", "stopped", "started"]).then_some(())
    });
}

/// What records events; the other crates read them.
const RECORDERS: [&str; 6] =
    ["crates/mta/src", "crates/net/src", "crates/control_api/src", "crates/door/src", "crates/history/src", "crates/waypost/src/serve"];

/// The variants of a list of `crates/events`, which begins with `begin`.
fn variants(file: &str, begin: &str) -> Vec<String> {
    let source = fs::read_to_string(root().join("crates/events/src").join(file)).expect("a list of the events");
    let rows = source.split(begin).nth(1).expect("the list follows the macro").split("\n}").next().unwrap_or_default();
    rows.lines().filter_map(|row| row.split_whitespace().next()).map(ToOwned::to_owned).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the checkout")
}

/// All sources in a folder, as one text.
fn sources(dir: &Path, into: &mut String) {
    for entry in fs::read_dir(dir).expect("a folder of the checkout") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path).expect("a source file"));
        }
    }
}

/// The variants of a type that no recorder mentions.
fn dead(of: &str, variants: &[String]) -> Vec<String> {
    let mut text = String::new();
    RECORDERS.iter().for_each(|dir| sources(&root().join(dir), &mut text));
    let ends = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric());
    let is_used = |name: &&String| text.match_indices(&format!("{of}::{name}")).any(|(at, found)| ends(&text[at + found.len()..]));
    variants.iter().filter(|name| !is_used(name)).cloned().collect()
}

#[test]
fn every_kind_and_fact_of_events_is_recorded_somewhere() {
    let (kinds, facts) = (variants("kind.rs", "\nkinds! {\n"), variants("fact.rs", "\nfacts! {\n"));
    assert!(kinds.len() > 40 && facts.len() > 30 && kinds.contains(&"Delivered".to_owned()), "{kinds:?} {facts:?}");
    let none: [String; 0] = [];
    assert_eq!(dead("EventKind", &kinds), none, "kinds that nothing records");
    assert_eq!(dead("Fact", &facts), none, "facts that nothing records");
    assert_eq!(dead("EventKind", &["Deliver".to_owned()]), ["Deliver"], "a part of a name is not the name");
}
