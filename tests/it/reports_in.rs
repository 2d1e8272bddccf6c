//! DMARC and TLS reports to dmarc@ and tlsrpt@: read in the session, kept, summed up; and forged or broken ones.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use it::{Delivered, Dns, Lab, MX_PORT, Sink, Talk, Waypost, fed, forwarding_zone, python, txt, wait_for};
use mail::Mailbox;
use msgauth::{Algorithm, KeyPair, Signer, record};
use reports::tls::{FailureDetails, Policy, PolicyResult, ResultType, Summary, TlsReport};
use reports::{Envelope, gzip};
use serde_json::Value;

pub(crate) struct Scene {
    pub(crate) waypost: Waypost,
    inbox: Sink,
    signer: Signer,
    _dns: Dns,
    _lab: Lab,
}

/// receiver.test signs its mail; a catch-all accepts every other address.
fn scene() -> Scene {
    scene_with("")
}

/// The same with further options.
pub(crate) fn scene_with(options: &str) -> Scene {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(
        &lab,
        &format!(
            "postmaster = \"foo@inbox.test\"\n[forward]\ndomain = \"fwd.example.test\"\nmode = \"queue\"\nunauthenticated = \"accept\"\n\
             [dns]\naddresses = [\"192.0.2.1\"]\n{options}"
        ),
    );
    let pair = KeyPair::generate(Algorithm::Rsa).unwrap();
    let signer = Signer::new(Algorithm::Rsa, &pair.private, "receiver.test", "s1").unwrap();
    let key = txt("s1._domainkey.receiver.test.", &record(Algorithm::Rsa, &pair.public));
    let named = "spam.foreign A 203.0.113.9\n";
    let dns = Dns::with_zone(&lab, &(forwarding_zone(&lab) + &key + named), "113.0.203.in-addr.arpa", "9 PTR spam.foreign.test.\n");
    let inbox = Sink::start(lab.address(2), MX_PORT);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.ok(&["alias", "add", "@example.test", "foo@inbox.test"]);
    waypost.start();
    Scene { waypost, inbox, signer, _dns: dns, _lab: lab }
}

/// A message of receiver.test with an attachment.
fn letter(media_type: &str, name: &str, attached: &[u8]) -> String {
    let lines: Vec<String> =
        STANDARD.encode(attached).as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!(
        "From: Receiver <noreply-dmarc@receiver.test>\r\nTo: dmarc@example.test\r\nSubject: Report domain: example.test Submitter: receiver.test\r\n\
         Date: Tue, 24 Nov 2026 01:00:00 +0000\r\nMessage-ID: <1@receiver.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nThis is a report.\r\n--b\r\nContent-Type: {media_type}; name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n{}\r\n--b--\r\n",
        lines.join("\r\n")
    )
}

pub(crate) fn zipped(xml: &str) -> String {
    letter("application/gzip", "receiver.test!example.test!1!2.xml.gz", &gzip(xml.as_bytes()))
}

pub(crate) fn row(source: &str, count: u32, result: &str) -> String {
    format!(
        "<record><row><source_ip>{source}</source_ip><count>{count}</count><policy_evaluated><disposition>none</disposition><dkim>{result}</dkim>\
         <spf>{result}</spf></policy_evaluated></row><identifiers><header_from>example.test</header_from></identifiers><auth_results>\
         <spf><domain>example.test</domain><result>{result}</result></spf></auth_results></record>"
    )
}

/// A report of yesterday about example.test.
pub(crate) fn report(id: &str, domain: &str, rows: &str) -> String {
    let now_s = net::Clock::system().now_ms() / 1000;
    format!(
        "<?xml version=\"1.0\"?><feedback><report_metadata><org_name>receiver.test</org_name><email>a@receiver.test</email><report_id>{id}</report_id>\
         <date_range><begin>{}</begin><end>{}</end></date_range></report_metadata><policy_published><domain>{domain}</domain><p>none</p></policy_published>{rows}</feedback>",
        now_s - 10 * 86_400,
        now_s - 3600
    )
}

impl Scene {
    fn send(&self, to: &str, message: &str) -> String {
        Talk::greeted(self.waypost.address, MX_PORT).message("bounce@receiver.test", to, message)
    }

    pub(crate) fn send_signed(&self, to: &str, message: &str) -> String {
        let field = self.signer.sign(&[message.as_bytes()]).unwrap();
        self.send(to, &(field + message))
    }

    /// The summary of example.test.
    fn summary(&self) -> Value {
        let all = self.waypost.json(&["reports", "example.test"]);
        assert_eq!(all["domains"].as_array().unwrap().len(), 1, "{all}");
        all["domains"][0].clone()
    }

    fn count(&self) -> usize {
        self.waypost.json(&["reports", "list"]).as_array().unwrap().len()
    }

    /// No report was queued or delivered.
    fn assert_nothing_forwarded(&self) {
        assert_eq!(self.waypost.queued(), 0);
        let is_notice = |message: &Delivered| message.text().contains("has logged in from a new network");
        assert!(self.inbox.messages().iter().all(is_notice));
        assert_eq!(std::fs::read_dir(self.waypost.data.join("content")).unwrap().count(), 0, "unreferenced content files");
        self.waypost.assert_no_bugs();
    }
}

#[test]
fn a_signed_dmarc_report_is_kept_once_and_summed_up() {
    let mut scene = scene();
    let rows = row("192.0.2.1", 5, "pass") + &row("192.0.2.1", 2, "fail") + &row("203.0.113.9", 7, "fail");
    let message = zipped(&report("id-1", "example.test", &rows));
    for _ in 0..2 {
        let reply = scene.send_signed("dmarc@example.test", &message);
        assert!(reply.starts_with("250 2.0.0 report read"), "{reply}");
    }
    assert_eq!(scene.count(), 1, "duplicates count once");
    scene.waypost.kill();
    scene.waypost.start();
    let summary = scene.summary();
    assert_eq!((&summary["reports"], &summary["policy"]), (&1.into(), &"none".into()));
    let messages = &summary["messages"];
    assert_eq!((&messages["ours"], &messages["ours_failing"], &messages["foreign"]), (&5.into(), &2.into(), &7.into()), "{summary}");
    assert_eq!(summary["organisations"][0]["name"], "receiver.test");
    assert_eq!(summary["failing"][0]["address"], "192.0.2.1", "ours first: {summary}");
    assert_eq!((&summary["failing"][1]["address"], &summary["failing"][1]["messages"]), (&"203.0.113.9".into(), &7.into()));
    let text = scene.waypost.ok(&["reports"]);
    for part in [
        "ours, failing 192.0.2.1: 2 messages as example.test since ",
        "foreign 203.0.113.9 (spam.foreign.test): 7 messages",
        "waypost dns check example.test",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    let output = scene.waypost.command(&["--json", "doctor", "--time-server", ""]);
    let doctor: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let warned = |finding: &serde_json::Value| finding["check"] == "reports" && finding["severity"] == "warning";
    let warning = doctor["findings"].as_array().unwrap().iter().find(|finding| warned(finding)).unwrap_or_else(|| panic!("{doctor:#}"));
    assert_eq!(warning["found"], "2 messages from this server failed DMARC in 7 days");
    let id = scene.waypost.json(&["reports", "list"])[0]["id"].to_string();
    let shown = scene.waypost.ok(&["reports", "show", &id]);
    assert!(shown.contains("by         receiver.test, sent by receiver.test") && shown.contains("7 messages from 203.0.113.9"), "{shown}");
    assert!(scene.waypost.refused(&["reports", "show", "99"]).contains("no such report: 99"));
    assert_eq!(scene.waypost.json(&["reports", "--days", "1"])["domains"][0]["reports"], 1);
    scene.assert_nothing_forwarded();
}

#[test]
fn a_report_mail_of_mail_dmarc_is_accepted() {
    let scene = scene();
    let letter = fed("perl", &["tests/lab/mail_dmarc.pl", "letter"], "").replace("\r\n", "\n").replace('\n', "\r\n");
    let reply = scene.send_signed("dmarc@example.test", &letter);
    assert!(reply.starts_with("250 2.0.0 report read"), "{reply}\n{letter}");
    let kept = scene.waypost.json(&["reports", "list"])[0].clone();
    assert_eq!((&kept["organisation"], &kept["report_id"], &kept["rows"]), (&"Art & Farm".into(), &"42.art".into(), &1.into()), "{kept}");
    let id = kept["id"].to_string();
    let row = scene.waypost.json(&["reports", "show", &id])["rows"][0].clone();
    assert_eq!((&row["source"], &row["class"], &row["count"]), (&"2001:db8::9".into(), &"forward".into(), &17.into()), "{row}");
    scene.assert_nothing_forwarded();
}

#[test]
fn reports_without_failures_advise_a_stricter_policy() {
    let scene = scene();
    let reply = scene.send_signed("DMARC@example.test", &zipped(&report("id-1", "example.test", &row("192.0.2.1", 5, "pass"))));
    assert!(reply.starts_with("250 "), "{reply}");
    let text = scene.waypost.ok(&["reports", "example.test"]);
    assert!(text.contains("set dmarc = \"quarantine\" in [dns] of the configuration, then waypost dns apply example.test"), "{text}");
}

#[test]
fn a_tls_report_is_summed_up() {
    let scene = scene();
    let now_s = net::Clock::system().now_ms() / 1000;
    let failure = FailureDetails {
        result: ResultType::CertificateExpired,
        mx_host: "mx.example.test".into(),
        sessions: 3,
        reason: "it ended\u{1b}[2J yesterday".into(),
        ..FailureDetails::default()
    };
    let policy = Policy { domain: "example.test".into(), ..Policy::default() };
    let tls = TlsReport {
        organization: "receiver.test".into(),
        begin_unix_s: now_s - 86_400,
        end_unix_s: now_s,
        contact: "a@receiver.test".into(),
        id: "tls-1".into(),
        policies: vec![PolicyResult { policy, summary: Summary { successful: 40, failed: 3 }, failures: vec![failure] }],
    };
    let packed = gzip(tls.to_json().as_bytes());
    let (submitter, domain) = ("receiver.test".parse().unwrap(), "example.test".parse().unwrap());
    let (from, to) = (Mailbox::parse("a@receiver.test").unwrap(), Mailbox::parse("tlsrpt@example.test").unwrap());
    let envelope = Envelope { submitter: &submitter, domain: &domain, from: &from, to: &to, id: "1", now_unix_s: now_s };
    // As this server sends it, and as others do.
    let ours = String::from_utf8(tls.mail(envelope, &packed)).unwrap();
    let others = letter("application/tlsrpt+gzip", "receiver.test!example.test!1!2.json.gz", &packed);
    for message in [ours, others] {
        let reply = scene.send_signed("tlsrpt@example.test", &message);
        assert!(reply.starts_with("250 2.0.0 report read"), "{reply}");
    }
    let summary = scene.summary();
    assert_eq!((&summary["tls"]["successful"], &summary["tls"]["failed"]), (&40.into(), &3.into()), "{summary}");
    assert_eq!(summary["tls"]["failures"][0]["result"], "certificate-expired");
    let text = scene.waypost.ok(&["reports"]);
    assert!(text.contains("3 certificate-expired with mx.example.test: it ended [2J yesterday"), "{text}");
    assert!(text.contains("waypost cert renew"), "{text}");
    scene.assert_nothing_forwarded();
}

#[test]
fn unauthenticated_reports_and_other_mail_are_refused() {
    let scene = scene();
    let genuine = zipped(&report("id-1", "example.test", &row("192.0.2.1", 5, "pass")));
    let refused = |reply: String, want: &str| assert!(reply.starts_with(want), "wanted {want}, got {reply}");
    refused(scene.send("dmarc@example.test", &genuine), "550 5.7.1 ");
    refused(scene.send_signed("dmarc@example.test", &genuine.replace("noreply-dmarc@receiver.test", "noreply@google.test")), "550 5.7.1 ");
    refused(scene.send_signed("dmarc@example.test", &genuine.replace("noreply-dmarc@receiver.test", "dmarc@example.test")), "550 5.7.1 ");
    let field = scene.signer.sign(&[genuine.as_bytes()]).unwrap();
    refused(scene.send("dmarc@example.test", &(field + &genuine.replace("Subject: Report", "Subject: Forged"))), "550 5.7.1 ");
    let person = "From: <someone@receiver.test>\r\nSubject: hello\r\n\r\nI have a question.\r\n";
    let reply = scene.send_signed("dmarc@example.test", person);
    assert!(reply.starts_with("550 5.6.0 ") && reply.contains("postmaster@example.test"), "{reply}");
    refused(scene.send_signed("dmarc@example.test", &zipped(&report("id-1", "foreign.test", ""))), "550 5.6.0 ");
    refused(scene.send_signed("dmarc@example.test", &zipped("<feedback><record>")), "550 5.6.0 ");
    assert_eq!(scene.count(), 0);
    scene.assert_nothing_forwarded();
}

#[test]
fn threat_97_bombs_are_refused_at_the_maximum() {
    let scene = scene();
    let send = |media_type: &str, name: &str, bytes: &[u8]| scene.send_signed("dmarc@example.test", &letter(media_type, name, bytes));
    let refused = |reply: String, want: &str| assert!(reply.starts_with(want), "wanted {want}, got {reply}");
    refused(send("application/gzip", "a.xml.gz", &gzip(&vec![b' '; 300 << 20])), "552 5.3.4 ");
    let zip = "import zipfile, io, base64\nout = io.BytesIO()\nwith zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z: z.writestr('a.xml', b' ' * (300 << 20))\nprint(base64.b64encode(out.getvalue()).decode())";
    let zip = STANDARD.decode(python(&["-c", zip], "").trim()).unwrap();
    refused(send("application/zip", "a.zip", &zip), "552 5.3.4 ");
    let entities: String = (1..30).map(|n| format!("<!ENTITY e{n} \"&e{0};&e{0};&e{0};&e{0};\">", n - 1)).collect();
    let laughs = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE feedback [<!ENTITY e0 \"lol\">{entities}]><feedback><report_metadata><org_name>&e29;</org_name></report_metadata></feedback>"
    );
    refused(scene.send_signed("dmarc@example.test", &zipped(&laughs)), "550 5.6.0 ");
    refused(scene.send_signed("dmarc@example.test", &zipped(&"<feedback>".repeat(900_000))), "550 5.6.0 ");
    let million = report("large", "example.test", &row("203.0.113.9", 1, "fail").repeat(1_000_000));
    refused(scene.send_signed("dmarc@example.test", &zipped(&million)), "552 5.3.4 ");
    assert_eq!(scene.count(), 0);
    // Half a million rows within the size limit: usable ones are kept up to a maximum, the others counted.
    let rows = row("203.0.113.9", 1, "fail").repeat(12_000) + &"<record/>".repeat(500_000);
    refused(scene.send_signed("dmarc@example.test", &zipped(&report("many", "example.test", &rows))), "250 2.0.0 report read");
    let kept = scene.waypost.json(&["reports", "list"])[0].clone();
    assert_eq!((&kept["rows"], &kept["rows_left_out"], &kept["messages_left_out"]), (&10_000.into(), &502_000.into(), &2_000.into()));
    assert_eq!(scene.summary()["messages"]["foreign"], 10_000);
    let most_kib = scene.waypost.resident_kib();
    assert!(most_kib < 200 * 1024, "{most_kib} KiB were resident");
    scene.assert_nothing_forwarded();
}

#[test]
fn a_report_address_is_the_only_recipient_and_an_alias_overrides_it() {
    let scene = scene();
    let mut talk = Talk::greeted(scene.waypost.address, MX_PORT);
    talk.expect("MAIL FROM:<bounce@receiver.test>", "250");
    talk.expect("RCPT TO:<dmarc@example.test>", "250");
    talk.expect("RCPT TO:<me@example.test>", "452 4.5.3");
    talk.expect("RCPT TO:<tlsrpt@example.test>", "452 4.5.3");
    talk.expect("RSET", "250");
    talk.expect("MAIL FROM:<bounce@receiver.test>", "250");
    talk.expect("RCPT TO:<me@example.test>", "250");
    talk.expect("RCPT TO:<dmarc@fwd.example.test>", "452 4.5.3");
    talk.expect("RCPT TO:<dmarc@foreign.test>", "550 5.7.1");
    talk.expect("RSET", "250");
    let genuine = zipped(&report("id-1", "fwd.example.test", &row("192.0.2.1", 5, "pass")));
    assert!(scene.send_signed("dmarc@fwd.example.test", &genuine).starts_with("250 2.0.0 report read"));

    scene.waypost.ok(&["alias", "add", "dmarc@example.test", "foo@inbox.test"]);
    let person = "From: <someone@receiver.test>\r\nSubject: to the owner\r\n\r\nI have a question.\r\n";
    let reply = scene.send_signed("dmarc@example.test", person);
    assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
    wait_for("the owner's mail", || scene.inbox.messages().iter().any(|m| m.text().contains("to the owner")).then_some(()));
    assert_eq!(scene.count(), 1);
    scene.waypost.assert_no_bugs();
}

#[test]
fn an_account_can_submit_a_report_and_local_programs_cannot() {
    let scene = scene();
    let password = scene.waypost.account("me@example.test");
    let mut talk = scene.waypost.logged_in("me@example.test", &password);
    let question = "From: me@example.test\r\nSubject: hello\r\n\r\nhello\r\n";
    let reply = talk.message("me@example.test", "dmarc@example.test", question);
    assert!(reply.starts_with("550 5.6.0 "), "{reply}");
    let attached =
        zipped(&report("old-1", "example.test", &row("192.0.2.1", 5, "pass"))).replace("noreply-dmarc@receiver.test", "me@example.test");
    let reply = talk.message("me@example.test", "dmarc@example.test", &attached);
    assert!(reply.starts_with("250 2.0.0 report read"), "an owner brings in an old one: {reply}");
    assert_eq!(scene.waypost.json(&["reports", "list"])[0]["submitter"], "example.test");
    let refused = scene.waypost.refused(&["sendmail", "-f", "me@example.test", "dmarc@example.test"]);
    assert!(refused.contains("dmarc@example.test accepts reports from other servers only"), "{refused}");
    scene.assert_nothing_forwarded();
}
