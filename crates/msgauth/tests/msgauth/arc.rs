//! The ARC validation suite of ValiMail (MIT, beside this file): chains that must pass, fail or are none.

use std::path::Path;

use mail::evidence::ArcResult;
use msgauth::Input;

use crate::name_server::{self, Zone, txt};
use crate::suite;

/// Two that the suite has pass and we fail. One covers no header field at all, not even From (RFC 6376 s.5.4 has it signed).
/// The other leaves out `c=`, which stands for simple/simple (RFC 6376 s.3.5), but was signed relaxed.
const STRICTER: [&str; 2] = ["ams_fields_h_empty", "ams_fields_c_na"];

#[tokio::test]
async fn every_chain_of_the_suite_is_judged_as_it_says() {
    let (mut cases, mut wrong) = (0, Vec::new());
    for data in suite::yaml(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/msgauth/arc/arc-draft-validation-tests.yml")) {
        let records = data["txt-records"].as_hash().unwrap();
        let zone: Zone = records.iter().map(|(name, text)| (suite::text(name), vec![txt(&suite::text(text))])).collect();
        let (authenticator, _) = name_server::start(zone).await;
        for (id, case) in data["tests"].as_hash().unwrap() {
            cases += 1;
            let message = suite::text(&case["message"]).replace('\n', "\r\n");
            let input = Input { client: "192.0.2.1".parse().unwrap(), hello: "x", reverse_path: None, message: message.as_bytes() };
            let got = match authenticator.evaluate(input).await.arc {
                ArcResult::None => "None",
                ArcResult::Pass => "Pass",
                ArcResult::Fail => "Fail",
            };
            let wanted = suite::text(&case["cv"]);
            // The suite says nothing of a chain that itself says `cv=fail`; RFC 8617 s.5.2 does: it has failed.
            let agrees = if wanted.is_empty() { got == "Fail" } else { got == wanted };
            if agrees == STRICTER.contains(&suite::text(id).as_str()) {
                wrong.push(format!("{}: {got}, not {wanted}", suite::text(id)));
            }
        }
    }
    println!("stricter than the suite: {}", STRICTER.join(", "));
    suite::all_agree("ARC, with these counted as agreeing", cases, &wrong);
    // 171 for readers that keep one of two cases of the same name.
    assert_eq!(cases, 175);
}
