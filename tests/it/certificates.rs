//! Certificates from an ACME authority (pebble), and from commands.
//!
//! RFC 8555, RFC 8737.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use it::{Dns, HTTPS_PORT, Lab, MX_PORT, Pebble, SUBMISSIONS_PORT, Talk, Waypost, binary, run, run_ok, wait_for, wait_within};
use serde_json::Value;

/// The zone: the server's host, and names below the hosted domain that resolve to it or elsewhere.
fn zone(lab: &Lab) -> String {
    let (ours, other) = (lab.address(1), lab.address(7));
    format!(
        "mx.example A {ours}\nmta-sts.example CNAME mx.example\nautoconfig.example A {ours}\nautodiscover.example A {other}\n\
         inbox MX 10 mx.inbox\nmx.inbox A {}\n",
        lab.address(2)
    )
}

fn ordered(waypost: &Waypost, name: &str) -> Option<Value> {
    let output = waypost.command(&["--json", "cert", "status"]);
    let all: Value = serde_json::from_slice(&output.stdout).ok()?;
    all["certificates"].as_array()?.iter().find(|c| c["name"] == name).cloned()
}

fn order(waypost: &Waypost, name: &str) -> Option<Value> {
    let output = waypost.command(&["--json", "cert", "status"]);
    let all: Value = serde_json::from_slice(&output.stdout).ok()?;
    all["orders"].as_array()?.iter().find(|o| o["name"] == name).cloned()
}

/// The same once the order is over: its state is written a moment after its certificate.
fn ended_order(waypost: &Waypost, name: &str) -> Value {
    wait_for("the order to end", || order(waypost, name).filter(|order| order["renew_by"].is_string()))
}

/// Serial and key of the host's certificate.
fn host_certificate(waypost: &Waypost) -> Option<(String, String)> {
    let found = ordered(waypost, "mx.example.test")?;
    Some((found["serial"].as_str()?.to_owned(), found["spki_sha256"].as_str()?.to_owned()))
}

/// A session over implicit TLS that trusts only this authority.
fn greeted(waypost: &Waypost, root: &Path) -> Talk {
    let mut talk = Talk::connect(waypost.address, SUBMISSIONS_PORT);
    talk.handshake(root).expect("the certificate is good");
    assert!(talk.reply().starts_with("220 "));
    talk
}

/// The certificate's names as openssl sees them, with SNI `name`.
fn shown(waypost: &Waypost, port: u16, name: &str) -> String {
    let connect = format!("{}:{port}", waypost.address);
    let connected = run("openssl", &["s_client", "-connect", &connect, "-servername", name, "-showcerts"]);
    let pem = String::from_utf8_lossy(&connected.stdout).into_owned();
    let file = waypost.config.with_file_name("shown.pem");
    std::fs::write(&file, &pem).unwrap();
    run_ok("openssl", &["x509", "-in", &file.display().to_string(), "-noout", "-ext", "subjectAltName"])
}

#[test]
fn http_01_issues_and_renews_and_the_certificate_survives_failures_of_the_authority() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut pebble = Pebble::start(&lab);
    let mut waypost = Waypost::configured(&lab, &pebble.section("http-01"));
    waypost.start_hosting("me@inbox.test");
    // Established before the authority's certificate: continues.
    let mut old = Talk::connect(waypost.address, SUBMISSIONS_PORT);
    old.handshake(&waypost.certificate()).unwrap();
    assert!(old.reply().starts_with("220 "));

    let (serial, key) = wait_for("the host's certificate", || host_certificate(&waypost));
    let root = pebble.root(&lab);
    greeted(&waypost, &root).expect("EHLO client.foreign.test", "250");
    old.expect("EHLO client.foreign.test", "250");

    // The domain's certificate has the names that resolve to the server; the others are listed.
    let domain = wait_for("the domain's certificate", || ordered(&waypost, "example.test"));
    assert_eq!(domain["names"], serde_json::json!(["mta-sts.example.test", "autoconfig.example.test"]));
    let left_out = ended_order(&waypost, "example.test")["left_out"].to_string();
    assert!(left_out.contains("autodiscover.example.test") && left_out.contains("which is not this server"), "{left_out}");
    for (name, want) in [
        ("autoconfig.example.test", "DNS:autoconfig.example.test"),
        ("mx.example.test", "DNS:mx.example.test"),
        ("nobody.test", "DNS:mx.example.test"),
    ] {
        let names = shown(&waypost, HTTPS_PORT, name);
        assert!(names.contains(want), "{name}: {names}");
    }

    // A forced renewal: another certificate, the same key.
    let said = waypost.ok(&["cert", "renew", "mx.example.test", "--force"]);
    assert!(said.contains("issued for mx.example.test"), "{said}");
    let (second, same_key) = host_certificate(&waypost).unwrap();
    assert_ne!(second, serial);
    assert_eq!(same_key, key);
    let said = waypost.ok(&["cert", "renew"]);
    assert!(said.contains("mx.example.test is not due"), "{said}");
    old.expect("NOOP", "250");

    // The authority is down: the certificate stays, the error and the next attempt are shown.
    pebble.stop();
    let output = waypost.command(&["cert", "renew", "mx.example.test", "--force"]);
    assert!(!output.status.success());
    let state = order(&waypost, "mx.example.test").unwrap();
    assert_eq!(state["failures"], 1);
    // The old one stays in use, and doctor warns that it expires.
    let output = waypost.command(&["--json", "doctor", "--time-server", ""]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let found = |finding: &Value| finding["found"].as_str().is_some_and(|found| found.contains("the authority refused the order"));
    let warning = findings.iter().find(|f| f["check"] == "certificate" && found(f)).unwrap_or_else(|| panic!("{findings:#?}"));
    assert!(warning["severity"] == "warning" && warning["found"].as_str().unwrap().contains("the present one is valid for"), "{warning}");
    assert!(!findings.iter().any(|f| f["found"] == "is self-signed"), "{findings:#?}");
    assert!(state["next_attempt_ms"].as_i64().unwrap() > state["last_attempt_ms"].as_i64().unwrap() + 3_500_000, "{state}");
    let status = waypost.ok(&["cert", "status"]);
    // The hour began at the attempt; what is added to it may be less than the time since then.
    let is_in_an_hour = ["1h ", "59m "].iter().any(|wait| status.contains(&format!("once; next attempt in {wait}")));
    assert!(status.contains("failed") && is_in_an_hour && status.contains("Connection refused"), "{status}");
    assert_eq!(host_certificate(&waypost).unwrap().0, second);
    greeted(&waypost, &root).expect("EHLO client.foreign.test", "250");

    // It is also used after a restart without the authority.
    waypost.stop();
    waypost.start();
    greeted(&waypost, &root).expect("EHLO client.foreign.test", "250");
    waypost.stop();
    assert!(waypost.ok(&["cert", "status"]).contains("mx.example.test"));
}

#[test]
fn tls_alpn_01_issues_certificates() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let pebble = Pebble::start(&lab);
    let waypost = Waypost::started(&lab, "me@inbox.test", &pebble.section("tls-alpn-01"));
    wait_for("the host's certificate", || host_certificate(&waypost));
    wait_for("the domain's certificate", || ordered(&waypost, "example.test"));
    greeted(&waypost, &pebble.root(&lab)).expect("EHLO client.foreign.test", "250");
    waypost.assert_no_bugs();
}

#[test]
fn dns_01_issues_a_certificate_and_removes_its_record() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let pebble = Pebble::with_records(&lab);
    let waypost = Waypost::started(&lab, "me@inbox.test", &pebble.section("dns-01"));
    wait_within(Duration::from_secs(90), "the host's certificate", || {
        // After a failure the next order would be made in an hour.
        let failed = order(&waypost, "mx.example.test").filter(|order| order["failures"].as_u64().is_some_and(|failures| failures > 0));
        assert!(failed.is_none(), "the order failed: {failed:?}");
        host_certificate(&waypost)
    });
    greeted(&waypost, &pebble.root(&lab)).expect("EHLO client.foreign.test", "250");
    let log = std::fs::read_to_string(pebble.hook.with_extension("log")).unwrap();
    assert!(log.contains("add _acme-challenge.mx.example.test\nremove _acme-challenge.mx.example.test\n"), "{log}");
}

/// The key in use and the next one.
fn keys(waypost: &Waypost) -> Option<(String, Option<String>)> {
    let found = ordered(waypost, "mx.example.test")?;
    Some((found["spki_sha256"].as_str()?.to_owned(), found["next_spki_sha256"].as_str().map(str::to_owned)))
}

#[test]
fn a_new_key_is_used_only_once_its_tlsa_record_is_published() {
    let lab = Lab::new();
    let dns = Dns::start_for_updates(&lab, &zone(&lab));
    let pebble = Pebble::start(&lab);
    let acme = format!("{}keep_key = false\n[dns]\ntlsa = true\n", pebble.section("http-01"));
    let mut waypost = Waypost::started(&lab, "foo@inbox.test", &acme);
    let (first, next) = wait_for("a certificate and the next key", || keys(&waypost).filter(|(_, next)| next.is_some()));
    let next = next.unwrap();
    let plan = waypost.ok(&["dns", "show", "--format", "zone"]);
    for digest in [&first, &next] {
        assert!(plan.contains(&format!("TLSA  3 1 1 {digest}")), "{plan}");
    }
    assert!(waypost.ok(&["cert", "status"]).contains(&format!("next key     SHA-256 {next}")));
    waypost.ok(&["cert", "renew", "mx.example.test", "--force"]);
    assert_eq!(keys(&waypost), Some((first.clone(), Some(next.clone()))), "its record is not there yet: {}", waypost.log());
    waypost.wait_for_log("the TLSA record of the next key is not in DNS yet");
    dns.update(
        "test.",
        &format!("add _25._tcp.mx.example.test. 60 TLSA 3 1 1 {first}\nadd _25._tcp.mx.example.test. 60 TLSA 3 1 1 {next}"),
    );
    // Its cache still has the negative answer.
    waypost.stop();
    waypost.start();
    waypost.ok(&["cert", "renew", "mx.example.test", "--force"]);
    let (now, after) = keys(&waypost).unwrap();
    assert_eq!(now, next);
    assert!(after.is_some_and(|after| after != next && after != first));
    waypost.assert_no_bugs();
}

#[test]
fn the_record_of_a_failing_hook_is_removed() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let pebble = Pebble::with_records(&lab);
    let hook = lab.write(
        "failing",
        "#!/bin/sh\necho \"$1 $2\" >> \"$0.log\"\n[ \"$1\" = remove ] || { echo no answer from the provider >&2; exit 3; }\n",
    );
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut waypost = Waypost::configured(&lab, &pebble.section("dns-01"));
    waypost.configure(|config| config.set("acme.dns_hook", hook.display().to_string()));
    waypost.start_hosting("me@inbox.test");
    let failed = wait_for("the order to fail", || {
        order(&waypost, "mx.example.test").and_then(|order| Some(order["last_error"].as_str()?.to_owned()))
    });
    assert!(failed.contains("no answer from the provider"), "{failed}");
    let log = std::fs::read_to_string(hook.with_extension("log")).unwrap();
    assert!(log.starts_with("add _acme-challenge.mx.example.test\nremove _acme-challenge.mx.example.test\n"), "{log}");
    waypost.assert_no_bugs();
}

#[test]
fn the_authoritys_renewal_window_is_followed() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut pebble = Pebble::start(&lab);
    let now_s = net::Clock::system().now_s();
    // It wants its certificates replaced at once, as after a mistake of its own.
    pebble.with_renewal_info(&lab, (now_s - 7200, now_s - 3600));
    let waypost = Waypost::started(&lab, "me@inbox.test", &pebble.section("http-01"));
    let (serial, _) = wait_for("the host's certificate", || host_certificate(&waypost));
    let before = ended_order(&waypost, "mx.example.test");
    assert_eq!(before["renew_by"], "two thirds of its lifetime");
    // Without force: by the authority's window it is due.
    let said = waypost.ok(&["cert", "renew", "mx.example.test"]);
    assert!(said.contains("issued for mx.example.test"), "{said}");
    assert_ne!(host_certificate(&waypost).unwrap().0, serial);
}

#[test]
fn a_failed_validation_is_reported_with_its_name() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let pebble = Pebble::start(&lab);
    let mut waypost = Waypost::configured(&lab, &pebble.section("http-01"));
    // No listener for the authority.
    waypost.configure(|config| config.set("listen.http", Vec::<String>::new()));
    waypost.start_hosting("me@inbox.test");
    let error = wait_for("the failure", || order(&waypost, "mx.example.test")?["last_error"].as_str().map(ToOwned::to_owned));
    assert!(error.contains("mx.example.test was not validated: "), "{error}");
    // The self-signed one stays in use.
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.start_tls(&waypost.certificate());
    waypost.wait_for_line(&["ordering a certificate failed", "mx.example.test", "again_in_s"]);
}

#[test]
fn openssl_verifies_a_certificate_of_a_private_authority() {
    let lab = Lab::new();
    let at = |name: &str| lab.path().join(name).display().to_string();
    let made = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["cert", "self-signed", "--out", &at("")]).args(arguments).stdin(Stdio::null());
        command.output().unwrap()
    };
    let output = made(&["--name", "mx.example.test", "--name", "*.example.test"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("update-ca-certificates"));
    let verify = |name: &str| {
        run(
            "openssl",
            &["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", name, "-CAfile", &at("ca.pem"), &at("cert.pem")],
        )
    };
    assert!(verify("mx.example.test").status.success() && verify("www.example.test").status.success());
    assert!(!verify("example.org").status.success());
    let text = run_ok("openssl", &["x509", "-in", &at("cert.pem"), "-noout", "-text"]);
    for want in ["Subject Key Identifier", "Authority Key Identifier", "TLS Web Server Authentication", "CA:FALSE"] {
        assert!(text.contains(want), "{want} is missing in {text}");
    }
    // Nothing is overwritten; the authority is used again.
    assert!(!made(&["--name", "mx.example.test"]).status.success());
    std::fs::remove_file(at("cert.pem")).unwrap();
    std::fs::remove_file(at("key.pem")).unwrap();
    let ca = std::fs::read(at("ca.pem")).unwrap();
    assert!(made(&["--name", "mx.example.test", "--days", "90"]).status.success());
    assert_eq!(std::fs::read(at("ca.pem")).unwrap(), ca);
    assert!(verify("mx.example.test").status.success());
    let check = |key: &str| Command::new(binary()).args(["cert", "check", &at("cert.pem"), &at(key)]).output().unwrap();
    assert!(check("key.pem").status.success());
    let wrong = check("ca.key.pem");
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("does not belong to"));
}

#[test]
fn openssl_accepts_a_certificate_request() {
    let lab = Lab::new();
    let run_here = |arguments: &[&str]| Command::new(binary()).args(arguments).current_dir(lab.path()).output().unwrap();
    let output = run_here(&["cert", "csr", "mx.example.test", "mail.example.test", "--out", "mx.csr"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let request = lab.path().join("mx.csr").display().to_string();
    let text = run_ok("openssl", &["req", "-verify", "-noout", "-text", "-in", &request]);
    assert!(text.contains("DNS:mx.example.test, DNS:mail.example.test"), "{text}");
    // With an existing key, also of another type.
    run_ok(
        "openssl",
        &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &lab.path().join("rsa.pem").display().to_string()],
    );
    let output = run_here(&["cert", "csr", "mx.example.test", "--key", "rsa.pem"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    assert!(!run_here(&["cert", "csr", "mx example"]).status.success());
}
