//! DKIM2 chains from end to end: a stranger signs, we forward, a strict receiver verifies every hop and restores what came. Stranger and receiver are
//! mail-auth, called by the test.

use std::net::SocketAddr;

use it::{DNS_PORT, Delivered, Dns, Lab, MX_PORT, Sink, Talk, Waypost, domain, forwarding_zone, txt, wait_for};
use mail::Reply;
use mail_auth::crypto::Ed25519Key;
use mail_auth::dkim2::{Dkim2Signer, Envelope, Hop};
use mail_auth::hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, Dkim2Result, MessageAuthenticator};
use msgauth::{Algorithm, KeyPair, record};

const HER: &str = "her@foreign.test";
const ME: &str = "me@example.test";
const FORWARD: &str = "[forward]\ndomain = \"fwd.example.test\"\n";

/// Another server that signs with DKIM2.
struct Stranger {
    pair: KeyPair,
}

impl Stranger {
    fn new() -> Self {
        Self { pair: KeyPair::generate(Algorithm::Ed25519).unwrap() }
    }

    fn zone(&self) -> String {
        txt("s1._domainkey.foreign.test.", &record(Algorithm::Ed25519, &self.pair.public))
    }

    /// The message as it leaves foreign.test with this envelope.
    fn signed(&self, message: &str, from: &str, to: &str) -> String {
        let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(&self.pair.private).unwrap();
        let signer = Dkim2Signer::from_key(key).domain("foreign.test").selector("s1");
        let signed = signer.sign(message.as_bytes(), Hop::real(format!("<{from}>"), [to]), None).unwrap();
        signed.to_header() + message
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What a strict receiver finds: the signing domains of all hops, or why the chain does not verify.
fn received(lab: &Lab, content: &[u8], from: &str, to: &[String]) -> Result<Vec<String>, String> {
    let mut udp = ConnectionConfig::udp();
    let mut tcp = ConnectionConfig::tcp();
    let server = SocketAddr::from((lab.address(53), DNS_PORT));
    (udp.port, tcp.port) = (server.port(), server.port());
    let server = NameServerConfig::new(server.ip(), true, vec![udp, tcp]);
    block_on(async {
        let receiver = MessageAuthenticator::new(ResolverConfig::from_parts(None, vec![], vec![server]), ResolverOpts::default()).unwrap();
        let message = AuthenticatedMessage::parse(content).unwrap();
        let output = receiver.verify_dkim2(&message, Envelope::new(from, to)).await;
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
    String::from_utf8(recipe.apply(message.headers(), message.raw_body()).unwrap()).unwrap()
}

fn fields(text: &str, name: &str) -> usize {
    text.lines().take_while(|line| !line.is_empty()).filter(|line| line.starts_with(name)).count()
}

struct Scene {
    waypost: Waypost,
    inbox: Sink,
    stranger: Stranger,
    _dns: Dns,
    lab: Lab,
}

/// `options` follow the section [forward]; `judge` answers for the target.
fn scene(options: &str, judge: impl Fn(&Delivered) -> Option<Reply> + Send + Sync + 'static) -> Scene {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, &format!("{FORWARD}{options}"));
    let mut zone = forwarding_zone(&lab) + &domain(&lab, "second", 1);
    for hosted in ["example.test", "second.test"] {
        waypost.ok(&["domain", "add", "--bare", hosted]);
        zone += &waypost.keys(hosted);
    }
    zone += &waypost.keys("fwd.example.test");
    let stranger = Stranger::new();
    let dns = Dns::start(&lab, &(zone + &stranger.zone()));
    let inbox = Sink::judging(lab.address(2), MX_PORT, |_| None, judge);
    waypost.ok(&["alias", "add", ME, "foo@inbox.test"]);
    waypost.start();
    Scene { waypost, inbox, stranger, _dns: dns, lab }
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
    scene.send("", ME, &scene.stranger.signed(&message("nobody"), "", ME));
    let arrived = scene.inbox.wait_for("Subject: nobody");
    let chain = ["foreign.test", "example.test", "fwd.example.test"].map(String::from).to_vec();
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
        assert!(restored.contains(&format!("from: \"Her Name\" <{HER}>\r\n")) && !restored.contains("reply-to"), "{restored}");
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
        for want in [format!("from: \"Her Name\" <{HER}>\r\n"), "subject: paper\r\n".into(), format!("to: {ME}\r\n")] {
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
