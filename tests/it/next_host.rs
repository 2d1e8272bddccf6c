//! Fallback: if a host accepts the connection and then fails, the next address and host are tried within the same attempt.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use it::{Dns, Lab, MX_PORT, OutboundScene, Script, Sink, Talk, Waypost, content, converse, obedient, zone};

/// The failure of the first host: a reply and a close, a reply, or a close.
#[derive(Clone, Copy)]
enum Fault {
    Closes(&'static str),
    Says(&'static str),
    Drops,
}

/// An SMTP host that fails at this command.
fn failing(address: std::net::Ipv4Addr, at: &'static str, fault: Fault) -> Script {
    Script::start(address, MX_PORT, move |mut stream| {
        let Ok(writer) = stream.try_clone() else { return };
        let mut writer = writer;
        let _ = stream.write_all(b"220 first.test ESMTP\r\n");
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let reply = match (line.starts_with(at), fault) {
                (true, Fault::Drops) => return,
                (true, Fault::Closes(reply) | Fault::Says(reply)) => Some(format!("{reply}\r\n")),
                (false, _) => obedient(&line),
            };
            let is_over = line.starts_with(at) && matches!(fault, Fault::Closes(_));
            if writer.write_all(reply.unwrap_or_default().as_bytes()).is_err() || is_over {
                return;
            }
        }
    })
}

/// The domains far0.test and so on, each with two MX hosts; the last octets of their addresses are 11 and 12, 13 and 14, and so on.
fn two_hosts_each(lab: &Lab, count: u8) -> String {
    let hosts = |n: u8| (1..=2).map(move |i| format!("far{n} MX {}0 m{i}.far{n}\nm{i}.far{n} A {}\n", i, lab.address(9 + 2 * n + i)));
    (0..count).flat_map(hosts).collect()
}

#[test]
fn host_errors_fall_back_to_the_next_host_at_once() {
    let cases = [
        ("MAIL", Fault::Closes("421 4.3.2 shutting down")),
        ("RCPT", Fault::Closes("421 4.7.0 closing")),
        ("DATA", Fault::Closes("421 4.3.2 closing")),
        ("MAIL", Fault::Drops),
        ("DATA", Fault::Drops),
        ("MAIL", Fault::Says("451 4.3.0 database is down")),
        ("RCPT", Fault::Says("452 4.3.1 disk full")),
    ];
    let lab = Lab::new();
    let records = two_hosts_each(&lab, 7);
    // The wait is long, so only the first attempt can deliver.
    let far = OutboundScene::in_lab(lab, &records, "[retry]\nwaits_s = [600]\n");
    for (n, (at, fault)) in (0u8..).zip(cases) {
        let first = failing(far.lab.address(10 + 2 * n), at, fault);
        let second = Sink::start(far.lab.address(11 + 2 * n), MX_PORT);
        far.send(&format!("a@far{n}.test"), &format!("case {n}."));
        second.wait_for(&format!("case {n}."));
        far.fate("delivered", &format!("a@far{n}.test"));
        assert_eq!((first.connections(), second.messages().len()), (1, 1), "{n}");
    }
    far.waypost.wait_for_empty_queue();
    far.waypost.assert_no_bugs();
}

#[test]
fn recipient_errors_and_ambiguous_results_do_not_fall_back() {
    let lab = Lab::new();
    let records = two_hosts_each(&lab, 2);
    let far = OutboundScene::in_lab(lab, &records, "[retry]\nwaits_s = [600]\n");
    let _greylisting = failing(far.lab.address(10), "RCPT", Fault::Says("450 4.2.0 greylisted"));
    let _dying = Script::answering(far.lab.address(12), MX_PORT, |_, command| if command == "." { None } else { obedient(command) });
    let others = [Sink::start(far.lab.address(11), MX_PORT), Sink::start(far.lab.address(13), MX_PORT)];
    for n in 0..2 {
        far.send(&format!("a@far{n}.test"), "once.");
        far.fate("deferred", &format!("a@far{n}.test"));
    }
    assert_eq!(others.map(|sink| sink.connections()), [0, 0]);
    far.waypost.assert_no_bugs();
}

#[test]
fn only_deferred_recipients_go_to_the_next_host() {
    let lab = Lab::new();
    let records = two_hosts_each(&lab, 1);
    let far = OutboundScene::in_lab(lab, &records, "[retry]\nwaits_s = [600]\n");
    let _first = Script::answering(far.lab.address(10), MX_PORT, |_, command| match command {
        c if c.starts_with("RCPT TO:<gone") => Some("550 5.1.1 no such user\r\n".into()),
        c if c.starts_with("RCPT") => Some("452 4.3.1 disk full\r\n".into()),
        other => obedient(other),
    });
    let second = Sink::start(far.lab.address(11), MX_PORT);
    let mut talk = far.session();
    talk.expect("MAIL FROM:<me@example.test>", "250");
    talk.expect("RCPT TO:<gone@far0.test>", "250");
    talk.expect("RCPT TO:<here@far0.test>", "250");
    talk.expect("DATA", "354");
    talk.send(content("for one of two.").as_bytes());
    talk.expect(".", "250");
    assert_eq!(second.wait_for("for one of two.").to, ["<here@far0.test>"]);
    assert!(far.fate("failed", "gone@far0.test").contains("5.1.1"));
    far.waypost.wait_for_empty_queue();
    far.waypost.assert_no_bugs();
}

#[test]
fn cut_through_falls_back_to_the_next_host() {
    let lab = Lab::new();
    let records = zone(&lab) + &two_hosts_each(&lab, 1);
    let _dns = Dns::start(&lab, &records);
    let first = failing(lab.address(10), "MAIL", Fault::Closes("421 4.3.2 shutting down"));
    let second = Sink::start(lab.address(11), MX_PORT);
    let waypost = Waypost::started(&lab, "foo@far0.test", "[forward]\ndomain = \"fwd.example.test\"\nunauthenticated = \"accept\"\n");
    let letter = "From: <her@foreign.test>\r\nSubject: waiting\r\n\r\nhello\r\n";
    let reply = Talk::greeted(waypost.address, MX_PORT).message("her@foreign.test", "me@example.test", letter);
    assert!(reply.starts_with("250 2.0.0 delivered"), "{reply}");
    second.wait_for("Subject: waiting");
    assert_eq!((first.connections(), waypost.queued()), (1, 0));
    waypost.assert_no_bugs();
}

#[test]
fn other_addresses_and_then_the_fallback_route_are_tried() {
    let lab = Lab::new();
    let records = format!(
        "far0 MX 10 mx.far0\nmx.far0 A {}\nmx.far0 A {}\nfar1 MX 10 mx.far1\nmx.far1 A {}\nsmart A {}\n",
        lab.address(10),
        lab.address(11),
        lab.address(12),
        lab.address(13)
    );
    let route = format!(
        "[retry]\nwaits_s = [600]\n[[route]]\nwhen = \"unreachable\"\nhost = \"smart.test\"\nport = {MX_PORT}\ntls = \"none\"\nverify = false\n"
    );
    let far = OutboundScene::in_lab(lab, &records, &route);
    // One of the two addresses drops the session, in whatever order they are tried.
    let _half = failing(far.lab.address(10), "MAIL", Fault::Drops);
    let other = Sink::start(far.lab.address(11), MX_PORT);
    let smart = Sink::start(far.lab.address(13), MX_PORT);
    let _down = failing(far.lab.address(12), "MAIL", Fault::Says("421 4.3.2 down for today"));
    for n in 0..3 {
        far.send("a@far0.test", &format!("by the other address {n}."));
        other.wait_for(&format!("by the other address {n}."));
    }
    assert_eq!(smart.connections(), 0);
    far.send("a@far1.test", "by the last resort.");
    smart.wait_for("by the last resort.");
    far.waypost.wait_for_empty_queue();
    far.waypost.assert_no_bugs();
}

#[test]
fn a_host_with_chunking_but_without_bdat_gets_data() {
    let far = OutboundScene::new(&[("chunky", 11)], "[retry]\nwaits_s = [600]\n");
    let host = Script::answering(far.lab.address(11), MX_PORT, |_, command| match command {
        c if c.starts_with("EHLO") => Some("250-host\r\n250 CHUNKING\r\n".into()),
        c if c.starts_with("BDAT") => Some("502 5.5.1 command not implemented\r\n".into()),
        other => obedient(other),
    });
    for n in 0..2 {
        far.send("a@chunky.test", &format!("by data {n}."));
        far.waypost.wait_for_empty_queue();
    }
    assert_eq!(far.waypost.log().matches(": delivered id=").count(), 2, "{}", far.waypost.log());
    assert_eq!(far.waypost.log().matches("rejects BDAT").count(), 1, "it is asked once only");
    assert!(host.connections() <= 3);
    far.waypost.assert_no_bugs();
}

#[test]
fn a_host_that_closes_after_ehlo_gets_helo() {
    let far = OutboundScene::new(&[("old", 11), ("older", 12)], "[retry]\nwaits_s = [600]\n");
    let serve = |farewell: &'static str| {
        move |stream: TcpStream| {
            let Ok(mut writer) = stream.try_clone() else { return };
            let _ = writer.write_all(b"220 old.test SMTP\r\n");
            let mut line = String::new();
            let mut reader = BufReader::new(stream);
            let _ = reader.read_line(&mut line);
            if line.starts_with("EHLO") {
                let _ = writer.write_all(farewell.as_bytes());
                return;
            }
            let _ = writer.write_all(b"250 old.test\r\n");
            let stream = reader.into_inner();
            // The answer to an empty command is the banner, which was sent already.
            let _ = converse(stream, 0, &|_, command: &str| if command.is_empty() { Some(String::new()) } else { obedient(command) });
        }
    };
    let _old = Script::start(far.lab.address(11), MX_PORT, serve("502 what?\r\n"));
    let _older = Script::start(far.lab.address(12), MX_PORT, serve("500 what?\r\n421 closing\r\n"));
    for domain in ["old", "older"] {
        far.send(&format!("a@{domain}.test"), "by helo.");
        far.fate("delivered", &format!("a@{domain}.test"));
    }
    far.waypost.assert_no_bugs();
}
