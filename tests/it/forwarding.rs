//! A forwarded message from end to end: signed by its sender, forwarded by us, verified by a strict receiver.

use it::{
    DNS_PORT, Delivered, Dns, Lab, MX_PORT, OpenDkim, Postfix, Rspamd, Sink, Talk, Waypost, forwarding_zone, run_ok, signers, wait_for,
};

/// The forwarding domain, apart from the hosted one.
pub const FORWARD: &str = "[forward]\ndomain = \"fwd.example.test\"\n";

/// Requires each of these in rspamd's symbols.
fn assert_found(verdict: &[String], wanted: &[&str]) {
    for want in wanted {
        assert!(verdict.iter().any(|found| found.starts_with(want)), "no {want} in {verdict:?}");
    }
}

fn top_field(message: &Delivered, name: &str) -> String {
    let text = message.text();
    let from = text.find(&format!("{name}:")).unwrap_or_else(|| panic!("no {name} in:\n{text}"));
    let mut lines = text[from..].split_inclusive("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    first + &lines.take_while(|line| line.starts_with([' ', '\t'])).collect::<String>()
}

#[test]
fn forwarded_mail_passes_strict_dmarc() {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, FORWARD);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let (signer, key) = OpenDkim::signing(&lab, 5, "foreign.test");
    let keys = waypost.keys("example.test") + &waypost.keys("fwd.example.test") + &key;
    let _dns = Dns::start(&lab, &(forwarding_zone(&lab) + &keys));
    let signed = run_ok("kdig", &[&format!("@{}", lab.address(53)), "-p", &DNS_PORT.to_string(), "+dnssec", "foreign.test", "TXT"]);
    assert!(signed.contains("v=spf1") && signed.contains("RRSIG"), "the zone is signed: {signed}");
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let receiver = Rspamd::start(&lab, 6);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.start();
    let route = format!("transport_maps = inline:{{ {{example.test = smtp:[{}]:{MX_PORT}}} }}\n", lab.address(1));
    let sender = Postfix::start(&lab, 3, "foreign.test", &["her"], &(route + &signer.milter()), "");

    let content =
        b"From: Her <her@foreign.test>\nTo: me@example.test\nSubject: the story\nX-Odd:  twice  the  space \n\n body \n.dots\n\n\n";
    sender.sendmail("her@foreign.test", &["me@example.test"], content);
    let arrived = inbox.wait_for("the story");
    assert!(arrived.from.starts_with("<SRS0=") && arrived.from.ends_with("=foreign.test=her@fwd.example.test>"), "{}", arrived.from);
    assert_eq!(signers(&lab, &arrived.content), ["foreign.test", "fwd.example.test"]);
    let verdict = receiver.verdict(&arrived);
    assert_found(&verdict, &["R_SPF_ALLOW(", "DMARC_POLICY_ALLOW(foreign.test"]);
    let dkim = verdict.iter().find(|found| found.starts_with("R_DKIM_ALLOW(")).unwrap_or_else(|| panic!("no DKIM in {verdict:?}"));
    assert!(dkim.contains("foreign.test:s=s1") && dkim.contains("fwd.example.test:s="), "{dkim}");
    let results = top_field(&arrived, "Authentication-Results");
    assert!(results.starts_with("Authentication-Results: mx.example.test"), "{results}");
    for want in
        ["dkim=pass", "header.d=foreign.test", "spf=pass", "smtp.mailfrom=her@foreign.test", "dmarc=pass", "header.from=foreign.test"]
    {
        assert!(results.contains(want), "no {want} in {results}");
    }
    // Delivered by cut-through: nothing was queued.
    assert!(waypost.log().contains("message handed over"), "{}", waypost.log());
    assert_eq!(waypost.json(&["status"])["signatures_broken"], 0);
    waypost.assert_no_bugs();
}

#[test]
fn own_mail_and_dsns_pass_dmarc() {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, FORWARD);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let keys = waypost.keys("example.test") + &waypost.keys("fwd.example.test");
    let more = "_dmarc.example TXT \"v=DMARC1; p=reject; adkim=s\"\nexample TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n";
    let _dns = Dns::start(&lab, &(forwarding_zone(&lab) + &keys + more));
    let refuse = |to: &str| to.contains("gone").then(|| mail::Reply::new(550, (5, 1, 1), "no such user"));
    let inbox = Sink::deciding(lab.address(2), MX_PORT, refuse);
    let foreign = Sink::start(lab.address(3), MX_PORT);
    let receiver = Rspamd::start(&lab, 6);
    waypost.ok(&["alias", "add", "team@example.test", "foo@inbox.test", "gone@inbox.test"]);
    waypost.start();

    let password = waypost.account("me@example.test");
    waypost.logged_in("me@example.test", &password).taken(
        "me@example.test",
        "her@foreign.test",
        "From: me@example.test\r\nSubject: outward\r\n\r\nhi\r\n",
    );
    let outward = foreign.wait_for("outward");
    assert_eq!(
        (outward.from.as_str(), signers(&lab, &outward.content).as_slice()),
        ("<me@example.test>", ["example.test".to_owned()].as_slice())
    );
    assert_found(&receiver.verdict(&outward), &["R_SPF_ALLOW(", "R_DKIM_ALLOW(example.test", "DMARC_POLICY_ALLOW(example.test"]);

    Talk::greeted(waypost.address, MX_PORT).taken(
        "her@foreign.test",
        "team@example.test",
        "From: her@foreign.test\r\nSubject: half\r\n\r\nhi\r\n",
    );
    inbox.wait_for("half");
    let report = wait_for("a report", || foreign.messages().into_iter().find(|m| m.from == "<>"));
    assert_eq!(signers(&lab, &report.content), ["fwd.example.test"]);
    assert!(!report.text().contains("inbox.test"), "{}", report.text());
    waypost.assert_no_bugs();
}
