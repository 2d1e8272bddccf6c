//! DSNs go back along the chain, hop by hop.

use it::{Delivered, wait_for};
use mail::Reply;
use mail_auth::dkim2::{Dkim2Dsn, Envelope};

use super::stage::*;

/// The DSN that came back to her, as a strict receiver at foreign.test verifies it.
fn came_back(scene: &Scene, subject: &str) -> Delivered {
    let arrived = scene.hers.wait_for(subject);
    assert_eq!(arrived.from, "<>");
    let dsn = Dkim2Dsn::parse(&arrived.content).unwrap();
    let verified = block_on(receiver(&scene.lab).verify_dkim2_dsn(&dsn, Envelope::new("<>", [HER])));
    assert!(verified.is_ok(), "{verified:?} of:\n{}", arrived.text());
    assert!(!arrived.text().contains("foo@inbox.test"), "{}", arrived.text());
    arrived
}

#[test]
fn a_dsn_of_ours_goes_to_the_previous_hop_in_its_chain() {
    for to in [ME, "me@second.test"] {
        let refuses = |_: &Delivered| Some(Reply::new(550, (5, 7, 1), "no"));
        let scene = scene("mode = \"queue\"\n", refuses);
        scene.waypost.ok(&["alias", "add", "me@second.test", "foo@inbox.test"]);
        let reply = scene.send(HER, to, &scene.stranger.signed(&message("lost"), HER, to));
        assert!(reply.starts_with("250 "), "{reply}");
        came_back(&scene, "Subject: lost");
        scene.ends_well();
    }
}

#[test]
fn a_dsn_of_the_target_finds_its_way_back_hop_by_hop() {
    let scene = scene("", |_| None);
    for (to, subject) in [(ME, "first"), ("me@second.test", "second")] {
        if to != ME {
            scene.waypost.ok(&["alias", "add", to, "foo@inbox.test"]);
        }
        scene.send(HER, to, &scene.stranger.signed(&message(subject), HER, to));
        let arrived = scene.inbox.wait_for(&format!("Subject: {subject}"));
        let back = arrived.from.trim_matches(['<', '>']);
        let dsn = format!(
            "From: MAILER-DAEMON@inbox.test\r\nTo: {back}\r\nSubject: failure\r\nMessage-ID: <{subject}.dsn@inbox.test>\r\n\
             Date: Sun, 29 Nov 2026 01:02:03 +0000\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nfoo@inbox.test is full\r\n\r\n--b\r\n\
             Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.inbox.test\r\n\r\nFinal-Recipient: rfc822; foo@inbox.test\r\n\
             Action: failed\r\nStatus: 5.2.2\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{}\r\n--b--\r\n",
            arrived.text()
        );
        let reply = scene.send("", back, &scene.target.signed(&dsn, "", back));
        assert!(reply.starts_with("250 "), "{reply}");
        let text = came_back(&scene, &format!("Subject: {subject}")).text();
        assert!(text.contains("Status: 5.2.2"), "{text}");
        assert!(!text.contains("inbox.test") && !text.contains("fwd.example.test>"), "nothing of our hop: {text}");
        // Changed on its way: passed back, but not as a part of the chain.
        let reply = scene.send("", back, &scene.target.signed(&dsn, "", back).replace("5.2.2", "5.2.1"));
        assert!(reply.starts_with("250 "), "{reply}");
        let is_unproven = |dsn: &&Delivered| dsn.text().contains("Status: 5.2.1") && !dsn.text().contains("DKIM2-Signature");
        wait_for("the unproven DSN", || scene.hers.messages().iter().find(is_unproven).map(|_| ()));
    }
    scene.ends_well();
}
