//! Mail of a domain with a strict DMARC policy and only SPF: forwarded, it would fail DMARC at the target.

use it::{Delivered, Dns, Lab, MX_PORT, Rspamd, Sink, Talk, Waypost, forwarding_zone, signers, wait_for};
use mail::Reply;

struct Scene {
    waypost: Waypost,
    /// Refuses mail that fails DMARC, as Gmail does.
    inbox: Sink,
    _dns: Dns,
    lab: Lab,
}

fn scene(forward: &str) -> Scene {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, &format!("[forward]\ndomain = \"fwd.example.test\"\n{forward}"));
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let keys = waypost.keys("fwd.example.test");
    let dns = Dns::start(&lab, &(forwarding_zone(&lab) + "_dmarc.fwd.example TXT \"v=DMARC1; p=reject; adkim=s; aspf=s\"\n" + &keys));
    let judge = |message: &Delivered| {
        let is_ours =
            message.text().lines().take_while(|l| !l.is_empty()).any(|l| l.starts_with("From: ") && l.contains("@fwd.example.test>"));
        let text = "Unauthenticated email from foreign.test is not accepted due to\ndomain's DMARC policy. foo@inbox.test";
        (!is_ours).then(|| Reply::new(550, (5, 7, 26), text))
    };
    let inbox = Sink::judging(lab.address(2), MX_PORT, |_| None, judge);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.start();
    Scene { waypost, inbox, _dns: dns, lab }
}

impl Scene {
    fn send(&self, subject: &str) -> String {
        let content = format!(
            "From: \"Her Name\" <her@foreign.test>\r\nTo: me@example.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\nthe b\u{f6}dy\r\n"
        );
        Talk::greeted(self.waypost.address, MX_PORT).message("her@foreign.test", "me@example.test", &content)
    }

    /// The only message that arrived, which passes DMARC.
    fn believed(&self, subject: &str) -> Delivered {
        let arrived = self.inbox.wait_for(subject);
        self.waypost.wait_for_empty_queue();
        self.waypost.assert_no_bugs();
        assert_eq!(self.inbox.messages().len(), 1);
        assert_eq!(signers(&self.lab, &arrived.content), ["fwd.example.test"]);
        let verdict = Rspamd::start(&self.lab, 6).verdict(&arrived);
        for want in ["R_SPF_ALLOW", "R_DKIM_ALLOW(fwd.example.test", "DMARC_POLICY_ALLOW(fwd.example.test"] {
            assert!(verdict.iter().any(|found| found.starts_with(want)), "no {want} in {verdict:?}");
        }
        arrived
    }
}

#[test]
fn a_refused_from_field_is_rewritten() {
    for mode in ["cut-through", "queue"] {
        let scene = scene(&format!("mode = \"{mode}\"\n"));
        let reply = scene.send("mended");
        assert!(reply.starts_with("250 2.0.0 queued as "), "{mode}: {reply}");
        let text = scene.believed("Subject: mended").text();
        for want in [
            "From: \"Her Name via example.test\" <SRS0=",
            "Reply-To: \"Her Name\" <her@foreign.test>\r\n",
            "X-Original-From: \"Her Name\" <her@foreign.test>\r\n",
            "Authentication-Results: mx.example.test",
        ] {
            assert!(text.contains(want), "no {want} in:\n{text}");
        }
        assert!(text.ends_with("\r\n\r\nthe b\u{f6}dy\r\n"), "{text}");
        assert_eq!(scene.waypost.json(&["failed"]).as_array().map(Vec::len), Some(0));
    }
}

#[test]
fn strict_domain_wrap_attaches_the_message() {
    for mode in ["cut-through", "queue"] {
        let scene = scene(&format!("strict_domain = \"wrap\"\nmode = \"{mode}\"\n"));
        let reply = scene.send("paper");
        assert!(reply.starts_with("250 "), "{mode}: {reply}");
        let arrived = scene.believed("Subject: Fwd: paper");
        assert!(arrived.from.ends_with("=foreign.test=her@fwd.example.test>"), "a failure finds its way back: {}", arrived.from);
        let text = arrived.text();
        let (head, inner) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("From: \"Mail for me@example.test\" <postmaster@fwd.example.test>\r\nTo: <me@example.test>\r\n"), "{text}");
        assert!(inner.starts_with("From: \"Her Name\" <her@foreign.test>\r\n") && inner.ends_with("\r\n\r\nthe b\u{f6}dy\r\n"), "{text}");
        let files = || std::fs::read_dir(scene.waypost.data.join("content")).map_or(0, Iterator::count);
        wait_for("content to be gone", || (files() == 0).then_some(()));
    }
}

#[test]
fn a_wrapped_message_names_no_other_recipient() {
    let scene = scene("strict_domain = \"wrap\"\n");
    scene.waypost.ok(&["alias", "add", "other@example.test", "bar@inbox.test"]);
    let mut talk = Talk::greeted(scene.waypost.address, MX_PORT);
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<me@example.test>", "250");
    talk.expect("RCPT TO:<other@example.test>", "250");
    talk.expect("DATA", "354");
    talk.send(format!("From: her@foreign.test\r\nSubject: blind\r\n\r\n{}", "0123456789abcdef\r\n".repeat(20_000)).as_bytes());
    talk.expect(".", "250");
    wait_for("both copies", || (scene.inbox.messages().len() == 2).then_some(()));
    for message in scene.inbox.messages() {
        let other = if message.to == ["<foo@inbox.test>"] { "other@" } else { "me@" };
        assert!(!message.text().contains(other) && message.text().contains("To: undisclosed-recipients:;\r\n"), "{:.2000}", message.text());
        assert_eq!(signers(&scene.lab, &message.content), ["fwd.example.test"]);
    }
    scene.waypost.wait_for_empty_queue();
    let files = || std::fs::read_dir(scene.waypost.data.join("content")).map_or(0, Iterator::count);
    wait_for("content to be gone", || (files() == 0).then_some(()));
    scene.waypost.assert_no_bugs();
}

#[test]
fn strict_domain_holds_refuses_or_passes_as_configured() {
    let scene_held = scene("strict_domain = \"hold\"\n");
    let reply = scene_held.send("kept");
    assert!(reply.starts_with("250 "), "{reply}");
    let held = scene_held.waypost.ok(&["held", "list"]);
    assert!(held.contains("me@example.test") && held.contains("strict DMARC policy"), "{held}");
    let refused = scene("strict_domain = \"reject\"\n").send("refused");
    assert!(refused.starts_with("550 5.7.26 "), "{refused}");
    let as_is = scene("strict_domain = \"as-is\"\n");
    let reply = as_is.send("unchanged");
    assert!(reply.starts_with("554 5.7.26 ") && !reply.contains("inbox"), "the target's refusal is the answer: {reply}");
    as_is.waypost.assert_no_bugs();
}

#[test]
fn an_alias_overrides_strict_domain() {
    let scene = scene("strict_domain = \"as-is\"\n");
    scene.waypost.ok(&["alias", "strict", "me@example.test", "reject"]);
    let refused = scene.send("refused");
    assert!(refused.starts_with("550 5.7.26 "), "{refused}");
    assert!(scene.waypost.ok(&["alias", "list"]).contains("strict domain: reject"));
    scene.waypost.refused(&["alias", "strict", "nobody@example.test", "hold"]);
    scene.waypost.ok(&["alias", "strict", "me@example.test", "default"]);
    let reply = scene.send("as it is");
    assert!(reply.starts_with("554 5.7.26 "), "the target's own word: {reply}");
    scene.waypost.assert_no_bugs();
}
