//! Reports with known deviations, and documents that are not reports.

use super::super::{PolicyType, ResultType};
use super::*;

/// RFC 8460, appendix B.
const OF_THE_RFC: &str = r#"{
  "organization-name": "Company-X",
  "date-range": { "start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z" },
  "contact-info": "sts-reporting@company-x.example",
  "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
  "policies": [{
    "policy": {
      "policy-type": "sts",
      "policy-string": ["version: STSv1","mode: testing", "mx: *.mail.company-y.example","max_age: 86400"],
      "policy-domain": "company-y.example",
      "mx-host": ["*.mail.company-y.example"]
    },
    "summary": { "total-successful-session-count": 5326, "total-failure-session-count": 303 },
    "failure-details": [{
      "result-type": "certificate-expired",
      "sending-mta-ip": "2001:db8:abcd:0012::1",
      "receiving-mx-hostname": "mx1.mail.company-y.example",
      "failed-session-count": 100
    }, {
      "result-type": "starttls-not-supported",
      "sending-mta-ip": "2001:db8:abcd:0013::1",
      "receiving-mx-hostname": "mx2.mail.company-y.example",
      "receiving-ip": "203.0.113.56",
      "failed-session-count": 200,
      "additional-information": "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported"
    }, {
      "result-type": "validation-failure",
      "sending-mta-ip": "198.51.100.62",
      "receiving-ip": "203.0.113.58",
      "receiving-mx-hostname": "mx-backup.mail.company-y.example",
      "failed-session-count": 3,
      "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
    }]
  }]
}"#;

#[test]
fn the_report_of_rfc8460_is_read() {
    let report = from_json(OF_THE_RFC.as_bytes()).unwrap();
    assert_eq!((report.begin_unix_s, report.end_unix_s), (1_459_468_800, 1_459_555_199));
    let [one] = &report.policies[..] else { panic!("{report:?}") };
    assert_eq!((&one.policy.kind, one.policy.lines.len(), one.policy.domain.as_str()), (&PolicyType::Sts, 4, "company-y.example"));
    assert_eq!((one.summary.successful, one.summary.failed, one.failures.len()), (5326, 303, 3));
    assert_eq!((&one.failures[1].result, one.failures[1].sessions), (&ResultType::StarttlsNotSupported, 200));
    assert_eq!(one.failures[2].reason, "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED");
    assert_eq!(from_json(report.to_json().as_bytes()).unwrap(), report);
}

#[test]
fn deviations_of_other_reporters_are_read() {
    // A byte order mark, one text for a list, numbers as strings, null, unknown members, dates without an offset or with another.
    let text = "\u{feff}".to_owned()
        + r#"{"date-range":{"start-datetime":"2026-11-23T00:00:00","end-datetime":"2026-11-24T01:00:00+01:00"},"contact-info":null,
        "report-id":17,"new":{"a":[1,{}]},"policies":[{"policy":{"policy-type":"No-Policy-Found","policy-string":null,"mx-host":"mx.far.test"},
        "summary":{"total-successful-session-count":"12","total-failure-session-count":-1},"failure-details":null},
        {"policy":{"policy-type":"tlsa","policy-domain":["far.test"]},"failure-details":[{"result-type":"new-type"}]}]}"#;
    let report = from_json(text.as_bytes()).unwrap();
    assert_eq!((report.end_unix_s - report.begin_unix_s, report.id.as_str(), report.contact.as_str()), (86_400, "17", ""));
    assert_eq!(report.policies[0].policy.mx_hosts, ["mx.far.test"]);
    assert_eq!((report.policies[0].summary.successful, report.policies[0].summary.failed), (12, 0));
    assert_eq!(report.policies[1].policy.domain, "far.test");
    assert_eq!(report.policies[1].failures[0].result, ResultType::Other("new-type".into()));
}

#[test]
fn other_documents_are_refused() {
    let cut = &OF_THE_RFC.as_bytes()[..OF_THE_RFC.len() / 2];
    for bad in [&b""[..], b"[]", b"{}", b"<xml/>", cut, b"{\"date-range\":{},\"policies\":[]}", &[0xff; 100], &b"[".repeat(100_000)] {
        assert!(matches!(from_json(bad), Err(TlsReadError::Json(_))), "{}", String::from_utf8_lossy(bad));
    }
    let wrong = OF_THE_RFC.replace("2016-04-01T00:00:00Z", "yesterday");
    assert_eq!(from_json(wrong.as_bytes()), Err(TlsReadError::Date("yesterday".into())));
    assert_eq!(from_json(&vec![b' '; REPORT_MAX_BYTES + 1]), Err(TlsReadError::TooLarge(REPORT_MAX_BYTES + 1)));
}

#[test]
fn lists_and_texts_are_bounded() {
    let range = r#""date-range":{"start-datetime":"2016-04-01T00:00:00Z","end-datetime":"2016-04-01T00:00:00Z"}"#;
    let policies = r#"{"policy":{"policy-type":"sts"}},"#.repeat(5000);
    let text = format!("{{{range},\"organization-name\":\"{}\",\"policies\":[{}]}}", "x".repeat(5000), policies.trim_end_matches(','));
    let report = from_json(text.as_bytes()).unwrap();
    assert_eq!((report.policies.len(), report.organization.len()), (LIST_MAX, TEXT_MAX));
    let lines = "\"x\",".repeat(5000) + "\"x\"";
    let text = format!("{{{range},\"policies\":[{{\"policy\":{{\"policy-type\":\"sts\",\"policy-string\":[{lines}]}}}}]}}");
    assert_eq!(from_json(text.as_bytes()).unwrap().policies[0].policy.lines.len(), LIST_MAX);
    let deep = format!("{{{range},\"policies\":[],\"report-id\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(from_json(deep.as_bytes()).is_err());
}
