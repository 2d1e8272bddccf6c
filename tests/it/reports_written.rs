//! DMARC reports against Mail::DMARC and an XML schema of RFC 9990: each side reads what the other writes.

use it::{Lab, fed, run_ok};
use reports::dmarc::{
    Class, Disposition, DkimSeen, DmarcReport, Outcome, Override, Own, PublishedPolicy, Reason, Row, SpfSeen, read, write,
};
use serde_json::{Value, json};

const SCRIPT: &str = "tests/lab/mail_dmarc.pl";

/// A report with every type of value.
fn report() -> DmarcReport {
    let outcomes = [
        Outcome::None,
        Outcome::Pass,
        Outcome::Fail,
        Outcome::SoftFail,
        Outcome::Neutral,
        Outcome::Policy,
        Outcome::TempError,
        Outcome::PermError,
    ];
    let overrides = [
        Override::LocalPolicy,
        Override::MailingList,
        Override::Other,
        Override::PolicyTestMode,
        Override::TrustedForwarder,
        Override::Forwarded,
        Override::SampledOut,
    ];
    let row = |n: usize, result: Outcome| Row {
        source: if n.is_multiple_of(2) { "192.0.2.1".parse().unwrap() } else { "2001:db8::25".parse().unwrap() },
        count: n as u64 + 1,
        disposition: [Disposition::None, Disposition::Pass, Disposition::Quarantine, Disposition::Reject][n % 4],
        dkim_aligned: result == Outcome::Pass,
        spf_aligned: false,
        reasons: overrides.iter().map(|kind| Reason { kind: *kind, comment: "a <comment> & more".into() }).take(n).collect(),
        header_from: "example.test".into(),
        envelope_from: if n == 0 { String::new() } else { "bounce.example.test".into() },
        envelope_to: if n == 1 { "far.test".into() } else { String::new() },
        dkim: vec![DkimSeen { domain: "example.test".into(), selector: "s1".into(), result }; n],
        spf: vec![SpfSeen { domain: "bounce.example.test".into(), result }],
    };
    DmarcReport {
        organisation: "Far & \"Away\" <b\u{fc}ro>\u{7}".into(),
        contact: "postmaster@far.test".into(),
        extra_contact: Some("https://far.test/dmarc?a=1&b=2".into()),
        report_id: "1795478400.example.test".into(),
        begin_s: 1_795_478_400,
        end_s: 1_795_564_800,
        errors: vec!["two records".into(), "rua unreadable".into()],
        generator: Some("Waypost".into()),
        policy: PublishedPolicy {
            domain: "example.test".into(),
            p: Disposition::Quarantine,
            sp: Some(Disposition::Reject),
            np: Some(Disposition::None),
            strict_spf: true,
            testing: true,
            failure_options: Some("1".into()),
            ..PublishedPolicy::default()
        },
        rows: outcomes.iter().enumerate().map(|(n, outcome)| row(n, *outcome)).collect(),
        ..DmarcReport::default()
    }
}

#[test]
fn written_reports_are_valid_by_rfc9990() {
    let lab = Lab::new();
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/it/dmarc-2.0.xsd");
    let bare =
        DmarcReport { rows: report().rows.split_off(7), contact: "a@far.test".into(), report_id: "1".into(), ..DmarcReport::default() };
    for (name, report) in [("full.xml", report()), ("bare.xml", bare)] {
        let file = lab.write(name, &String::from_utf8(write(&report)).unwrap());
        run_ok("xmllint", &["--noout", "--schema", schema, &file.display().to_string()]);
    }
    let wrong = String::from_utf8(write(&report())).unwrap().replace("<disposition>pass<", "<disposition>perhaps<");
    let file = lab.write("wrong.xml", &wrong).display().to_string();
    let refused = std::process::Command::new("xmllint").args(["--noout", "--schema", schema, &file]).output().unwrap();
    assert!(!refused.status.success(), "the schema is applied");
}

#[test]
fn mail_dmarc_reads_our_reports() {
    let report = report();
    // It expects names without a namespace, as in the older format.
    let text = String::from_utf8(write(&report)).unwrap().replacen(" xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\"", "", 1);
    let read: Value = serde_json::from_str(&fed("perl", &[SCRIPT, "read"], &text)).unwrap();
    assert_eq!(read["org_name"], "Far & \"Away\" <b\u{fc}ro>");
    assert_eq!(
        (&read["report_id"], &read["begin"], &read["end"]),
        (&json!("1795478400.example.test"), &json!(1_795_478_400), &json!(1_795_564_800))
    );
    assert_eq!((&read["domain"], &read["p"]), (&json!("example.test"), &json!("quarantine")));
    let rows = read["rows"].as_array().unwrap();
    assert_eq!(rows.len(), report.rows.len());
    for (theirs, ours) in rows.iter().zip(&report.rows) {
        assert_eq!(
            (theirs["source"].as_str(), theirs["count"].as_u64()),
            (Some(ours.source.to_string().as_str()), Some(ours.count)),
            "{theirs}"
        );
        assert_eq!(theirs["dkim"], if ours.dkim_aligned { "pass" } else { "fail" });
        assert_eq!(theirs["header_from"], "example.test");
        assert_eq!(theirs["signatures"].as_array().unwrap().len(), ours.dkim.len(), "{theirs}");
        assert_eq!(theirs["checks"].as_array().unwrap().len(), 1, "{theirs}");
    }
    assert_eq!(rows[1]["signatures"][0], "example.test s1 pass");
}

#[test]
fn we_read_reports_of_mail_dmarc() {
    let report = read(fed("perl", &[SCRIPT, "write"], "").as_bytes()).unwrap();
    assert_eq!((report.organisation.as_str(), report.report_id.as_str()), ("Art & Farm", "42.art"));
    assert_eq!((report.begin_s, report.end_s), (1_763_856_000, 1_763_942_399));
    assert_eq!((report.policy.domain.as_str(), report.policy.p, report.policy.strict_spf), ("example.test", Disposition::Quarantine, true));
    let row = &report.rows[0];
    assert_eq!((row.source.to_string().as_str(), row.count, row.envelope_to.as_str()), ("2001:db8::9", 17, "theartfarm.test"));
    assert_eq!(row.reasons, [Reason { kind: Override::MailingList, comment: "a <list>".into() }]);
    assert_eq!(row.dkim, [DkimSeen { domain: "list.test".into(), selector: "s1".into(), result: Outcome::Pass }]);
    let own = Own { domains: vec!["example.test".into()], ..Own::default() };
    assert_eq!(own.classify(row), Class::Forward);
}
