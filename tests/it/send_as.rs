//! Gmail's "Send mail as": the check of our ports, logins as Gmail makes them, and Gmail's confirmation mail.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use it::{Dns, Lab, MX_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT, Script, Sink, Talk, Waypost, base64, binary, txt, wait_for, zone};
use msgauth::{Algorithm, KeyPair, Signer, record};
use serde_json::Value;

const ME: &str = "me@example.test";
const TRUSTED: &str = "[tls]\nextra_authorities = \"cert.pem\"\n";

struct Office {
    lab: Lab,
    waypost: Waypost,
    password: String,
    inbox: Sink,
    google: Signer,
    _dns: Dns,
}

impl Office {
    fn with(extra: &str, certificate_of: &str) -> Self {
        let lab = Lab::new();
        let mut waypost = Waypost::configured(&lab, extra);
        let (certificate, key) = net::self_signed(&[certificate_of.into()]).unwrap();
        lab.write("cert.pem", &certificate);
        lab.write("key.pem", &key);
        let pair = KeyPair::generate(Algorithm::Rsa).unwrap();
        let google = Signer::new(Algorithm::Rsa, &pair.private, "google.com", "s1").unwrap();
        let key = txt("s1._domainkey.google.com.", &record(Algorithm::Rsa, &pair.public));
        let dns = Dns::with_zone(&lab, &zone(&lab), "com", &key);
        let inbox = Sink::start(lab.address(2), MX_PORT);
        waypost.start_hosting("foo@inbox.test");
        let password = waypost.account(ME);
        Self { lab, waypost, password, inbox, google, _dns: dns }
    }

    fn open() -> Self {
        Self::with(TRUSTED, "mx.example.test")
    }

    /// The findings of the check, and whether it passes.
    fn tried(&self, more: &[&str]) -> (bool, Value) {
        let output = self.waypost.command(&[&["--json", "sendas", ME], more].concat());
        let found: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(output.status.success(), found["ok"] == true);
        (output.status.success(), found)
    }

    /// The failed finding, with Gmail's message and the remedy.
    fn complaint(&self, more: &[&str]) -> String {
        let (ok, found) = self.tried(more);
        assert!(!ok, "{found}");
        let bad: Vec<&Value> = found["probes"].as_array().unwrap().iter().filter(|probe| probe["ok"] == false).collect();
        format!("{bad:?}")
    }

    /// Sends a message as Google's servers do.
    fn google_sends(&self, message: &str, is_signed: bool) {
        let field = if is_signed { self.google.sign(&[message.as_bytes()]).unwrap() } else { String::new() };
        let mut talk = Talk::greeted(self.waypost.address, MX_PORT);
        talk.taken("x@bounces.google.com", ME, &(field + message));
        self.inbox.wait_for("Confirmation code");
    }
}

fn gmail(code: &str) -> String {
    format!(
        "From: Gmail Team <gmail-noreply@google.com>\r\nTo: {ME}\r\nDate: Tue, 24 Nov 2026 09:00:00 +0000\r\nMessage-ID: <{code}@mail.gmail.com>\r\n\
         Subject: Gmail Confirmation - Send Mail as {ME}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n\
         foo@inbox.test has requested to send mail as {ME}.\r\nConfirmation code: {code}\r\n\r\n\
         https://mail-settings.google.com/mail/vf-%5BANGjdJ8{code}%5D-xyz\r\n\r\nIf not, https://mail-settings.google.com/mail/uf-%5BANGjdJ9%5D-xyz\r\n"
    )
}

#[test]
fn sendas_check_passes() {
    let office = Office::open();
    let (ok, found) = office.tried(&["--new-password"]);
    assert!(ok, "{found}");
    let form = &found["form"];
    assert_eq!((form["smtp_server"].as_str(), form["port"].as_u64()), (Some("mx.example.test"), Some(u64::from(SUBMISSION_PORT))));
    assert_eq!((form["user_name"].as_str(), form["secured_connection"].as_str()), (Some(ME), Some("TLS")));
    let probes = found["probes"].as_array().unwrap();
    for port in [SUBMISSION_PORT, SUBMISSIONS_PORT] {
        let at = format!("{}:{port}", office.waypost.address);
        for what in ["TLS 1.2", "TLS 1.3", "AUTH under TLS", "AUTH PLAIN", "AUTH LOGIN", "login"] {
            assert!(probes.iter().any(|probe| probe["at"] == at.as_str() && probe["what"] == what), "{at} {what}: {found}");
        }
    }
    // The password is for Gmail only, and works.
    office.waypost.logged_in(ME, form["password"].as_str().unwrap());
    assert!(office.waypost.ok(&["account", "show", ME]).contains("gmail"));
    let text = office.waypost.ok(&["sendas", ME]);
    for line in [
        "SMTP Server         mx.example.test",
        "Port                2587, Secured connection using TLS",
        "Username            me@example.test",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let without = office.tried(&[]).1.to_string();
    assert!(without.contains("AUTH PLAIN with response") && !without.contains("\"password\""), "{without}");
    office.waypost.assert_no_bugs();
}

#[test]
fn certificate_errors_are_explained_in_gmails_words() {
    let reported = "the certificate doesn't match the host., code: 550";
    let named = Office::with(TRUSTED, "mail.example.test").complaint(&[]);
    assert!(
        named.contains("the certificate is not for this name") && named.contains(reported) && named.contains("waypost cert"),
        "{named}"
    );
    let unknown = Office::with("", "mx.example.test").complaint(&[]);
    assert!(unknown.contains("this machine does not trust the certificate's issuer") && unknown.contains(reported), "{unknown}");
}

#[test]
fn closed_ports_and_missing_tls_are_reported() {
    let office = Office::open();
    let closed = office.complaint(&["--address", &office.lab.address(9).to_string()]);
    assert!(closed.contains("Couldn't reach server") && closed.contains("refused"), "{closed}");
    let plain = office.lab.address(7);
    let _server = Script::start(plain, SUBMISSION_PORT, |mut stream| {
        use std::io::Write;
        let _ = stream.write_all(b"220 plain ESMTP\r\n");
        for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
            let reply: &[u8] = if line.starts_with("EHLO") { b"250-plain\r\n250 AUTH PLAIN\r\n" } else { b"502 5.5.1 no\r\n" };
            let _ = stream.write_all(reply);
        }
    });
    let text = office.complaint(&["--address", &plain.to_string()]);
    assert!(text.contains("STARTTLS not supported and the user requires enforcement., code: 500"), "{text}");
    office.waypost.ok(&["alias", "remove", ME]);
    let nowhere = office.complaint(&[]);
    assert!(nowhere.contains("goes nowhere") && nowhere.contains("waypost alias add me@example.test"), "{nowhere}");
    let other = office.waypost.refused(&["sendas", "info@example.test"]);
    assert!(other.contains("waypost account add info@example.test"), "{other}");
    let sender = office.waypost.command(&["sendas", "info@example.test", "--login", ME]);
    assert!(String::from_utf8_lossy(&sender.stdout).contains("waypost account senders me@example.test --add info@example.test"));
}

#[test]
fn a_wrong_password_is_reported() {
    let office = Office::open();
    let mut command = Command::new(binary());
    command
        .arg("--config")
        .arg(&office.waypost.config)
        .args(["sendas", ME, "--password-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"wrong\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && text.contains("code: 535") && text.contains("535 5.7.8"), "{text}");
}

#[test]
fn other_clients_log_in() {
    let office = Office::open();
    let under_tls = || {
        let mut talk = Talk::greeted(office.waypost.address, SUBMISSION_PORT);
        talk.start_tls(&office.waypost.certificate());
        talk
    };
    let plain = |name: &str| format!("AUTH PLAIN {}", base64(&format!("\0{name}\0{}", office.password)));
    // AUTH without a new EHLO after STARTTLS.
    let mut talk = under_tls();
    talk.expect(&plain(ME), "503");
    talk.expect("EHLO client.foreign.test", "250");
    talk.expect(&plain(ME), "235");
    // Another case, and white space from a form.
    for name in ["ME@Example.TEST", " me@example.test ", "me@example.test\t"] {
        let mut talk = under_tls();
        talk.expect("EHLO client.foreign.test", "250");
        talk.expect(&plain(name), "235");
    }
    // A client that knows LOGIN only.
    let mut talk = under_tls();
    talk.expect("EHLO client.foreign.test", "250");
    talk.expect("AUTH LOGIN", "334");
    talk.expect(&base64(ME), "334");
    talk.expect(&base64(&office.password), "235");
    // A client with a certificate, which it would present.
    let certificate = office.waypost.certificate().display().to_string();
    let key = certificate.replace("cert.pem", "key.pem");
    let connect = format!("{}:{SUBMISSIONS_PORT}", office.waypost.address);
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-connect", &connect, "-servername", "mx.example.test", "-cert", &certificate, "-key", &key]);
    let mut openssl = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut sent = openssl.stdin.take().unwrap();
    let mut heard = BufReader::new(openssl.stdout.take().unwrap()).lines().map_while(Result::ok);
    // Each line is sent once the reply before has ended.
    for (line, reply) in [("", "220 "), ("EHLO x", "250 "), (&plain(ME), "235 2.7.0 "), ("QUIT", "221 ")] {
        if !line.is_empty() {
            sent.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        }
        assert!(heard.any(|heard| heard.starts_with(reply)), "{line}: no {reply}");
    }
    openssl.wait().unwrap();
}

#[test]
fn gmails_code_is_shown_but_not_a_forged_one() {
    let office = Office::open();
    office.google_sends(&gmail("111222333"), false);
    let (_, none) = office.tried(&[]);
    assert!(none.get("confirmation").is_none(), "{none}");
    office.google_sends(&gmail("111222333").replace("/vf-", "/uf-"), true);
    assert!(office.tried(&[]).1.get("confirmation").is_none());

    let mut command = Command::new(binary());
    command.arg("--config").arg(&office.waypost.config).args(["sendas", ME, "--wait", "60"]);
    let mut waiting = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Only a later login counts.
    let mut said = BufReader::new(waiting.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("waiting at most")), "the command ended");
    office.google_sends(&gmail("987654321"), true);
    let arrived = office.inbox.wait_for("Confirmation code: 987654321");
    assert!(arrived.text().contains("dkim=pass") && arrived.to == ["<foo@inbox.test>"], "{}", arrived.text());
    office.waypost.logged_in(ME, &office.password);
    let output = waiting.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let link = "https://mail-settings.google.com/mail/vf-%5BANGjdJ8987654321%5D-xyz";
    assert!(output.status.success() && text.contains("Code  987654321") && text.contains(link), "{text}");
    assert!(text.contains("logged in from 127.") && !text.contains("/uf-"), "{text}");
    let (_, kept) = office.tried(&[]);
    assert_eq!((kept["confirmation"]["code"].as_str(), kept["confirmation"]["link"].as_str()), (Some("987654321"), Some(link)));
    wait_for("an empty queue", || (office.waypost.queued() == 0).then_some(()));
    office.waypost.assert_no_bugs();
}
