//! DKIM against dkimpy: both verifiers agree, dkimpy verifies our signatures, and forwarded signatures stay valid.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use it::{Dns, Lab, MX_PORT, Signature, Sink, Talk, Waypost, dkimpy, forwarding_zone, rsa_key, signatures, txt, wait_within};
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

#[test]
fn dkimpy_verifies_our_arc_sets_and_the_chain_goes_on() {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, "[forward]\ndomain = \"fwd.example.test\"\narc = \"seal\"\n");
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let odd = odd(&lab, 40, 5, true);
    let _dns = Dns::start(&lab, &(forwarding_zone(&lab) + &odd.keys + &waypost.keys("fwd.example.test")));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.start();
    let send = |content: &[u8]| {
        let mut talk = Talk::greeted(waypost.address, MX_PORT);
        talk.expect("MAIL FROM:<her@foreign.test> BODY=8BITMIME SMTPUTF8", "250");
        talk.expect("RCPT TO:<me@example.test>", "250");
        talk.expect("DATA", "354");
        let stuff = |line: &[u8]| if line.starts_with(b".") { [b".", line].concat() } else { line.to_vec() };
        talk.send(&content.split_inclusive(|b| *b == b'\n').flat_map(stuff).collect::<Vec<u8>>());
        talk.say(".")
    };
    for message in &odd.signed {
        let reply = send(message);
        assert!(reply.starts_with("250 "), "{reply} to:\n{}", shown(message));
    }
    let count = odd.signed.len();
    wait_within(std::time::Duration::from_secs(60), "all of them", || (inbox.messages().len() >= count).then_some(()));
    // Sent to us once more, without the field that tells a loop: a second set on top of the first.
    let first = inbox.messages();
    for message in &first {
        let again = message.text_without("Delivered-To");
        let reply = send(&again);
        assert!(reply.starts_with("250 "), "{reply} to:\n{}", shown(&again));
    }
    wait_within(std::time::Duration::from_secs(60), "all of them again", || (inbox.messages().len() >= 2 * count).then_some(()));
    let arrived: Vec<String> = inbox.messages().iter().map(|message| STANDARD.encode(&message.content)).collect();
    let judged = dkimpy(&json!({"do": "arc", "server": lab.address(53), "port": it::DNS_PORT, "messages": arrived}));
    for (n, found) in judged.as_array().unwrap().iter().enumerate() {
        let domains = vec!["fwd.example.test"; if n < count { 1 } else { 2 }];
        assert_eq!(
            (&found["cv"], &found["domains"]),
            (&json!("pass"), &json!(domains)),
            "{found} of:\n{}",
            shown(&inbox.messages()[n].content)
        );
    }
    // A chain that fails is not sealed.
    let broken = String::from_utf8_lossy(&first[0].text_without("Delivered-To")).replace("ARC-Seal: i=1;", "ARC-Seal: i=1; x=1;");
    send(broken.as_bytes());
    wait_within(std::time::Duration::from_secs(20), "the broken one", || (inbox.messages().len() > 2 * count).then_some(()));
    assert_eq!(inbox.messages()[2 * count].text().matches("ARC-Seal:").count(), 1);
    assert_eq!(waypost.json(&["status"])["signatures_broken"], 0);
    waypost.assert_no_bugs();
}
