//! TLS reports to other domains: contents, destinations, hostile receivers.
//!
//! RFC 8460. A report covers three seconds here, so the sessions of a test may be spread over several: their numbers are summed.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use it::{
    Lab, LabAuthority, MX_PORT, POLICY_PORT, PolicyAnswer, PolicyHost, ReportHost, Sink, Takes, TlsReporter, domain, is_tls_report,
    parse_tls_report, signers, sts_domain, tls_reports, tls_sums, tlsa, tlsa_digest, tlsrpt, wait_for_report, wait_for_tls_sums,
};
use serde_json::Value;

#[test]
fn reports_name_each_failure() {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let (shown, fine) = (authority.issue(&["mx.wrong.test"]), authority.issue(&["mx.fine.test"]));
    let wrong = format!("3 1 1 {}", "ab".repeat(32));
    let records = domain(&lab, "wrong", 11)
        + &tlsa("wrong", &wrong)
        // The report goes to the host whose TLS it is about.
        + &tlsrpt("wrong", "mailto:tls@wrong.test")
        + &sts_domain(&lab, "sts")
        + &tlsrpt("sts", "mailto:tls@fine.test")
        + &domain(&lab, "fine", 14)
        + &tlsa("fine", &format!("3 1 1 {}", tlsa_digest(&fine, 0, 1)))
        + &tlsrpt("fine", "mailto:tls@fine.test,mailto:other@fine.test")
        + &domain(&lab, "clear", 15)
        + &tlsrpt("clear", "mailto:tls@fine.test")
        + &domain(&lab, "silent", 15);
    let _policy = PolicyHost::start(
        lab.address(12),
        &authority.issue(&["mta-sts.sts.test"]),
        PolicyAnswer::policy("enforce", &["mx.sts.test"], 86_400),
    );
    let (broken, inbox) = (Sink::with_tls(lab.address(11), MX_PORT, &shown), Sink::with_tls(lab.address(14), MX_PORT, &fine));
    let clear = Sink::start(lab.address(15), MX_PORT);
    let reporter = TlsReporter::start(&lab, &records, "contact = \"tls@example.test\"\n");
    for to in ["you@wrong.test", "you@sts.test"] {
        reporter.send(to);
        reporter.fate("deferred", to);
    }
    for to in ["you@fine.test", "you@fine.test", "you@clear.test", "you@silent.test"] {
        reporter.send(to);
        reporter.fate("delivered", to);
    }
    let about_sts = wait_for_tls_sums(&inbox, "sts.test", &[("sts certificate-host-mismatch", 1)]);
    wait_for_tls_sums(&inbox, "clear.test", &[("no-policy-found starttls-not-supported", 1)]);
    // Both addresses get every report.
    wait_for_tls_sums(&inbox, "fine.test", &[("tlsa success", 4)]);
    let about_wrong = wait_for_tls_sums(&broken, "wrong.test", &[("tlsa certificate-host-mismatch", 1)]);

    let report = &about_wrong[0];
    let policy = &report["report"]["policies"][0];
    assert_eq!(policy["policy"]["policy-domain"], "wrong.test");
    assert_eq!(policy["policy"]["policy-string"][0], format!("_{MX_PORT}._tcp.mx.wrong.test. IN TLSA {wrong}"));
    let failure = &policy["failure-details"][0];
    assert_eq!(
        (&failure["receiving-mx-hostname"], &failure["receiving-ip"]),
        (&"mx.wrong.test".into(), &lab.address(11).to_string().into())
    );
    assert!(failure["sending-mta-ip"].as_str().unwrap().starts_with("127."), "{failure}");
    let reason = failure["failure-reason-code"].as_str().unwrap();
    assert!(reason.contains(&format!("found 3 1 1 {}", &tlsa_digest(&shown, 0, 1)[..16])), "{reason}");
    let policy = &about_sts[0]["report"]["policies"][0]["policy"];
    assert_eq!((&policy["mx-host"][0], &policy["policy-string"][1]), (&"mx.sts.test".into(), &"mode: enforce".into()));

    letter_follows_rfc8460(&lab, &broken, report);
    // The mail with a report is not counted, and a domain without a record gets no report.
    assert!(
        clear.messages().iter().chain(&inbox.messages()).chain(&broken.messages()).all(|message| !is_tls_report(message, "silent.test"))
    );
    reporter.waypost.wait_for_line(&["delivered id=", "to=tls@wrong.test"]);
    reporter.send("you@wrong.test");
    wait_for_tls_sums(&broken, "wrong.test", &[("tlsa certificate-host-mismatch", 2)]);
    reporter.waypost.assert_no_bugs();
}

/// Fields, parts and signature of a report.
fn letter_follows_rfc8460(lab: &Lab, sink: &Sink, report: &Value) {
    let mail = sink.messages().into_iter().find(|message| is_tls_report(message, "wrong.test")).unwrap();
    assert_eq!((mail.from.as_str(), mail.to.as_slice(), mail.tls), ("<>", &["<tls@wrong.test>".to_owned()][..], true));
    assert_eq!(signers(lab, &mail.content), ["fwd.example.test"]);
    let (fields, id) = (&report["fields"], report["report"]["report-id"].as_str().unwrap());
    assert_eq!(fields["Subject"], format!("Report Domain: wrong.test Submitter: fwd.example.test Report-ID: <{id}>"));
    assert_eq!(fields["TLS-Report-Submitter"], "fwd.example.test");
    assert_eq!(fields["From"], "<postmaster@fwd.example.test>");
    assert_eq!((&report["type"], &report["report_type"]), (&"multipart/report".into(), &"tlsrpt".into()));
    assert_eq!(report["file_type"], "application/tlsrpt+gzip");
    let name = report["file_name"].as_str().unwrap();
    let parts: Vec<&str> = name.split('!').collect();
    let [sender, about, begin, end] = parts[..] else { panic!("{name}") };
    assert_eq!((sender, about), ("fwd.example.test", "wrong.test"));
    let (begin, end): (i64, i64) = (begin.parse().unwrap(), end.trim_end_matches(".json.gz").parse().unwrap());
    assert!(begin % 3 == 0 && end == begin + 2, "{name}");
    assert_eq!(
        (&report["report"]["contact-info"], &report["report"]["organization-name"]),
        (&"tls@example.test".into(), &"fwd.example.test".into())
    );
}

#[test]
fn mta_sts_fetch_failures_are_reported() {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let inbox = Sink::with_tls(lab.address(11), MX_PORT, &authority.issue(&["mx.far.test"]));
    // No listener; another host's certificate; another page.
    let sts = |name: &str, host: u8| {
        let policy_host = format!("_mta-sts.{name} TXT \"v=STSv1; id=1\"\nmta-sts.{name} A {}\n", lab.address(host));
        domain(&lab, name, 11) + &policy_host + &tlsrpt(name, "mailto:tls@rua.test")
    };
    let records = sts("down", 20) + &sts("other", 12) + &sts("page", 13) + &domain(&lab, "rua", 14);
    let page = PolicyAnswer { head: "200 OK\r\nContent-Type: text/html".into(), body: "<html>".into() };
    let _other = PolicyHost::start(lab.address(12), &authority.issue(&["mta-sts.page.test"]), page.clone());
    let _page = PolicyHost::start(lab.address(13), &authority.issue(&["mta-sts.page.test"]), page);
    let rua = Sink::start(lab.address(14), MX_PORT);
    let reporter = TlsReporter::start(&lab, &records, "");
    for name in ["down", "other", "page"] {
        reporter.send(&format!("you@{name}.test"));
        inbox.wait_for(&format!("to you@{name}.test."));
    }
    for (name, result) in [("down", "sts-policy-fetch-error"), ("other", "sts-webpki-invalid"), ("page", "sts-policy-invalid")] {
        let want = format!("sts {result}");
        wait_for_tls_sums(&rua, &format!("{name}.test"), &[("no-policy-found success", 1), (&want, 1)]);
    }
    reporter.waypost.assert_no_bugs();
}

#[test]
fn tls_failures_map_to_rfc8460_types() {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let elsewhere = Lab::new();
    let stranger = LabAuthority::new(&elsewhere).issue(&["mx.stranger.test"]);
    let (expired, fine) = (
        authority.issue_at(&["mx.expired.test"], 30, net::Clock::system().now_s() - 40 * 86_400),
        authority.issue(&["mx.testing.test", "mx.unnamed.test"]),
    );
    let sts = |name: &str, host: u8, policy_host: u8| {
        domain(&lab, name, host)
            + &format!("_mta-sts.{name} TXT \"v=STSv1; id=1\"\nmta-sts.{name} A {}\n", lab.address(policy_host))
            + &tlsrpt(name, "mailto:tls@rua.test")
    };
    // The records of mx.lost are in a zone of their own, whose key does not match its DS record.
    let lost = format!("_{MX_PORT}._tcp.mx.lost");
    let records = sts("expired", 11, 20)
        + &sts("stranger", 12, 21)
        + &sts("testing", 14, 22)
        + &sts("unnamed", 14, 23)
        + &domain(&lab, "unusable", 14)
        + &tlsa("unusable", &format!("1 1 1 {}", "00".repeat(32)))
        + &tlsrpt("unusable", "mailto:tls@rua.test")
        + &domain(&lab, "lost", 14)
        + &format!("{lost} NS ns\n{lost} DS 12345 13 2 {}\n", "cd".repeat(32))
        + &tlsrpt("lost", "mailto:tls@rua.test")
        + &domain(&lab, "rua", 15);
    let names = ["mta-sts.expired.test", "mta-sts.stranger.test", "mta-sts.testing.test", "mta-sts.unnamed.test"];
    let _policies: Vec<PolicyHost> =
        [("enforce", "*.expired.test"), ("enforce", "*.stranger.test"), ("testing", "mx.else.test"), ("enforce", "mx.else.test")]
            .into_iter()
            .zip(20u8..)
            .map(|((mode, mx), host)| {
                PolicyHost::start(lab.address(host), &authority.issue(&names), PolicyAnswer::policy(mode, &[mx], 86_400))
            })
            .collect();
    let _hosts = [(11, &expired), (12, &stranger), (14, &fine)].map(|(host, shown)| Sink::with_tls(lab.address(host), MX_PORT, shown));
    let rua = Sink::start(lab.address(15), MX_PORT);
    let zone = (format!("{lost}.test"), format!("@ TLSA 3 1 1 {}\n", "ab".repeat(32)));
    let reporter = TlsReporter::with_zones(&lab, &records, "", &[(&zone.0, &zone.1)]);
    let faults = [
        ("expired", "deferred", "sts certificate-expired"),
        ("stranger", "deferred", "sts certificate-not-trusted"),
        ("testing", "delivered", "sts validation-failure"),
        ("unnamed", "deferred", "sts validation-failure"),
        ("unusable", "delivered", "tlsa tlsa-invalid"),
        ("lost", "deferred", "tlsa dnssec-invalid"),
    ];
    for (name, fate, _) in faults {
        reporter.send(&format!("you@{name}.test"));
        reporter.fate(fate, &format!("you@{name}.test"));
    }
    for (name, _, result) in faults {
        wait_for_tls_sums(&rua, &format!("{name}.test"), &[(result, 1)]);
    }
    let unnamed = &tls_reports(&rua, "unnamed.test")[0]["report"]["policies"][0]["failure-details"][0];
    let reason = "the MTA-STS policy of unnamed.test does not name the mail host mx.unnamed.test";
    assert_eq!((&unnamed["failure-reason-code"], &unnamed["receiving-mx-hostname"]), (&reason.into(), &"mx.unnamed.test".into()));
    reporter.waypost.assert_no_bugs();
}

#[test]
fn https_uploads_are_retried() {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let records = domain(&lab, "far", 11)
        + &tlsrpt("far", &format!("https://reports.far.test:{POLICY_PORT}/v1/tls?x=1"))
        + &format!("reports.far A {}\n", lab.address(12));
    let _inbox = Sink::with_tls(lab.address(11), MX_PORT, &authority.issue(&["mx.far.test"]));
    let host = ReportHost::start(lab.address(12), &authority.issue(&["reports.far.test"]), Takes::With("503 Busy"));
    let reporter = TlsReporter::start(&lab, &records, "");
    reporter.send("you@far.test");
    wait_for_report("a second try", || (host.posted().len() > 1).then_some(()));
    host.takes(Takes::With("201 Created"));
    reporter.says(&["TLS report delivered", "domain=far.test"]);
    let posted = host.posted();
    let (first, last) = (&posted[0], posted.last().unwrap());
    assert_eq!(first, last, "the same report, with the same id");
    assert!(last.head.starts_with("POST /v1/tls?x=1 HTTP/1.1\r\n"), "{}", last.head);
    assert!(last.head.contains("content-type: application/tlsrpt+gzip\r\n"), "{}", last.head);
    let report = parse_tls_report(&last.body);
    assert_eq!(tls_sums([&report]), BTreeMap::from([("no-policy-found success".to_owned(), 1)]));
    assert_eq!(report["report"]["contact-info"], "postmaster@fwd.example.test");
    // Another day, another report.
    reporter.send("them@far.test");
    wait_for_report("the next report", || (host.posted().len() > posted.len()).then_some(()));
    assert_ne!(parse_tls_report(&host.posted().last().unwrap().body)["report"]["report-id"], report["report"]["report-id"]);
    reporter.waypost.assert_no_bugs();
}

#[test]
fn a_restart_loses_no_results_and_sends_no_report_twice() {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let records = domain(&lab, "far", 11)
        + &tlsrpt("far", "mailto:tls@rua.test")
        + &domain(&lab, "rua", 12)
        + &domain(&lab, "late", 11)
        + &tlsrpt("late", "mailto:tls@down.test")
        + &domain(&lab, "down", 13);
    let inbox = Sink::with_tls(lab.address(11), MX_PORT, &authority.issue(&["mx.far.test"]));
    let rua = Sink::start(lab.address(12), MX_PORT);
    let mut reporter = TlsReporter::start(&lab, &records, "");
    for n in 0..3 {
        let to = format!("you{n}@far.test");
        reporter.send(&to);
        inbox.wait_for(&format!("to {to}."));
        reporter.waypost.stop();
        reporter.waypost.start();
    }
    wait_for_tls_sums(&rua, "far.test", &[("no-policy-found success", 3)]);
    // Killed repeatedly after the report is queued; only then does its host come up.
    reporter.send("you@late.test");
    reporter.fate("delivered", "you@late.test");
    wait_for_report("its report", || (reporter.waypost.log().contains("to=tls@down.test report=")).then_some(()));
    for _ in 0..3 {
        reporter.waypost.kill();
        reporter.waypost.start();
    }
    let down = Sink::start(lab.address(13), MX_PORT);
    reporter.waypost.ok(&["queue", "retry", "--all"]);
    wait_for_tls_sums(&down, "late.test", &[("no-policy-found success", 1)]);
    // A duplicate would arrive before the next report.
    reporter.send("them@late.test");
    wait_for_tls_sums(&down, "late.test", &[("no-policy-found success", 2)]);
    assert_eq!(tls_reports(&down, "late.test").len(), 2);
    assert_eq!(tls_sums(&tls_reports(&rua, "far.test")), BTreeMap::from([("no-policy-found success".to_owned(), 3)]));
    reporter.waypost.assert_no_bugs();
}

#[test]
fn hostile_report_receivers_are_bounded() {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let https = |name: &str| format!("https://reports.{name}.test:{POLICY_PORT}/");
    let host =
        |name: &str, address: Ipv4Addr| domain(&lab, name, 11) + &tlsrpt(name, &https(name)) + &format!("reports.{name} A {address}\n");
    let many: Vec<String> = (0..1000).map(|n| format!("mailto:a{n}@rua.test")).collect();
    let records = host("private", Ipv4Addr::new(10, 0, 0, 1))
        + &host("slow", lab.address(12))
        + &host("huge", lab.address(13))
        + &host("stranger", lab.address(14))
        + &domain(&lab, "many", 11)
        + &tlsrpt("many", &many.join(","))
        + &domain(&lab, "good", 11)
        + &tlsrpt("good", "mailto:good@rua.test")
        + &domain(&lab, "rua", 15);
    let inbox = Sink::with_tls(lab.address(11), MX_PORT, &authority.issue(&["mx.far.test"]));
    let slow = ReportHost::start(lab.address(12), &authority.issue(&["reports.slow.test"]), Takes::Silent);
    let huge = ReportHost::start(lab.address(13), &authority.issue(&["reports.huge.test"]), Takes::Talking(1 << 30));
    let stranger = ReportHost::start(lab.address(14), &authority.issue(&["reports.else.test"]), Takes::With("200 OK"));
    let rua = Sink::start(lab.address(15), MX_PORT);
    let reporter = TlsReporter::start(&lab, &records, "");
    for name in ["private", "slow", "huge", "stranger", "many"] {
        reporter.send(&format!("you@{name}.test"));
        inbox.wait_for(&format!("to you@{name}.test."));
    }
    reporter.says(&["TLS report could not be sent", "domain=private.test", "no public address"]);
    reporter.says(&["TLS report could not be sent", "domain=stranger.test", "TLS with reports.stranger.test failed"]);
    reporter.says(&["TLS report delivered", "domain=huge.test"]);
    wait_for_report("the slow host to be asked", || (slow.connections() > 0).then_some(()));
    wait_for_report("the five of a thousand", || (tls_reports(&rua, "many.test").len() == 5).then_some(()));
    // A slow host does not delay others: later reports are sent while it still has its own.
    reporter.send("you@good.test");
    wait_for_tls_sums(&rua, "good.test", &[("no-policy-found success", 1)]);
    assert_eq!(tls_reports(&rua, "many.test").len(), 5);
    assert!(stranger.posted().is_empty() && huge.posted().len() == 1);
    assert!(reporter.waypost.resident_kib() < 400 * 1024, "{} KiB", reporter.waypost.resident_kib());
    reporter.waypost.assert_no_bugs();
}

#[test]
fn reports_can_be_disabled_and_need_a_dkim_key() {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let records = domain(&lab, "far", 11) + &tlsrpt("far", "mailto:tls@rua.test") + &domain(&lab, "rua", 12);
    let inbox = Sink::with_tls(lab.address(11), MX_PORT, &authority.issue(&["mx.far.test"]));
    let rua = Sink::start(lab.address(12), MX_PORT);
    let reporter = TlsReporter::start(&lab, &records, "tls = false\n");
    reporter.send("you@far.test");
    inbox.wait_for("to you@far.test.");
    reporter.waypost.configure(|config| config.remove("reports.tls").set("forward.domain", "other.example.test"));
    reporter.waypost.hang_up();
    reporter.waypost.wait_for_log("is in effect");
    reporter.send("them@far.test");
    wait_for_report("a word on the missing key", || {
        reporter.waypost.log().contains("no TLS report: other.example.test has no DKIM key to sign it").then_some(())
    });
    // The first message was not counted: there is at most one report, and it was not sent.
    assert_eq!(reporter.waypost.log().matches("no TLS report").count(), 1);
    assert!(rua.messages().is_empty());
}
