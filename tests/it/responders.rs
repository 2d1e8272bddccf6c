//! An auto-responder behind an alias does not loop.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::thread;

use it::{Delivered, Dns, Lab, MX_PORT, Sink, Talk, Waypost, wait_for, zone};

/// The mailbox behind me@example.test, with a program that answers each message through the alias. The list has the replies to its answers.
fn scene(from: &'static str, marks: &'static str) -> (Lab, Dns, Sink, Waypost, Arc<Mutex<Vec<String>>>) {
    let lab = Lab::new();
    let dns = Dns::start(&lab, &zone(&lab));
    let (server, heard) = (lab.address(1), Arc::new(Mutex::new(Vec::new())));
    let replies = heard.clone();
    let inbox = Sink::judging(
        lab.address(2),
        MX_PORT,
        |_| None,
        move |_: &Delivered| {
            let replies = replies.clone();
            thread::spawn(move || {
                let reply = answer(server, from, marks);
                replies.lock().unwrap().push(reply);
            });
            None
        },
    );
    let waypost = Waypost::started(&lab, "foo@inbox.test", "[forward]\ndomain = \"fwd.example.test\"\nunauthenticated = \"accept\"\n");
    (lab, dns, inbox, waypost, heard)
}

fn answer(server: Ipv4Addr, from: &str, marks: &str) -> String {
    let content = format!("From: <foo@inbox.test>\r\nTo: <me@example.test>\r\nSubject: I am away\r\n{marks}\r\nlater\r\n");
    Talk::greeted(server, MX_PORT).message(from, "me@example.test", &content)
}

#[test]
fn auto_replies_to_an_alias_end() {
    // The behaviour of a responder, and the number of its answers that are delivered.
    let cases = [
        ("foo@inbox.test", "Auto-Submitted: auto-replied\r\n", 0),
        ("foo@inbox.test", "Precedence: junk\r\n", 0),
        ("", "", 0),
        ("foo@inbox.test", "", 10),
        ("responder@inbox.test", "In-Reply-To: <x@foreign.test>\r\n", 10),
    ];
    for (from, marks, through) in cases {
        let (_lab, _dns, inbox, waypost, heard) = scene(from, marks);
        let letter = "From: <her@foreign.test>\r\nSubject: hi\r\n\r\nhello\r\n";
        let reply = Talk::greeted(waypost.address, MX_PORT).message("her@foreign.test", "me@example.test", letter);
        assert!(reply.starts_with("250 "), "{reply}");
        let refusal = wait_for("a refusal", || heard.lock().unwrap().iter().find(|reply| reply.starts_with('5')).cloned());
        assert!(refusal.starts_with("554 5.4.6 "), "{refusal}");
        waypost.wait_for_empty_queue();
        assert_eq!(inbox.messages().len(), 1 + through, "{from} {marks}");
        waypost.assert_no_bugs();
    }
}

#[test]
fn auto_replies_are_rate_limited_but_list_mail_is_not() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(&lab, "foo@inbox.test", "[forward]\ndomain = \"fwd.example.test\"\nunauthenticated = \"accept\"\n");
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    let mut send = |n: usize, mark: &str| {
        let content = format!("From: <her@foreign.test>\r\nMessage-ID: <{n}.{}@foreign.test>\r\n{mark}\r\n\r\naway\r\n", mark.len());
        talk.message("her@foreign.test", "me@example.test", &content)
    };
    for n in 0..12 {
        let reply = send(n, "Auto-Submitted: auto-replied");
        assert!(reply.starts_with(if n < 10 { "250 " } else { "450 4.7.1 " }), "{n}: {reply}");
        for mark in ["Auto-Submitted: auto-generated", "Precedence: list", "List-Id: <l.foreign.test>", "Subject: a person"] {
            let reply = send(n, mark);
            assert!(reply.starts_with("250 "), "{n} {mark}: {reply}");
        }
    }
    assert_eq!(inbox.messages().len(), 10 + 12 * 4);
    waypost.assert_no_bugs();
}
