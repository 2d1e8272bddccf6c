//! Hostile name servers: damaged, foreign or circular answers never lose mail. Threats 67, 68 and 70.

use std::net::UdpSocket;
use std::time::Duration;

use it::{DNS_PORT, Dns, Lab, MX_PORT, Sink, Waypost, wait_within, zone};

const PATIENCE: Duration = Duration::from_secs(60);

/// A name server that answers each question with `answer`.
fn name_server(lab: &Lab, answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) {
    let socket = UdpSocket::bind((lab.address(53), DNS_PORT)).unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 1500];
        while let Ok((n, peer)) = socket.recv_from(&mut query) {
            for reply in answer(&query[..n]) {
                let _ = socket.send_to(&reply, peer);
            }
        }
    });
}

/// The question with the header of an answer: these flags and one record.
fn head(query: &[u8], flags: u8, answers: u8) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2] = 0x84 | flags;
    reply[3] = 0x80;
    reply[6..12].copy_from_slice(&[0, answers, 0, 0, 0, 0]);
    // The EDNS record of the question is not part of the answer.
    let end = 12 + reply[12..].iter().position(|b| *b == 0).unwrap() + 5;
    reply.truncate(end);
    reply
}

fn queued(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) {
    let lab = Lab::new();
    name_server(&lab, answer);
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let password = waypost.account("me@example.test");
    waypost.logged_in("me@example.test", &password).taken("me@example.test", "you@far.test", "Subject: waits\r\n\r\n");
    let line = wait_within(PATIENCE, "the mail to be deferred", || {
        waypost.log().lines().find(|line| line.contains("deferred") && line.contains("to=you@far.test")).map(ToOwned::to_owned)
    });
    assert!(line.contains("trouble=4.4.3 "), "{line}");
    assert_eq!(waypost.queued(), 1);
    waypost.assert_no_bugs();
}

#[test]
fn threat_67_a_pointer_that_leads_to_itself() {
    queued(|query| {
        let mut reply = head(query, 0, 1);
        let here = u8::try_from(reply.len()).unwrap();
        reply.extend_from_slice(&[0xc0, here, 0, 15, 0, 1, 0, 0, 0, 60, 0, 4, 0, 10, 0xc0, here]);
        vec![reply]
    });
}

#[test]
fn threat_67_an_answer_to_another_question() {
    queued(|query| {
        let mut reply = head(query, 0, 1);
        reply.extend_from_slice(b"\xc0\x0c\0\x0f\0\x01\0\0\0\x3c\0\x09\0\x0a\x04evil\xc0\x0c");
        reply[0] ^= 0x55;
        vec![reply]
    });
}

#[test]
fn threat_67_cut_off_with_nothing_behind_it() {
    // The truncated answer cannot be fetched over TCP.
    queued(|query| vec![head(query, 2, 0)]);
}

#[test]
fn threat_67_noise() {
    queued(|query| vec![vec![query[0], query[1]], vec![0xff; 1400], head(query, 0, 250)]);
}

#[test]
fn threat_70_hosts_that_no_host_is_called() {
    let lab = Lab::new();
    let long = ["x".repeat(60), "y".repeat(60), "z".repeat(60)].join(".");
    let odd = format!("odd MX 5 a\\000b.odd\nodd MX 6 -.odd\nodd MX 7 a\\032b.odd\nodd MX 8 {long}\nodd MX 9 mx.inbox\n");
    let _dns = Dns::start(&lab, &(zone(&lab) + &odd));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(&lab, "foo@odd.test", "");
    it::Talk::greeted(waypost.address, MX_PORT).taken("her@foreign.test", "me@example.test", "Subject: oddly\r\n\r\n");
    inbox.wait_for("Subject: oddly");
    assert!(!waypost.log().contains('\0'));
    waypost.assert_no_bugs();
}

#[test]
fn threat_68_a_long_chain_of_aliases() {
    let lab = Lab::new();
    let chain: String = (0..12).map(|n| format!("c{n} CNAME c{}\n", n + 1)).collect();
    let _dns = Dns::start(&lab, &format!("{}{chain}c12 MX 10 mx.inbox\nshort CNAME c9\n", zone(&lab)));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let password = waypost.account("me@example.test");
    let mut talk = waypost.logged_in("me@example.test", &password);
    talk.taken("me@example.test", "you@short.test", "Subject: short\r\n\r\n");
    inbox.wait_for("Subject: short");
    talk.taken("me@example.test", "you@c0.test", "Subject: long\r\n\r\n");
    let line = waypost.wait_for_line(&["deferred", "to=you@c0.test"]);
    assert!(line.contains("trouble=4.4.3 "), "{line}");
    waypost.assert_no_bugs();
}
