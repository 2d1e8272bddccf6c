//! What submission repairs in a message, and the refusal of a malformed header section.

use it::{Dns, Lab, MX_PORT, Sink, Talk, Waypost, zone};

struct Office {
    waypost: Waypost,
    far: Sink,
    own: Talk,
    _dns: Dns,
    _lab: Lab,
}

impl Office {
    fn open() -> Self {
        let lab = Lab::new();
        let dns = Dns::start(&lab, &zone(&lab));
        let far = Sink::start(lab.address(2), MX_PORT);
        let waypost = Waypost::started(&lab, "foo@inbox.test", "");
        let password = waypost.account("me@example.test");
        let own = waypost.logged_in("me@example.test", &password);
        Self { waypost, far, own, _dns: dns, _lab: lab }
    }

    fn arrived(&mut self, content: &str, subject: &str) -> String {
        self.own.taken("me@example.test", "you@inbox.test", content);
        self.far.wait_for(&format!("Subject: {subject}\r\n")).text()
    }
}

#[test]
fn a_dsn_to_an_account_without_an_alias_reaches_the_postmaster() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let far = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(&lab, "foo@inbox.test", "postmaster = \"me@example.test\"\n");
    let added = waypost.json(&["account", "add", "ann@example.test"]);
    let warnings = added["warnings"].to_string();
    assert!(warnings.contains("there is no alias for ann@example.test") && warnings.contains("waypost alias add"), "{warnings}");
    let mut ann = waypost.logged_in("ann@example.test", added["password"].as_str().unwrap());
    ann.taken("ann@example.test", "you@nowhere.test", "From: ann@example.test\r\nSubject: into the void\r\n\r\n");
    let report = far.wait_for("Subject: into the void");
    assert_eq!((report.from.as_str(), report.to.join(" ")), ("<>", "<foo@inbox.test>".into()));
    let second = waypost.json(&["account", "add", "me@example.test"]);
    assert_eq!(second["warnings"], serde_json::json!([]), "mail to me@ is read somewhere");
    waypost.assert_no_bugs();
}

#[test]
fn invisible_characters_in_addresses_are_refused() {
    let office = Office::open();
    for arguments in [
        ["alias", "add", "\u{feff}info@example.test", "foo@inbox.test"].as_slice(),
        &["alias", "add", "info@example.test", "foo\u{200b}@inbox.test"],
        &["account", "add", "an\u{ad}n@example.test"],
    ] {
        let said = office.waypost.refused(arguments);
        assert!(said.contains("an invisible character: U+"), "{arguments:?}: {said}");
    }
    office.waypost.ok(&["alias", "add", "jürgen@example.test", "foo@inbox.test"]);
}

#[test]
fn bcc_and_similar_fields_are_removed() {
    let mut office = Office::open();
    let head = "From: me@example.test\r\nTo: you@inbox.test\r\nBcc: secret@inbox.test,\r\n other@inbox.test\r\nResent-Bcc: secret@inbox.test\r\n\
                Return-Path: <me@example.test>\r\nContent-Length: 7\r\n";
    for (subject, body) in [("small", "Bcc: in the body\r\n".to_owned()), ("large", "0123456789abcdef\r\n".repeat(10_000))] {
        let text = office.arrived(&format!("{head}Subject: {subject}\r\n\r\n{body}"), subject);
        let (fields, rest) = text.split_once("\r\n\r\n").unwrap();
        for dropped in ["Bcc:", "secret@", "other@", "Return-Path:", "Content-Length:"] {
            assert!(!fields.contains(dropped), "{dropped} in {fields}");
        }
        assert_eq!(rest, body);
    }
    office.waypost.assert_no_bugs();
}

#[test]
fn a_malformed_field_ends_the_header_section_everywhere() {
    let mut office = Office::open();
    let fields = "From: me@example.test\r\nDate: Sat, 28 Nov 2026 10:00:00 +0000\r\nMessage-ID: <a@example.test>\r\n";
    let text = office.arrived(&format!("From me@example.test Sat Nov 28 10:00:00 2026\r\n{fields}Subject: mbox\r\n\r\nbody\r\n"), "mbox");
    assert!(text.ends_with("Subject: mbox\r\n\r\nbody\r\n") && text.matches("Date: ").count() == 1 && !text.contains("From me@"), "{text}");
    let text = office.arrived(&format!("{fields}Subject: flag\r\nX-Spam-Flag YES\r\nX-More: yes\r\n\r\nbody\r\n"), "flag");
    assert!(text.ends_with("Subject: flag\r\n\r\nX-Spam-Flag YES\r\nX-More: yes\r\n\r\nbody\r\n"), "{text}");
    assert_eq!(text.matches("Date: ").count(), 1, "{text}");
    let broken = format!("Subject: x\r\nX-Spam-Flag YES\r\n{fields}\r\nbody\r\n");
    let reply = office.own.message("me@example.test", "you@inbox.test", &broken);
    assert!(reply.starts_with("550 5.6.0") && reply.contains("line 2"), "{reply}");
    let mut stranger = Talk::greeted(office.waypost.address, MX_PORT);
    let reply =
        stranger.message("her@foreign.test", "me@example.test", "From her@foreign.test Sat Nov 28\r\nFrom: her@foreign.test\r\n\r\nb\r\n");
    assert!(reply.starts_with("550 5.6.0") && reply.contains("line 1"), "{reply}");
    let two_ways = "From: her@foreign.test\r\nX-Spam-Flag YES\r\nFrom: boss@example.test\r\n\r\nb\r\n";
    let reply = stranger.message("her@foreign.test", "me@example.test", two_ways);
    assert!(reply.starts_with("550 5.6.0") && reply.contains("line 2"), "{reply}");
    stranger.taken("her@foreign.test", "me@example.test", "From: her@foreign.test\r\nSubject: odd\r\nX-Spam-Flag YES\r\n\r\nb\r\n");
    assert!(
        office.far.wait_for("Subject: odd").text().ends_with("Subject: odd\r\nX-Spam-Flag YES\r\n\r\nb\r\n"),
        "mail of others stays as it came"
    );
    office.waypost.assert_no_bugs();
}
