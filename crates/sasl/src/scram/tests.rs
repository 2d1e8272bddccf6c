//! Tests of SCRAM: the examples of RFC 5802 s.5 and RFC 7677 s.3, and messages that must be refused.
//!
//! Invariant: only the right final message leads to `Proven`.

use super::*;
use crate::exchange::tests::context;
use crate::exchange::{Binding, BindingKind, Exchange};
use crate::mechanism::Mechanism;
use crate::scram_keys::scram_keys;
use crate::secret::Secret;

const SHA1: ScramHash = ScramHash::Sha1;
const SHA256: ScramHash = ScramHash::Sha256;

/// The arithmetic of a client.
fn proof(hash: ScramHash, password: &str, salt: &[u8], iterations: u32, auth_message: &str) -> String {
    // A client knows ClientKey; here it comes from an independent PBKDF2.
    let mut u = hash.hmac(password.as_bytes(), &[salt, &[0, 0, 0, 1]].concat()).as_ref().to_vec();
    let mut salted = u.clone();
    for _ in 1..iterations {
        u = hash.hmac(password.as_bytes(), &u).as_ref().to_vec();
        salted.iter_mut().zip(&u).for_each(|(a, b)| *a ^= b);
    }
    let client_key = hash.hmac(&salted, b"Client Key");
    let stored = scram_keys(hash, password, salt, iterations).unwrap().stored_key;
    let signature = hash.hmac(&stored, auth_message.as_bytes());
    STANDARD.encode(client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect::<Vec<_>>())
}

fn found(hash: ScramHash, passwords: &[&str]) -> Found {
    let keys = passwords.iter().map(|password| scram_keys(hash, password, b"0123456789abcdef", 10).unwrap()).collect();
    Found::Scram { salt: b"0123456789abcdef".to_vec(), iterations: 10, keys }
}

fn challenge(step: Step) -> String {
    match step {
        Step::Challenge(challenge) => String::from_utf8(challenge).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// An exchange up to the first challenge, for `header` and the user `tim`.
fn begun(mechanism: Mechanism, header: &str, found: Found) -> (Exchange, String) {
    let mut exchange = Exchange::new(mechanism, context());
    let lookup = exchange.start(Some(format!("{header}n=tim,r=abc").as_bytes()));
    assert!(matches!(lookup, Step::Lookup(_)), "{header} {lookup:?}");
    let first = challenge(exchange.found(found));
    (exchange, first)
}

/// The final message for `server_first`, bound to `bound`.
fn last(hash: ScramHash, password: &str, server_first: &str, bound: &[u8]) -> String {
    let nonce = server_first.split(',').next().unwrap().strip_prefix("r=").unwrap();
    let without_proof = format!("c={},r={nonce}", STANDARD.encode(bound));
    let auth_message = format!("n=tim,r=abc,{server_first},{without_proof}");
    format!("{without_proof},p={}", proof(hash, password, b"0123456789abcdef", 10, &auth_message))
}

/// Sets the nonces of the examples in the state of an exchange.
fn example(hash: ScramHash, name: &str, first: &str, server_nonce: &str, salt: &str, last: &str) -> Step {
    let mut scram = Scram::new(hash, false, context());
    let lookup = scram.respond(first.as_bytes()).unwrap();
    assert_eq!(lookup, Step::Lookup(Lookup { name: name.into(), need: hash.need() }));
    let salt = STANDARD.decode(salt).unwrap();
    let keys = vec![scram_keys(hash, "pencil", &salt, 4096).unwrap()];
    scram.found(Found::Scram { salt, iterations: 4096, keys }).unwrap();
    let ScramState::Final { first, nonce, server_first, .. } = &mut scram.state else { panic!("no state") };
    let ours = nonce.clone();
    *nonce = format!("{}{server_nonce}", first.nonce);
    *server_first = server_first.replace(&ours, nonce);
    scram.respond(last.as_bytes()).unwrap_or(Step::Refused)
}

#[test]
fn the_example_of_rfc_5802_authenticates() {
    let step = example(
        SHA1,
        "user",
        "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        "3rfcNHYJY1ZVvWVs7j",
        "QSXCR+Q6sek8bf92",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    );
    assert_eq!(step, Step::Challenge(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=".to_vec()));
}

#[test]
fn the_example_of_rfc_7677_authenticates() {
    let step = example(
        SHA256,
        "user",
        "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    );
    assert_eq!(step, Step::Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_vec()));
}

#[test]
fn any_of_several_passwords_authenticates() {
    for (mechanism, hash) in [(Mechanism::ScramSha256, SHA256), (Mechanism::ScramSha1, SHA1)] {
        for (place, password) in ["one", "two", "three"].iter().enumerate() {
            let (mut exchange, first) = begun(mechanism, "n,,", found(hash, &["one", "two", "three"]));
            assert!(first.starts_with("r=abc") && first.ends_with(",s=MDEyMzQ1Njc4OWFiY2RlZg==,i=10"), "{first}");
            assert!(challenge(exchange.respond(last(hash, password, &first, b"n,,").as_bytes())).starts_with("v="));
            assert_eq!(exchange.respond(b""), Step::Proven(Proven { name: "tim".into(), password: place }));
            assert_eq!(exchange.respond(b""), Step::Refused, "an end is an end");
        }
        let (mut exchange, first) = begun(mechanism, "n,,", found(hash, &["one", "two"]));
        assert_eq!(exchange.respond(last(hash, "three", &first, b"n,,").as_bytes()), Step::Refused);
        let (mut exchange, first) = begun(mechanism, "n,,", found(hash, &["one"]));
        challenge(exchange.respond(last(hash, "one", &first, b"n,,").as_bytes()));
        assert_eq!(exchange.respond(b"x"), Step::Refused, "the last response is empty");
    }
}

#[test]
fn channel_binding_must_match_the_session() {
    for (kind, byte) in [("tls-exporter", 1u8), ("tls-server-end-point", 2)] {
        let header = format!("p={kind},,");
        let bound = [header.as_bytes(), &[byte; 32]].concat();
        let (mut exchange, first) = begun(Mechanism::ScramSha256Plus, &header, found(SHA256, &["one"]));
        challenge(exchange.respond(last(SHA256, "one", &first, &bound).as_bytes()));
        assert!(matches!(exchange.respond(b""), Step::Proven(_)));
        // Another session, another kind, no binding.
        for other in [
            [header.as_bytes(), &[3; 32]].concat(),
            [header.as_bytes(), &[3 - byte; 32]].concat(),
            header.clone().into_bytes(),
            b"n,,".to_vec(),
        ] {
            let (mut exchange, first) = begun(Mechanism::ScramSha256Plus, &header, found(SHA256, &["one"]));
            assert_eq!(exchange.respond(last(SHA256, "one", &first, &other).as_bytes()), Step::Refused);
        }
    }
    let start = |mechanism, context, message: &str| Exchange::new(mechanism, context).start(Some(message.as_bytes()));
    for header in ["n,,", "y,,", "p=tls-unique,,", "p=,,", "p,,"] {
        assert_eq!(start(Mechanism::ScramSha1Plus, context(), &format!("{header}n=tim,r=abc")), Step::Refused, "{header}");
    }
    let mut empty = context();
    empty.bindings = vec![Binding { kind: BindingKind::Exporter, data: Vec::new() }];
    assert_eq!(start(Mechanism::ScramSha1Plus, empty, "p=tls-exporter,,n=tim,r=abc"), Step::Refused, "nothing to bind to");
}

#[test]
fn a_downgrade_is_refused() {
    let start = |offers_plus, message: &str| {
        let context = Context { offers_plus, ..context() };
        Exchange::new(Mechanism::ScramSha256, context).start(Some(message.as_bytes()))
    };
    assert_eq!(start(true, "y,,n=tim,r=abc"), Step::Refused, "it was offered");
    assert!(matches!(start(false, "y,,n=tim,r=abc"), Step::Lookup(_)));
    assert_eq!(start(false, "p=tls-exporter,,n=tim,r=abc"), Step::Refused, "not with this mechanism");
    // The header was changed on the way.
    let (mut exchange, first) = begun(Mechanism::ScramSha256, "n,,", found(SHA256, &["one"]));
    assert_eq!(exchange.respond(last(SHA256, "one", &first, b"y,,").as_bytes()), Step::Refused);
    let (mut exchange, first) = begun(Mechanism::ScramSha256, "n,a=tim,", found(SHA256, &["one"]));
    assert_eq!(exchange.respond(last(SHA256, "one", &first, b"n,,").as_bytes()), Step::Refused);
}

#[test]
fn names_are_unescaped_and_authzid_must_be_the_login() {
    let start = |message: &str| Exchange::new(Mechanism::ScramSha256, context()).start(Some(message.as_bytes()));
    let name = |message: &str| match start(message) {
        Step::Lookup(lookup) => Some(lookup.name),
        _ => None,
    };
    assert_eq!(name("n,,n=a=2Cb=3D@x.test,r=abc").unwrap(), "a,b=@x.test");
    assert_eq!(name("n,,n= Tim ,r=abc").unwrap(), "Tim");
    assert_eq!(name("n,a=tim,n=Tim,r=abc").unwrap(), "Tim");
    assert_eq!(name("n,,n=tim,r=abc,x=y").unwrap(), "tim", "an extension");
    for bad in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=tim",
        "n,,n=,r=abc",
        "n,,n=tim,r=",
        "n,,r=abc,n=tim",
        "n,,m=x,n=tim,r=abc",
        "n,,n=tim,r=abc,m=x",
        "n,,n=tim,r=abc,",
        "n,,n=tim,r=abc,r=def",
        "n,,n=tim,r=a\tc",
        "n,,n=t=2cim,r=abc",
        "n,,n=t=im,r=abc",
        "n,,n=t\u{7}im,r=abc",
        "n,a=tom,n=tim,r=abc",
        "n,a=,n=tim,r=abc",
        "n,tim,n=tim,r=abc",
        "N,,n=tim,r=abc",
        "n,,n=tim,r=abc\0",
    ] {
        assert_eq!(start(bad), Step::Refused, "{bad:?}");
    }
    assert_eq!(start(&format!("n,,n=tim,r={}", "a".repeat(257))), Step::Refused);
    assert_eq!(start(&format!("n,,n={},r=abc", "a".repeat(256))), Step::Refused);
}

#[test]
fn malformed_final_messages_are_refused() {
    let (_, first) = begun(Mechanism::ScramSha1, "n,,", found(SHA1, &["one"]));
    let good = last(SHA1, "one", &first, b"n,,");
    let try_last = |message: &str| begun(Mechanism::ScramSha1, "n,,", found(SHA1, &["one"])).0.respond(message.as_bytes());
    assert!(matches!(try_last(&good), Step::Challenge(_)));
    for end in 0..good.len() {
        assert_eq!(try_last(good.get(..end).unwrap()), Step::Refused, "{end}");
    }
    for (old, new) in [("c=", "d="), (",r=abc", ",r=abd"), (",p=", ",m=x,p="), (",p=", ",x=y,p="), (",p=", ",p=A"), ("c=biws,", "")] {
        assert_eq!(try_last(&good.replace(old, new)), Step::Refused, "{old} {new}");
    }
    // A recorded message fails in another exchange, which has another nonce.
    let mut exchange = Exchange::new(Mechanism::ScramSha1, Context { nonce: [7; 24], ..context() });
    exchange.start(Some(b"n,,n=tim,r=abc"));
    exchange.found(found(SHA1, &["one"]));
    assert_eq!(exchange.respond(good.as_bytes()), Step::Refused);
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    for unknown in [Found::NoSuchUser, Found::Secrets(vec![Secret::new("one")]), found(SHA256, &[])] {
        let (mut exchange, first) = begun(Mechanism::ScramSha256, "n,,", unknown);
        let (_, again) = begun(Mechanism::ScramSha256, "n,,", Found::NoSuchUser);
        assert_eq!(first, again, "the salt stays the same");
        assert!(first.ends_with(",i=15000"));
        let salt = first.split(",s=").nth(1).unwrap().split(',').next().unwrap();
        assert_eq!(STANDARD.decode(salt).unwrap().len(), SALT_BYTES);
        assert_eq!(exchange.respond(last(SHA256, "one", &first, b"n,,").as_bytes()), Step::Refused);
    }
    let salt = |name: &str, pepper| {
        let mut exchange = Exchange::new(Mechanism::ScramSha256, Context { pepper: [pepper; 32], ..context() });
        exchange.start(Some(format!("n,,n={name},r=abc").as_bytes()));
        challenge(exchange.found(Found::NoSuchUser))
    };
    assert_eq!(salt("tim", 1), salt("TIM", 1));
    assert_ne!(salt("tim", 1), salt("tom", 1));
    assert_ne!(salt("tim", 1), salt("tim", 2));
}
