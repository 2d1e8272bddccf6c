//! Every SASL mechanism with other clients: gsasl, Cyrus's library in Postfix, curl; with and without an initial response.

use std::process::{Command, Stdio};

use it::{Dns, Lab, MX_PORT, Postfix, SUBMISSION_PORT, Sink, Waypost, run, run_ok, wait_for};

const ME: &str = "me@example.test";

/// The mechanisms of both gsasl and our server.
const BY_GSASL: [&str; 9] =
    ["PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "CRAM-MD5", "DIGEST-MD5", "NTLM"];

/// The mechanisms of both Cyrus's library and our server.
const BY_CYRUS: [&str; 7] = ["PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "CRAM-MD5", "DIGEST-MD5", "NTLM"];

/// The port for client certificates.
const CERTIFICATE_PORT: u16 = 2466;

struct Office {
    lab: Lab,
    waypost: Waypost,
    far: Sink,
    _dns: Dns,
}

fn office(extra: &str) -> Office {
    let lab = Lab::new();
    let dns = Dns::start(&lab, &format!("foreign MX 10 mx.foreign\nmx.foreign A {}\n", lab.address(2)));
    let far = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(&lab, "foo@inbox.test", extra);
    Office { lab, waypost, far, _dns: dns }
}

/// An account that allows all mechanisms; its password.
fn allowing_all(waypost: &Waypost) -> String {
    let password = waypost.account(ME);
    waypost.ok(&["account", "legacy", ME, "CRAM-MD5", "DIGEST-MD5", "NTLM"]);
    // The older mechanisms work after the first login with the new setting.
    waypost.logged_in(ME, &password);
    password
}

/// Logs in with gsasl; true if it succeeded.
fn gsasl(office: &Office, mechanism: &str, user: &str, password: &str, more: &[&str]) -> (bool, String) {
    let connect = format!("--connect={}:{SUBMISSION_PORT}", office.waypost.address);
    let mut arguments = vec!["--smtp", "--starttls", "--verbose", "--quality-of-protection=qop-auth"];
    // It connects by address, so it cannot verify the certificate.
    arguments.extend([
        connect.as_str(),
        "--x509-ca-file=",
        "--hostname=mx.example.test",
        "--realm=mx.example.test",
        "-m",
        mechanism,
        "-a",
        user,
        "-p",
        password,
    ]);
    // It asks for an authzid, and sends an empty one in SCRAM, which RFC 5802 does not allow.
    if !mechanism.starts_with("SCRAM") {
        arguments.extend(["-z", ""]);
    }
    arguments.extend(more);
    let output = Command::new("timeout").arg("20").arg("gsasl").args(&arguments).stdin(Stdio::null()).output().expect("gsasl runs");
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (said.contains("235 2.7.0"), said)
}

#[test]
fn gsasl_logs_in_with_every_mechanism() {
    let office = office("[submission]\nchannel_binding = true\n");
    let password = allowing_all(&office.waypost);
    for mechanism in BY_GSASL {
        let more: &[&str] = if mechanism.starts_with("SCRAM") && !mechanism.ends_with("PLUS") { &["--no-cb"] } else { &[] };
        for first in [&[][..], &["--no-client-first"]] {
            let more = [more, first].concat();
            let (is_in, said) = gsasl(&office, mechanism, ME, &password, &more);
            assert!(is_in, "{mechanism} {more:?}: {said}\n{}", office.waypost.log());
            let (is_in, said) = gsasl(&office, mechanism, ME, "wrong", &more);
            assert!(!is_in && said.contains("535 5.7.8"), "{mechanism} {more:?}: {said}");
            let (is_in, said) = gsasl(&office, mechanism, "nobody@example.test", &password, &more);
            assert!(!is_in && said.contains("535 5.7.8"), "{mechanism} {more:?}: {said}");
        }
        office.waypost.wait_for_line(&["logged in", &format!("mechanism=\"{mechanism}\"")]);
    }
    office.waypost.assert_no_bugs();
}

#[test]
fn login_names_ignore_case_and_surrounding_space() {
    let office = office("");
    let password = allowing_all(&office.waypost);
    for mechanism in ["PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5"] {
        for user in ["Me@Example.TEST", " me@example.test "] {
            let (is_in, said) = gsasl(&office, mechanism, user, &password, &["--no-cb"]);
            assert!(is_in, "{mechanism} {user:?}: {said}");
        }
    }
}

#[test]
fn each_password_works_with_each_mechanism() {
    let office = office("");
    let first = office.waypost.account(ME);
    office.waypost.ok(&["account", "legacy", ME, "CRAM-MD5"]);
    let phone = office.waypost.json(&["account", "passwd", ME, "--name", "phone"])["password"].as_str().unwrap().to_owned();
    office.waypost.logged_in(ME, &first);
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "CRAM-MD5"] {
        for password in [&first, &phone] {
            let (is_in, said) = gsasl(&office, mechanism, ME, password, &["--no-cb"]);
            assert!(is_in, "{mechanism}: {said}");
        }
    }
    let shown = wait_for("uses of both passwords", || {
        let shown = office.waypost.json(&["account", "show", ME]);
        let uses = |n: usize| shown["credentials"][n]["uses"].as_array().is_some_and(|uses| !uses.is_empty());
        (uses(0) && uses(1)).then_some(shown)
    });
    assert_eq!((shown["credentials"][0]["name"].as_str(), shown["credentials"][1]["name"].as_str()), (Some("first"), Some("phone")));
    assert!(office.waypost.ok(&["account", "show", ME]).contains("CRAM-MD5"));
    office.waypost.ok(&["account", "passwd", ME, "--name", "phone", "--remove"]);
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "CRAM-MD5"] {
        assert!(!gsasl(&office, mechanism, ME, &phone, &["--no-cb"]).0, "{mechanism}");
        assert!(gsasl(&office, mechanism, ME, &first, &["--no-cb"]).0, "{mechanism}");
    }
}

#[test]
fn cyrus_logs_in_with_every_mechanism_it_supports() {
    let office = office("");
    let password = allowing_all(&office.waypost);
    let us = format!("[{}]:{SUBMISSION_PORT}", office.waypost.address);
    for (n, mechanism) in (0u8..).zip(BY_CYRUS) {
        let main = format!(
            "relayhost = {us}\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_security_options = noanonymous\nsmtp_tls_security_level = encrypt\n\
             smtp_sasl_mechanism_filter = {}\nsmtp_sasl_password_maps = inline:{{ {{{us} = {ME}:{password}}} }}\n",
            mechanism.to_lowercase()
        );
        let postfix = Postfix::start(&office.lab, 10 + n, "app.test", &[], &main, "");
        let subject = format!("Subject: by {mechanism}\r\n");
        postfix.sendmail(ME, &["you@foreign.test"], format!("From: {ME}\nSubject: by {mechanism}\n\nx\n").as_bytes());
        let arrived = wait_for(&format!("mail by {mechanism}: {}", postfix.log()), || {
            office.far.messages().into_iter().find(|m| m.text().contains(&subject))
        });
        assert_eq!(arrived.from, "<me@example.test>");
        office.waypost.wait_for_line(&["logged in", &format!("mechanism=\"{mechanism}\"")]);
    }
    office.waypost.assert_no_bugs();
}

#[test]
fn an_account_of_cyrus_is_imported_and_logs_in() {
    let office = office("");
    let file = office.lab.path().join("sasldb2");
    let made = format!("printf 'tanstaaf7' | saslpasswd2 -p -c -f {} -u example.test me", file.display());
    run_ok("sh", &["-c", &made]);
    let file = file.display().to_string();
    let dry = office.waypost.ok(&["account", "import", "sasldb2", &file, "--dry-run"]);
    assert!(dry.contains("1 account would be imported") && office.waypost.json(&["account", "list"]) == serde_json::json!([]), "{dry}");
    office.waypost.ok(&["account", "import", "sasldb2", &file, "--legacy", "CRAM-MD5"]);
    for mechanism in ["PLAIN", "CRAM-MD5", "SCRAM-SHA-256"] {
        let (is_in, said) = gsasl(&office, mechanism, ME, "tanstaaf7", &["--no-cb"]);
        assert!(is_in, "{mechanism}: {said}");
    }
    let again = office.waypost.ok(&["account", "import", "sasldb2", &file]);
    assert!(again.contains("already exists"), "{again}");
}

#[test]
fn imported_hashes_are_rehashed_at_the_first_login() {
    let office = office("");
    let hashes = [
        ("sha512", run_ok("openssl", &["passwd", "-6", "tanstaaf7"])),
        ("sha256", run_ok("openssl", &["passwd", "-5", "tanstaaf7"])),
        ("yescrypt", run_ok("mkpasswd", &["-m", "yescrypt", "tanstaaf7"])),
        ("bcrypt", run_ok("mkpasswd", &["-m", "bcrypt", "-R", "6", "tanstaaf7"])),
        ("dovecot", format!("{{BLF-CRYPT}}{}", run_ok("mkpasswd", &["-m", "bcrypt", "-R", "5", "tanstaaf7"]))),
    ];
    let lines: String = hashes.iter().map(|(user, hash)| format!("{user}:{}:19000:0\n", hash.trim())).collect();
    let file = office.lab.write("users", &format!("{lines}locked:!:19000:0\n")).display().to_string();
    let imported = office.waypost.json(&["account", "import", "passwd", &file, "--domain", "example.test"]);
    assert_eq!(imported["imported"].as_array().unwrap().len(), 5, "{imported}");
    let offered = |expected: bool| {
        let mut talk = it::Talk::greeted(office.waypost.address, SUBMISSION_PORT);
        talk.start_tls(&office.waypost.certificate());
        assert_eq!(talk.expect("EHLO client.foreign.test", "250").contains("SCRAM"), expected);
    };
    // A client that picks the best mechanism would fail with a password that has no SCRAM keys yet.
    offered(false);
    for (user, _) in &hashes {
        let login = format!("{user}@example.test");
        assert!(!gsasl(&office, "PLAIN", &login, "wrong", &[]).0);
        let (is_in, said) = gsasl(&office, "PLAIN", &login, "tanstaaf7", &[]);
        assert!(is_in, "{user}: {said}");
    }
    offered(true);
    for (user, _) in &hashes {
        let (is_in, said) = gsasl(&office, "SCRAM-SHA-256", &format!("{user}@example.test"), "tanstaaf7", &["--no-cb"]);
        assert!(is_in, "{user}: {said}");
    }
}

#[test]
fn a_client_certificate_logs_in_on_its_own_port() {
    let lab = Lab::new();
    let port = format!("{}:{CERTIFICATE_PORT}", lab.address(1));
    let dns = Dns::start(&lab, &format!("foreign MX 10 mx.foreign\nmx.foreign A {}\n", lab.address(2)));
    let far = Sink::start(lab.address(2), MX_PORT);
    let mut waypost = Waypost::configured(&lab, "");
    waypost.configure(|config| config.set("listen.submissions_by_certificate", vec![port]));
    waypost.start_hosting("foo@inbox.test");
    waypost.account(ME);
    let [certificate, key, stranger] = ["client.pem", "client.key", "stranger.pem"].map(|name| lab.path().join(name).display().to_string());
    for (certificate, key) in [(&certificate, &key), (&stranger, &format!("{stranger}.key"))] {
        let make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=printer", "-days", "2"];
        run_ok("openssl", &[&make[..], &["-keyout", key, "-out", certificate]].concat());
    }
    waypost.ok(&["account", "certificate", "add", ME, &certificate, "--name", "printer"]);
    let letter = lab.write("letter", &format!("From: {ME}\r\nSubject: by certificate\r\n\r\nx\r\n")).display().to_string();
    let curl = |certificate: &str, key: &str, user: &str| {
        let ca = waypost.certificate().display().to_string();
        let url = format!("smtps://mx.example.test:{CERTIFICATE_PORT}");
        let resolve = format!("mx.example.test:{CERTIFICATE_PORT}:{}", waypost.address);
        let mut arguments =
            vec!["-v", "--max-time", "20", "--url", &url, "--resolve", &resolve, "--cacert", &ca, "--login-options", "AUTH=EXTERNAL"];
        arguments.extend(["--user", user, "--mail-from", ME, "--mail-rcpt", "you@foreign.test", "-T", &letter]);
        if !certificate.is_empty() {
            arguments.extend(["--cert", certificate, "--key", key]);
        }
        let output = run("curl", &arguments);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for user in ["me@example.test:", ":"] {
        let (sent, said) = curl(&certificate, &key, user);
        assert!(sent, "{user}: {said}");
    }
    far.wait_for("Subject: by certificate\r\n");
    assert!(!curl(&stranger, &format!("{stranger}.key"), "me@example.test:").0, "another certificate");
    assert!(!curl("", "", "me@example.test:").0, "no certificate");
    assert!(!curl(&certificate, &key, "you@example.test:").0, "another account");
    waypost.ok(&["account", "certificate", "remove", ME, "printer"]);
    assert!(!curl(&certificate, &key, "me@example.test:").0, "taken away");
    waypost.assert_no_bugs();
    drop(dns);
}

/// An RFC 7662 introspection endpoint: one token is valid, for authenticated requests only.
const INTROSPECTION: &str = r#"
import base64, http.server, json, sys, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        if self.headers["authorization"] != "Basic " + base64.b64encode(b"waypost:s3cret-of-ours").decode():
            return self.send_error(401)
        token = form["token"][0]
        answer = {"active": token == "good+token/=", "username": "Me@example.test", "email": "odd"}
        if token == "broken": answer = []
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.HTTPServer((sys.argv[1], 8088), Handler).serve_forever()
"#;

#[test]
fn an_access_token_logs_in() {
    let lab = Lab::new();
    let secret = lab.write("secret", "s3cret-of-ours\n");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let endpoint = lab.address(9);
    let mut python = Command::new("python3");
    let _server = it::Process::start(python.args(["-c", INTROSPECTION, &endpoint.to_string()]).stdout(Stdio::null()));
    wait_for("the endpoint", || std::net::TcpStream::connect((endpoint, 8088)).ok());
    let _dns = Dns::start(&lab, &format!("foreign MX 10 mx.foreign\nmx.foreign A {}\n", lab.address(2)));
    let far = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(
        &lab,
        "foo@inbox.test",
        &format!(
            "[oauth]\nintrospection_url = \"http://{endpoint}:8088/introspect\"\nclient_id = \"waypost\"\nclient_secret_file = \"secret\"\n"
        ),
    );
    waypost.account(ME);
    let letter = lab.write("letter", &format!("From: {ME}\r\nSubject: by token\r\n\r\nx\r\n")).display().to_string();
    let curl = |mechanism: &str, user: &str, token: &str, more: &[&str]| {
        let ca = waypost.certificate().display().to_string();
        let url = format!("smtp://mx.example.test:{SUBMISSION_PORT}");
        let resolve = format!("mx.example.test:{SUBMISSION_PORT}:{}", waypost.address);
        let options = format!("AUTH={mechanism}");
        let mut arguments = vec!["-v", "--max-time", "20", "--ssl-reqd", "--url", &url, "--resolve", &resolve, "--cacert", &ca];
        arguments.extend(["--login-options", &options, "--oauth2-bearer", token, "--user", user]);
        arguments.extend(["--mail-from", ME, "--mail-rcpt", "you@foreign.test", "-T", &letter]);
        arguments.extend(more);
        let output = run("curl", &arguments);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for mechanism in ["OAUTHBEARER", "XOAUTH2"] {
        for more in [&[][..], &["--sasl-ir"]] {
            let (sent, said) = curl(mechanism, "me@example.test:", "good+token/=", more);
            assert!(sent, "{mechanism}: {said}\n{}", waypost.log());
            for (user, token) in [("me@example.test:", "bad"), ("you@example.test:", "good+token/="), ("me@example.test:", "broken")] {
                let (sent, said) = curl(mechanism, user, token, more);
                assert!(!sent && said.contains("535 5.7.8"), "{mechanism} {user} {token}: {said}");
            }
        }
    }
    far.wait_for("Subject: by token\r\n");
    assert!(!waypost.log().contains("good+token"), "a token is never logged");
    waypost.assert_no_bugs();
}
