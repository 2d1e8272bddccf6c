//! Certificates that tutorials make: an unusable one is reported before the next start, and never replaces a usable one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use it::{Dns, Lab, Waypost, zone};

fn openssl(dir: &Path, line: &str) {
    let output = Command::new("openssl").args(line.split_whitespace()).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A pair made by `openssl x509 -req -signkey`.
fn version_1(dir: &Path) {
    openssl(dir, "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out v1.key");
    openssl(dir, "req -new -key v1.key -subj /CN=mx.example.test -out v1.csr");
    openssl(dir, "x509 -req -in v1.csr -signkey v1.key -days 365 -out v1.pem");
    fs::set_permissions(dir.join("v1.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

/// The first name of the certificate in use.
fn in_use(waypost: &Waypost) -> String {
    let all = waypost.json(&["cert", "status"]);
    all["certificates"][0]["names"][0].as_str().unwrap_or_default().to_owned()
}

#[test]
fn check_and_reload_refuse_an_unusable_certificate() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut waypost = Waypost::configured(&lab, "");
    waypost.start();
    version_1(lab.path());
    let named = |certificate: &str, key: &str| {
        waypost.configure(|config| config.set("tls.certificate", certificate).set("tls.key", key));
    };
    let refused = |words: &[&str]| {
        let checked = waypost.command(&["config", "check"]);
        let checked = (checked.status.success(), String::from_utf8_lossy(&checked.stdout).into_owned());
        let reloaded = waypost.refused(&["reload"]);
        for word in words {
            assert!(!checked.0 && checked.1.contains(word) && reloaded.contains(word), "{word}: {checked:?} {reloaded}");
        }
        assert_eq!(in_use(&waypost), "mx.example.test");
    };
    named("v1.pem", "v1.key");
    refused(&["a version 1 certificate", "-addext subjectAltName=DNS:mx.example.test"]);
    openssl(lab.path(), "rsa -in v1.key -traditional -des3 -passout pass:secret -out locked.key");
    fs::set_permissions(lab.path().join("locked.key"), fs::Permissions::from_mode(0o600)).unwrap();
    named("cert.pem", "locked.key");
    refused(&["protected by a passphrase", "openssl pkey -in"]);
    named("cert.pem", "nowhere.pem");
    refused(&["nowhere.pem: does not exist"]);

    // Another pair is in use after a reload, without a restart.
    let (certificate, key) = net::self_signed(&["other.example.test".into()]).unwrap();
    lab.write("other.pem", &certificate);
    fs::set_permissions(lab.write("other.key", &key), fs::Permissions::from_mode(0o600)).unwrap();
    named("other.pem", "other.key");
    let said = waypost.ok(&["reload"]);
    assert!(said.contains("is in effect") && !said.contains("restart"), "{said}");
    assert_eq!(in_use(&waypost), "other.example.test");
    waypost.assert_no_bugs();
}

#[test]
fn reload_enables_acme_and_failures_are_explained() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut waypost = Waypost::configured(&lab, "");
    waypost.start();
    let refused = waypost.refused(&["cert", "renew"]);
    assert!(refused.contains("enabled = true under [acme], then: waypost reload"), "{refused}");
    // No listener there.
    let directory = format!("https://{}:9/directory", lab.address(9));
    waypost.configure(|config| config.set("acme.enabled", true).set("acme.directory", directory));
    let said = waypost.ok(&["reload"]);
    assert!(!said.contains("restart"), "{said}");
    let output = waypost.command(&["cert", "renew"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("failed: mx.example.test the authority cannot be reached: Connection refused"), "{said}");
    waypost.configure(|config| config.remove("acme"));
    waypost.ok(&["reload"]);
    assert!(waypost.refused(&["cert", "renew"]).contains("no running server orders certificates"));
    waypost.assert_no_bugs();
}
