//! DMARC reports to other domains: contents, destinations, hostile senders and receivers.
//!
//! RFC 9990. A report covers four seconds here, so the messages of a test may be spread over several: their numbers are summed.

use std::net::Ipv4Addr;

use it::{
    DMARC_REPORT_LIMIT, DNS_PORT, DmarcReporter, Lab, MX_PORT, Sink, Talk, Waypost, authored, dmarc_record, signers, txt, wait_for,
    wait_within,
};
use msgauth::{Algorithm, KeyPair, Signer, record};

#[test]
fn reports_have_results_and_dispositions() {
    let pair = KeyPair::generate(Algorithm::Rsa).unwrap();
    let signer = Signer::new(Algorithm::Rsa, &pair.private, "pass.test", "s1").unwrap();
    let records = dmarc_record("pass", "p=reject; sp=quarantine; adkim=s; fo=1", "mailto:dmarc@rua.test")
        + "pass TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n"
        + &txt("s1._domainkey.pass", &record(Algorithm::Rsa, &pair.public))
        + &dmarc_record("lax", "p=none", "mailto:dmarc@rua.test")
        + &dmarc_record("quarantine", "p=quarantine", "mailto:dmarc@rua.test")
        + &dmarc_record("strict", "p=reject; np=quarantine", "mailto:dmarc@rua.test")
        + &dmarc_record("trying", "p=quarantine; t=y", "mailto:dmarc@rua.test")
        + &dmarc_record("example", "p=none", "mailto:dmarc@rua.test,mailto:dmarc@example.test")
        + "_dmarc.silent TXT \"v=DMARC1; p=none\"\n";
    let scene = DmarcReporter::start("dmarc = true\ncontact = \"dmarc@example.test\"\n", &records);
    let signed = |subject: &str| {
        let content = authored("boss@pass.test", subject);
        signer.sign(&[content.as_bytes()]).unwrap() + &content
    };
    for _ in 0..2 {
        assert!(scene.send("secret.sender@pass.test", &signed("hello")).starts_with("250 "));
    }
    let other = scene.lab.address(77);
    let mut talk = Talk::connect_from(other, scene.waypost.address, MX_PORT);
    talk.reply();
    talk.expect("EHLO client.test", "250");
    assert!(talk.message("", "me@example.test", &signed("bounce")).starts_with("250 "));
    // Mail that is a DMARC report is not counted, unless it only claims to be one.
    let report = "Report Domain: example.test Submitter: pass.test Report-ID: <1@pass.test>";
    assert!(scene.send("secret.sender@pass.test", &signed(report)).starts_with("250 "));
    assert!(scene.send("secret.sender@list.test", &authored("boss@lax.test", report)).starts_with("250 "));
    scene.send_as("boss@lax.test", "250 ");
    scene.send_as("boss@quarantine.test", "250 ");
    scene.send_as("boss@strict.test", "550 5.7.1 ");
    scene.send_as("boss@ghost.strict.test", "250 ");
    scene.send_as("boss@trying.test", "250 ");
    scene.send_as("boss@example.test", "550 5.7.1 ");
    scene.send_as("boss@silent.test", "250 ");
    let here = "127.0.0.1";
    scene.wait_for_sums(
        "pass.test",
        &[(&format!("{here} pass.test pass dkim=pass spf=pass"), 2), (&format!("{other} pass.test pass dkim=pass spf=fail"), 1)],
    );
    scene.wait_for_sums("lax.test", &[(&format!("{here} lax.test none dkim=fail spf=fail"), 2)]);
    scene.wait_for_sums("quarantine.test", &[(&format!("{here} quarantine.test quarantine dkim=fail spf=fail"), 1)]);
    scene.wait_for_sums(
        "strict.test",
        &[
            (&format!("{here} ghost.strict.test quarantine dkim=fail spf=fail"), 1),
            (&format!("{here} strict.test reject dkim=fail spf=fail"), 1),
        ],
    );
    scene.wait_for_sums("trying.test", &[(&format!("{here} trying.test none dkim=fail spf=fail policy_test_mode"), 1)]);
    // Once: the other address is our own report address.
    scene.wait_for_sums("example.test", &[(&format!("{here} example.test reject dkim=fail spf=fail local_policy"), 1)]);
    assert!(!scene.waypost.log().contains("to=dmarc@example.test"), "{}", scene.waypost.log());
    letter_follows_rfc9990(&scene);
    assert!(scene.reports("silent.test").is_empty());
    scene.waypost.assert_no_bugs();
}

/// Fields, parts, policy and signature of a report.
fn letter_follows_rfc9990(scene: &DmarcReporter) {
    let (report, mail) = scene.reports("pass.test").remove(0);
    assert_eq!((mail.from.as_str(), mail.to.as_slice()), ("<>", &["<dmarc@rua.test>".to_owned()][..]));
    assert_eq!(signers(&scene.lab, &mail.content), ["fwd.example.test"]);
    let (fields, read) = (&report["fields"], &report["read"]);
    let id = read["report_id"].as_str().unwrap();
    assert_eq!(fields["Subject"], format!("Report Domain: pass.test Submitter: fwd.example.test Report-ID: <{id}>"));
    assert_eq!((&fields["From"], &fields["Auto-Submitted"]), (&"<postmaster@fwd.example.test>".into(), &"auto-generated".into()));
    assert_eq!((&report["type"], &report["file_type"]), (&"multipart/mixed".into(), &"application/gzip".into()));
    let (begin, end) = (read["begin"].as_i64().unwrap(), read["end"].as_i64().unwrap());
    assert!(begin % 4 == 0 && end == begin + 3, "{begin} {end}");
    assert_eq!(report["file_name"], format!("fwd.example.test!pass.test!{begin}!{end}.xml.gz"));
    assert_eq!((&read["org_name"], &read["email"]), (&"fwd.example.test".into(), &"dmarc@example.test".into()));
    assert_eq!((&read["domain"], &read["p"]), (&"pass.test".into(), &"reject".into()));
    let xml = report["xml"].as_str().unwrap();
    for want in [
        "<sp>quarantine</sp>",
        "<fo>1</fo>",
        "<adkim>s</adkim>",
        "<aspf>r</aspf>",
        "<testing>n</testing>",
        "<discovery_method>treewalk</discovery_method>",
        "<envelope_to>example.test</envelope_to>",
        "<selector>s1</selector>",
    ] {
        assert!(xml.contains(want), "no {want} in {xml}");
    }
    assert!(!xml.contains("<np>"), "{xml}");
}

#[test]
fn external_destinations_need_consent() {
    let records = dmarc_record("agreed", "p=none", "mailto:dmarc@rua.test")
        + &dmarc_record("unasked", "p=none", "mailto:dmarc@victim.test,https://rua.test/,mailto:dmarc@rua.test")
        + &dmarc_record("moved", "p=none", "mailto:old@host.test")
        + &dmarc_record("abused", "p=none", "mailto:old@trick.test")
        + &dmarc_record("within", "p=none; psd=n", "mailto:dmarc@mail.within.test")
        + "moved.test._report._dmarc.host TXT \"v=DMARC1; rua=mailto:new@host.test\"\n\
           abused.test._report._dmarc.trick TXT \"v=DMARC1; rua=mailto:dmarc@victim.test\"\n\
           host MX 10 mx.rua\nmail.within MX 10 mx.rua\ntrick MX 10 mx.rua\n";
    let scene = DmarcReporter::start("dmarc = true\n", &records);
    for name in ["agreed", "unasked", "moved", "abused", "within"] {
        scene.send_as(&format!("boss@{name}.test"), "250 ");
    }
    let row = |name: &str| format!("127.0.0.1 {name}.test none dkim=fail spf=fail");
    for (name, to) in
        [("agreed", "dmarc@rua.test"), ("unasked", "dmarc@rua.test"), ("moved", "new@host.test"), ("within", "dmarc@mail.within.test")]
    {
        scene.wait_for_sums(&format!("{name}.test"), &[(&row(name), 1)]);
        assert_eq!(scene.reports(&format!("{name}.test"))[0].1.to, [format!("<{to}>")]);
    }
    let refused = |name: &str, to: &str, at: &str| {
        let parts = ["no DMARC report: ".to_owned() + at, format!("domain={name}.test"), format!("to={to}")];
        wait_within(DMARC_REPORT_LIMIT, &format!("{parts:?}"), || {
            scene.waypost.log().lines().any(|line| parts.iter().all(|part| line.contains(part.as_str()))).then_some(())
        });
    };
    refused("unasked", "dmarc@victim.test", "unasked.test._report._dmarc.victim.test");
    refused("abused", "old@trick.test", "abused.test._report._dmarc.trick.test");
    let others: Vec<Vec<String>> =
        scene.rua.messages().into_iter().map(|mail| mail.to).filter(|to| to[0].contains("victim") || to[0].contains("trick")).collect();
    assert!(others.is_empty(), "{others:?}");
    scene.waypost.assert_no_bugs();
}

#[test]
fn undelivered_reports_make_no_dsn_and_no_letter() {
    let records = dmarc_record("half", "p=none", "mailto:dmarc@sub.broken,mailto:dmarc@rua.test")
        + &dmarc_record("refused", "p=none", "mailto:dmarc@no.test")
        + "*._report._dmarc.no TXT \"v=DMARC1\"\nno MX 10 mx.no\n";
    let elsewhere = Lab::new();
    let scene = DmarcReporter::start("dmarc = true\n", &(records + &format!("mx.no A {}\n", elsewhere.address(12))));
    let _no = Sink::deciding(elsewhere.address(12), MX_PORT, |_| Some(mail::Reply::new(550, (5, 1, 1), "no such user")));
    scene.send_as("boss@half.test", "250 ");
    scene.send_as("boss@refused.test", "250 ");
    // No answer from DNS for one of two addresses: the other gets its report, once.
    scene.wait_for_sums("half.test", &[("127.0.0.1 half.test none dkim=fail spf=fail", 1)]);
    let says = |parts: &[&str]| {
        let said = || scene.waypost.log().lines().filter(|line| parts.iter().all(|part| line.contains(part))).nth(1).map(drop);
        wait_within(DMARC_REPORT_LIMIT, &format!("{parts:?}, twice"), said);
    };
    says(&["DMARC report could not be sent", "domain=half.test", "dmarc@sub.broken"]);
    assert_eq!(scene.reports("half.test").len(), 1);
    // A refusal is logged; there is no DSN, and no letter to the postmaster.
    wait_within(DMARC_REPORT_LIMIT, "the refusal", || {
        scene.waypost.log().lines().any(|line| line.contains("failed id=") && line.contains("to=dmarc@no.test")).then_some(())
    });
    assert!(!scene.waypost.ok(&["failed"]).contains("no.test"), "{}", scene.waypost.ok(&["failed"]));
    assert_eq!(scene.waypost.queued(), 0);
    scene.waypost.assert_no_bugs();
}

#[test]
fn a_restart_loses_no_results_and_sends_no_report_twice() {
    let records = dmarc_record("early", "p=none", "mailto:dmarc@rua.test")
        + &dmarc_record("late", "p=none", "mailto:dmarc@down.test")
        + "*._report._dmarc.down TXT \"v=DMARC1\"\ndown MX 10 mx.down\n";
    let down = Lab::new();
    let mut scene = DmarcReporter::start("dmarc = true\n", &(records + &format!("mx.down A {}\n", down.address(13))));
    for _ in 0..3 {
        scene.send_as("boss@early.test", "250 ");
        scene.waypost.stop();
        scene.waypost.start();
    }
    scene.wait_for_sums("early.test", &[("127.0.0.1 early.test none dkim=fail spf=fail", 3)]);
    // Killed repeatedly after the report is queued; only then does its host come up.
    scene.send_as("boss@late.test", "250 ");
    wait_within(DMARC_REPORT_LIMIT, "its report", || scene.waypost.log().contains("to=dmarc@down.test report=").then_some(()));
    for _ in 0..3 {
        scene.waypost.kill();
        scene.waypost.start();
    }
    scene.rua = Sink::start(down.address(13), MX_PORT);
    scene.waypost.ok(&["queue", "retry", "--all"]);
    scene.wait_for_sums("late.test", &[("127.0.0.1 late.test none dkim=fail spf=fail", 1)]);
    // A duplicate would arrive before the next report.
    scene.send_as("boss@late.test", "250 ");
    scene.wait_for_sums("late.test", &[("127.0.0.1 late.test none dkim=fail spf=fail", 2)]);
    assert_eq!(scene.reports("late.test").len(), 2);
    scene.waypost.assert_no_bugs();
}

#[test]
fn nothing_is_counted_unless_enabled() {
    let scene = DmarcReporter::start("", &dmarc_record("lax", "p=none", "mailto:dmarc@rua.test"));
    scene.send_as("boss@lax.test", "250 ");
    scene.waypost.configure(|config| config.set("reports.dmarc", true));
    scene.waypost.hang_up();
    scene.waypost.wait_for_log("is in effect");
    // Submitted mail is not counted.
    let password = scene.waypost.account("me@example.test");
    scene.waypost.logged_in("me@example.test", &password).taken("me@example.test", "foo@inbox.test", &authored("me@example.test", "own"));
    scene.inbox.wait_for("own");
    scene.send_as("boss@lax.test", "250 ");
    scene.wait_for_sums("lax.test", &[("127.0.0.1 lax.test none dkim=fail spf=fail", 1)]);
    scene.waypost.assert_no_bugs();
}

#[test]
fn two_servers_do_not_report_on_each_others_reports() {
    let other = Lab::new();
    let address: Ipv4Addr = other.address(1);
    let their_keys = {
        // Their server is created first, since its keys are in the zone.
        let waypost = Waypost::configured(&other, "[forward]\ndomain = \"fwd.other.test\"\n");
        waypost.keys("fwd.other.test")
    };
    let records = dmarc_record("other", "p=none", "mailto:dmarc@other.test")
        + &dmarc_record("fwd.example", "p=none", "mailto:dmarc@rua.test")
        + &dmarc_record("watch", "p=none", "mailto:dmarc@rua.test")
        + &format!("other MX 10 mx.other\nmx.other A {address}\n")
        + &their_keys;
    let scene = DmarcReporter::start("dmarc = true\n", &records);
    let mut theirs = Waypost::configured(
        &other,
        &format!(
            "[forward]\ndomain = \"fwd.other.test\"\nmode = \"queue\"\nunauthenticated = \"accept\"\n[dns]\nservers = [\"{}:{DNS_PORT}\"]\n\
             [reports]\nevery = \"4s\"\ndmarc = true\n",
            scene.lab.address(53)
        ),
    );
    theirs.ok(&["domain", "add", "--bare", "other.test"]);
    theirs.ok(&["alias", "add", "me@other.test", "foo@inbox.test"]);
    theirs.start();
    scene.send_as("boss@other.test", "250 ");
    wait_within(DMARC_REPORT_LIMIT, "the report, read", || theirs.log().contains("report read").then_some(()));
    let kept = wait_for("the report", || theirs.json(&["reports", "list"]).as_array().unwrap().first().cloned());
    assert_eq!((&kept["submitter"], &kept["domain"]), (&"fwd.example.test".into(), &"other.test".into()), "{kept}");
    let summary = theirs.json(&["reports", "other.test"])["domains"][0].clone();
    assert_eq!((&summary["reports"], &summary["messages"]["foreign"]), (&1.into(), &1.into()), "{summary}");
    assert!(theirs.ok(&["reports"]).contains("foreign 127.0.0.1 (localhost): 1 messages as other.test"), "{}", theirs.ok(&["reports"]));
    // A report about that mail would be part of the report about this one.
    let reply = Talk::greeted(theirs.address, MX_PORT).message("x@list.test", "me@other.test", &authored("boss@watch.test", "hello"));
    assert!(reply.starts_with("250 "), "{reply}");
    scene.wait_for_sums("watch.test", &[("127.0.0.1 watch.test none dkim=fail spf=fail", 1)]);
    assert!(scene.reports("fwd.example.test").is_empty() && !theirs.log().contains("domain=fwd.example.test"), "{}", theirs.log());
    theirs.assert_no_bugs();
    scene.waypost.assert_no_bugs();
}

#[test]
fn hostile_domains_are_bounded() {
    let many: Vec<String> = (0..1000).map(|n| format!("mailto:a{n}@rua.test")).collect();
    // Each name below evil.test has a record of its own.
    let records = dmarc_record("many", "p=none", &many.join(","))
        + &txt(
            "_dmarc.rubbish",
            "v=DMARC1; p=none; sp=\\001<x>; fo=<&>; adkim=q; rua=mailto:\\\"a@b\\\"@,,mailto:%00@rua.test,mailto:dmarc@rua.test; =;;",
        )
        + &txt("*.evil", "v=DMARC1; p=none; rua=mailto:evil@rua.test");
    let scene = DmarcReporter::start("dmarc = true\n", &records);
    scene.send_as("boss@many.test", "250 ");
    scene.send_as("boss@rubbish.test", "250 ");
    let count = 300;
    for session in 0..3 {
        let mut talk = Talk::greeted(scene.waypost.address, MX_PORT);
        for n in 0..count / 3 {
            let author = format!("boss@{}.n{session}-{n}.evil.test", "x".repeat(60));
            let signatures: String = (0..20)
                .map(|k| format!("DKIM-Signature: v=1; a=rsa-sha256; d={}{k}.test; s=<&>; h=from; bh=AAAA; b=AAAA\r\n", "y.".repeat(100)))
                .collect();
            let reply = talk.message("secret@list.test", "me@example.test", &(signatures + &authored(&author, "hello")));
            assert!(reply.starts_with("250 "), "{reply}");
        }
    }
    wait_within(DMARC_REPORT_LIMIT, "the five of a thousand", || {
        (scene.rua.messages().iter().filter(|mail| mail.text().contains("Report Domain: many.test\r\n")).count() == 5).then_some(())
    });
    scene.wait_for_sums("rubbish.test", &[("127.0.0.1 rubbish.test none dkim=fail spf=fail", 1)]);
    wait_within(DMARC_REPORT_LIMIT, "the reports about all of them", || {
        (scene.rua.messages().iter().filter(|mail| mail.text().contains(".evil.test\r\n\tSubmitter")).count() == count).then_some(())
    });
    let last = scene.rua.messages().into_iter().rev().find(|mail| mail.text().contains(".evil.test\r\n\tSubmitter")).unwrap();
    scene.read(&last);
    assert!(scene.waypost.resident_kib() < 400 * 1024, "{} KiB", scene.waypost.resident_kib());
    scene.waypost.assert_no_bugs();
}
