//! The server's TLS from outside: testssl.sh, and the separation of services.
//!
//! RFC 8446, RFC 7301, RFC 8314.

use std::io::Write;
use std::process::{Command, Stdio};

use it::{Dns, HTTPS_PORT, Lab, SUBMISSION_PORT, SUBMISSIONS_PORT, Talk, Waypost, run_ok};
use serde_json::Value;

/// Findings of testssl.sh about the lab's certificate, not about the server: no public trust, another lifetime than a public authority's, and neither
/// revocation nor CAA nor transparency.
const ABOUT_THE_CERTIFICATE: [&str; 8] = [
    "cert_chain_of_trust",
    "cert_trust",
    "cert_crlDistributionPoints",
    "cert_ocspURL",
    "cert_revocation",
    "OCSP_stapling",
    "DNS_CAArecord",
    "cert_extlifeSpan",
];

fn started(lab: &Lab) -> Waypost {
    let now_s = net::Clock::system().now_s();
    let authority = net::Authority::new("lab", now_s).unwrap();
    let issued = authority.issue(&["mx.example.test".into()], 90, now_s).unwrap();
    let mut waypost = Waypost::configured(lab, "[acme]\nenabled = false\n");
    lab.write("cert.pem", &issued.chain);
    lab.write("key.pem", &issued.key);
    waypost.start_hosting("me@inbox.test");
    waypost
}

/// The findings of MEDIUM and worse, without those about the certificate.
fn findings(lab: &Lab, name: &str, arguments: &[&str]) -> Vec<String> {
    let json = lab.path().join(format!("{name}.json"));
    let mut command = Command::new("testssl");
    command.args(["--quiet", "--color", "0", "--warnings", "off", "--severity", "MEDIUM", "--jsonfile"]).arg(&json);
    // On a busy machine one of its connections sometimes hangs; it continues with the next.
    command.args(["--connect-timeout", "20", "--openssl-timeout", "20"]);
    // Protocols, cipher groups, forward secrecy, server preferences; and the vulnerabilities that depend on the server's configuration.
    command.args(["-p", "-s", "-f", "-P", "-S", "-H", "-I", "-R", "-C", "-U", "--ip", "one"]).args(arguments);
    let output = command.stdin(Stdio::null()).output().expect("testssl.sh runs (cargo xtask ci installs it)");
    let text = std::fs::read_to_string(&json).unwrap_or_default();
    let found: Vec<Value> =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}\n{}", String::from_utf8_lossy(&output.stdout)));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("TLS 1.3") && said.contains("offered (OK)"), "testssl.sh saw no server: {said}");
    let is_bad = |f: &&Value| ["MEDIUM", "HIGH", "CRITICAL"].contains(&f["severity"].as_str().unwrap_or_default());
    let is_ours = |f: &&Value| !ABOUT_THE_CERTIFICATE.iter().any(|id| f["id"].as_str().unwrap_or_default().starts_with(id));
    found.iter().filter(is_bad).filter(is_ours).map(ToString::to_string).collect()
}

#[test]
fn testssl_finds_nothing_on_submissions() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &format!("mx.example A {}\n", lab.address(1)));
    let waypost = started(&lab);
    let found = findings(&lab, "submissions", &[&format!("{}:{SUBMISSIONS_PORT}", waypost.address)]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn testssl_finds_nothing_on_submission() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &format!("mx.example A {}\n", lab.address(1)));
    let waypost = started(&lab);
    let found = findings(&lab, "submission", &["-t", "smtp", &format!("{}:{SUBMISSION_PORT}", waypost.address)]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A handshake by openssl, which then sends a line and waits for the server to close; returns its output.
fn s_client(waypost: &Waypost, port: u16, arguments: &[&str], say: &str) -> String {
    let mut command = Command::new("openssl");
    // Without -ign_eof it takes the Q of QUIT as its own command, and ends before the tickets arrive.
    command
        .args(["s_client", "-ign_eof", "-connect", &format!("{}:{port}", waypost.address), "-servername", "mx.example.test"])
        .args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have ended already.
    let _ = child.stdin.as_mut().unwrap().write_all(say.as_bytes());
    let output = child.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn session_tickets_do_not_resume_at_another_service() {
    let lab = Lab::new();
    let waypost = started(&lab);
    for version in ["-tls1_3", "-tls1_2"] {
        let file = lab.path().join(format!("ticket{version}")).display().to_string();
        s_client(&waypost, SUBMISSIONS_PORT, &[version, "-sess_out", &file], "QUIT\r\n");
        let with_ticket = |port: u16, say: &str| s_client(&waypost, port, &[version, "-sess_in", &file], say);
        let again = with_ticket(SUBMISSIONS_PORT, "QUIT\r\n");
        assert!(again.contains("Reused, TLSv1."), "{version}: {again}");
        let elsewhere = with_ticket(HTTPS_PORT, "GET / HTTP/1.0\r\nHost: mx.example.test\r\n\r\n");
        assert!(elsewhere.contains("New, TLSv1.") && !elsewhere.contains("Reused, "), "{version}: {elsewhere}");
    }
}

#[test]
fn alpn_of_another_protocol_is_refused() {
    let lab = Lab::new();
    let waypost = started(&lab);
    for (port, alpn, is_taken) in [
        (SUBMISSIONS_PORT, "smtp", true),
        (SUBMISSIONS_PORT, "http/1.1", false),
        (HTTPS_PORT, "http/1.1", true),
        (HTTPS_PORT, "h2,http/1.1", true),
        (HTTPS_PORT, "smtp", false),
        (HTTPS_PORT, "acme-tls/1", false),
    ] {
        let said = s_client(&waypost, port, &["-alpn", alpn], "QUIT\r\n");
        assert_eq!(said.contains("ALPN protocol: "), is_taken, "{port} {alpn}: {said}");
        assert!(is_taken || said.contains("alert"), "{port} {alpn}: {said}");
    }
    // No client certificate is requested: Gmail presents one if asked.
    for port in [SUBMISSIONS_PORT, HTTPS_PORT] {
        let said = s_client(&waypost, port, &["-trace"], "QUIT\r\n");
        assert!(!said.contains("CertificateRequest"), "{said}");
    }
    let said =
        run_ok("curl", &["-sk", "--connect-to", &format!("example.test:443:{}:{HTTPS_PORT}", waypost.address), "https://example.test/"]);
    assert_eq!(said, "mx.example.test is a mail server\n");
}

#[test]
fn threat_72_a_slow_handshake_times_out() {
    let lab = Lab::new();
    let waypost = Waypost::started(&lab, "foo@inbox.test", "[limits]\nhandshake_timeout_s = 1\n");
    for port in [SUBMISSIONS_PORT, SUBMISSION_PORT] {
        let mut talk = if port == SUBMISSION_PORT {
            let mut talk = Talk::greeted(waypost.address, port);
            talk.expect("STARTTLS", "220 2.0.0");
            talk
        } else {
            Talk::connect(waypost.address, port)
        };
        // The head of a ClientHello of 512 octets, then one octet at a time: each in time, all together too slow.
        talk.send(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
        let began = std::time::Instant::now();
        while waypost.json(&["status"])["sessions"] != 0 {
            talk.send(&[0]);
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(began.elapsed() < std::time::Duration::from_secs(20), "port {port}: still open");
        }
    }
    waypost.assert_no_bugs();
}
