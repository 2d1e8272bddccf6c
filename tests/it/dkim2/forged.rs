//! Chains that do not verify, or that nobody may believe: passed as they are, and signed over in no form.

use it::Delivered;
use mail::Reply;
use mail_auth::AuthenticatedMessage;
use mail_auth::crypto::Ed25519Key;
use mail_auth::dkim2::{Dkim2Signer, Hop};

use super::stage::*;

#[test]
fn a_chain_that_does_not_verify_is_passed_as_it_is() {
    let scene = scene("", |_| None);
    let signed = scene.stranger.signed(&message("broken"), HER, ME);
    let changed = signed.replace("last line", "last lime");
    scene.send(HER, ME, &changed);
    let arrived = scene.inbox.wait_for("Subject: broken").text();
    assert!(arrived.ends_with(&changed), "{arrived}");
    assert!(
        arrived.contains("dkim2=fail reason=\"Message-Instance m=1 body hash sha256 mismatch\" header.d=foreign.test header.i=1"),
        "{arrived}"
    );
    assert_eq!((fields(&arrived, "DKIM2-Signature:"), fields(&arrived, "Message-Instance:")), (1, 1), "{arrived}");
    // Meant for another recipient.
    scene.send(HER, ME, &scene.stranger.signed(&message("replayed"), HER, "other@example.test"));
    let arrived = scene.inbox.wait_for("Subject: replayed").text();
    assert!(arrived.contains("dkim2=fail ") && fields(&arrived, "DKIM2-Signature:") == 1, "{arrived}");
    scene.ends_well();
}

/// Chains that no receiver may believe: what they are, and the message.
fn forged(scene: &Scene) -> Vec<(&'static str, String)> {
    let thief = Stranger::new("foreign.test");
    let stolen = thief.signed(&message("stolen"), HER, ME);
    let borrowed = scene.stranger.fields(message("genuine").as_bytes(), HER, ME).unwrap();
    let grafted = borrowed + &message("grafted");
    // A second hop that nobody made, after a true first one to somebody else.
    let first = scene.stranger.signed(&message("inserted"), HER, "list@foreign.test");
    let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(&thief.pair.private).unwrap();
    let signer = Dkim2Signer::from_key(key).domain("foreign.test").selector("s1").out_of_band_arrangement();
    let second = signer.sign(first.as_bytes(), Hop::real(format!("<{HER}>"), [ME]), None).unwrap().to_header();
    vec![("stolen", stolen), ("grafted", grafted), ("inserted", second + &first)]
}

/// Forwards each forged chain to this target. `before`: what its subject begins with; `is_rewritten`: whether From is.
fn stay_as_they_came(options: &str, judge: fn(&Delivered) -> Option<Reply>, before: &str, is_rewritten: bool) {
    let scene = scene(options, judge);
    for (subject, content) in forged(&scene) {
        let reply = scene.send(HER, ME, &content);
        assert!(reply.starts_with("250 "), "{subject}: {reply}");
        let arrived = scene.inbox.wait_for(&format!("Subject: {before}{subject}"));
        let text = arrived.text();
        let hops = AuthenticatedMessage::parse(&arrived.content).unwrap();
        let signed: Vec<&str> = hops.dkim2_signatures().iter().map(|hop| hop.header.d.as_str()).collect();
        assert!(!signed.iter().any(|domain| domain.contains("example.test")), "{subject}: {signed:?}");
        assert!(text.contains("dkim2=fail ") && !text.contains("dkim2=pass"), "{subject}: {text}");
        if is_rewritten {
            assert_eq!(fields(&text, "DKIM2-Signature:"), fields(&content, "DKIM2-Signature:"), "{subject}: the rest as it came: {text}");
        } else {
            assert!(text.contains(&content), "{subject}: what came is unchanged:\n{text}");
        }
        let result = received_as(&scene.lab, &arrived);
        assert!(result.is_err(), "{subject}: {result:?}");
        let trace = scene.waypost.ok(&["trace", &format!("{subject}@foreign.test")]);
        assert!(trace.contains("DKIM2 fail") && !trace.contains("DKIM2 chain as hop"), "{subject}: {trace}");
    }
    scene.ends_well();
}

#[test]
fn forged_chains_are_not_signed_over_when_forwarded() {
    stay_as_they_came("", |_| None, "", false);
}

#[test]
fn forged_chains_are_not_signed_over_when_sealed() {
    stay_as_they_came("arc = \"seal\"\n", |_| None, "", false);
}

#[test]
fn forged_chains_are_not_signed_over_with_a_rewritten_from_field() {
    stay_as_they_came("", strict, "", true);
}

#[test]
fn forged_chains_are_not_signed_over_when_wrapped() {
    stay_as_they_came("strict_domain = \"wrap\"\n", strict, "Fwd: ", false);
}
