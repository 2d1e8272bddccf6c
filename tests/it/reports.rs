//! DSNs as the sender receives them. RFC 3464, RFC 3461, RFC 6533.

use it::{Delivered, Golden, Lab, MX_PORT, Script, Sink, Talk, Waypost, obedient, zone};

/// An external sender, her@foreign.test, writing to the alias me@example.test with target foo@inbox.test.
struct Stranger {
    lab: Lab,
    _dns: it::Dns,
    /// The sender's mailbox.
    mailbox: Sink,
    waypost: Waypost,
}

impl Stranger {
    /// `answer` replies to the commands at the alias's target; `None` is the normal reply.
    fn new(extra: &str, answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::in_lab(Lab::new(), extra, answer)
    }

    fn in_lab(lab: Lab, extra: &str, answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        let records = format!("foreign MX 10 mx.foreign\nmx.foreign A {}\n", lab.address(3));
        let dns = it::Dns::start(&lab, &(zone(&lab) + &records));
        Script::answering(lab.address(2), MX_PORT, move |_, command| answer(command).or_else(|| obedient(command)));
        let mailbox = Sink::start(lab.address(3), MX_PORT);
        let waypost = Waypost::started(&lab, "foo@inbox.test", extra);
        Self { lab, _dns: dns, mailbox, waypost }
    }

    /// The alias's target does not exist.
    fn refused() -> Self {
        Self::refused_in(Lab::new())
    }

    fn refused_in(lab: Lab) -> Self {
        Self::in_lab(lab, "", |command| {
            let named = "550 5.1.1 <FOO@Inbox.test>: no user foo (f\u{6f}o%inbox.test) at mx.inbox.test\r\n";
            command.starts_with("RCPT").then(|| named.to_owned())
        })
    }

    /// Writes to the alias, with parameters for MAIL and RCPT.
    fn write(&self, from: &str, mail: &str, rcpt: &str, subject: &str) {
        let mut talk = Talk::greeted(self.waypost.address, MX_PORT);
        talk.expect(&format!("MAIL FROM:<{from}> {mail}"), "250");
        talk.expect(&format!("RCPT TO:<me@example.test> {rcpt}"), "250");
        talk.expect("DATA", "354");
        let author = if from.is_empty() { "robot@foreign.test" } else { from };
        talk.send(format!("From: {author}\r\nSubject: {subject}\r\n\r\nthe body of it\r\n").as_bytes());
        talk.expect(".", "250");
    }

    /// The only DSN; it names nothing of the alias's target.
    fn report(&self, about: &str) -> Delivered {
        let report = self.mailbox.wait_for(about);
        self.waypost.wait_for_empty_queue();
        self.waypost.assert_no_bugs();
        assert_eq!(self.mailbox.messages().len(), 1);
        assert_eq!(report.from, "<>");
        let text = report.text().to_lowercase();
        assert!(text.contains("multipart/report; report-type=delivery-status"), "{text}");
        for secret in ["inbox", "foo"] {
            assert!(!text.contains(secret), "{secret} leaks:\n{text}");
        }
        report
    }

    /// Compares the only DSN that arrived with a golden file.
    fn check_golden(&self, name: &str, about: &str) {
        let text = self.report(about).text();
        Golden::new(name).of_lab(&self.lab).shape("6xxxxxxxxxxxx", "ID").dates().check(&text);
    }

    fn no_report(&self) {
        self.waypost.wait_for_empty_queue();
        self.waypost.assert_no_bugs();
        assert!(self.mailbox.messages().is_empty(), "{:?}", self.mailbox.messages());
    }
}

fn has(report: &Delivered, wanted: &[&str]) {
    for want in wanted {
        assert!(report.text().contains(want), "{want} is missing:\n{}", report.text());
    }
}

#[test]
fn a_failure_dsn_with_ret_hdrs_has_the_header_only() {
    let stranger = Stranger::refused();
    stranger.write("her@foreign.test", "RET=HDRS ENVID=env+2B1", "ORCPT=rfc822;Me+40example.test", "lost");
    let report = stranger.report("Subject: lost");
    assert_eq!(report.to, ["<her@foreign.test>"]);
    has(
        &report,
        &[
            "Auto-Submitted: auto-replied\r\n",
            "Original-Envelope-Id: env+1\r\n",
            "Reporting-MTA: dns; mx.example.test\r\n",
            "Original-Recipient: rfc822; Me@example.test\r\n",
            "Final-Recipient: rfc822; me@example.test\r\n",
            "Action: failed\r\nStatus: 5.1.1\r\n",
            "Content-Type: text/rfc822-headers\r\n",
        ],
    );
    assert!(!report.text().contains("the body of it"));
}

#[test]
fn a_failure_dsn_with_ret_full_has_the_whole_message() {
    let stranger = Stranger::refused();
    stranger.write("her@foreign.test", "RET=FULL", "", "lost");
    has(&stranger.report("Subject: lost"), &["Content-Type: message/rfc822\r\n", "\r\n\r\nthe body of it\r\n"]);
}

#[test]
fn notify_never_suppresses_the_dsn() {
    let stranger = Stranger::refused();
    stranger.write("her@foreign.test", "", "NOTIFY=NEVER", "lost");
    stranger.waypost.wait_for_line(&[": failed id="]);
    stranger.no_report();
}

#[test]
fn a_null_reverse_path_gets_no_dsn() {
    let stranger = Stranger::refused();
    stranger.write("", "", "NOTIFY=FAILURE", "a report of theirs");
    stranger.waypost.wait_for_line(&[": failed id="]);
    stranger.no_report();
}

#[test]
fn notify_success_gives_a_relayed_dsn() {
    let stranger = Stranger::new("", |_| None);
    stranger.write("her@foreign.test", "", "NOTIFY=SUCCESS", "well");
    has(&stranger.report("Subject: well"), &["Final-Recipient: rfc822; me@example.test\r\n", "Action: relayed\r\nStatus: 2.0.0\r\n"]);
}

#[test]
fn a_delay_dsn_is_sent_once() {
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let slow = move |command: &str| {
        let greylisted = command.starts_with("RCPT") && tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 4;
        greylisted.then(|| "450 4.2.0 foo@inbox.test is greylisted\r\n".to_owned())
    };
    let stranger = Stranger::new("[retry]\nwaits_s = [1]\njitter_percent = 0\ndelay_dsn_after = 1\n", slow);
    stranger.write("her@foreign.test", "", "", "slow");
    stranger.waypost.wait_for_line(&[": delivered id=", "to=foo@inbox.test"]);
    let report = stranger.report("Subject: slow");
    has(&report, &["Action: delayed\r\nStatus: 4.2.0\r\n", "Will-Retry-Until: "]);
}

#[test]
fn a_dsn_of_a_failure_matches_its_golden() {
    let stranger = Stranger::refused_in(Lab::numbered(10));
    stranger.write("her@foreign.test", "RET=FULL ENVID=env+2B1", "ORCPT=rfc822;Me+40example.test", "lost");
    stranger.check_golden("dsn-failed", "Subject: lost");
}

#[test]
fn a_dsn_of_a_delay_matches_its_golden() {
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let slow = move |command: &str| {
        let greylisted = command.starts_with("RCPT") && tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 4;
        greylisted.then(|| "450 4.2.0 foo@inbox.test is greylisted\r\n".to_owned())
    };
    let stranger = Stranger::in_lab(Lab::numbered(11), "[retry]\nwaits_s = [1]\njitter_percent = 0\ndelay_dsn_after = 1\n", slow);
    stranger.write("her@foreign.test", "", "", "slow");
    stranger.waypost.wait_for_line(&[": delivered id=", "to=foo@inbox.test"]);
    stranger.check_golden("dsn-delayed", "Subject: slow");
}

#[test]
fn expired_mail_gives_a_failure_dsn() {
    let never = |command: &str| command.starts_with("RCPT").then(|| "450 4.2.0 not now, foo@inbox.test\r\n".to_owned());
    let stranger = Stranger::new("[retry]\nwaits_s = [1]\nlifetime = 2\n", never);
    stranger.write("her@foreign.test", "", "", "old");
    has(&stranger.report("Subject: old"), &["Action: failed\r\nStatus: 5.4.7\r\n"]);
}

#[test]
fn smtputf8_mail_gets_an_internationalized_dsn() {
    let stranger = Stranger::refused();
    stranger.write("j\u{f6}rg@foreign.test", "SMTPUTF8", "ORCPT=utf-8;m\u{eb}@example.test", "gr\u{fc}n");
    let report = stranger.report("Subject: gr\u{fc}n");
    assert!(report.smtputf8);
    assert_eq!(report.to, ["<j\u{f6}rg@foreign.test>"]);
    has(
        &report,
        &[
            "Content-Type: message/global-delivery-status\r\n",
            "Content-Type: message/global-headers\r\n",
            "Original-Recipient: utf-8; m\u{eb}@example.test\r\n",
        ],
    );
}
