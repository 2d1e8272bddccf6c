//! Changes of configuration, aliases, accounts and certificates of a running server; and secrets in logs and files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use it::{InboundScene, Lab, MX_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT, Talk, Waypost, base64, wait_for};

fn greeted(waypost: &Waypost) -> Talk {
    Talk::greeted(waypost.address, MX_PORT)
}

/// The number of the line with this option.
fn line_of(option: &str, text: &str) -> usize {
    1 + text.lines().position(|line| line.starts_with(&format!("{option} = "))).unwrap()
}

#[test]
fn threat_85_a_bad_configuration_is_refused_with_its_place() {
    let lab = Lab::new();
    let waypost = Waypost::configured(&lab, "");
    let good = fs::read_to_string(&waypost.config).unwrap();
    let lines = good.lines().count();
    for (bad, place) in [
        (format!("hostnam = \"x.test\"\n{good}"), 1),
        (format!("hostname = \"x.test\"\n{good}"), line_of("hostname", &good) + 1),
        (format!("{good}[delivery]\n"), lines + 1),
        (format!("{good}[retry]\nwaits_s = []\n"), lines + 2),
    ] {
        fs::write(&waypost.config, &bad).unwrap();
        let place = format!("waypost.toml:{place}:");
        for command in [&["config", "check"][..], &["serve"]] {
            let output = waypost.command(command);
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(!output.status.success() && said.contains(&place), "{place} is not in {said}\n{bad}");
        }
    }
    // Truncated at some octets (the parser's tests use each): an error with its line, or a usable file.
    for end in (0..good.len()).step_by(23) {
        fs::write(&waypost.config, &good[..end]).unwrap();
        let output = waypost.command(&["config", "check"]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() || said.contains("waypost.toml:"), "{said}");
    }
}

#[test]
fn threat_85_a_bad_reload_changes_nothing() {
    let stage = InboundScene::new("");
    let banner = || Talk::connect(stage.waypost.address, MX_PORT).reply();
    stage.waypost.configure(|config| config.set("hostname", "new.example.test").set("hostnam", 1));
    let text = fs::read_to_string(&stage.waypost.config).unwrap();
    stage.waypost.hang_up();
    stage.waypost.wait_for_log(&format!("waypost.toml:{}:1: unknown key `hostnam`", line_of("hostnam", &text)));
    assert!(banner().starts_with("220 mx.example.test "));
    stage.waypost.configure(|config| config.remove("hostnam"));
    stage.waypost.hang_up();
    stage.waypost.wait_for_log("is in effect");
    assert!(banner().starts_with("220 new.example.test "));
    stage.waypost.assert_no_bugs();
}

#[test]
fn threat_86_secrets_that_others_can_read() {
    let lab = Lab::new();
    let waypost = Waypost::configured(&lab, "[[route]]\nhost = \"smart.test\"\nuser = \"me\"\npassword_file = \"password\"\n");
    let password = lab.write("password", "canary-in-a-file\n");
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(&password, 0o644);
    let said = waypost.refused(&["serve"]);
    assert!(said.contains("waypost.toml:") && said.contains("chmod") && !said.contains("canary"), "{said}");
    set(&password, 0o600);
    waypost.ok(&["config", "check"]);
    let key = lab.path().join("key.pem");
    set(&key, 0o644);
    let said = waypost.refused(&["serve"]);
    assert!(said.contains("key.pem") && said.contains("chmod 600"), "{said}");
}

#[test]
fn threat_87_aliases_that_lead_to_themselves() {
    let stage = InboundScene::new("");
    let waypost = &stage.waypost;
    waypost.ok(&["alias", "add", "b@example.test", "x@inbox.test"]);
    waypost.ok(&["alias", "add", "a@example.test", "b@example.test", "x@inbox.test"]);
    for (source, target) in [
        ("b@example.test", "a@example.test"),
        ("c@example.test", "c@example.test"),
        ("@example.test", "@example.test"),
        ("@example.test", "nobody-else@example.test"),
    ] {
        let said = waypost.refused(&["alias", "add", source, target, "--replace"]);
        assert!(said.contains("itself") || said.contains("loop") || said.contains("cycle") || said.contains("circle"), "{said}");
    }
    greeted(waypost).taken("her@foreign.test", "me@example.test", "Subject: still here\r\n\r\n");
    stage.inbox.wait_for("still here");
}

/// No alias is a pattern: the characters of regular expressions are those of an address, or refused.
#[test]
fn threat_88_aliases_have_no_patterns() {
    let stage = InboundScene::new("");
    let waypost = &stage.waypost;
    waypost.refused(&["alias", "add", "(a+)+$@example.test", "x@inbox.test"]);
    waypost.ok(&["alias", "add", "a*|^b+$@example.test", "x@inbox.test"]);
    let mut talk = greeted(waypost);
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<a*|^b+$@example.test>", "250");
    for other in ["aaa", "b", "bb", "a", &"a".repeat(60)] {
        talk.expect(&format!("RCPT TO:<{other}@example.test>"), "550 5.1.1");
    }
}

#[test]
fn virtual_file_changes_apply_to_the_next_rcpt() {
    let lab = Lab::new();
    let file = lab.write("virtual", "file.test anything\none@file.test foo@inbox.test\n");
    let waypost = Waypost::started(&lab, "foo@inbox.test", "virtual_file = \"virtual\"\n");
    let mut talk = greeted(&waypost);
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<one@file.test>", "250");
    talk.expect("RCPT TO:<two@file.test>", "550 5.1.1");
    fs::write(&file, "file.test anything\ntwo@file.test foo@inbox.test\n").unwrap();
    talk.expect("RCPT TO:<two@file.test>", "250");
    talk.expect("RCPT TO:<one@file.test>", "550 5.1.1");
    fs::write(&file, "file.test anything\nthree@file.test\n").unwrap();
    talk.expect("RCPT TO:<two@file.test>", "550 5.1.1");
    waypost.wait_for_log("virtual:2: ");
    fs::write(&file, "file.test anything\nfour@file.test foo@inbox.test\n").unwrap();
    talk.expect("RCPT TO:<four@file.test>", "250");
    fs::write(&file, "").unwrap();
    talk.expect("RCPT TO:<four@file.test>", "250");
    fs::remove_file(&file).unwrap();
    talk.expect("RCPT TO:<four@file.test>", "250");
    waypost.assert_no_bugs();
}

#[test]
fn alias_commands_apply_to_the_next_rcpt() {
    let stage = InboundScene::new("");
    let mut talk = greeted(&stage.waypost);
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<new@example.test>", "550 5.1.1");
    stage.waypost.ok(&["alias", "add", "new@example.test", "foo@inbox.test"]);
    talk.expect("RCPT TO:<new@example.test>", "250");
    stage.waypost.ok(&["alias", "disable", "new@example.test"]);
    talk.expect("RCPT TO:<new@example.test>", "550 5.2.1");
    stage.waypost.ok(&["alias", "remove", "new@example.test"]);
    talk.expect("RCPT TO:<new@example.test>", "550 5.1.1");
}

#[test]
fn a_new_certificate_is_used_by_the_next_handshake() {
    let stage = InboundScene::new("");
    let (certificate, key) = (stage.waypost.certificate(), stage.lab.path().join("key.pem"));
    let old = stage.lab.write("old.pem", &fs::read_to_string(&certificate).unwrap());
    let handshake = |authority: &Path| Talk::connect(stage.waypost.address, SUBMISSIONS_PORT).handshake(authority);
    handshake(&old).unwrap();
    let mut open = Talk::greeted(stage.waypost.address, SUBMISSION_PORT);
    open.start_tls(&old);
    let (new, new_key) = net::self_signed(&["mx.example.test".into()]).unwrap();
    fs::write(&certificate, new).unwrap();
    // After half of the change the pair does not match, and the old one stays.
    handshake(&old).unwrap();
    fs::write(&key, new_key).unwrap();
    handshake(&certificate).unwrap();
    assert!(handshake(&old).is_err());
    open.expect("EHLO client.foreign.test", "250");
    stage.waypost.assert_no_bugs();
}

#[test]
fn a_disabled_account_is_refused_within_its_session() {
    let stage = InboundScene::new("");
    let waypost = &stage.waypost;
    let login = "me@example.test";
    let password = waypost.account(login);
    let message = "From: me@example.test\r\nSubject: too late\r\n\r\n";
    let mut open = waypost.logged_in(login, &password);
    let mut in_content = waypost.logged_in(login, &password);
    in_content.begin(login, "foo@inbox.test");
    in_content.send(message.as_bytes());
    waypost.ok(&["account", "disable", login]);
    in_content.expect(".", "550 5.7.1");
    open.expect(&format!("MAIL FROM:<{login}>"), "550 5.7.1");
    let mut talk = Talk::greeted(waypost.address, SUBMISSION_PORT);
    talk.start_tls(&waypost.certificate());
    talk.expect("EHLO client.foreign.test", "250");
    talk.expect(&format!("AUTH PLAIN {}", base64(&format!("\0{login}\0{password}"))), "535 5.7.8");
    waypost.ok(&["account", "enable", login]);
    open.taken(login, "foo@inbox.test", "From: me@example.test\r\nSubject: in time\r\n\r\n");
    stage.inbox.wait_for("in time");
    assert_eq!(stage.inbox.messages().len(), 1);
    waypost.assert_no_bugs();
}

#[test]
fn threat_18_of_the_table_no_secret_and_no_content_in_the_log() {
    let stage = InboundScene::new("[log]\nlevel = \"trace\"\n");
    let waypost = &stage.waypost;
    let login = "me@example.test";
    let password = waypost.account(login);
    let (wrong, marker) = ("canary-wrong-password", "canary-content");
    let mut talk = waypost.logged_in(login, &password);
    let content = format!("From: me@example.test\r\nSubject: {marker}\r\n\r\n{marker}\r\n");
    talk.taken(login, "foo@inbox.test", &content);
    let refused = talk.message(login, "foo@inbox.test", &format!("From: x@y.test\r\nSubject: {marker}\r\n\r\n{marker}\r\n"));
    assert!(refused.starts_with("550"), "{refused}");
    let mut talk = Talk::greeted(waypost.address, SUBMISSION_PORT);
    talk.start_tls(&waypost.certificate());
    talk.expect("EHLO client.foreign.test", "250");
    talk.expect(&format!("AUTH PLAIN {}", base64(&format!("\0{login}\0{wrong}"))), "535");
    talk.expect("AUTH LOGIN", "334");
    talk.expect(&base64(login), "334");
    talk.expect(&base64(wrong), "535");
    talk.expect("AUTH LOGIN", "334");
    talk.expect(&base64(login), "334");
    talk.expect(&base64(&password), "235");
    stage.inbox.wait_for(marker);
    waypost.wait_for_empty_queue();
    let log = waypost.log();
    assert!(log.contains("login refused") && log.contains("logged in"), "{log}");
    let plain = |password: &str| base64(&format!("\0{login}\0{password}"));
    for secret in [&password, wrong, marker, &base64(&password), &base64(wrong), &plain(&password), &plain(wrong)] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{secret}: {lines:?}");
    }
    wait_for("the bugs to be none", || (waypost.json(&["status"])["bugs"] == 0).then_some(()));
}

#[test]
fn setup_writes_a_smarthost_an_address_and_a_unit() {
    let lab = Lab::new();
    let path = |name: &str| lab.path().join(name).display().to_string();
    let secret = lab.write("password", "secret\n");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let run = |more: &[&str]| {
        let (config, data, unit) = (path("made/waypost.toml"), path("made/data"), path("made/waypost.service"));
        let mut arguments = vec![
            "--config",
            &config,
            "setup",
            "example.test",
            "--forward",
            "me=foo@inbox.test",
            "--data",
            &data,
            "--service",
            &unit,
            "--no-preflight",
        ];
        arguments.extend(more);
        let output = std::process::Command::new(it::binary()).args(&arguments).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    };
    let secret = secret.display().to_string();
    let smarthost = [
        "--smarthost",
        "[127.0.0.9]:2525",
        "--smarthost-user",
        "us",
        "--smarthost-password-file",
        &secret,
        "--smarthost-for",
        "own,report",
    ];
    let all = [&smarthost[..], &["--address", "192.0.2.10", "--smarthost-spf", "spf.relay.test"]].concat();
    let (is_done, said) = run(&all);
    assert!(is_done, "{said}");
    let text = std::fs::read_to_string(path("made/waypost.toml")).unwrap();
    assert!(text.contains("\naddresses = [\"192.0.2.10\"]\n"), "{text}");
    assert!(text.contains("\nhost = \"[127.0.0.9]\"\nport = 2525\ntls = \"required\"\nuser = \"us\"\n"), "{text}");
    assert!(text.contains("\nspf_include = \"spf.relay.test\"\nflows = [\"own\", \"report\"]\n"), "{text}");
    assert!(said.contains("include:spf.relay.test") && said.contains("192.0.2.10"), "it is in the records: {said}");
    let unit = std::fs::read_to_string(path("made/waypost.service")).unwrap();
    assert!(unit.contains(&format!("--config {} serve\n", path("made/waypost.toml"))), "{unit}");
    // Existing files are kept, and the three steps are in order.
    let (is_done, said) = run(&all);
    assert!(is_done && said.contains("kept     unit "), "{said}");
    let places: Vec<usize> =
        ["1. Publish", "2. Start", "3. Send as"].iter().map(|part| said.find(part).unwrap_or_else(|| panic!("{part}: {said}"))).collect();
    assert!(places.is_sorted() && said.contains(&format!("systemctl enable --now {}", path("made/waypost.service"))), "{said}");
    assert!(said.contains("[127.0.0.9]:2525") && said.contains("connection"), "the smarthost is tried, and is not there: {said}");
    for wrong in
        [&["--smarthost", "smart.test:0"][..], &["--smarthost", "smart.test", "--smarthost-for", "spam"], &["--smarthost-user", "us"]]
    {
        assert!(!run(wrong).0, "{wrong:?}");
    }
}
