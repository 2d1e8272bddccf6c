//! The ARC validation suite of ValiMail (MIT, beside this file): chains that must pass, fail or are none.

use std::path::Path;

use mail::evidence::ArcResult;
use msgauth::Input;

use crate::name_server::{self, Zone, txt};
use crate::suite;

#[tokio::test]
async fn every_chain_of_the_suite_is_judged_as_it_says() {
    let (mut cases, mut open, mut wrong) = (0, 0, Vec::new());
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
            // Of three chains the suite leaves open what becomes of them: their newest or an older seal says `cv=fail`. RFC 8617 s.5.2 has it: such a
            // chain has failed, and its signatures are not looked at.
            let agrees = if wanted.is_empty() { got == "Fail" } else { got == wanted };
            open += usize::from(wanted.is_empty());
            if !agrees {
                wrong.push(format!("{}: {got}, not {wanted}", suite::text(id)));
            }
        }
    }
    suite::all_agree("ARC", cases, &wrong);
    assert_eq!(open, 3);
    // 171 for readers that keep one of two cases of the same name.
    assert_eq!(cases, 175);
}
