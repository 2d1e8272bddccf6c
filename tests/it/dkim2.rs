//! DKIM2 chains from end to end: a stranger signs, we forward, a strict receiver verifies every hop and restores what came. Stranger and receiver are
//! mail-auth, called by the test.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use it::{DNS_PORT, Delivered, Dns, Lab, MX_PORT, Sink, Talk, Waypost, domain, forwarding_zone, txt, wait_for, wait_within};
use mail::Reply;
use mail_auth::crypto::Ed25519Key;
use mail_auth::dkim2::{Dkim2Dsn, Dkim2Signer, Envelope, Hop};
use mail_auth::hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, Dkim2Result, MessageAuthenticator};
use msgauth::{Algorithm, KeyPair, record};
use serde_json::json;

const HER: &str = "her@foreign.test";
const ME: &str = "me@example.test";
const FORWARD: &str = "[forward]\ndomain = \"fwd.example.test\"\n";

/// Another server that signs with DKIM2.
struct Stranger {
    domain: &'static str,
    pair: KeyPair,
}

impl Stranger {
    fn new(domain: &'static str) -> Self {
        Self { domain, pair: KeyPair::generate(Algorithm::Ed25519).unwrap() }
    }

    fn zone(&self) -> String {
        txt(&format!("s1._domainkey.{}.", self.domain), &record(Algorithm::Ed25519, &self.pair.public))
    }

    /// The message as it leaves its domain with this envelope.
    fn signed(&self, message: &str, from: &str, to: &str) -> String {
        self.fields(message.as_bytes(), from, to).unwrap() + message
    }

    /// The fields of the first hop; an error if mail-auth does not sign such a message.
    fn fields(&self, message: &[u8], from: &str, to: &str) -> mail_auth::Result<String> {
        let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(&self.pair.private)?;
        let signer = Dkim2Signer::from_key(key).domain(self.domain).selector("s1");
        Ok(signer.sign(message, Hop::real(format!("<{from}>"), [to]), None)?.to_header())
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Another server's verifier.
fn receiver(lab: &Lab) -> MessageAuthenticator {
    let mut udp = ConnectionConfig::udp();
    let mut tcp = ConnectionConfig::tcp();
    let server = SocketAddr::from((lab.address(53), DNS_PORT));
    (udp.port, tcp.port) = (server.port(), server.port());
    let server = NameServerConfig::new(server.ip(), true, vec![udp, tcp]);
    MessageAuthenticator::new(ResolverConfig::from_parts(None, vec![], vec![server]), ResolverOpts::default()).unwrap()
}

/// What a strict receiver finds: the signing domains of all hops, or why the chain does not verify.
fn received(lab: &Lab, content: &[u8], from: &str, to: &[String]) -> Result<Vec<String>, String> {
    block_on(async {
        let message = AuthenticatedMessage::parse(content).unwrap();
        let output = receiver(lab).verify_dkim2(&message, Envelope::new(from, to)).await;
        match output.result() {
            Dkim2Result::Pass => Ok(output.chain().iter().map(|link| link.signature.d.clone()).collect()),
            other => Err(format!("{other:?}")),
        }
    })
}

fn received_as(lab: &Lab, arrived: &Delivered) -> Result<Vec<String>, String> {
    received(lab, &arrived.content, &arrived.from, &arrived.to)
}

/// The message as it was before the last revision: its fields in another order, without those that are not signed.
fn restored(content: &[u8]) -> String {
    let message = AuthenticatedMessage::parse(content).unwrap();
    let newest = message.dkim2_instances().last().expect("an instance");
    let recipe = newest.header.recipe.as_ref().expect("a recipe");
    // Names of fields come back in the spelling that the message has now, or in lower case.
    String::from_utf8(recipe.apply(message.headers(), message.raw_body()).unwrap()).unwrap().to_lowercase()
}

fn fields(text: &str, name: &str) -> usize {
    text.lines().take_while(|line| !line.is_empty()).filter(|line| line.starts_with(name)).count()
}

struct Scene {
    waypost: Waypost,
    inbox: Sink,
    /// The mailbox of her@foreign.test.
    hers: Sink,
    /// Messages to send.
    odd: Vec<Vec<u8>>,
    stranger: Stranger,
    /// The target's own server.
    target: Stranger,
    _dns: Dns,
    lab: Lab,
}

/// `options` follow the section [forward]; `judge` answers for the target.
fn scene(options: &str, judge: impl Fn(&Delivered) -> Option<Reply> + Send + Sync + 'static) -> Scene {
    scene_with(options, judge, |_| (Vec::new(), String::new()))
}

/// The same with messages of foreign.test and the lines of the zone that they need.
fn scene_with(
    options: &str,
    judge: impl Fn(&Delivered) -> Option<Reply> + Send + Sync + 'static,
    messages: impl FnOnce(&Lab) -> (Vec<Vec<u8>>, String),
) -> Scene {
    let lab = Lab::new();
    let (odd, records) = messages(&lab);
    let mut waypost = Waypost::configured(&lab, &format!("{FORWARD}{options}"));
    let mut zone = forwarding_zone(&lab) + &domain(&lab, "second", 1);
    for hosted in ["example.test", "second.test"] {
        waypost.ok(&["domain", "add", "--bare", hosted]);
        zone += &waypost.keys(hosted);
    }
    zone += &waypost.keys("fwd.example.test");
    let (stranger, target) = (Stranger::new("foreign.test"), Stranger::new("inbox.test"));
    let dns = Dns::start(&lab, &(zone + &records + &stranger.zone() + &target.zone()));
    let hers = Sink::start(lab.address(3), MX_PORT);
    let inbox = Sink::judging(lab.address(2), MX_PORT, |_| None, judge);
    waypost.ok(&["alias", "add", ME, "foo@inbox.test"]);
    waypost.start();
    Scene { waypost, inbox, hers, odd, stranger, target, _dns: dns, lab }
}

fn message(subject: &str) -> String {
    format!(
        "From: \"Her Name\" <{HER}>\r\nTo: {ME}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@foreign.test>\r\n\
         Date: Sun, 29 Nov 2026 01:02:03 +0000\r\nX-Hers: y\r\n\r\nfirst line\r\n\r\n.dot\r\nlast line\r\n"
    )
}

impl Scene {
    fn send(&self, from: &str, to: &str, content: &str) -> String {
        Talk::greeted(self.waypost.address, MX_PORT).message(from, to, &content.replace("\r\n.", "\r\n.."))
    }

    fn ends_well(&self) {
        self.waypost.wait_for_empty_queue();
        assert_eq!(self.waypost.json(&["status"])["signatures_broken"], 0);
        self.waypost.assert_no_bugs();
    }
}

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
    // A null reverse-path leaves as one, and names no domain.
    let nobody = message("nobody").replace("foreign.test", "inbox.test");
    let reply = scene.send("", ME, &scene.target.signed(&nobody, "", ME));
    assert!(reply.starts_with("250 "), "{reply}");
    let arrived = scene.inbox.wait_for("Subject: nobody");
    let chain = ["inbox.test", "example.test", "fwd.example.test"].map(String::from).to_vec();
    assert_eq!((arrived.from.as_str(), received_as(&scene.lab, &arrived)), ("<>", Ok(chain)));
    scene.ends_well();
}

/// As Gmail: refuses foreign.test in From, since it fails DMARC there.
fn strict(message: &Delivered) -> Option<Reply> {
    let is_ours = message.text().lines().take_while(|l| !l.is_empty()).any(|l| l.starts_with("From: ") && l.contains("@fwd.example.test>"));
    (!is_ours).then(|| Reply::new(550, (5, 7, 26), "Unauthenticated email from foreign.test is not accepted due to domain's DMARC policy."))
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
        scene.ends_well();
    }
}

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

#[test]
fn own_mail_names_hidden_recipients_to_nobody() {
    let scene = scene("[submission]\ndkim2 = \"sign\"\n", |_| None);
    let password = scene.waypost.account(ME);
    let mut talk = scene.waypost.logged_in(ME, &password);
    talk.expect(&format!("MAIL FROM:<{ME}>"), "250");
    for to in ["a@inbox.test", "hidden@inbox.test", "b@inbox.test", "secret@inbox.test"] {
        talk.expect(&format!("RCPT TO:<{to}>"), "250");
    }
    talk.expect("DATA", "354");
    talk.send(format!("From: {ME}\r\nTo: A <a@inbox.test>\r\nCc: b@inbox.test\r\nSubject: own\r\n\r\nbody\r\n").as_bytes());
    talk.expect(".", "250");
    wait_for("three messages", || (scene.inbox.messages().len() == 3).then_some(()));
    let mut envelopes = Vec::new();
    for arrived in scene.inbox.messages() {
        assert_eq!(received_as(&scene.lab, &arrived), Ok(vec!["example.test".into()]), "{}", arrived.text());
        let message = AuthenticatedMessage::parse(&arrived.content).unwrap();
        let signature = format!("{:?}", message.dkim2_signatures()[0].header);
        for hidden in ["hidden@inbox.test", "secret@inbox.test"] {
            assert_eq!(signature.contains(hidden), arrived.to.iter().any(|to| to.contains(hidden)), "{signature}");
        }
        envelopes.push(arrived.to);
    }
    envelopes.sort();
    assert_eq!(envelopes, [vec!["<a@inbox.test>", "<b@inbox.test>"], vec!["<hidden@inbox.test>"], vec!["<secret@inbox.test>"]]);
    scene.ends_well();
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

#[test]
fn forged_chains_are_signed_over_in_no_form() {
    let takes_all: fn(&Delivered) -> Option<Reply> = |_| None;
    let strict: fn(&Delivered) -> Option<Reply> = strict;
    // (options, the target, before the subject, whether From is rewritten)
    let forms = [
        ("", takes_all, "", false),
        ("arc = \"seal\"\n", takes_all, "", false),
        ("", strict, "", true),
        ("strict_domain = \"wrap\"\n", strict, "Fwd: ", false),
    ];
    for (options, judge, before, is_rewritten) in forms {
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
                assert_eq!(
                    fields(&text, "DKIM2-Signature:"),
                    fields(&content, "DKIM2-Signature:"),
                    "{subject}: the rest as it came: {text}"
                );
            } else {
                assert!(text.contains(&content), "{subject}: what came is unchanged:\n{text}");
            }
            let result = received_as(&scene.lab, &arrived);
            assert!(result.is_err(), "{subject}: {result:?}");
        }
        scene.ends_well();
    }
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
