//! Shutdown: deliveries in progress finish, none begins, and the rest stays in the queue, due at once.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use it::{Delivered, Dns, Lab, MX_PORT, OutboundScene, Sink, Talk, Waypost, content, wait_for, zone};

/// A sink that delays its reply to content while `slow` is set, and the number of messages that it has received.
fn slow_sink(address: std::net::Ipv4Addr, wait: Duration, slow: &Arc<AtomicBool>) -> (Sink, Arc<AtomicUsize>) {
    let (slow, begun) = (slow.clone(), Arc::new(AtomicUsize::new(0)));
    let count = begun.clone();
    let judge = move |_: &Delivered| {
        count.fetch_add(1, Ordering::SeqCst);
        if slow.load(Ordering::SeqCst) {
            sleep(wait);
        }
        None
    };
    (Sink::judging(address, MX_PORT, |_| None, judge), begun)
}

#[test]
fn shutdown_starts_and_repeats_no_delivery() {
    let mut far = OutboundScene::new(&[("slow", 11)], "[delivery]\nloopback = true\nconnections_per_host = 2\n");
    let slow = Arc::new(AtomicBool::new(true));
    let (sink, begun) = slow_sink(far.lab.address(11), Duration::from_secs(3), &slow);
    let mut talk = far.session();
    for n in 0..8 {
        talk.taken("me@example.test", "you@slow.test", &content(&format!("number {n}.")));
    }
    wait_for("two of them to begin", || (begun.load(Ordering::SeqCst) >= 2).then_some(()));
    far.waypost.stop();
    assert_eq!(sink.messages().len(), 2, "deliveries in progress finished, and none began");
    // Without a server the command shows them as deferred and not claimed.
    let list = far.waypost.json(&["queue", "list"]);
    let messages = list["items"].as_array().unwrap();
    assert_eq!(messages.len(), 6, "{list}");
    assert!(messages.iter().all(|m| m["recipients"][0]["state"] == "waiting"), "{list}");
    slow.store(false, Ordering::SeqCst);
    far.waypost.start();
    far.waypost.wait_for_empty_queue();
    for n in 0..8 {
        assert_eq!(sink.messages().iter().filter(|m| m.text().contains(&format!("number {n}."))).count(), 1, "number {n}");
    }
    far.waypost.assert_no_bugs();
}

#[test]
fn shutdown_lets_cut_through_finish() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let (sink, begun) = slow_sink(lab.address(2), Duration::from_secs(2), &Arc::new(AtomicBool::new(true)));
    let mut waypost = Waypost::started(&lab, "foo@inbox.test", "[forward]\ndomain = \"fwd.example.test\"\nunauthenticated = \"accept\"\n");
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.begin("her@foreign.test", "me@example.test");
    talk.send(b"From: <her@foreign.test>\r\nSubject: late\r\n\r\nhello\r\n.\r\n");
    wait_for("the target to have the content", || (begun.load(Ordering::SeqCst) == 1).then_some(()));
    waypost.stop();
    let reply = talk.reply();
    assert!(reply.starts_with("250 2.0.0 delivered"), "{reply}");
    assert_eq!(sink.messages().len(), 1);
}

#[test]
fn an_unresponsive_target_delays_shutdown_by_the_grace_period_only() {
    let mut far = OutboundScene::new(&[("deaf", 11), ("mute", 12)], "[delivery]\nloopback = true\nshutdown_grace_s = 1\n");
    let (_sink, begun) = slow_sink(far.lab.address(11), Duration::from_secs(60), &Arc::new(AtomicBool::new(true)));
    // This host accepts the connection and sends nothing, so no delivery has begun.
    let mute = it::Script::start(far.lab.address(12), MX_PORT, |_stream| sleep(Duration::from_secs(60)));
    far.send("you@deaf.test", "into the ear.");
    far.send("you@mute.test", "to the wall.");
    wait_for("both to begin", || (begun.load(Ordering::SeqCst) == 1 && mute.connections() == 1).then_some(()));
    far.waypost.stop();
    far.waypost.wait_for_line(&["deliveries were interrupted", "cut=1", "grace_s=1"]);
    let list = far.waypost.json(&["queue", "list"]);
    assert!(list["items"].as_array().unwrap().iter().all(|m| m["recipients"][0]["state"] == "waiting"), "{list}");
}

#[test]
fn the_service_manager_is_notified() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let place = lab.path().join("notify");
    let manager = UnixDatagram::bind(&place).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let notified = || {
        let mut buffer = [0; 1024];
        let count = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let mut waypost = Waypost::configured(&lab, "");
    waypost.start_by(|binary| {
        let mut command = Command::new(binary);
        command.env("NOTIFY_SOCKET", &place);
        command
    });
    assert_eq!(notified(), "READY=1");
    waypost.hang_up();
    assert_eq!((notified(), notified()), ("RELOADING=1".into(), "READY=1".into()));
    waypost.stop();
    let stopping = notified();
    // The grace period of 30 s, and 30 s more.
    assert_eq!(stopping, "STOPPING=1\nEXTEND_TIMEOUT_USEC=60000000");
}
