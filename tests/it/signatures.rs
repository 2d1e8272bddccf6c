//! DKIM against dkimpy: both verifiers agree, dkimpy verifies our signatures, and forwarded signatures stay valid.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use it::{Delivered, Dns, Lab, MX_PORT, Signature, Sink, Talk, Waypost, dkimpy, forwarding_zone, rsa_key, signatures, txt, wait_within};
use mail::Reply;
use mail::evidence::DkimResult;
use msgauth::{Algorithm, KeyPair, Signer, record};
use serde_json::{Value, json};

/// Unusual messages of foreign.test: unsigned, signed by dkimpy, and changed after signing.
struct Odd {
    unsigned: Vec<Vec<u8>>,
    signed: Vec<Vec<u8>>,
    changed: Vec<Vec<u8>>,
    /// The keys, as lines of the zone.
    keys: String,
}

/// The same messages for the same seed. `once`: fields that may occur only once do.
fn odd(lab: &Lab, count: usize, seed: u64, once: bool) -> Odd {
    let (key, rsa) = rsa_key(lab, "foreign.test", "r");
    let key = std::fs::read_to_string(key).unwrap();
    let made = dkimpy(&json!({"do": "generate", "count": count, "seed": seed, "once": once, "rsa": key}));
    let messages = |name: &str| -> Vec<Vec<u8>> {
        let decode = |text: &Value| STANDARD.decode(text.as_str().unwrap()).unwrap();
        made[name].as_array().unwrap().iter().map(decode).collect()
    };
    let ed25519 = txt("e._domainkey.foreign.test.", &format!("v=DKIM1; k=ed25519; p={}", made["ed25519"].as_str().unwrap()));
    Odd { unsigned: messages("unsigned"), signed: messages("signed"), changed: messages("changed"), keys: rsa + &ed25519 }
}

/// Unusual messages of foreign.test, signed with DKIM; and their keys, as lines of the zone.
pub fn odd_signed(lab: &Lab, count: usize, seed: u64) -> (Vec<Vec<u8>>, String) {
    let odd = odd(lab, count, seed, true);
    (odd.signed, odd.keys)
}

fn borrowed(messages: &[Vec<u8>]) -> Vec<&[u8]> {
    messages.iter().map(Vec::as_slice).collect()
}

/// Whether our verifier accepts each message's topmost signature.
fn verified(lab: &Lab, messages: &[Vec<u8>]) -> Vec<(bool, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let resolver = net::Resolver::of_servers(&[SocketAddr::from((lab.address(53), 5353))]).unwrap();
        let mut verdicts = Vec::new();
        for message in messages {
            let checks = resolver.authenticator().verify_dkim(message).await;
            verdicts.push((checks.first().is_some_and(|check| check.result == DkimResult::Pass), format!("{checks:?}")));
        }
        verdicts
    })
}

fn shown(message: &[u8]) -> String {
    String::from_utf8_lossy(message).replace("\r\n", "\u{240d}\n").replace('\t', "\u{2409}")
}

#[test]
fn our_verifier_and_dkimpy_agree() {
    let lab = Lab::new();
    let odd = odd(&lab, 500, 1, false);
    let _dns = Dns::start(&lab, &odd.keys);
    for (name, messages) in [("signed", &odd.signed), ("changed", &odd.changed)] {
        let (ours, theirs) = (verified(&lab, messages), signatures(&lab, &borrowed(messages)));
        let mut held = 0;
        for ((message, (ours, why)), theirs) in messages.iter().zip(&ours).zip(&theirs) {
            let first = theirs.iter().find(|s| s.domain == "foreign.test");
            let holds = first.is_some_and(|s| s.holds);
            held += usize::from(holds);
            assert_eq!(*ours, holds, "{name}: dkimpy says {first:?}, we say {why}, of:\n{}", shown(message));
        }
        match name {
            "signed" => assert_eq!(held, messages.len(), "dkimpy verifies its own signatures"),
            _ => assert!(held > 50 && held < messages.len() - 50, "{held} of the changed messages verify"),
        }
    }
}

#[test]
fn dkimpy_verifies_our_signatures() {
    let lab = Lab::new();
    let odd = odd(&lab, 500, 2, false);
    let mut zone = String::new();
    let signers: Vec<Signer> = [(Algorithm::Rsa, "ours-r"), (Algorithm::Ed25519, "ours-e")]
        .into_iter()
        .map(|(algorithm, selector)| {
            let pair = KeyPair::generate(algorithm).unwrap();
            zone += &txt(&format!("{selector}._domainkey.example.test."), &record(algorithm, &pair.public));
            Signer::new(algorithm, &pair.private, "example.test", selector).unwrap()
        })
        .collect();
    let _dns = Dns::start(&lab, &zone);
    let sign = |(number, message): (usize, &Vec<u8>)| {
        // In pieces, as in the server: the added fields, and the content.
        let top = b"Received: from a\r\n\tby b; Tue, 24 Nov 2026 09:00:00 +0000\r\n";
        let field = signers[number % 2].sign(&[top, message]).unwrap();
        [field.as_bytes(), top, message].concat()
    };
    let signed: Vec<Vec<u8>> = odd.unsigned.iter().enumerate().map(sign).collect();
    for (message, found) in signed.iter().zip(signatures(&lab, &borrowed(&signed))) {
        assert!(matches!(&found[..], [Signature { holds: true, .. }]), "{found:?} of:\n{}", shown(message));
    }
    for (message, (passes, why)) in signed.iter().zip(verified(&lab, &signed)) {
        assert!(passes, "{why} of:\n{}", shown(message));
    }
}

#[test]
fn forwarded_signatures_stay_valid() {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, "[forward]\ndomain = \"fwd.example.test\"\n");
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let odd = odd(&lab, 60, 3, true);
    let _dns = Dns::start(&lab, &(forwarding_zone(&lab) + &odd.keys + &waypost.keys("fwd.example.test")));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.start();
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    for message in &odd.signed {
        talk.expect("MAIL FROM:<her@foreign.test> BODY=8BITMIME SMTPUTF8", "250");
        talk.expect("RCPT TO:<me@example.test>", "250");
        talk.expect("DATA", "354");
        let stuffed: Vec<u8> = message
            .split_inclusive(|b| *b == b'\n')
            .flat_map(|line| {
                let dot: &[u8] = if line.starts_with(b".") { b"." } else { b"" };
                dot.iter().chain(line).copied().collect::<Vec<u8>>()
            })
            .collect();
        talk.send(&stuffed);
        let reply = talk.say(".");
        assert!(reply.starts_with("250 "), "{reply} to:\n{}", shown(message));
    }
    wait_within(std::time::Duration::from_secs(60), "all of them", || (inbox.messages().len() >= odd.signed.len()).then_some(()));
    let arrived: Vec<Vec<u8>> = inbox.messages().into_iter().map(|message| message.content).collect();
    for (message, found) in arrived.iter().zip(signatures(&lab, &borrowed(&arrived))) {
        let count = |domain: &str| found.iter().filter(|s| s.domain == domain && s.holds).count();
        // Ours by two keys, hers by one.
        assert_eq!((count("fwd.example.test"), count("foreign.test"), found.len()), (2, 1, 3), "{found:?} of:\n{}", shown(message));
    }
    assert_eq!(arrived.len(), odd.signed.len());
    assert_eq!(waypost.json(&["status"])["signatures_broken"], 0);
    waypost.assert_no_bugs();
}

/// A server that seals forwards to foo@inbox.test, and the target, which answers as `judge` says.
struct Sealing {
    waypost: Waypost,
    inbox: Sink,
    odd: Vec<Vec<u8>>,
    /// The key of foreign.test, which seals there.
    key: String,
    _dns: Dns,
    lab: Lab,
}

impl Sealing {
    fn new(count: usize, judge: impl Fn(&Delivered) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let lab = Lab::new();
        let mut waypost = Waypost::configured(&lab, "[forward]\ndomain = \"fwd.example.test\"\narc = \"seal\"\n");
        waypost.ok(&["domain", "add", "--bare", "example.test"]);
        let odd = odd(&lab, count, 5, true);
        let key = std::fs::read_to_string(lab.path().join("foreign.test.pem")).unwrap();
        let dns = Dns::start(&lab, &(forwarding_zone(&lab) + &odd.keys + &waypost.keys("fwd.example.test")));
        let inbox = Sink::judging(lab.address(2), MX_PORT, |_| None, judge);
        waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
        waypost.start();
        Self { waypost, inbox, odd: odd.signed, key, _dns: dns, lab }
    }

    fn send(&self, content: &[u8]) {
        let mut talk = Talk::greeted(self.waypost.address, MX_PORT);
        talk.expect("MAIL FROM:<her@foreign.test> BODY=8BITMIME SMTPUTF8", "250");
        talk.expect("RCPT TO:<me@example.test>", "250");
        talk.expect("DATA", "354");
        let stuff = |line: &[u8]| if line.starts_with(b".") { [b".", line].concat() } else { line.to_vec() };
        talk.send(&content.split_inclusive(|b| *b == b'\n').flat_map(stuff).collect::<Vec<u8>>());
        let reply = talk.say(".");
        assert!(reply.starts_with("250 "), "{reply} to:\n{}", shown(content));
    }

    fn arrived(&self, count: usize) -> Vec<Delivered> {
        wait_within(std::time::Duration::from_secs(60), "all of them", || (self.inbox.messages().len() >= count).then_some(()));
        self.inbox.messages()
    }

    /// What dkimpy finds: cv=, and the domains from the newest set.
    fn judged(&self, messages: &[Delivered]) -> Vec<(Value, Value)> {
        let messages: Vec<String> = messages.iter().map(|message| STANDARD.encode(&message.content)).collect();
        let judged = dkimpy(&json!({"do": "arc", "server": self.lab.address(53), "port": it::DNS_PORT, "messages": messages}));
        judged.as_array().unwrap().iter().map(|found| (found["cv"].clone(), found["domains"].clone())).collect()
    }

    /// The messages, each with the set of a list at foreign.test on top, by dkimpy.
    fn sealed_by_dkimpy(&self, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let results =
            |message: &Vec<u8>| [b"Authentication-Results: lists.foreign.test; arc=none; spf=pass\r\n", message.as_slice()].concat();
        let messages: Vec<String> = messages.iter().map(|message| STANDARD.encode(results(message))).collect();
        let sealed = dkimpy(&json!({
            "do": "seal", "domain": "foreign.test", "selector": "r", "rsa": self.key, "server_id": "lists.foreign.test", "messages": messages
        }));
        sealed.as_array().unwrap().iter().map(|message| STANDARD.decode(message.as_str().unwrap()).unwrap()).collect()
    }

    fn ends_well(&self) {
        self.waypost.wait_for_empty_queue();
        assert_eq!(self.waypost.json(&["status"])["signatures_broken"], 0);
        self.waypost.assert_no_bugs();
    }
}

fn sets(message: &Delivered) -> usize {
    message.text().matches("\r\nARC-Seal:").count() + usize::from(message.content.starts_with(b"ARC-Seal:"))
}

#[test]
fn dkimpy_verifies_our_arc_sets() {
    let scene = Sealing::new(40, |_| None);
    scene.odd.iter().for_each(|message| scene.send(message));
    let arrived = scene.arrived(scene.odd.len());
    for (message, found) in arrived.iter().zip(scene.judged(&arrived)) {
        assert_eq!(found, (json!("pass"), json!(["fwd.example.test"])), "{}", shown(&message.content));
    }
    scene.ends_well();
}

#[test]
fn the_chain_of_another_server_goes_on() {
    let scene = Sealing::new(40, |_| None);
    let sealed = scene.sealed_by_dkimpy(&scene.odd);
    sealed.iter().for_each(|message| scene.send(message));
    let arrived = scene.arrived(sealed.len());
    for (message, found) in arrived.iter().zip(scene.judged(&arrived)) {
        assert_eq!(found, (json!("pass"), json!(["fwd.example.test", "foreign.test"])), "{}", shown(&message.content));
        assert!(message.text().contains("arc=pass"), "{}", shown(&message.content));
    }
    scene.ends_well();
}

/// RFC 8617 s.5.1: a chain that failed, or says so itself, gets no further set, and leaves as it came.
#[test]
fn a_chain_that_failed_gets_no_set() {
    let scene = Sealing::new(3, |_| None);
    let sealed = scene.sealed_by_dkimpy(&scene.odd);
    let damaged = |n: usize, from: &str, to: &str| {
        let at = sealed[n].windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        [&sealed[n][..at], to.as_bytes(), &sealed[n][at + from.len()..]].concat()
    };
    let broken =
        [damaged(0, "ARC-Seal: i=1;", "ARC-Seal: i=1; x=1;"), damaged(1, "cv=none", "cv=fail"), damaged(2, "ARC-Seal:", "X-Seal:")];
    broken.iter().for_each(|message| scene.send(message));
    for message in scene.arrived(broken.len()) {
        assert!(broken.iter().any(|broken| message.content.ends_with(broken)), "what came is unchanged: {}", shown(&message.content));
        assert!(message.text().contains("arc=fail") && sets(&message) <= 1, "{}", shown(&message.content));
        assert!(!message.text().contains("ARC-Seal: i=2"), "{}", shown(&message.content));
    }
    scene.ends_well();
}

#[test]
fn a_rewritten_from_field_gets_a_set_of_its_own() {
    let is_ours = |line: &str| line.starts_with("From: ") && line.contains("@fwd.example.test>");
    let strict = move |message: &Delivered| {
        let refusal = Reply::new(550, (5, 7, 26), "Unauthenticated email from foreign.test is not accepted due to domain's DMARC policy.");
        (!message.text().lines().take_while(|line| !line.is_empty()).any(is_ours)).then_some(refusal)
    };
    let scene = Sealing::new(1, strict);
    let message = b"From: Her Name <her@foreign.test>\r\nTo: me@example.test\r\nSubject: mended\r\n\r\nbody\r\n".to_vec();
    scene.send(&message);
    scene.send(&scene.sealed_by_dkimpy(&[message])[0]);
    let arrived = scene.arrived(2);
    let found = scene.judged(&arrived);
    let (one, two) = ((json!("pass"), json!(["fwd.example.test"])), (json!("pass"), json!(["fwd.example.test", "foreign.test"])));
    assert!(found.contains(&one) && found.contains(&two), "{found:?} of:\n{}\n{}", shown(&arrived[0].content), shown(&arrived[1].content));
    scene.ends_well();
}
