//! Cut-through of large messages: nothing of them is on disk until a commit needs it, and then all of it is.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use it::{Delivered, Dns, Gate, Lab, MX_PORT, Sink, Talk, Waypost, wait_for, zone};
use mail::Reply;

const FORWARD: &str = "[retry]\nwaits_s = [1]\n[forward]\ndomain = \"fwd.example.test\"\nunauthenticated = \"accept\"\n";

const FROM: &str = "her@foreign.test";

/// What the target does with whole messages, and what it saw.
#[derive(Default)]
struct Inbox {
    /// Refuses with 451.
    is_busy: AtomicBool,
    /// Where it waits before it answers.
    gate: Gate,
    /// The number of content files of the server, each time the target had a whole message.
    files: Mutex<Vec<usize>>,
}

struct Scene {
    waypost: Waypost,
    inbox: Arc<Inbox>,
    sink: Sink,
    _dns: Dns,
    _lab: Lab,
}

fn files(data: &Path) -> usize {
    std::fs::read_dir(data.join("content")).map_or(0, Iterator::count)
}

fn scene(extra: &str) -> Scene {
    let lab = Lab::new();
    let dns = Dns::start(&lab, &zone(&lab));
    let waypost = Waypost::started(&lab, "foo@inbox.test", &format!("{FORWARD}{extra}"));
    let (inbox, data) = (Arc::new(Inbox::default()), waypost.data.clone());
    let judging = inbox.clone();
    let judge = move |_: &Delivered| {
        judging.files.lock().unwrap().push(files(&data));
        judging.gate.pass();
        judging.is_busy.load(Ordering::SeqCst).then(|| Reply::new(451, (4, 3, 0), "busy"))
    };
    let sink = Sink::judging(lab.address(2), MX_PORT, |_| None, judge);
    Scene { waypost, inbox, sink, _dns: dns, _lab: lab }
}

/// About 1 MiB, with lines that begin with dots.
fn letter(subject: &str) -> String {
    let mut text = format!("From: <{FROM}>\r\nMessage-ID: <{subject}@foreign.test>\r\nSubject: {subject}\r\n\r\n");
    for n in 0..16_000 {
        text.push_str(&format!("{}line {n}: {}\r\n", if n % 7 == 0 { "." } else { "" }, "x".repeat(n % 90)));
    }
    text
}

impl Scene {
    fn begun(&self, subject: &str) -> Talk {
        let mut talk = Talk::greeted(self.waypost.address, MX_PORT);
        talk.begin(FROM, "me@example.test");
        // A line that begins with a dot is sent with two.
        talk.send(format!("{}.\r\n", letter(subject).replace("\r\n.", "\r\n..")).as_bytes());
        talk
    }

    /// Every copy that arrived is whole.
    fn arrived(&self, subject: &str) -> usize {
        self.sink.wait_for(&format!("Subject: {subject}\r\n"));
        let messages = self.sink.messages();
        let copies: Vec<_> = messages.iter().filter(|m| m.text().contains(&format!("Subject: {subject}\r\n"))).collect();
        assert!(copies.iter().all(|copy| copy.content.ends_with(letter(subject).as_bytes())), "{subject} was changed");
        copies.len()
    }

    fn nothing_left(&self) {
        self.waypost.wait_for_empty_queue();
        self.waypost.wait_for_no_file("content");
        self.waypost.assert_no_bugs();
    }
}

#[test]
fn a_large_message_that_its_target_accepts_is_never_on_disk() {
    let scene = scene("");
    for subject in ["first", "second"] {
        let reply = scene.begun(subject).reply();
        assert!(reply.starts_with("250 2.0.0 delivered"), "{reply}");
        assert_eq!(scene.arrived(subject), 1);
    }
    assert_eq!(*scene.inbox.files.lock().unwrap(), [0, 0]);
    scene.nothing_left();
}

#[test]
fn a_large_message_is_on_disk_before_250_if_its_target_defers_it() {
    let mut scene = scene("");
    scene.inbox.is_busy.store(true, Ordering::SeqCst);
    let reply = scene.begun("deferred").reply();
    assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
    assert_eq!(scene.inbox.files.lock().unwrap().first(), Some(&0), "nothing was on disk when the target answered");
    assert_eq!((files(&scene.waypost.data), scene.waypost.queued()), (1, 1));
    scene.waypost.kill();
    scene.inbox.is_busy.store(false, Ordering::SeqCst);
    scene.waypost.start();
    assert_eq!(scene.arrived("deferred"), 1);
    scene.nothing_left();
}

#[test]
fn a_large_message_is_on_disk_before_250_when_the_deadline_ends() {
    let mut scene = scene("cut_through_timeout_s = 1\n");
    scene.inbox.gate.close();
    let reply = scene.begun("late").reply();
    assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
    assert_eq!(files(&scene.waypost.data), 1);
    scene.waypost.kill();
    scene.inbox.gate.open();
    scene.waypost.start();
    // The target may have taken the first copy: the process died in flight.
    assert!((1..=2).contains(&scene.arrived("late")));
    scene.nothing_left();
}

#[test]
fn a_large_message_that_was_not_answered_is_gone_after_a_kill() {
    let mut scene = scene("");
    scene.inbox.gate.close();
    let mut talk = scene.begun("killed");
    wait_for("the target to have the content", || (!scene.inbox.files.lock().unwrap().is_empty()).then_some(()));
    scene.waypost.kill();
    assert!(talk.is_closed(), "an answer without responsibility");
    scene.waypost.start();
    assert_eq!((scene.waypost.queued(), files(&scene.waypost.data)), (0, 0));
}

#[test]
fn without_room_in_memory_a_large_message_goes_to_a_file_while_it_arrives() {
    let scene = scene("[limits]\ncontent_memory_bytes = \"1 MiB\"\n");
    let reply = scene.begun("spilled").reply();
    assert!(reply.starts_with("250 2.0.0 delivered"), "{reply}");
    assert_eq!(*scene.inbox.files.lock().unwrap(), [1]);
    assert_eq!(scene.arrived("spilled"), 1);
    scene.nothing_left();
}
