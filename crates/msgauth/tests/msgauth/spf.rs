//! The SPF suites of openspf.org, from pyspf, for RFC 7208 and RFC 4408.

use mail::evidence::SpfResult;
use msgauth::Input;
use yaml_rust2::Yaml;

use crate::name_server::{self, Rdata, Zone};
use crate::suite;

fn zone_of(data: &Yaml) -> Zone {
    let mut zone = Zone::new();
    for (name, records) in data["zonedata"].as_hash().unwrap() {
        let entry = zone.entry(suite::text(name).to_ascii_lowercase()).or_default();
        let mut from_spf = Vec::new();
        let mut has_txt = false;
        for record in records.as_vec().unwrap() {
            let Some(record) = record.as_hash() else {
                entry.push(Rdata::Failure);
                continue;
            };
            for (kind, value) in record {
                let kind = suite::text(kind);
                match kind.as_str() {
                    "SPF" => from_spf.push(text_record(value)),
                    "TXT" => {
                        has_txt = true;
                        if value.as_str() != Some("NONE") {
                            entry.push(text_record(value));
                        }
                    }
                    "A" => entry.push(Rdata::A(suite::text(value).parse().unwrap())),
                    "AAAA" => entry.push(Rdata::Aaaa(suite::text(value).parse().unwrap())),
                    "CNAME" => entry.push(Rdata::Cname(suite::text(value))),
                    "PTR" => entry.push(Rdata::Ptr(suite::text(value))),
                    "MX" => entry.push(Rdata::Mx(u16::try_from(value[0].as_i64().unwrap()).unwrap(), suite::text(&value[1]))),
                    other => panic!("a record of type {other}"),
                }
            }
        }
        // As in the suite's own driver: without a TXT record, the SPF record is used as one.
        if !has_txt {
            entry.extend(from_spf);
        }
    }
    zone
}

fn text_record(value: &Yaml) -> Rdata {
    if value.as_str() == Some("TIMEOUT") {
        return Rdata::Failure;
    }
    match value.as_vec() {
        // DNS cannot carry a TXT record without strings.
        Some(texts) if texts.is_empty() => Rdata::Txt(vec![Vec::new()]),
        Some(texts) => Rdata::Txt(texts.iter().map(|text| suite::text(text).into_bytes()).collect()),
        None if suite::text(value).is_empty() => Rdata::Txt(vec![Vec::new()]),
        None => Rdata::Txt(suite::text(value).as_bytes().chunks(255).map(<[u8]>::to_vec).collect()),
    }
}

fn word(result: SpfResult) -> &'static str {
    match result {
        SpfResult::None => "none",
        SpfResult::Neutral => "neutral",
        SpfResult::Pass => "pass",
        SpfResult::Fail => "fail",
        SpfResult::SoftFail => "softfail",
        SpfResult::TempError => "temperror",
        SpfResult::PermError => "permerror",
    }
}

async fn run(file: &str) -> (usize, Vec<String>) {
    let (mut cases, mut wrong) = (0, Vec::new());
    for data in suite::yaml(&suite::path(file)) {
        for (id, case) in data["tests"].as_hash().unwrap() {
            cases += 1;
            let id = suite::text(id);
            // A server and a cache for each case, so that cases are independent.
            let (authenticator, _) = name_server::start(zone_of(&data)).await;
            let (host, helo, mail_from) = (suite::text(&case["host"]), suite::text(&case["helo"]), suite::text(&case["mailfrom"]));
            let input = Input {
                client: host.parse().unwrap(),
                hello: &helo,
                reverse_path: Some(mail_from.as_str()).filter(|path| !path.is_empty()),
                recipients: &[],
                message: b"",
            };
            let got = word(authenticator.check_spf(&input).await.1.result);
            let wanted = match case["result"].as_vec() {
                Some(several) => several.iter().map(suite::text).collect(),
                None => vec![suite::text(&case["result"])],
            };
            if !wanted.iter().any(|result| result == got) {
                wrong.push(format!("{id}: {got}, not {}", wanted.join(" or ")));
            }
        }
    }
    (cases, wrong)
}

#[tokio::test]
async fn every_case_of_the_suite_for_rfc_7208_agrees() {
    let (cases, wrong) = run("pyspf-2.0.14/test/rfc7208-tests.yml").await;
    suite::all_agree("RFC 7208", cases, &wrong);
    assert_eq!(cases, 203);
}

#[tokio::test]
async fn every_case_of_the_suite_for_rfc_4408_agrees() {
    let (cases, wrong) = run("pyspf-2.0.14/test/rfc4408-tests.yml").await;
    suite::all_agree("RFC 4408", cases, &wrong);
    assert_eq!(cases, 191);
}

/// RFC 7208 s.4.6.4 limits terms with void lookups, not the lookups.
#[tokio::test]
async fn an_mx_term_counts_as_one_void_lookup() {
    let mut zone = Zone::new();
    for (name, record) in [
        ("three.test", "v=spf1 mx ip6:2001:db8::1 -all"),
        ("big.test", "v=spf1 include:three.test exists:gone.test a:gone.test ip6:2001:db8::1 -all"),
        ("over.test", "v=spf1 mx:three.test exists:gone.test a:gone.test ip6:2001:db8::1 -all"),
    ] {
        zone.entry(name.into()).or_default().push(Rdata::Txt(vec![record.as_bytes().to_vec()]));
    }
    for n in 1..=3 {
        zone.entry("three.test".into()).or_default().push(Rdata::Mx(n, format!("h{n}.three.test")));
        zone.entry(format!("h{n}.three.test")).or_default().push(Rdata::A("192.0.2.1".parse().unwrap()));
    }
    let (authenticator, _) = name_server::start(zone).await;
    for (domain, wanted) in [("three.test", "pass"), ("big.test", "pass"), ("over.test", "permerror")] {
        let path = format!("o@{domain}");
        let input =
            Input { client: "2001:db8::1".parse().unwrap(), hello: "x.test", reverse_path: Some(&path), recipients: &[], message: b"" };
        assert_eq!(word(authenticator.check_spf(&input).await.1.result), wanted, "{domain}");
    }
}
