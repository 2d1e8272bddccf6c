//! Hostile content of header sections and bodies. The numbers are those of the list of hostile inputs.

use it::{InboundScene, Talk, run_ok};

const MIB: usize = 1 << 20;

fn reply(talk: &mut Talk, content: &str) -> String {
    talk.message("her@foreign.test", "me@example.test", content)
}

/// Sends a message that must be forwarded byte for byte.
fn forwarded(stage: &InboundScene, name: &str, content: &str) {
    let mut talk = stage.greeted();
    let content = format!("Subject: {name}\r\n{content}");
    talk.taken("her@foreign.test", "me@example.test", &content);
    let arrived = stage.inbox.wait_for(&format!("Subject: {name}\r\n"));
    assert!(arrived.text().ends_with(&content.replace("\r\n..", "\r\n.")), "{name} was changed on its way");
}

#[test]
fn threats_51_and_52_authors() {
    let stage = InboundScene::new("");
    let mut talk = stage.greeted();
    for content in [
        "From: her@foreign.test\r\nFrom: him@foreign.test\r\n\r\n",
        "X-From: nobody\r\nSubject: From:\r\n\r\nFrom: in the body\r\n",
        "From: \r\n\r\n",
        "From: <>\r\n\r\n",
        "From: her@foreign.test\r\nMessage-ID: <1@x>\r\nMessage-ID: <2@x>\r\n\r\n",
    ] {
        let reply = reply(&mut talk, content);
        assert!(reply.starts_with("550 5.6.0 "), "{content:?}: {reply}");
    }
    // One of several authors is in a hosted domain.
    let reply = reply(&mut talk, "From: her@foreign.test, me@example.test\r\n\r\n");
    assert!(reply.starts_with("550 5.7.1 "), "{reply}");
    stage.only_the_good_one(&mut talk);
}

#[test]
fn threats_53_and_56_to_58_odd_fields_are_nothing_special() {
    let stage = InboundScene::new("");
    let folded = |sign: &str| format!("{}\r\n ", sign.repeat(500)).repeat(200);
    let nested = format!("From: her@foreign.test\r\nDate: {}{}Tue, 24 Nov 2026 09:00:00 +0000\r\n\r\n", folded("("), folded(")"));
    forwarded(&stage, "nested", &nested);
    forwarded(&stage, "proto", "From: her@foreign.test\r\n__proto__: {\"admin\":true}\r\nconstructor: x\r\n\r\n");
    let word = "=?utf-8?q?a=0D=0ABcc:_victim@elsewhere.test?=";
    forwarded(&stage, "words", &format!("From: {word} <her@foreign.test>\r\nX-Word: {word}\r\n\r\n"));
    let name = "Content-Disposition: attachment; filename*=utf-8''%3Cscript%3E%0D%0A..%2F..%2Fetc%2Fpasswd";
    forwarded(&stage, "names", &format!("From: her@foreign.test\r\n{name}\r\n\r\n"));
    let ten = stage.inbox.messages();
    assert!(ten.iter().all(|m| m.to == ["<foo@inbox.test>"]), "{ten:?}");
    stage.waypost.assert_no_bugs();
}

#[test]
fn threat_54_deep_and_endless_mime_is_forwarded_unparsed() {
    let stage = InboundScene::new("");
    let before = stage.waypost.memory_kib();
    let deep: String = (0..10_000).map(|n| format!("--b{n}\r\nContent-Type: multipart/mixed; boundary=b{}\r\n\r\n", n + 1)).collect();
    forwarded(&stage, "deep", &format!("From: her@foreign.test\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n{deep}"));
    let parts = "--b\r\n\r\n".repeat(1_000_000);
    forwarded(&stage, "parts", &format!("From: her@foreign.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{parts}"));
    let cycle = "Content-Type: message/rfc822\r\n\r\n".repeat(10_000);
    forwarded(&stage, "cycle", &format!("From: her@foreign.test\r\n{cycle}"));
    stage.waypost.wait_for_empty_queue();
    let grown = stage.waypost.memory_kib().saturating_sub(before);
    assert!(grown < 100 * 1024, "{grown} KiB more");
    stage.waypost.assert_no_bugs();
}

#[test]
fn threat_55_large_header_sections() {
    let stage = InboundScene::new("");
    let mut talk = stage.greeted();
    let long = format!("From: her@foreign.test\r\nX-Long: {}\r\n\r\n", "x ".repeat(30_000));
    for content in [
        format!("From: her@foreign.test\r\n{}\r\n", format!("X-Long: {}\r\n", "x".repeat(900)).repeat(MIB / 900)),
        format!("From: her@foreign.test\r\n{}\r\n", "X: y\r\n".repeat(10_000)),
        "From: her@foreign.test\r\n".to_owned() + &"an endless header section without a colon\r\n".repeat(15_000),
    ] {
        let reply = reply(&mut talk, &content);
        assert!(reply.starts_with("554 5.6.0 "), "{:.60}: {reply}", content);
    }
    forwarded(&stage, "long", &long);
    stage.waypost.assert_no_bugs();
}

#[test]
fn threats_59_to_62_signatures_and_results() {
    let stage = InboundScene::new("");
    let signature = |domain: &str| format!("DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s=s1; h=from; bh=AAAA; b=BBBB\r\n");
    let strange = [signature("foreign.test; l=0"), signature("x'y"), signature("foreign.test\u{0}").replace('\0', "%00")].concat();
    forwarded(&stage, "strange", &format!("{strange}From: her@foreign.test\r\n\r\n"));
    forwarded(&stage, "many", &format!("{}From: her@foreign.test\r\n\r\n", signature("foreign.test").repeat(500)));
    let chain = |i: u32| format!("ARC-Seal: i={i}; a=rsa-sha256; cv=pass; d=x.test; s=s; b=AAAA\r\n");
    forwarded(&stage, "chain", &format!("{}From: her@foreign.test\r\n\r\n", chain(51)));
    let forged = "Authentication-Results: mx.example.test; dmarc=pass header.from=bank.test\r\n";
    let mut talk = stage.greeted();
    talk.taken("her@foreign.test", "me@example.test", &format!("Subject: forged\r\n{forged}From: her@foreign.test\r\n\r\n"));
    let text = stage.inbox.wait_for("Subject: forged").text();
    assert!(!text.contains("bank.test"), "{text}");
    assert_eq!(text.matches("Authentication-Results: mx.example.test").count(), 1, "{text}");

    let results = |name: &str| stage.inbox.wait_for(name).text().split("Received:").next().unwrap().to_owned();
    assert!(!results("Subject: strange").contains("dkim=pass"));
    let many = results("Subject: many");
    assert!(many.matches("dkim=").count() <= 500 && !many.contains("dkim=pass"), "{many}");
    assert!(results("Subject: chain").contains("arc=fail"));
    stage.waypost.assert_no_bugs();
}

#[test]
fn threat_63_long_lines() {
    let stage = InboundScene::new("");
    let mut talk = stage.greeted();
    let line = |bytes: usize| format!("From: her@foreign.test\r\n\r\n{}\r\nafter it\r\n", "x".repeat(bytes));
    let reply = reply(&mut talk, &line(64 * 1024 + 1));
    assert!(reply.starts_with("550 5.6.0 "), "{reply}");
    let content = line(64 * 1024 + 1);
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<me@example.test>", "250");
    talk.expect_raw(format!("BDAT {} LAST\r\n{content}", content.len()).as_bytes(), "550 5.6.0 ");
    forwarded(&stage, "nearly", &line(64 * 1024 - 1));
    // Compressed content is not unpacked: a megabyte of zeros in a few octets is forwarded as it is.
    let bomb = run_ok("sh", &["-c", "head -c 1048576 /dev/zero | gzip -9 | base64 -w 76"]).replace('\n', "\r\n");
    forwarded(
        &stage,
        "bomb",
        &format!("From: her@foreign.test\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n{bomb}"),
    );
    stage.waypost.assert_no_bugs();
}
