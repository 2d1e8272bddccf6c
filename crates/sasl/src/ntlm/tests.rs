//! Tests of NTLM: the vectors of MS-NLMP s.4.2, and messages that must be refused.
//!
//! Invariant: no truncated or changed message leads to `Proven`.

use super::*;
use crate::exchange::Exchange;
use crate::exchange::tests::context;
use crate::mechanism::Mechanism;
use crate::secret::Secret;
use data_encoding::HEXLOWER;

const CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
const V1: &str = "67c43011f30298a2ad35ece64f16331c44bdbed927841f94";
const SESSION: &str = "7537f803ae367128ca458204bde7caf81e97ed2683267232";
const V2: &str = "68cd0ab851e51c96aabc927bebef6a1c";
const V2_BLOB: &str = "01010000000000000000000000000000aaaaaaaaaaaaaaaa0000000002000c0044006f006d00610069006e00\
                       01000c005300650072007600650072000000000000000000";

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn begun() -> Exchange {
    let mut nonce = [0; 24];
    nonce[..8].copy_from_slice(&CHALLENGE);
    Exchange::new(Mechanism::Ntlm, Context { nonce, ..context() })
}

fn negotiate(flags: u32) -> Vec<u8> {
    [SIGNATURE, &1u32.to_le_bytes(), &flags.to_le_bytes(), &[0; 16]].concat()
}

fn authenticate(user: &str, domain: &str, is_unicode: bool, lm: &[u8], nt: &[u8]) -> Vec<u8> {
    let text = |text: &str| if is_unicode { utf16(text) } else { text.as_bytes().to_vec() };
    let (user, domain, host) = (text(user), text(domain), text("COMPUTER"));
    let mut message = [SIGNATURE, &3u32.to_le_bytes()].concat();
    let mut payload = Vec::new();
    for part in [lm, nt, &domain, &user, &host, &[]] {
        message.extend(field(part, u32::try_from(64 + payload.len()).unwrap()));
        payload.extend_from_slice(part);
    }
    message.extend(u32::from(is_unicode).to_le_bytes());
    message.extend(payload);
    message
}

fn end(message: &[u8], found: Found) -> Step {
    let mut talk = begun();
    assert!(matches!(talk.start(Some(&negotiate(0x0008_8207))), Step::Challenge(_)));
    match talk.respond(message) {
        Step::Lookup(_) => talk.found(found),
        other => other,
    }
}

fn found(passwords: &[&str]) -> Found {
    Found::Secrets(passwords.iter().copied().map(Secret::new).collect())
}

fn v2() -> Vec<u8> {
    [bytes(V2), bytes(V2_BLOB)].concat()
}

#[test]
fn hashes_match_the_specification() {
    let hash = nt_hash("Password").unwrap();
    assert_eq!(HEXLOWER.encode(&*hash), "a4f49c406510bdcab6824ee7c30fd852");
    assert_eq!(HEXLOWER.encode(&desl(&hash, &CHALLENGE)), V1);
    let key = hmac_md5(&*hash, &[&utf16("USER"), &utf16("Domain")]).unwrap();
    assert_eq!(HEXLOWER.encode(&key), "0c868a403bfd7a93a3001ef22ef02e3f");
}

#[test]
fn ntlmv1_ntlm2_and_ntlmv2_responses_authenticate() {
    let session_lm = [&[0xaa; 8][..], &[0; 16]].concat();
    for (lm, nt) in [(vec![0; 24], bytes(V1)), (Vec::new(), bytes(V1)), (session_lm, bytes(SESSION)), (vec![1; 24], v2())] {
        for is_unicode in [true, false] {
            let message = authenticate("User", "Domain", is_unicode, &lm, &nt);
            let proven = Step::Proven(Proven { name: "User".into(), password: 1 });
            assert_eq!(end(&message, found(&["x", "Password"])), proven);
            assert_eq!(end(&message, found(&["password", ""])), Step::Refused);
            assert_eq!(end(&message, found(&[])), Step::Refused);
            assert_eq!(end(&message, Found::NoSuchUser), Step::Refused);
            // Only NTLMv2 includes the name in the response.
            let other = authenticate("Usfr", "Domain", is_unicode, &lm, &nt);
            assert_eq!(end(&other, found(&["Password"])) == Step::Refused, nt.len() > 24);
        }
    }
    let no_session = authenticate("User", "Domain", true, &[0xaa; 24], &bytes(SESSION));
    assert_eq!(end(&no_session, found(&["Password"])), Step::Refused);
}

#[test]
fn the_challenge_has_the_negotiated_flags() {
    let mut talk = begun();
    assert_eq!(talk.start(None), Step::Challenge(Vec::new()));
    let Step::Challenge(challenge) = talk.respond(&negotiate(0x0008_8207)) else { panic!("no challenge") };
    assert_eq!(&challenge[..12], b"NTLMSSP\0\x02\0\0\0");
    assert_eq!(payload(&challenge, 12).unwrap(), utf16("MAIL"));
    assert_eq!(u32_at(&challenge, 20), Some(0x008a_8205));
    assert_eq!(&challenge[24..32], CHALLENGE);
    assert!(payload(&challenge, 40).unwrap().ends_with(&[&utf16("mail.x.test")[..], &[0; 4]].concat()));
    let Step::Challenge(oem) = begun().start(Some(&negotiate(0x0000_0202)[..16])) else { panic!("no challenge") };
    assert_eq!(payload(&oem, 12).unwrap(), b"MAIL");
    assert_eq!(u32_at(&oem, 20), Some(0x0082_0202));
}

#[test]
fn a_split_mail_address_is_rejoined() {
    let login = |user: &str, domain: &str| {
        let mut talk = begun();
        talk.start(Some(&negotiate(1)));
        match talk.respond(&authenticate(user, domain, true, &[], &[0; 24])) {
            Step::Lookup(Lookup { name, need: Need::Secrets }) => name,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(login("tim", "x.test"), "tim@x.test");
    assert_eq!(login("tim@x.test", "y.test"), "tim@x.test");
    assert_eq!(login("tim@x.test", ""), "tim@x.test");
    assert_eq!(login(" tim", "MAIL"), "tim");
    assert_eq!(login("grüße", "WORKGROUP"), "grüße");
}

#[test]
fn malformed_messages_are_refused() {
    for message in [b"".as_slice(), b"NTLMSSP", &negotiate(1)[..15], &authenticate("User", "", true, &[], &bytes(V1))] {
        assert_eq!(begun().start(Some(message)), Step::Refused);
    }
    let good = authenticate("User", "Domain", true, &[0; 24], &v2());
    assert!(matches!(end(&good, found(&["Password"])), Step::Proven(_)));
    for length in 0..good.len() {
        assert_eq!(end(&good[..length], found(&["Password"])), Step::Refused, "{length}");
    }
    for place in 0..good.len() {
        for byte in [0x00, 0xff] {
            // No field offset may cause a panic.
            let mut changed = good.clone();
            changed[place] = byte;
            end(&changed, found(&["Password"]));
        }
    }
    let lm_only = authenticate("User", "Domain", true, &bytes("98def7b87f88aa5dafe2df779688a172def11c7d5ccdef13"), &[]);
    assert_eq!(end(&lm_only, found(&["Password"])), Step::Refused, "LM proves nothing");
    assert_eq!(end(&authenticate("", "Domain", true, &[], &bytes(V1)), found(&["Password"])), Step::Refused);
    assert_eq!(end(&[good.as_slice(), &[0; 4096]].concat(), found(&["Password"])), Step::Refused);
}
