//! No reply and no DSN to the sender names the target of an alias, whatever the target replies.

use it::{Dns, Lab, MX_PORT, Script, Sink, Talk, Waypost, forwarding_zone, obedient, wait_for};

/// Texts that name the target.
const TARGET: &str = "hidden.person@secretplace.test";
const SECRETS: [&str; 5] = ["hidden", "person", "secretplace", "mailhost7", "unspeakable"];

struct Scene {
    waypost: Waypost,
    /// The mailbox of her@foreign.test.
    hers: Sink,
    _dns: Dns,
    lab: Lab,
}

/// The target's host replies to each command with `answer`, or accepts it if that returns `None`.
fn scene(extra: &str, answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Scene {
    let lab = Lab::new();
    let host = format!("secretplace MX 10 mailhost7.secretplace\nmailhost7.secretplace A {}\n", lab.address(2));
    let extra = format!("[forward]\ndomain = \"fwd.example.test\"\nunauthenticated = \"accept\"\n{extra}");
    let mut waypost = Waypost::configured(&lab, &extra);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let keys = waypost.keys("fwd.example.test");
    let dns = Dns::start(&lab, &(forwarding_zone(&lab) + &host + "_dmarc.lax TXT \"v=DMARC1; p=quarantine\"\n" + &keys));
    Script::answering(lab.address(2), MX_PORT, move |_, command| answer(command).or_else(|| obedient(command)));
    let hers = Sink::start(lab.address(3), MX_PORT);
    waypost.ok(&["alias", "add", "me@example.test", TARGET]);
    waypost.start();
    Scene { waypost, hers, _dns: dns, lab }
}

impl Scene {
    fn talk(&self) -> Talk {
        Talk::greeted(self.waypost.address, MX_PORT)
    }

    /// Writes to the alias; returns all replies.
    fn write(&self, from: &str, author: &str, rcpt: &str) -> String {
        let mut talk = self.talk();
        talk.say(&format!("MAIL FROM:<{from}>"));
        talk.say(&format!("RCPT TO:<me@example.test>{rcpt}"));
        if talk.say("DATA").starts_with('3') {
            talk.send(format!("From: {author}\r\nSubject: a letter\r\n\r\nbody\r\n").as_bytes());
            talk.say(".");
        }
        talk.say("QUIT");
        talk.received()
    }

    fn assert_silent(&self, what: &str, text: &str) {
        let (text, address) = (text.to_lowercase(), self.lab.address(2).to_string());
        for secret in SECRETS.into_iter().chain([address.as_str()]) {
            assert!(!text.contains(secret), "{what}: {secret} leaks:\n{text}");
        }
        // In any encoding.
        let encoded = it::base64(TARGET).to_lowercase();
        assert!(!text.contains(encoded.trim_end_matches('=')), "{what}: leaks in base64:\n{text}");
    }

    /// Waits for `count` DSNs, and requires that none names the target.
    fn assert_reports(&self, what: &str, count: usize) {
        wait_for(&format!("{count} reports: {what}"), || (self.hers.messages().len() >= count).then_some(()));
        for report in self.hers.messages() {
            assert_eq!(report.from, "<>");
            self.assert_silent(what, &report.text());
        }
        self.waypost.assert_no_bugs();
    }
}

/// Replies that name the host, the mailbox in several forms, and a marker.
fn talkative(code: &str) -> String {
    let text = "<Hidden.Person@SecretPlace.test>: unspeakable (hidden.person%secretplace.test) at mailhost7.secretplace.test";
    format!("{}-{} {text}\r\n{} {text}\r\n", &code[..3], &code[4..], code)
}

#[test]
fn no_reply_names_the_target() {
    for code in ["550 5.1.1", "450 4.2.0", "421 4.3.2"] {
        for at in ["EHLO", "MAIL", "RCPT", "DATA", "."] {
            for mode in ["cut-through", "queue"] {
                let scene = scene(&format!("mode = \"{mode}\"\n"), move |command| {
                    let says = command.starts_with(at) || (at == "EHLO" && command.starts_with("HELO"));
                    says.then(|| talkative(code))
                });
                let what = format!("{code} at {at}, {mode}");
                for from in ["her@foreign.test", "nobody@stranger.test", ""] {
                    let author = if from.is_empty() { "robot@stranger.test" } else { from };
                    scene.assert_silent(&what, &scene.write(from, author, ""));
                }
                scene.assert_reports(&what, 0);
            }
        }
    }
}

#[test]
fn no_dsn_names_the_target() {
    // A failure after queueing; a delay; a success at a target that supports DSN.
    let failing = scene("mode = \"queue\"\n", |command| (command == ".").then(|| talkative("554 5.7.1")));
    failing.assert_silent("failed", &failing.write("her@foreign.test", "her@foreign.test", " ORCPT=rfc822;me@example.test"));
    failing.assert_reports("failed", 1);
    let busy = "[retry]\nwaits_s = [1]\ndelay_dsn_after = \"1s\"\nlifetime = \"4s\"\n";
    let delaying = scene(busy, |command| command.starts_with("RCPT").then(|| talkative("450 4.2.0")));
    delaying.assert_silent("delayed", &delaying.write("her@foreign.test", "her@foreign.test", ""));
    // Delayed, then expired.
    delaying.assert_reports("delayed", 2);
    let with_dsn =
        |command: &str| command.starts_with("EHLO").then(|| "250-mailhost7.secretplace.test unspeakable\r\n250 DSN\r\n".to_owned());
    let taking = scene("", with_dsn);
    taking.assert_silent("relayed", &taking.write("her@foreign.test", "her@foreign.test", " NOTIFY=SUCCESS,DELAY,FAILURE"));
    taking.assert_reports("relayed", 1);
}

#[test]
fn an_unreachable_target_is_not_named() {
    // The target's host has no address, a closed port, or no DNS answer.
    for target in ["hidden.person@nowhere.secretplace.test", "hidden.person@secretplace.broken", "hidden.person@closed.secretplace.test"] {
        for mode in ["cut-through", "queue"] {
            let scene = scene(&format!("mode = \"{mode}\"\n[retry]\nwaits_s = [1]\nlifetime = \"2s\"\n"), |_| None);
            scene.waypost.ok(&["alias", "add", "me@example.test", target, "--replace"]);
            scene.assert_silent(target, &scene.write("nobody@stranger.test", "nobody@stranger.test", ""));
            let replies = scene.write("her@foreign.test", "her@foreign.test", "");
            scene.assert_silent(target, &replies);
            let is_taken = replies.contains("\r\n250 2.0.0 queued as ");
            scene.assert_reports(target, usize::from(is_taken));
        }
    }
}

#[test]
fn held_mail_and_vrfy_reveal_no_target() {
    let scene = scene("", |_| None);
    scene.assert_silent("held", &scene.write("her@foreign.test", "boss@lax.test", ""));
    scene.assert_silent("refused", &scene.write("her@foreign.test", "me@example.test", ""));
    let mut talk = scene.talk();
    for line in [
        "VRFY me@example.test",
        "VRFY me",
        "VRFY hidden.person",
        "EXPN me@example.test",
        "EXPN me",
        "HELP",
        "HELP me@example.test",
        "NOOP me@example.test",
        "RSET",
        "EHLO again.foreign.test",
        "MAIL FROM:<her@foreign.test> SIZE=1",
        "RCPT TO:<me@example.test> NOTIFY=SUCCESS",
        "RCPT TO:<me+tag@example.test>",
        "RCPT TO:<ME@EXAMPLE.TEST>",
        "RCPT TO:<postmaster>",
        "RCPT TO:<nobody@example.test>",
    ] {
        let reply = talk.say(line);
        // A reply may quote the client's own command.
        if !line.contains("hidden") {
            scene.assert_silent(line, &reply);
        }
    }
    let id = scene.waypost.json(&["held", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    scene.waypost.ok(&["held", "drop", &id, "--yes"]);
    scene.assert_reports("dropped", 0);
}
