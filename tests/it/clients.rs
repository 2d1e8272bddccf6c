//! Submission with common clients: swaks, curl, msmtp, Python's smtplib and nodemailer, on both ports.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use it::{Dns, Lab, MX_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT, Sink, Waypost};

/// The account of all clients, and a host for foreign.test.
struct Office {
    lab: Lab,
    waypost: Waypost,
    far: Sink,
    password: String,
    _dns: Dns,
}

/// One submission by a client.
#[derive(Clone, Copy)]
struct Letter<'a> {
    /// Implicit TLS on its port, or STARTTLS on the other.
    implicit: bool,
    password: &'a str,
    /// In the envelope.
    from: &'a str,
    /// In the From field.
    header: &'a str,
    subject: &'a str,
}

impl Letter<'_> {
    fn port(&self) -> u16 {
        if self.implicit { SUBMISSIONS_PORT } else { SUBMISSION_PORT }
    }

    /// Without Message-ID and Date.
    fn text(&self) -> String {
        format!("From: {}\nTo: you@foreign.test\nSubject: {}\n\n.a body\n", self.header, self.subject)
    }
}

const ME: &str = "me@example.test";

/// Whether the client reports success, and its output.
type Told = (bool, String);

impl Office {
    fn open() -> Self {
        let lab = Lab::new();
        let zone = format!("foreign MX 10 mx.foreign\nmx.foreign A {}\n", lab.address(2));
        let dns = Dns::start(&lab, &zone);
        let far = Sink::start(lab.address(2), MX_PORT);
        let waypost = Waypost::started(&lab, "foo@inbox.test", "");
        let password = waypost.account(ME);
        Self { lab, waypost, far, password, _dns: dns }
    }

    fn certificate(&self) -> PathBuf {
        self.lab.path().join("cert.pem")
    }

    fn host(&self) -> String {
        self.waypost.address.to_string()
    }

    /// What every client can do, and what is refused.
    fn judge(&self, client: &str, send: impl Fn(&Self, Letter<'_>) -> Told) {
        for implicit in [false, true] {
            let subject = format!("{client}-{}", if implicit { "implicit" } else { "starttls" });
            let good = Letter { implicit, password: &self.password, from: ME, header: ME, subject: &subject };
            let (sent, said) = send(self, good);
            assert!(sent, "{subject}: {said}");
            let arrived = self.far.wait_for(&format!("Subject: {subject}\r\n"));
            assert_eq!((arrived.from.as_str(), arrived.to.join(" ").as_str()), ("<me@example.test>", "<you@foreign.test>"));
            let fields = arrived.text().split("\r\n\r\n").next().unwrap_or_default().to_lowercase();
            for name in ["message-id:", "date:", "from:"] {
                let lines = fields.lines().filter(|line| line.starts_with(name)).count();
                assert_eq!(lines, 1, "{subject}: {name} in\n{fields}");
            }
            refused(&subject, send(self, Letter { password: "wrong", ..good }), "535 5.7.8");
            refused(&subject, send(self, Letter { from: "boss@example.test", ..good }), "553 5.7.1");
            refused(&subject, send(self, Letter { header: "boss@example.test", ..good }), "550 5.7.1");
        }
        assert_eq!(self.far.messages().len(), 2, "{client}: what was refused is not sent");
        self.waypost.assert_no_bugs();
    }
}

/// The client fails and shows the reply: Python shows the code separately.
fn refused(subject: &str, (sent, said): Told, want: &str) {
    assert!(!sent && want.split(' ').all(|part| said.contains(part)), "{subject}: wanted {want}, got {said}");
}

/// Runs a client; it reads `input`, if any.
fn run(program: &str, arguments: &[&str], input: Option<&Path>) -> Told {
    let stdin = input.map_or_else(Stdio::null, |path| File::open(path).unwrap().into());
    let output = Command::new(program).args(arguments).stdin(stdin).output();
    let output = output.unwrap_or_else(|e| panic!("{program} cannot be run (cargo xtask ci installs it): {e}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn swaks(office: &Office, letter: Letter<'_>, mechanism: &str) -> Told {
    let (port, host) = (letter.port().to_string(), office.host());
    let data = letter.text().replace('\n', "\\n");
    let tls = if letter.implicit { "--tlsc" } else { "--tls" };
    let arguments = [
        ["--server", &host],
        ["--port", &port],
        ["--auth", mechanism],
        ["--auth-user", ME],
        ["--auth-password", letter.password],
        ["--from", letter.from],
        ["--to", "you@foreign.test"],
        ["--data", &data],
        ["--timeout", "20"],
    ];
    run("swaks", &[arguments.as_flattened(), &[tls]].concat(), None)
}

#[test]
fn swaks_submits_with_plain() {
    Office::open().judge("swaks-plain", |office, letter| swaks(office, letter, "PLAIN"));
}

#[test]
fn swaks_submits_with_login() {
    Office::open().judge("swaks-login", |office, letter| swaks(office, letter, "LOGIN"));
}

#[test]
fn curl_submits() {
    Office::open().judge("curl", |office, letter| {
        let mail = office.lab.write("letter", &letter.text());
        let (scheme, port) = (if letter.implicit { "smtps" } else { "smtp" }, letter.port());
        let url = format!("{scheme}://mx.example.test:{port}");
        let resolve = format!("mx.example.test:{port}:{}", office.host());
        let user = format!("{ME}:{}", letter.password);
        let (mail, certificate) = (mail.display().to_string(), office.certificate().display().to_string());
        let arguments = [
            ["--url", &url],
            ["--resolve", &resolve],
            ["--cacert", &certificate],
            ["--user", &user],
            ["--mail-from", letter.from],
            ["--mail-rcpt", "you@foreign.test"],
            ["-T", &mail],
            ["--max-time", "20"],
        ];
        run("curl", &[&["--ssl-reqd", "--crlf", "-v"], arguments.as_flattened()].concat(), None)
    });
}

#[test]
fn msmtp_submits() {
    Office::open().judge("msmtp", |office, letter| {
        let mail = office.lab.write("letter", &letter.text());
        let account = format!(
            "account default\nhost {}\nport {}\ntls on\ntls_starttls {}\ntls_trust_file {}\ntls_host_override mx.example.test\n\
             auth plain\nuser {ME}\npassword {}\nset_date_header off\n",
            office.host(),
            letter.port(),
            if letter.implicit { "off" } else { "on" },
            office.certificate().display(),
            letter.password
        );
        let account = office.lab.write("msmtprc", &account);
        std::fs::set_permissions(&account, Permissions::from_mode(0o600)).unwrap();
        run("msmtp", &["-C", &account.display().to_string(), "-f", letter.from, "you@foreign.test"], Some(&mail))
    });
}

/// The connection `s` for either port, with the certificate verified.
const PYTHON: &str = "
import smtplib, ssl, sys
from email.message import EmailMessage
host, port, implicit, ca, user, password, sender, header, to, subject = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
if implicit == 'true':
    s = smtplib.SMTP_SSL(host, int(port), timeout=20, context=context)
else:
    s = smtplib.SMTP(host, int(port), timeout=20)
    s.starttls(context=context)
s.login(user, password)
m = EmailMessage()
m['From'], m['To'], m['Subject'] = header, to, subject
m.set_content('from Python')
s.send_message(m, sender, [to])
s.quit()
";

fn python(office: &Office, letter: Letter<'_>, to: &str) -> Told {
    let (port, implicit, ca) = (letter.port().to_string(), letter.implicit.to_string(), office.certificate().display().to_string());
    let host = office.host();
    let arguments = ["-c", PYTHON, &host, &port, &implicit, &ca, ME, letter.password, letter.from, letter.header, to, letter.subject];
    run("python3", &arguments, None)
}

#[test]
fn python_submits() {
    Office::open().judge("python", |office, letter| python(office, letter, "you@foreign.test"));
}

#[test]
fn python_submits_to_a_smtputf8_address() {
    let office = Office::open();
    for implicit in [false, true] {
        let subject = format!("utf8-{implicit}");
        let letter = Letter { implicit, password: &office.password, from: ME, header: ME, subject: &subject };
        let (sent, said) = python(&office, letter, "jürgen@foreign.test");
        assert!(sent, "{said}");
        let arrived = office.far.wait_for(&format!("Subject: {subject}\r\n"));
        assert_eq!((arrived.to.join(" ").as_str(), arrived.smtputf8), ("<jürgen@foreign.test>", true));
        assert!(arrived.text().contains("To: jürgen@foreign.test\r\n"), "{}", arrived.text());
    }
    office.waypost.assert_no_bugs();
}

/// As in many scripts: the octets of a message, with the line ends of this system.
const PYTHON_OCTETS: &str = "
import smtplib, ssl, sys
host, port, ca, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
s = smtplib.SMTP_SSL(host, int(port), timeout=20, context=context)
s.login(user, password)
s.sendmail(user, ['you@foreign.test'], b'From: me@example.test\\nTo: you@foreign.test\\nSubject: octets\\n\\n.dot\\nlast\\n')
s.quit()
";

#[test]
fn bare_lf_is_repaired_for_accounts() {
    let office = Office::open();
    let (port, ca, host) = (SUBMISSIONS_PORT.to_string(), office.certificate().display().to_string(), office.host());
    let (sent, said) = run("python3", &["-c", PYTHON_OCTETS, &host, &port, &ca, ME, &office.password], None);
    assert!(sent, "{said}");
    let arrived = office.far.wait_for("Subject: octets\r\n");
    assert!(arrived.text().ends_with("\r\n\r\n.dot\r\nlast\r\n\r\n"), "{:?}", arrived.text());
    let mail = office.lab.write("letter", "From: me@example.test\nTo: you@foreign.test\nSubject: a file\n\nfirst\nlast\n");
    let (url, user, mail) = (format!("smtps://mx.example.test:{port}"), format!("{ME}:{}", office.password), mail.display().to_string());
    let resolve = format!("mx.example.test:{port}:{host}");
    let arguments =
        ["--url", &url, "--resolve", &resolve, "--cacert", &ca, "--user", &user, "--mail-from", ME, "--mail-rcpt", "you@foreign.test"];
    let (sent, said) = run("curl", &[&arguments[..], &["-T", &mail, "--max-time", "20", "-v"]].concat(), None);
    assert!(sent, "{said}");
    let arrived = office.far.wait_for("Subject: a file\r\n");
    assert!(arrived.text().contains("\r\n\r\nfirst\r\nlast\r\n"), "{:?}", arrived.text());
    office.waypost.assert_no_bugs();
}

#[test]
fn mutt_submits_with_only_an_smtp_url() {
    let office = Office::open();
    for implicit in [false, true] {
        let (scheme, port) = if implicit { ("smtps", SUBMISSIONS_PORT) } else { ("smtp", SUBMISSION_PORT) };
        let rc = format!(
            "set smtp_url=\"{scheme}://me%40example.test:{}@{}:{port}/\"\nset from=\"Me <{ME}>\"\nset use_from=yes\nset copy=no\n\
             set ssl_force_tls=yes\nset certificate_file=\"{}\"\nset ssl_verify_host=no\nset ssl_verify_dates=no\n",
            office.password,
            office.host(),
            office.certificate().display()
        );
        let rc = office.lab.write("muttrc", &rc);
        let body = office.lab.write("body", "by mutt\n");
        let mut command = Command::new("timeout");
        command.env("HOME", office.lab.path()).arg("20").arg("mutt").arg("-n").arg("-F").arg(rc);
        command.args(["-s", scheme, "-b", "hidden@foreign.test", "--", "you@foreign.test"]).stdin(File::open(body).unwrap());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}\n{}", office.waypost.log());
        let arrived = office.far.wait_for(&format!("Subject: {scheme}\r\n"));
        assert_eq!(arrived.to.join(" "), "<you@foreign.test> <hidden@foreign.test>");
        assert!(!arrived.text().contains("hidden@"), "{}", arrived.text());
    }
    office.waypost.assert_no_bugs();
}

#[test]
fn nodemailer_submits() {
    let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    if !node.join("node_modules/nodemailer").exists() {
        let place = node.display().to_string();
        let (done, said) = run("npm", &["install", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", &place], None);
        assert!(done, "npm install: {said}");
    }
    let script = node.join("send.js").display().to_string();
    Office::open().judge("nodemailer", |office, letter| {
        let (port, ca, host) = (letter.port().to_string(), office.certificate().display().to_string(), office.host());
        let tls = if letter.implicit { "implicit" } else { "starttls" };
        let arguments = [&script, &port, tls, &ca, &host, letter.password, letter.from, letter.header, letter.subject];
        run("node", &arguments, None)
    });
}

#[test]
fn the_remedy_in_a_refusal_works() {
    let office = Office::open();
    office.waypost.ok(&["account", "senders", ME, "info@example.test"]);
    let letter = Letter { implicit: true, password: &office.password, from: "boss@example.test", header: ME, subject: "hint" };
    let (_, said) = python(&office, letter, "you@foreign.test");
    let hint = said.split("waypost account senders ").nth(1).unwrap_or_else(|| panic!("no hint in {said}"));
    let words: Vec<&str> = hint.split(|c: char| c.is_whitespace() || "'\",)".contains(c)).take(3).collect();
    office.waypost.ok(&[&["account", "senders"], words.as_slice()].concat());
    assert!(python(&office, letter, "you@foreign.test").0, "{words:?}");
    let kept = office.waypost.json(&["account", "list"]);
    assert_eq!(kept[0]["may_send_as"], serde_json::json!(["info@example.test", "boss@example.test"]));
}
