//! The owner's page in a real browser (Debian's Chromium, driven by Playwright), at the width of a desktop and of a phone, in light and dark.
//!
//! `UPDATE_SCREENSHOTS=1` writes the screenshots of docs/images.

use std::path::{Path, PathBuf};

use it::{Dns, HTTPS_PORT, Lab, MX_PORT, OWNER, Sink, Talk, Waypost, forwarding_zone, owned, run, run_ok, under_clock};
use mail::Reply;
use serde_json::{Value, json};

/// A phone and a desktop: columns and lines, in CSS pixels.
pub(crate) const PHONE: [u32; 2] = [390, 844];
pub(crate) const DESKTOP: [u32; 2] = [1280, 900];

/// What a hostile host says about its mailboxes.
const HOSTILE_REPLY: &str = "<script>window.pwned=10</script> \"'><img src=x onerror=window.pwned=11> https://evil.test/ \u{202e}gnp";

struct Scene {
    lab: Lab,
    inbox: Sink,
    waypost: Waypost,
    _dns: Dns,
}

/// A server with a certificate and without a domain, its page over HTTPS, and foo@inbox.test, to which aliases may lead. lax.test has p=quarantine.
fn scene() -> Scene {
    let lab = Lab::new();
    let listen = format!("[listen]\nhttps = [\"{}:{HTTPS_PORT}\"]\nhttp = []\n", lab.address(1));
    let forward = "[forward]\ndomain = \"fwd.example.test\"\nmode = \"queue\"\nunauthenticated = \"hold\"\n";
    let waypost = Waypost::configured(&lab, &format!("{forward}{listen}"));
    let keys = waypost.keys("fwd.example.test");
    let more = "_dmarc.lax TXT \"v=DMARC1; p=quarantine\"\nlist TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n";
    let dns = Dns::start(&lab, &(forwarding_zone(&lab) + more + &keys));
    let refuses = |recipient: &str| recipient.contains("refused").then(|| Reply::new(550, (5, 1, 1), HOSTILE_REPLY));
    let inbox = Sink::deciding(lab.address(2), MX_PORT, refuses);
    Scene { lab, inbox, waypost, _dns: dns }
}

impl Scene {
    fn browse(&self, script: &str, size: [u32; 2], more: Value) -> Value {
        browse(&self.waypost, script, size, more)
    }
}

/// Runs a script of tests/browser, which must succeed.
pub(crate) fn browse(waypost: &Waypost, script: &str, [width, height]: [u32; 2], more: Value) -> Value {
    let link = waypost.ok(&["web", "login-link"]);
    let link = link.split_whitespace().find(|word| word.starts_with("https://")).unwrap_or_else(|| panic!("no link in {link}"));
    let mut options = json!({
        "host": "mx.example.test",
        "address": waypost.address,
        "port": HTTPS_PORT,
        "smtp": MX_PORT,
        "domain": "example.test",
        "target": "foo@inbox.test",
        "width": width,
        "height": height,
        "link": link,
        "shots": screenshots(),
        "lab": waypost.config.parent(),
    });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser").join(script);
    let output = run("node", &[script.to_str().unwrap(), &options.to_string()]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{said}\nthe log:\n{}", String::from_utf8_lossy(&output.stderr), waypost.log());
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"))
}

/// The directory of screenshots, if they are to be written.
fn screenshots() -> Option<PathBuf> {
    std::env::var_os("UPDATE_SCREENSHOTS")?;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images");
    std::fs::create_dir_all(&directory).unwrap();
    Some(directory)
}

fn journey(size: [u32; 2], more: Value) {
    let mut scene = scene();
    scene.waypost.start();
    let done = scene.browse("journey.js", size, more);
    assert!(done["looked"].as_array().unwrap().len() >= 20, "{done}");
    scene.inbox.wait_for("Subject: an invoice");
    scene.inbox.wait_for("Subject: urgent transfer");
    assert!(!scene.inbox.messages().iter().any(|message| message.text().contains("one more")));
    scene.waypost.assert_no_bugs();
}

#[test]
fn an_owner_sets_up_and_watches_mail_on_a_desktop() {
    journey(DESKTOP, json!({}));
}

#[test]
fn an_owner_sets_up_and_watches_mail_on_a_phone() {
    journey(PHONE, json!({}));
}

#[test]
fn everything_works_without_scripts() {
    journey(DESKTOP, json!({ "scripts": false, "shots": null }));
}

#[test]
fn everything_works_in_chinese() {
    journey(PHONE, json!({ "locale": "zh-CN", "shots": null }));
}

#[test]
fn hostile_mail_runs_nothing_and_breaks_nothing() {
    for size in [PHONE, DESKTOP] {
        let mut scene = scene();
        scene.waypost.ok(&["domain", "add", "--bare", "example.test"]);
        scene.waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
        scene.waypost.ok(&["alias", "add", "refused@example.test", "refused@inbox.test"]);
        scene.waypost.start();
        scene.browse("hostile.js", size, json!({ "shots": null }));
        scene.waypost.assert_no_bugs();
        drop(scene.lab);
    }
}

/// The SHA-256 of the server's public key, by which the browser trusts its certificate: passkeys need one without errors.
fn spki(waypost: &Waypost) -> String {
    let key = "openssl x509 -in \"$0\" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64";
    run_ok("sh", &["-c", key, &waypost.certificate().display().to_string()]).trim().to_owned()
}

#[test]
fn who_gets_in_changes_only_after_a_fresh_proof() {
    for size in [PHONE, DESKTOP] {
        let lab = Lab::new();
        let (mut waypost, password) = owned(&lab, "");
        waypost.stop();
        let stamp = lab.write("clock", "+0");
        waypost.start_by(under_clock(&stamp));
        let more = json!({ "shots": null, "spki": spki(&waypost), "login": OWNER, "password": password, "stamp": stamp });
        browse(&waypost, "confirm.js", size, more);
        waypost.assert_no_bugs();
        waypost.stop();
    }
}

#[test]
fn firefox_shows_every_screen_without_faults() {
    let mut scene = scene();
    scene.waypost.ok(&["domain", "add", "--bare", "example.test"]);
    scene.waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    scene.waypost.ok(&["alias", "add", "a-rather-long-name-for-a-shop@example.test", "foo@inbox.test"]);
    let password = scene.waypost.account(OWNER);
    scene.waypost.ok(&["account", "owner", OWNER]);
    scene.waypost.start();
    for (from, subject) in [("her@list.test", "hello"), ("boss@lax.test", "held \u{4f60}\u{597d}")] {
        let content = format!("From: {from}\r\nSubject: {subject}\r\nMessage-ID: <1-{from}>\r\n\r\nthe body\r\n");
        Talk::greeted(scene.waypost.address, MX_PORT).message("her@list.test", "me@example.test", &content);
    }
    scene.inbox.wait_for("hello");
    let screens = ["/", "/mail", "/aliases", "/aliases/me@example.test", "/people", "/people/me@example.test", "/held", "/queue"];
    let screens = [&screens[..], &["/setup", "/reports", "/server", "/account"]].concat();
    for size in [PHONE, DESKTOP] {
        let more =
            json!({ "shots": std::env::var("PICTURES").ok(), "whole": true, "screens": screens, "login": OWNER, "password": password });
        let looked = scene.browse("firefox.js", size, more);
        assert!(looked["looked"].as_array().unwrap().len() == 28, "{looked}");
    }
    scene.waypost.assert_no_bugs();
    drop(scene.lab);
}

#[test]
fn passkeys_log_in_and_cannot_be_copied_or_replayed() {
    for size in [PHONE, DESKTOP] {
        let lab = Lab::new();
        let (mut waypost, password) = owned(&lab, "");
        browse(&waypost, "passkey.js", size, json!({ "shots": null, "spki": spki(&waypost), "login": OWNER, "password": password }));
        let log = waypost.ok(&["log", "--kind", "server-changed"]);
        for words in ["added the passkey phone <b>", "its counter went back, so it may have been copied", "removed the passkey"] {
            assert!(log.contains(words), "{words}: {log}");
        }
        waypost.assert_no_bugs();
        waypost.stop();
    }
}
