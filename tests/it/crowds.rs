//! Many unknown clients that use up shared resources: sessions, stalled contents, large messages that wait for DNS.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use it::{DNS_PORT, Dns, InboundScene, Lab, MX_PORT, SUBMISSION_PORT, Sink, Talk, Waypost, wait_for, zone};

const SMALL: &str = "From: her@foreign.test\r\nSubject: a small message\r\n\r\nhello\r\n";

/// An address of loopback in another network than the lab's.
fn elsewhere(lab: &Lab, host: u8) -> Ipv4Addr {
    let [_, a, b, _] = lab.address(1).octets();
    Ipv4Addr::new(127, a, b.wrapping_add(1), host)
}

fn greeted_from(source: Ipv4Addr, waypost: &Waypost) -> Talk {
    let mut talk = Talk::connect_from(source, waypost.address, MX_PORT);
    let banner = talk.reply();
    assert!(banner.starts_with("220 "), "{banner}");
    talk.expect("EHLO client.foreign.test", "250");
    talk
}

#[test]
fn stalled_contents_do_not_block_other_senders() {
    let stage = InboundScene::new("[limits]\ncontent_memory_bytes = \"1 MiB\"\n");
    let password = stage.waypost.account("me@example.test");
    // Five addresses; each content counts its session's buffers, and together they reach the limit of one network.
    let silent = |n: u8| {
        let mut talk = greeted_from(stage.lab.address(100 + n % 5), &stage.waypost);
        talk.begin("x@foreign.test", "me@example.test");
        talk.send(b"Subject: slow\r\n");
        talk
    };
    let crowd: Vec<Talk> = (0..96).map(silent).collect();
    let mut one_more = greeted_from(stage.lab.address(100), &stage.waypost);
    one_more.expect("MAIL FROM:<x@foreign.test>", "250");
    one_more.expect("RCPT TO:<me@example.test>", "250");
    one_more.expect("DATA", "452 4.3.1");
    greeted_from(elsewhere(&stage.lab, 1), &stage.waypost).taken("her@foreign.test", "me@example.test", SMALL);
    stage.inbox.wait_for("a small message");
    let mut own = stage.waypost.logged_in("me@example.test", &password);
    own.taken("me@example.test", "you@inbox.test", "From: me@example.test\r\nSubject: of an account\r\n\r\nhello\r\n");
    stage.inbox.wait_for("of an account");
    drop(crowd);
    wait_for("room again", || {
        one_more.expect("MAIL FROM:<x@foreign.test>", "250");
        one_more.expect("RCPT TO:<me@example.test>", "250");
        one_more.say("DATA").starts_with("354").then_some(())
    });
    stage.waypost.assert_no_bugs();
}

#[test]
fn unknown_clients_leave_sessions_for_accounts_and_known_networks() {
    let stage = InboundScene::new("[limits]\nsessions = 16\nsessions_per_client = 16\n");
    let password = stage.waypost.account("me@example.test");
    wait_for("no session", || (stage.waypost.json(&["status"])["sessions"] == 0).then_some(()));
    let mut strangers: Vec<Talk> = (0..8).map(|n| greeted_from(elsewhere(&stage.lab, n + 1), &stage.waypost)).collect();
    let mut turned_away = |source| {
        // When all sessions are in use, idle ones end soon.
        strangers.iter_mut().for_each(|talk| assert!(talk.say("NOOP").starts_with("250")));
        let reply = Talk::connect_from(source, stage.waypost.address, MX_PORT).reply();
        assert!(reply.starts_with("421 4.3.2"), "{reply}");
    };
    turned_away(stage.lab.address(1));
    let newcomers: Vec<Talk> = (0..3).map(|_| Talk::connect(stage.waypost.address, SUBMISSION_PORT)).collect();
    // The last session for unknown clients is used for a login, which makes its network known.
    let mut own = stage.waypost.logged_in("me@example.test", &password);
    own.taken("me@example.test", "you@inbox.test", "From: me@example.test\r\nSubject: of an account\r\n\r\nhello\r\n");
    Talk::greeted(stage.waypost.address, MX_PORT).taken("her@foreign.test", "me@example.test", SMALL);
    turned_away(elsewhere(&stage.lab, 99));
    drop((strangers, newcomers));
    stage.inbox.wait_for("a small message");
    stage.waypost.assert_no_bugs();
}

#[test]
fn idle_sessions_are_closed_within_seconds_when_all_are_in_use() {
    let stage = InboundScene::new("[limits]\nsessions = 16\nsessions_per_client = 16\n");
    wait_for("no session", || (stage.waypost.json(&["status"])["sessions"] == 0).then_some(()));
    let strangers: Vec<Talk> = (0..8).map(|n| greeted_from(elsewhere(&stage.lab, n + 1), &stage.waypost)).collect();
    let tried = || Talk::connect_from(stage.lab.address(1), stage.waypost.address, MX_PORT).reply();
    let full = tried();
    assert!(full.starts_with("421 4.3.2"), "{full}");
    // The command timeout alone is 300 s.
    wait_for("a place", || tried().starts_with("220 ").then_some(()));
    drop(strangers);
    stage.waypost.assert_no_bugs();
}

/// A proxy in front of the lab's name server that drops questions about names with `silent`.
fn sometimes_silent(lab: &Lab) -> Ipv4Addr {
    let (address, behind) = (lab.address(54), lab.address(53));
    let socket = UdpSocket::bind((address, DNS_PORT)).unwrap();
    thread::spawn(move || {
        let mut query = [0; 1500];
        while let Ok((n, peer)) = socket.recv_from(&mut query) {
            if query[..n].windows(6).any(|w| w.eq_ignore_ascii_case(b"silent")) {
                continue;
            }
            let (query, back) = (query[..n].to_vec(), socket.try_clone().unwrap());
            thread::spawn(move || {
                let forward = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                forward.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut reply = [0; 65_535];
                forward.send_to(&query, (behind, DNS_PORT)).unwrap();
                if let Ok(n) = forward.recv(&mut reply) {
                    let _ = back.send_to(&reply[..n], peer);
                }
            });
        }
    });
    address
}

#[test]
fn large_messages_that_wait_for_dns_do_not_block_others() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let proxy = sometimes_silent(&lab);
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(&lab, "foo@inbox.test", &format!("[dns]\nservers = [\"{proxy}:{DNS_PORT}\"]\n"));
    let password = waypost.account("me@example.test");
    let large = |from: &str, subject: &str| format!("From: {from}\r\nSubject: {subject}\r\n\r\n{}", "0123456789abcdef\r\n".repeat(11_000));
    let (sent, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for n in 0..8 {
            let (waypost, sent, answered, large) = (&waypost, &sent, &answered, &large);
            scope.spawn(move || {
                let mut talk = Talk::greeted(waypost.address, MX_PORT);
                let from = format!("x@a{n}.silent.test");
                talk.begin(&from, "me@example.test");
                talk.send(large(&from, "silent").as_bytes());
                talk.send(b".\r\n");
                sent.fetch_add(1, Ordering::SeqCst);
                // SPF takes 17 s.
                let reply = std::iter::repeat_with(|| talk.reply()).find(|reply| !reply.is_empty()).unwrap();
                answered.fetch_add(1, Ordering::SeqCst);
                assert!(reply.starts_with('2') || reply.starts_with('4'), "{reply}");
            });
        }
        wait_for("all strangers to have sent", || (sent.load(Ordering::SeqCst) == 8).then_some(()));
        Talk::greeted(waypost.address, MX_PORT).taken("her@foreign.test", "me@example.test", &large("her@foreign.test", "honest"));
        let mut own = waypost.logged_in("me@example.test", &password);
        own.taken("me@example.test", "you@inbox.test", &large("me@example.test", "own"));
        assert_eq!(answered.load(Ordering::SeqCst), 0, "none of the strangers has its answer yet");
    });
    inbox.wait_for("Subject: own");
    inbox.wait_for("Subject: honest");
    waypost.assert_no_bugs();
}
