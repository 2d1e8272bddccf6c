//! Import of accounts: Cyrus's sasldb2 and Dovecot's passwd-file, compared with the programs themselves.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use it::{Dns, Lab, MX_PORT, Process, SUBMISSION_PORT, Sink, Waypost, run, run_ok, wait_for, wait_within};
use serde_json::{Value, json};

/// 300 users, made by saslpasswd2.
fn many() -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/sasl/tests/data/many.sasldb").display().to_string()
}

fn without_dry_run(mut report: Value) -> Value {
    report["dry_run"] = json!(false);
    report
}

#[test]
fn a_large_sasldb2_is_imported_at_once_and_hashed_in_background() {
    let lab = Lab::new();
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let dry = waypost.json(&["account", "import", "sasldb2", &many(), "--dry-run"]);
    let done = waypost.json(&["account", "import", "sasldb2", &many()]);
    assert_eq!(done["imported"].as_array().unwrap().len(), 300, "{done}");
    assert_eq!(without_dry_run(dry), done, "a dry run says what the import says");
    let password = |n: usize| format!("secret-{n}-{}", "x".repeat(std::cmp::max(n % 40, 1)));
    for n in [1, 150, 300] {
        waypost.logged_in(&format!("user{n}@mail{}.x.test", n % 3), &password(n));
    }
    let again = waypost.json(&["account", "import", "sasldb2", &many()]);
    assert_eq!((again["imported"].as_array().unwrap().len(), again["skipped"].as_array().unwrap().len()), (0, 300));
    // Passwords are hashed without a login, too.
    let is_ours = || waypost.json(&["account", "show", "user3@mail0.x.test"])["credentials"][0]["kind"] == "password";
    wait_within(std::time::Duration::from_secs(120), "a password that is hashed in the background", || is_ours().then_some(()));
    waypost.logged_in("user3@mail0.x.test", &password(3));
    waypost.assert_no_bugs();
}

#[test]
fn import_skips_a_name_that_differs_only_in_case() {
    let lab = Lab::new();
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let file = lab.path().join("sasldb2").display().to_string();
    for (user, realm, password) in [
        ("Alice", "example.test", "upper-case"),
        ("alice", "example.test", "lower-case"),
        ("bob", "example.test", "tanstaafl"),
        ("odd name", "example.test", "tanstaafl"),
    ] {
        run_ok("sh", &["-c", &format!("printf '{password}' | saslpasswd2 -p -c -f {file} -u {realm} '{user}'")]);
    }
    let dry = waypost.json(&["account", "import", "sasldb2", &file, "--dry-run"]);
    let done = waypost.json(&["account", "import", "sasldb2", &file]);
    assert_eq!(without_dry_run(dry), done);
    assert_eq!(done["imported"], json!(["alice@example.test", "bob@example.test"]));
    let skipped: Vec<&str> = done["skipped"].as_array().unwrap().iter().map(|left_out| left_out[0].as_str().unwrap()).collect();
    assert_eq!(skipped, ["odd name@example.test", "Alice@example.test"], "{done}");
    waypost.logged_in("alice@example.test", "lower-case");
}

/// A setup of many tutorials: Postfix with a sasldb2 that has one user, `smtp`, which Gmail uses to send as me@.
#[test]
fn the_user_smtp_logs_in_and_sends_as_before() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &format!("foreign MX 10 mx.foreign\nmx.foreign A {}\n", lab.address(2)));
    let far = Sink::start(lab.address(2), MX_PORT);
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let file = lab.path().join("sasldb2").display().to_string();
    run_ok("sh", &["-c", &format!("printf 'tanstaafl' | saslpasswd2 -p -c -f {file} -u example.test smtp")]);
    let reported = waypost.json(&["account", "import", "sasldb2", &file, "--dry-run"])["warnings"].to_string();
    assert!(reported.contains("login_domain = \\\"example.test\\\"") && reported.contains("--sender ADDRESS"), "{reported}");
    waypost.configure(|config| config.set("submission.login_domain", "example.test"));
    waypost.ok(&["reload"]);
    let done = waypost.json(&["account", "import", "sasldb2", &file, "--sender", "me@example.test"]);
    assert_eq!(done["imported"], json!(["smtp@example.test"]));
    // One warning remains: no alias has that address.
    let warnings = done["warnings"].as_array().unwrap();
    assert!(warnings.iter().all(|warning| warning.as_str().unwrap().starts_with("there is no alias for smtp@example.test")), "{done}");
    let server = format!("{}:{SUBMISSION_PORT}", waypost.address);
    for (n, mechanism) in ["PLAIN", "LOGIN"].iter().enumerate() {
        let subject = format!("Subject: by swaks {n}");
        let sent = run(
            "swaks",
            &[
                "--server",
                &server,
                "--tls",
                "--auth",
                mechanism,
                "--auth-user",
                "smtp",
                "--auth-password",
                "tanstaafl",
                "--from",
                "me@example.test",
                "--to",
                "you@foreign.test",
                "--header",
                &subject,
            ],
        );
        assert!(sent.status.success(), "{mechanism}: {}", String::from_utf8_lossy(&sent.stdout));
        assert_eq!(far.wait_for(&subject).from, "<me@example.test>");
    }
    let scram = || {
        let connect = format!("--connect={server}");
        let arguments = [
            "20",
            "gsasl",
            "--smtp",
            "--starttls",
            "--verbose",
            "--quality-of-protection=qop-auth",
            &connect,
            "--x509-ca-file=",
            "--hostname=mx.example.test",
            "-m",
            "SCRAM-SHA-256",
            "-a",
            "smtp",
            "-p",
            "tanstaafl",
            "--no-cb",
        ];
        let output = Command::new("timeout").args(arguments).stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).contains("235 2.7.0").then_some(())
    };
    wait_for("a login by SCRAM as smtp", scram);
    waypost.logged_in("smtp@example.test", "tanstaafl");
}

/// Dovecot's result for a login from 192.0.2.9.
fn by_dovecot(config: &str, user: &str) -> String {
    let output = run("doveadm", &["-c", config, "auth", "test", "-x", "rip=192.0.2.9", "-x", "service=smtp", user, "tanstaafl"]);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn accounts_disabled_in_dovecot_are_imported_suspended() {
    let lab = Lab::new();
    let (root, waypost) = (lab.path().display().to_string(), Waypost::started(&lab, "foo@inbox.test", ""));
    let password = "{PLAIN}tanstaafl:1000:1000::/home/x::";
    // Whether Dovecot accepts a login from that address.
    let users = [
        ("plain", "", true),
        ("extra", "userdb_mail=maildir:~/Maildir nodelay=y", true),
        ("nologin", "nologin", false),
        ("nologin-no", "nologin=no", false),
        ("reason", "nologin reason=Moved", false),
        ("elsewhere", "allow_nets=198.51.100.0/24,2001:db8::/32", false),
        ("fail", "fail", false),
    ];
    let lines: String = users.iter().map(|(user, extra, _)| format!("{user}:{password}{extra}\n")).collect();
    let odd = "colon:{PLAIN}tans::taafl:1000:1000\nplain:{PLAIN}another-one:1000:1000\nlocked:!:1000:1000\n";
    let file = lab.write("users", &(lines + odd)).display().to_string();
    let config = lab.write(
        "dovecot.conf",
        &format!(
            "base_dir = {root}/run\nstate_dir = {root}/run\nlog_path = {root}/log\nprotocols =\nssl = no\ndefault_internal_user = root\ndefault_internal_group = root\n\
             default_login_user = nobody\npassdb {{\n driver = passwd-file\n args = {file}\n}}\nuserdb {{\n driver = passwd-file\n args = {file}\n}}\n"
        ),
    );
    let config = config.display().to_string();
    let mut dovecot = Process::start(Command::new("dovecot").args(["-F", "-c", &config]).stdout(Stdio::null()).stderr(Stdio::null()));
    wait_for("Dovecot's auth", || by_dovecot(&config, "plain").contains("auth succeeded").then_some(()));
    let done = waypost.json(&["account", "import", "passwd", &file, "--domain", "example.test"]);
    for (user, _, lets_in) in users {
        let said = by_dovecot(&config, user);
        assert_eq!(said.contains("auth succeeded") && !said.contains("nologin"), lets_in, "{user}: {said}");
        let account = waypost.json(&["account", "show", &format!("{user}@example.test")]);
        assert_eq!(account["suspended"].is_null(), lets_in, "{account}");
        assert_eq!(done["warnings"].to_string().contains(&format!("{user}@example.test is suspended")), !lets_in, "{done}");
    }
    waypost.logged_in("plain@example.test", "tanstaafl");
    let skipped: Vec<&str> = done["skipped"].as_array().unwrap().iter().map(|left_out| left_out[1].as_str().unwrap()).collect();
    assert_eq!(skipped.len(), 3, "{done}");
    for line in [8, 9, 10] {
        assert!(skipped.iter().any(|why| why.starts_with(&format!("line {line}: "))), "{done}");
    }
    assert!(!by_dovecot(&config, "colon").contains("auth succeeded"));
    dovecot.stop();
}
