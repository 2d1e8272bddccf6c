//! Hostile clients. Numbers and replies are those of the list of hostile inputs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use it::{InboundScene, MX_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT, Talk, wait_for};

const GOOD: &str = "From: her@foreign.test\r\nSubject: a good message\r\n\r\nhello\r\n";

#[test]
fn threats_1_to_12_look_alikes_never_end_the_content() {
    let stage = InboundScene::new("");
    let look_alikes: [&[u8]; 12] = [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\n",
        b"\n.\r",
        b"\r\n.\r",
        b"\r.\r\n",
        b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
    ];
    let mut talk = stage.greeted();
    for look_alike in look_alikes {
        talk.begin("her@foreign.test", "me@example.test");
        talk.send(b"Subject: first\r\n\r\nbody");
        talk.send(look_alike);
        talk.send(b"MAIL FROM:<evil@foreign.test>\r\nRCPT TO:<me@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx");
        talk.expect_raw(b"\r\n.\r\n", "550 5.5.2");
        // If a look-alike had ended the content, replies to the commands after it would be here.
        talk.expect("NOOP", "250 2.0.0");
    }
    stage.only_the_good_one(&mut talk);
}

#[test]
fn threats_13_to_15_broken_command_lines() {
    let stage = InboundScene::new("");
    let mut talk = stage.greeted();
    talk.expect_raw(b"NOOP\n", "500 5.5.2");
    talk.expect_raw(b"NO\0OP\r\n", "500 5.5.2");
    talk.expect_raw(b"MAIL FROM:<a\x01b@foreign.test>\r\n", "500 5.5.2");
    talk.expect(&"x".repeat(2047), "500 5.5.2");
    talk.expect(&format!("NOOP {}", "x".repeat(2042)), "500 5.5.2");
    talk.expect(&format!("NOOP {}", "x".repeat(2041)), "250");
    stage.only_the_good_one(&mut talk);
    talk.expect_raw(&[b'x'; 65_536], "421 4.7.0");
    assert!(talk.is_closed());
}

#[test]
fn threat_16_talking_before_the_banner() {
    let stage = InboundScene::new("[limits]\ngreet_delay_ms = 2000\n");
    let mut early = Talk::connect(stage.waypost.address, MX_PORT);
    early.expect_raw(b"EHLO client.foreign.test\r\n", "554 5.5.0");
    assert!(early.is_closed());
    let mut early = Talk::connect(stage.waypost.address, SUBMISSIONS_PORT);
    early.handshake(&stage.waypost.certificate()).unwrap();
    early.expect_raw(b"EHLO client.foreign.test\r\n", "554 5.5.0");
    assert!(early.is_closed());
    stage.only_the_good_one(&mut stage.greeted());
}

#[test]
fn threat_16_talking_on_before_ehlo_is_answered() {
    let stage = InboundScene::new("");
    let mut talk = Talk::connect(stage.waypost.address, MX_PORT);
    talk.reply();
    talk.expect_raw(b"EHLO client.foreign.test\r\nMAIL FROM:<her@foreign.test>\r\n", "554 5.5.0");
    assert!(talk.is_closed());
    stage.only_the_good_one(&mut stage.greeted());
}

#[test]
fn known_and_unknown_recipients_are_answered_no_sooner_than_the_delay() {
    let stage = InboundScene::new("[limits]\nrecipient_delay_ms = 300\n");
    let mut talk = stage.greeted();
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    for (to, reply) in [("me@example.test", "250"), ("nobody@example.test", "550"), ("me@elsewhere.test", "550")] {
        let asked = std::time::Instant::now();
        talk.expect(&format!("RCPT TO:<{to}>"), reply);
        assert!(asked.elapsed() >= std::time::Duration::from_millis(300), "{to}");
    }
    stage.only_the_good_one(&mut stage.greeted());
}

#[test]
fn threat_17_plaintext_behind_starttls() {
    let stage = InboundScene::new("");
    for port in [MX_PORT, SUBMISSION_PORT] {
        let mut talk = Talk::greeted(stage.waypost.address, port);
        talk.expect_raw(b"STARTTLS\r\nMAIL FROM:<her@foreign.test>\r\n", "554 5.5.0");
        assert!(talk.is_closed());
    }
    stage.only_the_good_one(&mut stage.greeted());
}

#[test]
fn threats_18_and_19_starttls_and_what_it_forgets() {
    let stage = InboundScene::new("");
    let mut talk = stage.greeted();
    talk.expect("STARTTLS now", "501 5.5.4");
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.start_tls(&stage.waypost.certificate());
    talk.expect("MAIL FROM:<her@foreign.test>", "503 5.5.1");
    talk.expect("RCPT TO:<me@example.test>", "503 5.5.1");
    let offer = talk.expect("EHLO client.foreign.test", "250");
    assert!(!offer.contains("STARTTLS"), "{offer}");
    talk.expect("STARTTLS", "503 5.5.1");
    talk.expect("RCPT TO:<me@example.test>", "503 5.5.1");
    stage.only_the_good_one(&mut talk);
    let received = stage.inbox.messages()[0].text();
    assert!(received.contains("with ESMTPS"), "{received}");
}

#[test]
fn threats_20_to_25_content_out_of_sequence() {
    let stage = InboundScene::new("");
    let mut talk = stage.greeted();
    let mail = |talk: &mut Talk| {
        talk.expect("MAIL FROM:<her@foreign.test>", "250");
        talk.expect("RCPT TO:<me@example.test>", "250");
    };
    // 20
    talk.expect("DATA", "503 5.5.1");
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("DATA", "503 5.5.1");
    talk.expect("RCPT TO:<nobody@example.test>", "550 5.1.1");
    talk.expect("DATA", "554 5.5.1");
    talk.expect("RSET", "250");
    // 21
    talk.begin("her@foreign.test", "me@example.test");
    talk.expect_raw(b"bad\nline\r\n.\r\n", "550 5.5.2");
    talk.expect("RCPT TO:<me@example.test>", "503 5.5.1");
    talk.expect("DATA", "503 5.5.1");
    // 22, 23
    for bad in ["BDAT 99999999999999999999", "BDAT -1", "BDAT ten", "BDAT 1 FIRST"] {
        mail(&mut talk);
        talk.expect(bad, "501 5.5.4");
        talk.expect("DATA", "503 5.5.1");
    }
    // 25
    mail(&mut talk);
    talk.expect_raw(b"BDAT 5\r\none\r\n", "250");
    talk.expect("DATA", "503 5.5.1");
    talk.expect("RSET", "250");
    stage.only_the_good_one(&mut talk);
}

#[test]
fn threats_23_and_26_more_than_the_limit() {
    let stage = InboundScene::new("[limits]\nmessage_bytes = 300000\n");
    let mut talk = stage.greeted();
    talk.expect("MAIL FROM:<her@foreign.test> SIZE=300001", "552 5.3.4");
    talk.expect("MAIL FROM:<her@foreign.test> SIZE=x", "501 5.5.4");
    // A wrong SIZE, with content so large that it is spooled to a file.
    talk.expect("MAIL FROM:<her@foreign.test> SIZE=10", "250");
    talk.expect("RCPT TO:<me@example.test>", "250");
    talk.expect("DATA", "354");
    talk.send("a line of content\r\n".repeat(20_000).as_bytes());
    talk.expect(".", "552 5.3.4");
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<me@example.test>", "250");
    talk.send(b"BDAT 300001 LAST\r\n");
    talk.expect_raw(&[b'x'; 300_001], "552 5.3.4");
    stage.only_the_good_one(&mut talk);
    stage.waypost.wait_for_no_file("content");
}

#[test]
fn threat_24_a_million_tiny_chunks() {
    let stage = InboundScene::new("");
    let mut talk = stage.greeted();
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<me@example.test>", "250");
    let before_kib = stage.waypost.resident_kib();
    let mut last = String::new();
    // In pieces, each with its replies read: otherwise only the buffers between would fill.
    'all: for _ in 0..1_000 {
        talk.send("BDAT 1\r\na".repeat(1_000).as_bytes());
        for _ in 0..1_000 {
            last = talk.reply();
            if !last.starts_with("250") {
                break 'all;
            }
        }
    }
    assert!(last.starts_with("421 4.7.0"), "{last}");
    let grown_kib = stage.waypost.resident_kib() - before_kib;
    assert!(grown_kib < 8 * 1024, "grew by {grown_kib} KiB");
    stage.only_the_good_one(&mut stage.greeted());
}

#[test]
fn threats_27_to_30_recipients() {
    let stage = InboundScene::new("");
    stage.waypost.ok(&["domain", "add", "--bare", "many.test"]);
    stage.waypost.ok(&["alias", "add", "@many.test", "foo@inbox.test"]);
    let mut talk = stage.greeted();
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    // 28 to 30
    for (to, want) in [
        ("u@foreign.test", "550 5.7.1"),
        ("nobody@example.test", "550 5.1.1"),
        ("u%evil.test@example.test", "550 5.1.1"),
        ("evil.test!u@example.test", "550 5.1.1"),
        ("\"u@evil.test\"@example.test", "550 5.1.1"),
        ("@a.test,@b.test:u@foreign.test", "550 5.7.1"),
        ("@example.test:u@foreign.test", "550 5.7.1"),
    ] {
        talk.expect(&format!("RCPT TO:<{to}>"), want);
    }
    talk.expect("RCPT TO:<@a.test,@b.test:me@example.test>", "250");
    talk.expect("RSET", "250");
    // 27
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    for n in 0..100 {
        talk.expect(&format!("RCPT TO:<r{n}@many.test>"), "250");
    }
    talk.expect("RCPT TO:<r100@many.test>", "452 4.5.3");
    talk.expect("RSET", "250");
    stage.only_the_good_one(&mut talk);
}

#[test]
fn threats_31_to_35_armed_arguments() {
    let stage = InboundScene::new("");
    let mut talk = Talk::connect(stage.waypost.address, MX_PORT);
    talk.reply();
    // 35
    talk.expect(&format!("HELO {}", "x".repeat(1000)), "501 5.5.2");
    talk.expect_raw(b"HELO a\x07b\r\n", "501 5.5.2");
    talk.expect_raw(b"EHLO a\0b\r\n", "501 5.5.2");
    talk.expect(&format!("EHLO {}", "x".repeat(10_240)), "501 5.5.2");
    talk.expect("EHLO client.foreign.test", "250");
    // 31 to 34
    for (command, want) in [
        ("MAIL FROM:<;id;>", "553 5.1.7"),
        ("MAIL FROM:<${run{id}}@x>", "553 5.1.7"),
        ("MAIL FROM:<her@foreign.test> ENVID=a+0Ab", "501 5.5.4"),
        ("MAIL FROM:<her@foreign.test> ENVID=a+00b", "501 5.5.4"),
        ("MAIL FROM:<her@foreign.test> AUTH=a+0D+0Ab", "501 5.5.4"),
        ("MAIL FROM:<gr\u{fc}n@foreign.test>", "553 5.6.7"),
        ("MAIL FROM:<her@foreign.test>", "250"),
        ("RCPT TO:<me@example.test> ORCPT=rfc822;a+0Ab@x.test", "501 5.5.4"),
        ("RCPT TO:<me@example.test> ORCPT=rfc822;a+00b@x.test", "501 5.5.4"),
        ("RCPT TO:<gr\u{fc}n@example.test>", "553 5.6.7"),
        ("RSET", "250"),
    ] {
        talk.expect(command, want);
    }
    stage.only_the_good_one(&mut talk);
}

#[test]
fn threat_36_a_browser() {
    let stage = InboundScene::new("");
    for request in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\n\r\nMAIL FROM:<her@foreign.test>\r\n"] {
        let mut talk = Talk::connect(stage.waypost.address, MX_PORT);
        talk.reply();
        talk.expect_raw(request.as_bytes(), "554 5.5.1");
        assert!(talk.is_closed());
    }
    stage.only_the_good_one(&mut stage.greeted());
}

#[test]
fn threats_37_and_38_clients_that_want_nothing() {
    let stage = InboundScene::new("");
    let after = |times: usize, command: &str, begin: &[&str]| {
        let mut talk = stage.greeted();
        for command in begin {
            talk.expect(command, "250");
        }
        for _ in 1..times {
            let reply = talk.say(command);
            assert!(!reply.starts_with("421"), "{reply}");
        }
        talk.expect(command, "421 4.7.0");
        assert!(talk.is_closed());
    };
    after(101, "NOOP", &[]);
    after(101, "RSET", &[]);
    after(20, "XYZZY", &[]);
    after(20, "RCPT TO:<nobody@example.test>", &["MAIL FROM:<her@foreign.test>"]);
    let mut talk = stage.greeted();
    talk.expect("VRFY me@example.test", "252 2.5.2");
    talk.expect("EXPN me@example.test", "502 5.5.1");
    stage.only_the_good_one(&mut talk);
}

#[test]
fn threat_39_a_byte_now_and_then() {
    let stage = InboundScene::new("[limits]\ncommand_timeout_s = 1\n");
    let mut talk = stage.greeted();
    let mut drip = Talk::greeted(stage.waypost.address, MX_PORT);
    // The timeout is per command: single octets do not extend it.
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Longer than the wait below, so that a session that never ends is detected.
            for _ in 0..600 {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                drip.send(b"N");
                thread::sleep(std::time::Duration::from_millis(50));
            }
        });
        assert!(talk.reply().starts_with("421 4.4.2"));
        assert!(talk.is_closed());
        wait_for("both sessions to end", || (stage.waypost.json(&["status"])["sessions"] == 0).then_some(()));
        over.store(true, Ordering::SeqCst);
    });
    stage.only_the_good_one(&mut stage.greeted());
}

#[test]
fn threat_40_a_reset_in_the_content_and_after_the_dot() {
    let stage = InboundScene::new("");
    for size in [10, 300_000] {
        let mut talk = stage.greeted();
        talk.begin("her@foreign.test", "me@example.test");
        talk.send(b"Subject: cut\r\n\r\n");
        talk.send("half a message\r\n".repeat(size / 16 + 1).as_bytes());
        talk.reset();
    }
    let mut talk = stage.greeted();
    talk.begin("her@foreign.test", "me@example.test");
    talk.send(b"From: her@foreign.test\r\nSubject: whole\r\n\r\nbody\r\n.\r\n");
    // RST discards unread input, so the log shows when it was read.
    stage.waypost.wait_for_log("message accepted");
    talk.reset();
    stage.inbox.wait_for("whole");
    wait_for("the sessions to end", || (stage.waypost.json(&["status"])["sessions"] == 0).then_some(()));
    stage.waypost.wait_for_empty_queue();
    let arrived = stage.inbox.messages();
    assert_eq!(arrived.len(), 1, "{arrived:?}");
    stage.waypost.wait_for_no_file("content");
    stage.waypost.assert_no_bugs();
}

#[test]
fn threat_42_loops() {
    let stage = InboundScene::new("");
    let mut talk = stage.greeted();
    let many = "Received: from a by b; Mon, 1 Jan 2026 00:00:00 +0000\r\n".repeat(101) + GOOD;
    let reply = talk.message("her@foreign.test", "me@example.test", &many);
    assert!(reply.starts_with("554 5.4.6"), "{reply}");
    let again = format!("Delivered-To: me@example.test\r\n{GOOD}");
    let reply = talk.message("her@foreign.test", "me@example.test", &again);
    assert!(reply.starts_with("554 5.4.6"), "{reply}");
    stage.only_the_good_one(&mut talk);
}
