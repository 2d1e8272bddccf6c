//! DANE checks against chains of a private authority.

use super::*;
use crate::authority::Authority;
use crate::self_signed::self_signed;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use std::time::Duration;

const NOW_S: i64 = 1_800_000_000;

struct ServerChain {
    chain: Vec<CertificateDer<'static>>,
}

fn issued(names: &[&str]) -> ServerChain {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let authority = Authority::new("lab", NOW_S).unwrap();
    let pem = authority.issue(&names, 90, NOW_S).unwrap().chain;
    ServerChain { chain: CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect() }
}

impl ServerChain {
    fn record(&self, place: usize, usage: u8, selector: u8, matching: u8) -> Tlsa {
        let empty = Tlsa { usage, selector, matching, data: vec![] };
        Tlsa { data: empty.of(&self.chain[place]).unwrap(), ..empty }
    }

    fn check_at(&self, records: Vec<Tlsa>, now_s: i64) -> Result<(), String> {
        let dane = Dane::new(records, "mx.foreign.test".parse().unwrap(), &"foreign.test".parse().unwrap()).expect("usable records");
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now_s).unwrap()));
        dane.check(&self.chain, &algorithms, now).map_err(|error| error.to_string())
    }

    fn check(&self, records: Vec<Tlsa>) -> Result<(), String> {
        self.check_at(records, NOW_S)
    }
}

#[test]
fn dane_ee_matches_by_every_selector_and_digest_whatever_name_and_time() {
    let shown = issued(&["other.test"]);
    for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        let record = shown.record(0, 3, selector, matching);
        assert_eq!(shown.check_at(vec![record.clone()], NOW_S + 400 * 86_400), Ok(()), "{record}");
        let other = issued(&["mx.foreign.test"]).record(0, 3, selector, matching);
        assert!(shown.check(vec![other.clone()]).is_err(), "{other}");
        // One of several is enough: a new key's record is published before the key is used.
        assert_eq!(shown.check(vec![other, record]), Ok(()));
    }
}

#[test]
fn dane_ta_requires_name_and_validity() {
    let shown = issued(&["mx.foreign.test"]);
    for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        let record = shown.record(1, 2, selector, matching);
        assert_eq!(shown.check(vec![record.clone()]), Ok(()), "{record}");
        let late = shown.check_at(vec![record.clone()], NOW_S + 91 * 86_400).unwrap_err();
        assert!(late.contains("expired") || late.contains("Expired"), "{late}");
    }
    let by_domain = issued(&["foreign.test"]);
    assert_eq!(by_domain.check(vec![by_domain.record(1, 2, 0, 1)]), Ok(()));
    let elsewhere = issued(&["mx.else.test"]);
    let error = elsewhere.check(vec![elsewhere.record(1, 2, 0, 1)]).unwrap_err();
    assert!(error.contains("names neither mx.foreign.test nor foreign.test"), "{error}");
    // The chain of another authority with the same name, and a chain without its authority.
    assert!(shown.check(vec![issued(&["mx.foreign.test"]).record(1, 2, 0, 1)]).is_err());
    let short = ServerChain { chain: vec![shown.chain[0].clone()] };
    assert!(short.check(vec![shown.record(1, 2, 0, 1)]).is_err());
    assert_eq!(short.check(vec![shown.record(1, 2, 0, 0)]), Ok(()), "the record supplies it");
    // The leaf is not an authority.
    assert!(shown.check(vec![shown.record(0, 2, 1, 1)]).is_err());
}

#[test]
fn dane_ta_requires_a_leaf_signed_by_the_authority() {
    let (shown, other) = (issued(&["mx.foreign.test"]), issued(&["mx.foreign.test"]));
    let mixed = ServerChain { chain: vec![shown.chain[0].clone(), other.chain[1].clone()] };
    let error = mixed.check(vec![other.record(1, 2, 0, 1)]).unwrap_err();
    assert!(error.contains("the authority of 2 0 1"), "{error}");
}

#[test]
fn the_error_names_what_was_found_and_what_was_expected() {
    let (pem, _) = self_signed(&["mx.foreign.test".into()]).unwrap();
    let shown = ServerChain { chain: vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()] };
    let expected = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0xab; 32] };
    let error = shown.check(vec![expected]).unwrap_err();
    let found = shown.record(0, 3, 1, 1).to_string();
    let want = format!(
        "the certificate of mx.foreign.test does not match its TLSA record: found {found} and 0 above it; expected 3 1 1 abababababababab.."
    );
    assert_eq!(error, want);
    assert!(ServerChain { chain: vec![] }.check(vec![shown.record(0, 3, 1, 1)]).is_err());
}

/// RFC 7671 s.9. `findings/dane-digests.sh` shows the same cases with Postfix.
#[test]
fn only_the_strongest_digest_of_a_usage_and_selector_counts() {
    let (shown, other) = (issued(&["mx.foreign.test"]), issued(&["mx.foreign.test"]));
    let ours = |usage, selector, matching| shown.record(usize::from(usage == 2), usage, selector, matching);
    let theirs = |usage, selector, matching| other.record(usize::from(usage == 2), usage, selector, matching);
    let unusable = Tlsa { data: vec![7; 63], ..theirs(3, 1, 2) };
    for (records, is_accepted) in [
        (vec![ours(3, 1, 1), theirs(3, 1, 1)], true),
        (vec![ours(3, 1, 1), theirs(3, 1, 2)], false),
        (vec![theirs(3, 1, 2), ours(3, 1, 1)], false),
        (vec![theirs(3, 1, 1), ours(3, 1, 2)], true),
        (vec![ours(3, 1, 1), ours(3, 1, 2), theirs(3, 1, 2)], true),
        // Another selector or usage has digests of its own.
        (vec![ours(3, 1, 1), theirs(3, 0, 2)], true),
        (vec![ours(3, 1, 1), theirs(2, 1, 2)], true),
        (vec![ours(2, 0, 1), theirs(3, 0, 2)], true),
        (vec![ours(2, 0, 1), theirs(2, 0, 2)], false),
        // Full is no digest: it counts, and supersedes none.
        (vec![ours(3, 1, 0), theirs(3, 1, 2)], true),
        (vec![theirs(3, 1, 0), ours(3, 1, 1)], true),
        (vec![theirs(3, 1, 0), ours(3, 1, 1), theirs(3, 1, 2)], false),
        // An unusable record supersedes none.
        (vec![ours(3, 1, 1), unusable], true),
    ] {
        let text: Vec<String> = records.iter().map(ToString::to_string).collect();
        assert_eq!(shown.check(records).is_ok(), is_accepted, "{text:?}");
    }
    let error = shown.check(vec![ours(3, 1, 1), theirs(3, 1, 2)]).unwrap_err();
    assert!(error.contains("its TLSA record: ") && error.ends_with(&format!("expected {}", theirs(3, 1, 2))), "{error}");
}

#[test]
fn threat_66_unusable_records_are_ignored() {
    let tlsa = |usage, selector, matching, octets| Tlsa { usage, selector, matching, data: vec![7; octets] };
    // RFC 7672 s.3.1.3: usages of the public PKI. Then unknown usages, selectors and digests, and digests of a wrong length.
    for record in [tlsa(0, 0, 1, 32), tlsa(1, 1, 1, 32), tlsa(4, 1, 1, 32), tlsa(255, 1, 1, 32), tlsa(3, 2, 1, 32), tlsa(3, 1, 3, 32)] {
        assert!(!record.is_usable(), "{record}");
    }
    for record in [tlsa(3, 1, 1, 0), tlsa(3, 1, 1, 31), tlsa(3, 1, 2, 32), tlsa(3, 1, 1, 33), tlsa(2, 0, 0, 0), tlsa(3, 0, 0, 0)] {
        assert!(!record.is_usable(), "{record}");
    }
    assert!(tlsa(3, 1, 1, 32).is_usable() && tlsa(2, 0, 2, 64).is_usable() && tlsa(3, 0, 0, 3).is_usable());
    let base = || "mx.foreign.test".parse().unwrap();
    assert!(Dane::new(vec![tlsa(1, 1, 1, 32), tlsa(3, 1, 1, 0)], base(), &base()).is_none());
    // Not a certificate.
    let shown = issued(&["mx.foreign.test"]);
    let garbage = ServerChain { chain: vec![CertificateDer::from(vec![0x30, 0x00]), shown.chain[1].clone()] };
    for record in [shown.record(0, 3, 1, 1), shown.record(1, 2, 0, 1), tlsa(2, 0, 0, 3)] {
        assert!(garbage.check(vec![record]).is_err());
    }
}
