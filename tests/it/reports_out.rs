//! Aggregate reports of DMARC to other domains: what they say, whom they reach, and what hostile senders and receivers can do.
//!
//! RFC 9990. A report is about four seconds here, so messages of one test may stand in several of them: their numbers are added up.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use it::{
    DNS_PORT, Delivered, Dns, Lab, MX_PORT, Sink, Talk, Waypost, domain, fed, python, run_ok, signers, txt, wait_for, wait_within, zone,
};
use msgauth::{Algorithm, KeyPair, Signer, record};
use serde_json::Value;

/// Reports come within this time.
const SOON: Duration = Duration::from_secs(60);

/// Reads a mail with a report with Python's own modules.
const READER: &str = "
import sys, email, base64, gzip, json
import xml.etree.ElementTree as tree
mail = email.message_from_bytes(base64.b64decode(sys.stdin.read()))
text, file = mail.get_payload()
xml = gzip.decompress(file.get_payload(decode=True)).decode()
print(json.dumps({'fields': {name: ' '.join(value.split()) for name, value in mail.items()}, 'text': text.get_payload(),
    'type': mail.get_content_type(), 'file_type': file.get_content_type(), 'file_name': file.get_filename(),
    'xml': xml, 'dispositions': [one.text for one in tree.fromstring(xml.encode()).iter('{urn:ietf:params:xml:ns:dmarc-2.0}disposition')]}))
";

struct Scene {
    waypost: Waypost,
    inbox: Sink,
    /// Where most reports go.
    rua: Sink,
    lab: Lab,
    _dns: Dns,
}

/// A record that asks for reports.
fn asks(name: &str, tags: &str, rua: &str) -> String {
    txt(&format!("_dmarc.{name}"), &format!("v=DMARC1; {tags}; rua={rua}"))
}

/// list.test may send by SPF, from anywhere in the lab; rua.test takes reports about everybody, victim.test about nobody.
fn scene(reports: &str, records: &str) -> Scene {
    let lab = Lab::new();
    let extra = format!(
        "[forward]\ndomain = \"fwd.example.test\"\nmode = \"queue\"\nunauthenticated = \"accept\"\n[reports]\nevery = \"4s\"\n{reports}"
    );
    let mut waypost = Waypost::configured(&lab, &extra);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    let records = zone(&lab)
        + &domain(&lab, "rua", 11)
        + &domain(&lab, "victim", 11)
        + "*._report._dmarc.rua TXT \"v=DMARC1\"\nlist TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n"
        + &waypost.keys("fwd.example.test")
        + records;
    let dns = Dns::start(&lab, &records);
    let (inbox, rua) = (Sink::start(lab.address(2), MX_PORT), Sink::start(lab.address(11), MX_PORT));
    waypost.start();
    Scene { waypost, inbox, rua, lab, _dns: dns }
}

fn message(author: &str, subject: &str) -> String {
    format!("From: {author}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@client.test>\r\n\r\nthe body\r\n")
}

impl Scene {
    fn send(&self, from: &str, message: &str) -> String {
        Talk::greeted(self.waypost.address, MX_PORT).message(from, "me@example.test", message)
    }

    /// Sends through list.test, which vouches for nobody else.
    fn send_as(&self, author: &str, want: &str) {
        let reply = self.send("secret.sender@list.test", &message(author, "hello"));
        assert!(reply.starts_with(want), "{author}: wanted {want}, heard {reply}");
    }

    /// What Mail::DMARC reads in the reports about a domain.
    fn reports(&self, about: &str) -> Vec<(Value, Delivered)> {
        let is_about = |mail: &Delivered| mail.text().contains(&format!("\r\nSubject: Report Domain: {about}\r\n"));
        self.rua.messages().into_iter().filter(is_about).map(|mail| (self.read(&mail), mail)).collect()
    }

    fn read(&self, mail: &Delivered) -> Value {
        let mut report: Value = serde_json::from_str(&python(&["-c", READER], &STANDARD.encode(&mail.content))).unwrap();
        let xml = report["xml"].as_str().unwrap().to_owned();
        let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/it/dmarc-2.0.xsd");
        let file = self.lab.write("report.xml", &xml);
        run_ok("xmllint", &["--noout", "--schema", schema, &file.display().to_string()]);
        assert!(!xml.contains("secret") && !xml.contains("me@example.test") && !xml.contains("boss"), "a local part: {xml}");
        // It looks for names without a namespace, as the older format has them.
        let plain = xml.replacen(" xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\"", "", 1);
        report["read"] = serde_json::from_str(&fed("perl", &["tests/lab/mail_dmarc.pl", "read"], &plain)).unwrap();
        report
    }

    /// Messages by what is said of them, over all reports about a domain.
    fn sums(&self, about: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for (report, _) in self.reports(about) {
            // Mail::DMARC knows no disposition "pass": it makes "none" of it.
            let dispositions = report["dispositions"].as_array().unwrap();
            let rows = report["read"]["rows"].as_array().unwrap();
            assert_eq!(rows.len(), dispositions.len());
            for (row, disposition) in rows.iter().zip(dispositions) {
                assert_eq!(row["disposition"].as_str(), disposition.as_str().map(|word| if word == "pass" { "none" } else { word }));
                let text = |name: &str| row[name].as_str().unwrap().to_owned();
                let reasons: Vec<&str> = row["reasons"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
                let key = format!(
                    "{} {} {} dkim={} spf={}",
                    text("source"),
                    text("header_from"),
                    disposition.as_str().unwrap(),
                    text("dkim"),
                    text("spf")
                );
                *sums.entry([&[key.as_str()], &reasons[..]].concat().join(" ")).or_default() += row["count"].as_u64().unwrap();
            }
        }
        sums
    }

    /// Waits until the reports about a domain say this, all in all.
    fn wait_for_sums(&self, about: &str, want: &[(&str, u64)]) {
        let want: BTreeMap<String, u64> = want.iter().map(|(row, count)| ((*row).to_owned(), *count)).collect();
        let total: u64 = want.values().sum();
        let mut last = BTreeMap::new();
        let until = || {
            last = self.sums(about);
            (last.values().sum::<u64>() >= total).then_some(())
        };
        wait_within(SOON, &format!("reports about {about} that say {want:?}"), until);
        assert_eq!(last, want, "about {about}");
    }
}

#[test]
fn a_report_says_what_came_and_what_was_done() {
    let pair = KeyPair::generate(Algorithm::Rsa).unwrap();
    let signer = Signer::new(Algorithm::Rsa, &pair.private, "pass.test", "s1").unwrap();
    let records = asks("pass", "p=reject; sp=quarantine; adkim=s; fo=1", "mailto:dmarc@rua.test")
        + "pass TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n"
        + &txt("s1._domainkey.pass", &record(Algorithm::Rsa, &pair.public))
        + &asks("lax", "p=none", "mailto:dmarc@rua.test")
        + &asks("quarantine", "p=quarantine", "mailto:dmarc@rua.test")
        + &asks("strict", "p=reject; np=quarantine", "mailto:dmarc@rua.test")
        + &asks("trying", "p=quarantine; t=y", "mailto:dmarc@rua.test")
        + &asks("example", "p=none", "mailto:dmarc@rua.test,mailto:dmarc@example.test")
        + "_dmarc.silent TXT \"v=DMARC1; p=none\"\n";
    let scene = scene("dmarc = true\ncontact = \"dmarc@example.test\"\n", &records);
    let signed = |subject: &str| {
        let content = message("boss@pass.test", subject);
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
    // A report is not reported on; who only says so is.
    let report = "Report Domain: example.test Submitter: pass.test Report-ID: <1@pass.test>";
    assert!(scene.send("secret.sender@pass.test", &signed(report)).starts_with("250 "));
    assert!(scene.send("secret.sender@list.test", &message("boss@lax.test", report)).starts_with("250 "));
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
    // Once: the other address is our own reader of reports.
    scene.wait_for_sums("example.test", &[(&format!("{here} example.test reject dkim=fail spf=fail local_policy"), 1)]);
    assert!(!scene.waypost.log().contains("to=dmarc@example.test"), "{}", scene.waypost.log());
    letter_is_that_of_the_rfc(&scene);
    assert!(scene.reports("silent.test").is_empty());
    scene.waypost.assert_no_bugs();
}

/// Fields, parts, policy and signature of a report.
fn letter_is_that_of_the_rfc(scene: &Scene) {
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
fn who_is_named_by_others_must_agree() {
    let records = asks("agreed", "p=none", "mailto:dmarc@rua.test")
        + &asks("unasked", "p=none", "mailto:dmarc@victim.test,https://rua.test/,mailto:dmarc@rua.test")
        + &asks("moved", "p=none", "mailto:old@host.test")
        + &asks("abused", "p=none", "mailto:old@trick.test")
        + &asks("within", "p=none; psd=n", "mailto:dmarc@mail.within.test")
        + "moved.test._report._dmarc.host TXT \"v=DMARC1; rua=mailto:new@host.test\"\n\
           abused.test._report._dmarc.trick TXT \"v=DMARC1; rua=mailto:dmarc@victim.test\"\n\
           host MX 10 mx.rua\nmail.within MX 10 mx.rua\ntrick MX 10 mx.rua\n";
    let scene = scene("dmarc = true\n", &records);
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
        wait_within(SOON, &format!("{parts:?}"), || {
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
fn what_is_not_delivered_is_missed_by_nobody() {
    let records = asks("half", "p=none", "mailto:dmarc@sub.broken,mailto:dmarc@rua.test")
        + &asks("refused", "p=none", "mailto:dmarc@no.test")
        + "*._report._dmarc.no TXT \"v=DMARC1\"\nno MX 10 mx.no\n";
    let elsewhere = Lab::new();
    let scene = scene("dmarc = true\n", &(records + &format!("mx.no A {}\n", elsewhere.address(12))));
    let _no = Sink::deciding(elsewhere.address(12), MX_PORT, |_| Some(mail::Reply::new(550, (5, 1, 1), "no such user")));
    scene.send_as("boss@half.test", "250 ");
    scene.send_as("boss@refused.test", "250 ");
    // DNS does not answer for one of two addresses: the other gets its report, once.
    scene.wait_for_sums("half.test", &[("127.0.0.1 half.test none dkim=fail spf=fail", 1)]);
    let says = |parts: &[&str]| {
        let said = || scene.waypost.log().lines().filter(|line| parts.iter().all(|part| line.contains(part))).nth(1).map(drop);
        wait_within(SOON, &format!("{parts:?}, twice"), said);
    };
    says(&["DMARC report could not be sent", "domain=half.test", "dmarc@sub.broken"]);
    assert_eq!(scene.reports("half.test").len(), 1);
    // A refusal is a line in the log, and neither a bounce nor something that the postmaster has to look at.
    wait_within(SOON, "the refusal", || {
        scene.waypost.log().lines().any(|line| line.contains("failed id=") && line.contains("to=dmarc@no.test")).then_some(())
    });
    assert!(!scene.waypost.ok(&["failed"]).contains("no.test"), "{}", scene.waypost.ok(&["failed"]));
    assert_eq!(scene.waypost.queued(), 0);
    scene.waypost.assert_no_bugs();
}

#[test]
fn a_restart_loses_nothing_and_sends_nothing_twice() {
    let records = asks("early", "p=none", "mailto:dmarc@rua.test")
        + &asks("late", "p=none", "mailto:dmarc@down.test")
        + "*._report._dmarc.down TXT \"v=DMARC1\"\ndown MX 10 mx.down\n";
    let down = Lab::new();
    let mut scene = scene("dmarc = true\n", &(records + &format!("mx.down A {}\n", down.address(13))));
    for _ in 0..3 {
        scene.send_as("boss@early.test", "250 ");
        scene.waypost.stop();
        scene.waypost.start();
    }
    scene.wait_for_sums("early.test", &[("127.0.0.1 early.test none dkim=fail spf=fail", 3)]);
    // Killed once the report is queued, again and again; only then somebody is there to take it.
    scene.send_as("boss@late.test", "250 ");
    wait_within(SOON, "its report", || scene.waypost.log().contains("to=dmarc@down.test report=").then_some(()));
    for _ in 0..3 {
        scene.waypost.kill();
        scene.waypost.start();
    }
    scene.rua = Sink::start(down.address(13), MX_PORT);
    scene.waypost.ok(&["queue", "retry", "--all"]);
    scene.wait_for_sums("late.test", &[("127.0.0.1 late.test none dkim=fail spf=fail", 1)]);
    // What would have been sent twice would be there before what comes later.
    scene.send_as("boss@late.test", "250 ");
    scene.wait_for_sums("late.test", &[("127.0.0.1 late.test none dkim=fail spf=fail", 2)]);
    assert_eq!(scene.reports("late.test").len(), 2);
    scene.waypost.assert_no_bugs();
}

#[test]
fn nothing_is_counted_unless_it_is_asked_for() {
    let scene = scene("", &asks("lax", "p=none", "mailto:dmarc@rua.test"));
    scene.send_as("boss@lax.test", "250 ");
    scene.waypost.configure(|config| config.set("reports.dmarc", true));
    scene.waypost.hang_up();
    scene.waypost.wait_for_log("is in effect");
    // An account's own mail is nobody's evidence.
    let password = scene.waypost.account("me@example.test");
    scene.waypost.logged_in("me@example.test", &password).taken("me@example.test", "foo@inbox.test", &message("me@example.test", "own"));
    scene.inbox.wait_for("own");
    scene.send_as("boss@lax.test", "250 ");
    scene.wait_for_sums("lax.test", &[("127.0.0.1 lax.test none dkim=fail spf=fail", 1)]);
    scene.waypost.assert_no_bugs();
}

#[test]
fn one_waypost_reads_what_another_reports_and_is_silent_about_it() {
    let other = Lab::new();
    let address: Ipv4Addr = other.address(1);
    let their_keys = {
        // Their server is made first, since its keys stand in the zone.
        let waypost = Waypost::configured(&other, "[forward]\ndomain = \"fwd.other.test\"\n");
        waypost.keys("fwd.other.test")
    };
    let records = asks("other", "p=none", "mailto:dmarc@other.test")
        + &asks("fwd.example", "p=none", "mailto:dmarc@rua.test")
        + &asks("watch", "p=none", "mailto:dmarc@rua.test")
        + &format!("other MX 10 mx.other\nmx.other A {address}\n")
        + &their_keys;
    let scene = scene("dmarc = true\n", &records);
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
    wait_within(SOON, "the report, read", || theirs.log().contains("report read").then_some(()));
    let kept = wait_for("the report", || theirs.json(&["reports", "list"]).as_array().unwrap().first().cloned());
    assert_eq!((&kept["submitter"], &kept["domain"]), (&"fwd.example.test".into(), &"other.test".into()), "{kept}");
    let summary = theirs.json(&["reports", "other.test"])["domains"][0].clone();
    assert_eq!((&summary["reports"], &summary["messages"]["foreign"]), (&1.into(), &1.into()), "{summary}");
    assert!(theirs.ok(&["reports"]).contains("foreign 127.0.0.1 (localhost): 1 messages as other.test"), "{}", theirs.ok(&["reports"]));
    // Whatever they would report about that mail they would report together with this.
    let reply = Talk::greeted(theirs.address, MX_PORT).message("x@list.test", "me@other.test", &message("boss@watch.test", "hello"));
    assert!(reply.starts_with("250 "), "{reply}");
    scene.wait_for_sums("watch.test", &[("127.0.0.1 watch.test none dkim=fail spf=fail", 1)]);
    assert!(scene.reports("fwd.example.test").is_empty() && !theirs.log().contains("domain=fwd.example.test"), "{}", theirs.log());
    theirs.assert_no_bugs();
    scene.waypost.assert_no_bugs();
}

#[test]
fn hostile_domains_cost_little() {
    let many: Vec<String> = (0..1000).map(|n| format!("mailto:a{n}@rua.test")).collect();
    // Each name below evil.test has a record of its own.
    let records = asks("many", "p=none", &many.join(","))
        + &txt(
            "_dmarc.rubbish",
            "v=DMARC1; p=none; sp=\\001<x>; fo=<&>; adkim=q; rua=mailto:\\\"a@b\\\"@,,mailto:%00@rua.test,mailto:dmarc@rua.test; =;;",
        )
        + &txt("*.evil", "v=DMARC1; p=none; rua=mailto:evil@rua.test");
    let scene = scene("dmarc = true\n", &records);
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
            let reply = talk.message("secret@list.test", "me@example.test", &(signatures + &message(&author, "hello")));
            assert!(reply.starts_with("250 "), "{reply}");
        }
    }
    wait_within(SOON, "the five of a thousand", || {
        (scene.rua.messages().iter().filter(|mail| mail.text().contains("Report Domain: many.test\r\n")).count() == 5).then_some(())
    });
    scene.wait_for_sums("rubbish.test", &[("127.0.0.1 rubbish.test none dkim=fail spf=fail", 1)]);
    wait_within(SOON, "the reports about all of them", || {
        (scene.rua.messages().iter().filter(|mail| mail.text().contains(".evil.test\r\n\tSubmitter")).count() == count).then_some(())
    });
    let last = scene.rua.messages().into_iter().rev().find(|mail| mail.text().contains(".evil.test\r\n\tSubmitter")).unwrap();
    scene.read(&last);
    assert!(scene.waypost.resident_kib() < 400 * 1024, "{} KiB", scene.waypost.resident_kib());
    scene.waypost.assert_no_bugs();
}
