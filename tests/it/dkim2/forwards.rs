//! Forwards of chains that verify: continued, with a recipe where the message has changed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use it::{DNS_PORT, MX_PORT, Talk, wait_for, wait_within};
use mail_auth::AuthenticatedMessage;
use serde_json::json;

use super::stage::*;

#[test]
fn a_forward_continues_the_chain() {
    let scene = scene("", |_| None);
    let reply = scene.send(HER, ME, &scene.stranger.signed(&message("plain"), HER, ME));
    assert!(reply.starts_with("250 "), "{reply}");
    let arrived = scene.inbox.wait_for("Subject: plain");
    assert_eq!(received_as(&scene.lab, &arrived), Ok(vec!["foreign.test".into(), "fwd.example.test".into()]));
    let text = arrived.text();
    assert!(text.contains("dkim2=pass (i=1 foreign.test) header.d=foreign.test"), "{text}");
    assert!(text.ends_with(&message("plain")), "what came is unchanged:\n{text}");
    assert_eq!((fields(&text, "DKIM2-Signature:"), fields(&text, "Message-Instance:")), (2, 1), "nothing to restore:\n{text}");
    // Replayed to another recipient, or by another sender.
    let replayed = received(&scene.lab, &arrived.content, &arrived.from, &["<other@inbox.test>".into()]);
    assert!(replayed.as_ref().is_err_and(|why| why.contains("RcptTo")), "{replayed:?}");
    let replayed = received(&scene.lab, &arrived.content, "<spammer@inbox.test>", &arrived.to);
    assert!(replayed.is_err(), "{replayed:?}");
    let trace = scene.waypost.ok(&["trace", "plain@foreign.test"]);
    assert!(trace.contains("DKIM2 pass (foreign.test)"), "{trace}");
    assert!(trace.contains("continued the DKIM2 chain as hop 2 (fwd.example.test, ed25519)") && !trace.contains("ARC set"), "{trace}");
    scene.ends_well();
}

#[test]
fn each_target_has_a_chain_of_its_own() {
    let scene = scene("", |_| None);
    scene.waypost.ok(&["alias", "add", "us@example.test", "one@inbox.test", "two@inbox.test"]);
    let reply = scene.send(HER, "us@example.test", &scene.stranger.signed(&message("both"), HER, "us@example.test"));
    assert!(reply.starts_with("250 "), "{reply}");
    wait_for("both copies", || (scene.inbox.messages().len() == 2).then_some(()));
    for arrived in scene.inbox.messages() {
        assert_eq!(received_as(&scene.lab, &arrived), Ok(vec!["foreign.test".into(), "fwd.example.test".into()]));
        let message = AuthenticatedMessage::parse(&arrived.content).unwrap();
        let ours = &message.dkim2_signatures().last().unwrap().header;
        assert!(ours.flags.contains(&mail_auth::dkim2::Flag::Exploded), "{ours:?}");
        let other = if arrived.to == ["<one@inbox.test>"] { "two@inbox.test" } else { "one@inbox.test" };
        assert!(!format!("{ours:?}").contains(other) && !arrived.text().contains(other), "{ours:?}");
    }
    scene.ends_well();
}

#[test]
fn the_domain_of_an_alias_names_the_forwarding_domain_where_custody_needs_it() {
    let scene = scene("", |_| None);
    scene.waypost.ok(&["alias", "add", "me@second.test", "foo@inbox.test"]);
    let chain = ["foreign.test", "second.test", "fwd.example.test"].map(String::from).to_vec();
    scene.send(HER, "me@second.test", &scene.stranger.signed(&message("bridged"), HER, "me@second.test"));
    assert_eq!(received_as(&scene.lab, &scene.inbox.wait_for("Subject: bridged")), Ok(chain));
    let trace = scene.waypost.ok(&["trace", "bridged@foreign.test"]);
    assert!(trace.contains("as hop 2 (second.test, ed25519), hop 3 (fwd.example.test, ed25519)"), "{trace}");
    // A null reverse-path leaves as one, and names no domain.
    let nobody = message("nobody").replace("foreign.test", "inbox.test");
    let reply = scene.send("", ME, &scene.target.signed(&nobody, "", ME));
    assert!(reply.starts_with("250 "), "{reply}");
    let arrived = scene.inbox.wait_for("Subject: nobody");
    let chain = ["inbox.test", "example.test", "fwd.example.test"].map(String::from).to_vec();
    assert_eq!((arrived.from.as_str(), received_as(&scene.lab, &arrived)), ("<>", Ok(chain)));
    scene.ends_well();
}

#[test]
fn a_rewritten_from_field_is_restored_by_the_receiver() {
    for (mode, to) in [("cut-through", ME), ("queue", ME), ("queue", "me@second.test")] {
        let scene = scene(&format!("mode = \"{mode}\"\n"), strict);
        scene.waypost.ok(&["alias", "add", "me@second.test", "foo@inbox.test"]);
        let reply = scene.send(HER, to, &scene.stranger.signed(&message("mended"), HER, to));
        assert!(reply.starts_with("250 "), "{mode}: {reply}");
        let arrived = scene.inbox.wait_for("Subject: mended");
        let hops = received_as(&scene.lab, &arrived);
        assert_eq!(
            hops.as_ref().map(|hops| (hops[0].as_str(), hops[hops.len() - 1].as_str())),
            Ok(("foreign.test", "fwd.example.test")),
            "{hops:?}"
        );
        assert!(arrived.text().contains("From: \"Her Name via "), "{}", arrived.text());
        let trace = scene.waypost.ok(&["trace", "mended@foreign.test"]);
        assert_eq!(
            trace.matches("continued the DKIM2 chain as hop 2").count(),
            2,
            "the form that was refused, and the rewritten one: {trace}"
        );
        let restored = restored(&arrived.content);
        assert!(restored.contains(&format!("from: \"her name\" <{HER}>\r\n")) && !restored.contains("reply-to"), "{restored}");
        assert!(restored.ends_with("\r\n\r\nfirst line\r\n\r\n.dot\r\nlast line\r\n"), "{restored}");
        scene.ends_well();
    }
}

#[test]
fn a_wrapped_message_is_restored_by_the_receiver() {
    for mode in ["cut-through", "queue"] {
        let scene = scene(&format!("strict_domain = \"wrap\"\nmode = \"{mode}\"\n"), strict);
        let reply = scene.send(HER, ME, &scene.stranger.signed(&message("paper"), HER, ME));
        assert!(reply.starts_with("250 "), "{mode}: {reply}");
        let arrived = scene.inbox.wait_for("Subject: Fwd: paper");
        assert_eq!(received_as(&scene.lab, &arrived), Ok(vec!["foreign.test".into(), "fwd.example.test".into()]), "{}", arrived.text());
        let restored = restored(&arrived.content);
        for want in [format!("from: \"her name\" <{HER}>\r\n"), "subject: paper\r\n".into(), format!("to: {ME}\r\n")] {
            assert!(restored.contains(&want), "no {want} in {restored}");
        }
        assert!(restored.ends_with("\r\n\r\nfirst line\r\n\r\n.dot\r\nlast line\r\n") && !restored.contains("content-type"), "{restored}");
        let trace = scene.waypost.ok(&["trace", "paper@foreign.test"]);
        assert!(trace.contains("continued the DKIM2 chain as hop 2 (fwd.example.test, ed25519)"), "only our hop: {trace}");
        scene.ends_well();
    }
}

#[test]
fn explain_trust_tells_a_chain_hop_by_hop() {
    let scene = scene("", |_| None);
    scene.send(HER, ME, &scene.stranger.signed(&message("told"), HER, ME));
    let arrived = scene.inbox.wait_for("Subject: told");
    let file = scene.lab.write("told.eml", &arrived.text().replace("\r\n", "\n"));
    let file = file.to_str().unwrap();
    let from = arrived.from.trim_matches(['<', '>']);
    // DMARC fails: foreign.test has no DKIM signature here, and SPF is that of the forwarder.
    let given = ["explain-trust", file, "--ip", "127.0.0.1", "--from", from, "--to", "foo@inbox.test"];
    let told = String::from_utf8(scene.waypost.command(&given).stdout).unwrap();
    for want in [
        "SPF of fwd.example.test passes for 127.0.0.1",
        "DKIM: the signature of fwd.example.test (r1) verifies",
        "DKIM2: the chain of 2 hops verifies, up to this envelope",
        "DKIM2 hop 1: foreign.test sent it from <her@foreign.test> to <me@example.test>",
        "DKIM2 hop 2: fwd.example.test sent it from <SRS0=",
        "DMARC of foreign.test (policy reject) fails",
    ] {
        assert!(told.contains(want), "no {want:?} in:\n{told}");
    }
}

#[test]
fn no_chain_of_odd_messages_is_broken() {
    let scene = scene_with("", |_| None, |lab| crate::signatures::odd_signed(lab, 500, 11));
    let mut talk = Talk::greeted(scene.waypost.address, MX_PORT);
    let (mut sent, mut unsigned) = (0, 0);
    for message in &scene.odd {
        let Ok(fields) = scene.stranger.fields(message, HER, ME) else {
            unsigned += 1;
            continue;
        };
        talk.expect(&format!("MAIL FROM:<{HER}> BODY=8BITMIME SMTPUTF8"), "250");
        talk.expect(&format!("RCPT TO:<{ME}>"), "250");
        talk.expect("DATA", "354");
        let whole = [fields.as_bytes(), message].concat();
        let stuffed: Vec<u8> = whole
            .split_inclusive(|b| *b == b'\n')
            .flat_map(|line| if line.starts_with(b".") { [b".", line].concat() } else { line.to_vec() })
            .collect();
        talk.send(&stuffed);
        let reply = talk.say(".");
        assert!(reply.starts_with("250 "), "{reply} to:\n{}", String::from_utf8_lossy(&whole));
        sent += 1;
    }
    assert!(sent >= 400, "mail-auth signs {sent} of them, and not {unsigned}");
    wait_within(Duration::from_secs(120), "all of them", || (scene.inbox.messages().len() == sent).then_some(()));
    for arrived in scene.inbox.messages() {
        let hops = received_as(&scene.lab, &arrived);
        assert_eq!(hops, Ok(vec!["foreign.test".into(), "fwd.example.test".into()]), "{}", arrived.text());
        assert!(scene.odd.iter().any(|message| arrived.content.ends_with(message)), "what came is unchanged:\n{}", arrived.text());
    }
    scene.ends_well();
}

#[test]
fn a_chain_and_an_arc_set_stand_side_by_side() {
    let scene = scene("arc = \"seal\"\n", |_| None);
    scene.send(HER, ME, &scene.stranger.signed(&message("sealed"), HER, ME));
    let arrived = scene.inbox.wait_for("Subject: sealed");
    assert_eq!(received_as(&scene.lab, &arrived), Ok(vec!["foreign.test".into(), "fwd.example.test".into()]), "{}", arrived.text());
    let request = json!({"do": "arc", "server": scene.lab.address(53), "port": DNS_PORT, "messages": [STANDARD.encode(&arrived.content)]});
    let judged = it::dkimpy(&request);
    assert_eq!((&judged[0]["cv"], &judged[0]["domains"]), (&json!("pass"), &json!(["fwd.example.test"])), "{judged}");
    let trace = scene.waypost.ok(&["trace", "sealed@foreign.test"]);
    assert!(trace.contains("hop 2 (fwd.example.test, ed25519); added ARC set 1 (fwd.example.test)"), "{trace}");
    scene.ends_well();
}

#[test]
fn a_chain_of_mail_without_message_id_and_date_goes_on_with_a_recipe() {
    let scene = scene("", |_| None);
    let bare = format!("From: {HER}\r\nTo: {ME}\r\nSubject: bare\r\n\r\nbody\r\n");
    scene.send(HER, ME, &scene.stranger.signed(&bare, HER, ME));
    let arrived = scene.inbox.wait_for("Subject: bare");
    assert_eq!(received_as(&scene.lab, &arrived), Ok(vec!["foreign.test".into(), "fwd.example.test".into()]), "{}", arrived.text());
    assert_eq!((fields(&arrived.text(), "Message-ID: <"), fields(&arrived.text(), "Date: ")), (1, 1), "{}", arrived.text());
    assert!(!restored(&arrived.content).contains("message-id"));
    scene.ends_well();
}
