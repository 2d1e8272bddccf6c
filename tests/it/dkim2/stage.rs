//! The stage of the tests of DKIM2: a stranger that signs, our server, a strict receiver, and what each of them finds.

use std::net::SocketAddr;

use it::{DNS_PORT, Delivered, Dns, Lab, MX_PORT, Sink, Talk, Waypost, domain, forwarding_zone, txt};
use mail::Reply;
use mail_auth::crypto::Ed25519Key;
use mail_auth::dkim2::{Dkim2Signer, Envelope, Hop};
use mail_auth::hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, Dkim2Result, MessageAuthenticator};
use msgauth::{Algorithm, KeyPair, record};

pub(super) const HER: &str = "her@foreign.test";
pub(super) const ME: &str = "me@example.test";
pub(super) const FORWARD: &str = "[forward]\ndomain = \"fwd.example.test\"\n";

/// Another server that signs with DKIM2.
pub(super) struct Stranger {
    pub(super) domain: &'static str,
    pub(super) pair: KeyPair,
}

impl Stranger {
    pub(super) fn new(domain: &'static str) -> Self {
        Self { domain, pair: KeyPair::generate(Algorithm::Ed25519).unwrap() }
    }

    pub(super) fn zone(&self) -> String {
        txt(&format!("s1._domainkey.{}.", self.domain), &record(Algorithm::Ed25519, &self.pair.public))
    }

    /// The message as it leaves its domain with this envelope.
    pub(super) fn signed(&self, message: &str, from: &str, to: &str) -> String {
        self.fields(message.as_bytes(), from, to).unwrap() + message
    }

    /// The fields of the first hop; an error if mail-auth does not sign such a message.
    pub(super) fn fields(&self, message: &[u8], from: &str, to: &str) -> mail_auth::Result<String> {
        let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(&self.pair.private)?;
        let signer = Dkim2Signer::from_key(key).domain(self.domain).selector("s1");
        Ok(signer.sign(message, Hop::real(format!("<{from}>"), [to]), None)?.to_header())
    }
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Another server's verifier.
pub(super) fn receiver(lab: &Lab) -> MessageAuthenticator {
    let mut udp = ConnectionConfig::udp();
    let mut tcp = ConnectionConfig::tcp();
    let server = SocketAddr::from((lab.address(53), DNS_PORT));
    (udp.port, tcp.port) = (server.port(), server.port());
    let server = NameServerConfig::new(server.ip(), true, vec![udp, tcp]);
    MessageAuthenticator::new(ResolverConfig::from_parts(None, vec![], vec![server]), ResolverOpts::default()).unwrap()
}

/// What a strict receiver finds: the signing domains of all hops, or why the chain does not verify.
pub(super) fn received(lab: &Lab, content: &[u8], from: &str, to: &[String]) -> Result<Vec<String>, String> {
    block_on(async {
        let message = AuthenticatedMessage::parse(content).unwrap();
        let output = receiver(lab).verify_dkim2(&message, Envelope::new(from, to)).await;
        match output.result() {
            Dkim2Result::Pass => Ok(output.chain().iter().map(|link| link.signature.d.clone()).collect()),
            other => Err(format!("{other:?}")),
        }
    })
}

pub(super) fn received_as(lab: &Lab, arrived: &Delivered) -> Result<Vec<String>, String> {
    received(lab, &arrived.content, &arrived.from, &arrived.to)
}

/// The message as it was before the last revision: its fields in another order, without those that are not signed.
pub(super) fn restored(content: &[u8]) -> String {
    let message = AuthenticatedMessage::parse(content).unwrap();
    let newest = message.dkim2_instances().last().expect("an instance");
    let recipe = newest.header.recipe.as_ref().expect("a recipe");
    // Names of fields come back in the spelling that the message has now, or in lower case.
    String::from_utf8(recipe.apply(message.headers(), message.raw_body()).unwrap()).unwrap().to_lowercase()
}

pub(super) fn fields(text: &str, name: &str) -> usize {
    text.lines().take_while(|line| !line.is_empty()).filter(|line| line.starts_with(name)).count()
}

pub(super) struct Scene {
    pub(super) waypost: Waypost,
    pub(super) inbox: Sink,
    /// The mailbox of her@foreign.test.
    pub(super) hers: Sink,
    /// Messages to send.
    pub(super) odd: Vec<Vec<u8>>,
    pub(super) stranger: Stranger,
    /// The target's own server.
    pub(super) target: Stranger,
    _dns: Dns,
    pub(super) lab: Lab,
}

/// `options` follow the section [forward]; `judge` answers for the target.
pub(super) fn scene(options: &str, judge: impl Fn(&Delivered) -> Option<Reply> + Send + Sync + 'static) -> Scene {
    scene_with(options, judge, |_| (Vec::new(), String::new()))
}

/// The same with messages of foreign.test and the lines of the zone that they need.
pub(super) fn scene_with(
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

pub(super) fn message(subject: &str) -> String {
    format!(
        "From: \"Her Name\" <{HER}>\r\nTo: {ME}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@foreign.test>\r\n\
         Date: Sun, 29 Nov 2026 01:02:03 +0000\r\nX-Hers: y\r\n\r\nfirst line\r\n\r\n.dot\r\nlast line\r\n"
    )
}

impl Scene {
    pub(super) fn send(&self, from: &str, to: &str, content: &str) -> String {
        Talk::greeted(self.waypost.address, MX_PORT).message(from, to, &content.replace("\r\n.", "\r\n.."))
    }

    pub(super) fn ends_well(&self) {
        self.waypost.wait_for_empty_queue();
        assert_eq!(self.waypost.json(&["status"])["signatures_broken"], 0);
        self.waypost.assert_no_bugs();
    }
}

/// As Gmail: refuses foreign.test in From, since it fails DMARC there.
pub(super) fn strict(message: &Delivered) -> Option<Reply> {
    let is_ours = message.text().lines().take_while(|l| !l.is_empty()).any(|l| l.starts_with("From: ") && l.contains("@fwd.example.test>"));
    (!is_ours).then(|| Reply::new(550, (5, 7, 26), "Unauthenticated email from foreign.test is not accepted due to domain's DMARC policy."))
}
