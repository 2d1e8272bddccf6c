//! The ARC signing suite of ValiMail (MIT, beside this file): the sets that it expects verify, and ours say the same.
//!
//! The suite's `b=` cannot be compared: it belongs to one order of tags, and to a key of 1024 bits, with which we do not sign. Instead its own sets must
//! verify by our canonicalization, which is that proof from the other side, and every tag but `h=` and `b=` must be equal in ours.

use std::path::Path;

use mail::evidence::ArcResult;
use mail::{Fields, Tags};
use msgauth::{Algorithm, ArcSealer, Authenticator, Input, KeyPair, record};
use yaml_rust2::Yaml;

use crate::name_server::{self, Zone, txt};
use crate::suite;

/// Cases in which the chain that came fails. The suite adds a set with `cv=fail` to two of them (RFC 8617 s.5.1.2); we add none to any, so that nothing of
/// ours vouches for what is broken, and the receiver finds what came.
const FAILED: [&str; 3] = ["i1_base_fail", "i2_base_fail", "no_additional_sig"];

/// The set that the suite expects, as fields. It shows `b=` on several lines, and its seals cover it on one.
fn expected(case: &Yaml) -> String {
    let packed = |tag: &str| {
        if tag.trim_start().starts_with("b=") { format!("\n{}", tag.split_whitespace().collect::<String>()) } else { tag.to_owned() }
    };
    let text = |key: &str| suite::text(&case[key]).trim().split(';').map(packed).collect::<Vec<_>>().join(";");
    let field = |name: &str, key: &str| format!("{name}: {}\r\n", text(key).replace('\n', "\r\n "));
    field("ARC-Seal", "AS") + &field("ARC-Message-Signature", "AMS") + &field("ARC-Authentication-Results", "AAR")
}

async fn verified(authenticator: &Authenticator, message: &str) -> ArcResult {
    let input =
        Input { client: "192.0.2.1".parse().unwrap(), hello: "x", reverse_path: None, recipients: &[], message: message.as_bytes() };
    authenticator.evaluate(input).await.arc
}

fn tags(set: &str, name: &str) -> Tags {
    Tags::parse(Fields::find_first(set.as_bytes(), name).unwrap().value).unwrap()
}

/// What differs between our set and the expected one.
fn differences(ours: &str, theirs: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (field, names) in [("ARC-Seal", vec!["i", "a", "cv", "d", "t"]), ("ARC-Message-Signature", vec!["i", "a", "c", "d", "t", "bh"])] {
        let (ours, theirs) = (tags(ours, field), tags(theirs, field));
        let differs = |name: &&str| ours.packed(name) != theirs.packed(name);
        found.extend(names.into_iter().filter(differs).map(|name| format!("{field} {name}={:?}", ours.packed(name))));
    }
    let named = |set: &str| tags(set, "ARC-Message-Signature").packed("h").unwrap().to_lowercase();
    let (ours_named, theirs_named) = (named(ours), named(theirs));
    let is_covered = |name: &str| ours_named.split(':').any(|ours| ours == name);
    found.extend(theirs_named.split(':').filter(|name| !is_covered(name)).map(|name| format!("{name} is not covered")));
    found
}

#[tokio::test]
async fn our_sets_and_the_signing_suite_agree() {
    let pair = KeyPair::generate(Algorithm::Rsa).unwrap();
    let sealer = ArcSealer::new(&pair.private, "example.org", "ours").unwrap();
    let (mut cases, mut failed, mut wrong) = (0, Vec::new(), Vec::new());
    for data in suite::yaml(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/msgauth/arc/arc-draft-sign-tests.yml")) {
        let records = data["txt-records"].as_hash().unwrap();
        let mut zone: Zone = records.iter().map(|(name, text)| (suite::text(name), vec![txt(&suite::text(text))])).collect();
        zone.insert("ours._domainkey.example.org".into(), vec![txt(&record(Algorithm::Rsa, &pair.public))]);
        let (authenticator, _) = name_server::start(zone).await;
        for (id, case) in data["tests"].as_hash().unwrap() {
            cases += 1;
            let id = suite::text(id);
            let message = suite::text(&case["message"]).replace('\n', "\r\n");
            let theirs = expected(case);
            let results = suite::text(&case["AAR"]).split_once(';').map(|(_, results)| results.replace('\n', "\r\n ")).unwrap_or_default();
            let arrived = verified(&authenticator, &message).await;
            let sealed = sealer.seal(message.as_bytes(), &results, arrived, case["t"].as_i64().unwrap()).unwrap();
            let Some(ours) = sealed else {
                assert_eq!(arrived, ArcResult::Fail, "{id}");
                failed.push(id);
                continue;
            };
            wrong.extend(differences(&ours, &theirs).into_iter().map(|what| format!("{id}: {what}")));
            for (whose, set) in [("ours", ours), ("theirs", theirs)] {
                let result = verified(&authenticator, &(set + &message)).await;
                if result != ArcResult::Pass {
                    wrong.push(format!("{id}: {whose}: {result:?}"));
                }
            }
        }
    }
    suite::all_agree("ARC signing", cases, &wrong);
    assert_eq!((cases, failed), (17, FAILED.map(String::from).to_vec()));
}
