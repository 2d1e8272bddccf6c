//! The ARC validation suite of ValiMail (MIT, beside this file): chains that must pass, fail, or have no result.

use std::path::Path;

use mail::evidence::ArcResult;
use msgauth::Input;

use crate::name_server::{self, Zone, txt};
use crate::suite;

#[tokio::test]
async fn every_arc_chain_of_the_suite_agrees() {
    let (mut cases, mut open, mut wrong) = (0, 0, Vec::new());
    for data in suite::yaml(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/msgauth/arc/arc-draft-validation-tests.yml")) {
        let records = data["txt-records"].as_hash().unwrap();
        let zone: Zone = records.iter().map(|(name, text)| (suite::text(name), vec![txt(&suite::text(text))])).collect();
        let (authenticator, _) = name_server::start(zone).await;
        for (id, case) in data["tests"].as_hash().unwrap() {
            cases += 1;
            let message = suite::text(&case["message"]).replace('\n', "\r\n");
            let input = Input {
                client: "192.0.2.1".parse().unwrap(),
                hello: "x",
                reverse_path: None,
                recipients: &[],
                message: message.as_bytes(),
            };
            let got = match authenticator.evaluate(input).await.arc {
                ArcResult::None => "None",
                ArcResult::Pass => "Pass",
                ArcResult::Fail => "Fail",
            };
            let wanted = suite::text(&case["cv"]);
            // The suite leaves the result of three chains open: their newest or an older seal has `cv=fail`. By RFC 8617 s.5.2 such a chain has failed,
            // whatever its signatures.
            let agrees = if wanted.is_empty() { got == "Fail" } else { got == wanted };
            open += usize::from(wanted.is_empty());
            if !agrees {
                wrong.push(format!("{}: {got}, not {wanted}", suite::text(id)));
            }
        }
    }
    suite::all_agree("ARC", cases, &wrong);
    assert_eq!(open, 3);
    // 171 for YAML readers that drop one of two cases with the same name.
    assert_eq!(cases, 175);
}
