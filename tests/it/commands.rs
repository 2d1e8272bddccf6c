//! The commands, with a running server, and on the data directory without one.

use std::process::{Command, Stdio};

use it::{Config, Dns, Lab, MX_PORT, SUBMISSIONS_PORT, Sink, Talk, Waypost, binary, run, run_ok, wait_for};
use serde_json::{Value, json};

/// Runs a test of commands twice, each with a directory of its own: without a server, and with one.
fn both_ways(test: impl Fn(&Lab, &Waypost)) {
    for running in [false, true] {
        let lab = Lab::new();
        let mut waypost = Waypost::configured(&lab, "");
        if running {
            waypost.start();
        }
        test(&lab, &waypost);
        if running {
            waypost.assert_no_bugs();
            waypost.stop();
        }
    }
}

fn column(list: &Value, name: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|row| row[name].as_str().unwrap().to_owned()).collect()
}

#[test]
fn domains() {
    both_ways(|_, waypost| {
        assert!(waypost.ok(&["domain", "list"]).contains("waypost domain add"));
        assert_eq!(waypost.json(&["domain", "list"]), json!([]));
        waypost.ok(&["domain", "add", "--bare", "Example.test"]);
        let added = waypost.json(&["domain", "add", "--bare", "other.test"]);
        assert!(added["changed"].as_str().unwrap().contains("other.test"), "{added}");
        let again = waypost.refused(&["domain", "add", "--bare", "example.test"]);
        assert!(again.contains("error: ") && again.contains("example.test"), "{again}");
        let nonsense: Value = serde_json::from_str(&waypost.refused(&["--json", "domain", "add", "--bare", "a..b"])).unwrap();
        assert!(nonsense["error"].is_string(), "{nonsense}");
        assert_eq!(column(&waypost.json(&["domain", "list"]), "name"), ["example.test", "other.test"]);
        waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
        let kept = waypost.refused(&["domain", "remove", "example.test"]);
        assert!(kept.contains("--with-aliases"), "{kept}");
        waypost.ok(&["domain", "remove", "example.test", "--with-aliases"]);
        waypost.refused(&["domain", "remove", "example.test"]);
        assert_eq!(column(&waypost.json(&["domain", "list"]), "name"), ["other.test"]);
        assert_eq!(waypost.json(&["alias", "list"]), json!([]));
    });
}

#[test]
fn aliases() {
    both_ways(|_, waypost| {
        waypost.ok(&["domain", "add", "--bare", "example.test"]);
        waypost.ok(&["domain", "add", "--bare", "other.test"]);
        waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
        waypost.ok(&["alias", "add", "@other.test", "@example.test"]);
        let there = waypost.refused(&["alias", "add", "ME@example.test", "bar@inbox.test"]);
        assert!(there.contains("--replace"), "{there}");
        waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test", "bar@inbox.test", "--replace"]);
        let circle = waypost.refused(&["alias", "add", "a@example.test", "a@other.test"]);
        assert!(circle.contains("error: "), "{circle}");
        let list = waypost.ok(&["alias", "list"]);
        assert!(list.contains("me@example.test") && list.contains("foo@inbox.test, bar@inbox.test"), "{list}");
        assert_eq!(column(&waypost.json(&["alias", "list", "--domain", "other.test"]), "source"), ["@other.test"]);
        assert!(waypost.ok(&["alias", "test", "me+x@other.test"]).contains("goes to: foo+x@inbox.test, bar+x@inbox.test"));
        waypost.ok(&["alias", "disable", "me@example.test"]);
        assert!(waypost.ok(&["alias", "list"]).contains("disabled"));
        let nowhere = waypost.command(&["--json", "alias", "test", "me@example.test"]);
        assert_eq!(nowhere.status.code(), Some(1));
        let nowhere: Value = serde_json::from_slice(&nowhere.stdout).unwrap();
        assert_eq!((&nowhere["hosted"], &nowhere["targets"]), (&json!(true), &json!([])));
        waypost.ok(&["alias", "enable", "me@example.test"]);
        assert_eq!(waypost.json(&["alias", "test", "me@example.test"])["targets"], json!(["foo@inbox.test", "bar@inbox.test"]));
        waypost.ok(&["alias", "remove", "me@example.test"]);
        let gone = waypost.refused(&["alias", "remove", "me@example.test"]);
        assert!(gone.contains("error: "), "{gone}");
        assert_eq!(column(&waypost.json(&["alias", "list"]), "source"), ["@other.test"]);
    });
}

#[test]
fn accounts() {
    both_ways(|_, waypost| {
        waypost.ok(&["domain", "add", "--bare", "example.test"]);
        let password = waypost.account("me@example.test");
        assert!(password.len() >= 16, "{password}");
        waypost.refused(&["account", "add", "ME@example.test"]);
        waypost.ok(&["account", "senders", "me@example.test", "info@example.test", "@other.test"]);
        waypost.ok(&["account", "senders", "me@example.test", "--add", "sales@example.test"]);
        let account = &waypost.json(&["account", "list"])[0];
        assert_eq!(account["may_send_as"], json!(["info@example.test", "@other.test", "sales@example.test"]));
        assert!(account.get("password").is_none() && account.get("password_hash").is_none(), "{account}");
        let new = waypost.json(&["account", "passwd", "me@example.test"]);
        assert_ne!(new["password"], json!(password));
        waypost.ok(&["account", "disable", "me@example.test"]);
        assert!(waypost.ok(&["account", "list"]).contains("disabled"));
        waypost.ok(&["account", "enable", "me@example.test"]);
        assert!(!waypost.ok(&["account", "list"]).contains("disabled"));
        waypost.ok(&["account", "remove", "me@example.test"]);
        waypost.refused(&["account", "passwd", "me@example.test"]);
        waypost.refused(&["account", "senders", "me@example.test", "--add", "sales@example.test"]);
        assert_eq!(waypost.json(&["account", "list"]), json!([]));
    });
}

#[test]
fn a_postfix_virtual_file_is_imported_and_exported() {
    both_ways(|lab, waypost| {
        let file =
            lab.write("virtual", "# ours\nexample.test x\nme@example.test foo@inbox.test,\n  bar@inbox.test\n@other.test @example.test\n");
        let file = file.display().to_string();
        let dry = waypost.json(&["alias", "import", "virtual", &file, "--dry-run"]);
        assert_eq!((dry["dry_run"].as_bool(), &dry["domains"]), (Some(true), &json!(["example.test", "other.test"])));
        assert_eq!(waypost.json(&["alias", "list"]), json!([]));
        let done = waypost.ok(&["alias", "import", "virtual", &file]);
        assert!(done.contains("domain added: example.test") && done.contains("2 added, 0 skipped"), "{done}");
        assert!(waypost.ok(&["alias", "import", "virtual", &file]).contains("0 added, 2 skipped"));
        let changed = lab.write("changed", "me@example.test other@inbox.test\n").display().to_string();
        assert!(waypost.ok(&["alias", "import", "virtual", &changed]).contains("--replace"));
        assert!(waypost.ok(&["alias", "import", "virtual", &changed, "--replace"]).contains("1 added"));
        waypost.ok(&["alias", "disable", "me@example.test"]);
        let exported = waypost.ok(&["alias", "export"]);
        assert!(exported.contains("# disabled: me@example.test other@inbox.test\n"), "{exported}");
        let other = Lab::new();
        let second = Waypost::configured(&other, "");
        second.ok(&["alias", "import", "virtual", &other.write("exported", &exported).display().to_string()]);
        assert_eq!(second.ok(&["alias", "export"]), exported);
        assert_eq!(second.json(&["alias", "list"]), waypost.json(&["alias", "list"]));
        let bad = lab.write("bad", "a@example.test b@inbox.test\nc@example.test |/bin/sh\n").display().to_string();
        let done = waypost.ok(&["alias", "import", "virtual", &bad]);
        assert!(done.contains("bad:2: rejected: c@example.test") && done.contains("1 added, 0 skipped, 1 rejected"), "{done}");
    });
}

#[test]
fn alias_changes_apply_to_the_next_rcpt() {
    let lab = Lab::new();
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let password = waypost.account("me@example.test");
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<me@example.test>", "250");
    waypost.ok(&["alias", "disable", "me@example.test"]);
    talk.expect("RCPT TO:<me@example.test>", "550");
    waypost.ok(&["alias", "enable", "me@example.test"]);
    talk.expect("RCPT TO:<me@example.test>", "250");
    waypost.ok(&["domain", "add", "--bare", "late.test"]);
    waypost.ok(&["alias", "add", "@late.test", "foo@inbox.test"]);
    talk.expect("RCPT TO:<anybody@late.test>", "250");
    assert!(logs_in(&lab, &waypost, "me@example.test", &password));
    waypost.ok(&["account", "disable", "me@example.test"]);
    assert!(!logs_in(&lab, &waypost, "me@example.test", &password));
    waypost.ok(&["account", "enable", "me@example.test"]);
    assert!(logs_in(&lab, &waypost, "me@example.test", &password));
    waypost.assert_no_bugs();
}

/// Whether curl can submit a message; a failure must be that of the login.
fn logs_in(lab: &Lab, waypost: &Waypost, user: &str, password: &str) -> bool {
    let letter = lab.write("letter", &format!("From: {user}\nSubject: login\n\nbody\n")).display().to_string();
    let (url, user_password) = (format!("smtps://{}:{SUBMISSIONS_PORT}", waypost.address), format!("{user}:{password}"));
    let fixed = ["-v", "-k", "--crlf", "--max-time", "20", "--mail-rcpt", "you@foreign.test", "--mail-from", user];
    let output = run("curl", &[&fixed[..], &["--url", &url, "--user", &user_password, "-T", &letter]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || said.contains("535 5.7.8"), "{said}");
    output.status.success()
}

/// A server with two deferred messages in its queue: the target host does not listen.
fn with_a_queue(lab: &Lab) -> (Waypost, Dns, Vec<String>) {
    let zone = format!("inbox MX 10 mx\nfar MX 10 mx\nmx A {}\n", lab.address(2));
    let dns = Dns::start(lab, &zone);
    let waypost = Waypost::started(lab, "foo@inbox.test", "");
    waypost.ok(&["alias", "add", "two@example.test", "a@inbox.test", "b@far.test"]);
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    for to in ["me@example.test", "two@example.test"] {
        let reply = talk.message("her@foreign.test", to, &format!("From: her@foreign.test\r\nSubject: to {to}\r\n\r\n"));
        assert!(reply.starts_with("250"), "{reply}");
    }
    let deferred = || {
        let list = waypost.json(&["queue", "list"]);
        let messages = list["items"].as_array().unwrap().clone();
        let tried = |m: &Value| m["recipients"][0]["state"] == "waiting" && m["recipients"][0]["attempts"].as_u64() > Some(0);
        (messages.len() == 3 && messages.iter().all(tried)).then(|| messages.iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect())
    };
    let ids = wait_for("three deferred messages", deferred);
    (waypost, dns, ids)
}

/// Queue commands that work with and without a server.
fn look(waypost: &Waypost, ids: &[String]) {
    let text = waypost.ok(&["queue", "list"]);
    assert!(text.starts_with("id ") && ids.iter().all(|id| text.contains(id.as_str())), "{text}");
    let first = waypost.json(&["queue", "list", "--limit", "1"]);
    assert_eq!(first["items"][0]["id"], json!(ids[0]));
    let next = first["next_cursor"].as_str().unwrap();
    let rest = waypost.json(&["queue", "list", "--after", next]);
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (2, &Value::Null));
    let far = waypost.json(&["queue", "list", "--address", "FAR.test"]);
    assert_eq!((far["items"].as_array().unwrap().len(), &far["items"][0]["recipients"][0]["to"]), (1, &json!("b@far.test")));
    let shown = waypost.json(&["queue", "show", &ids[0]]);
    let recipient = &shown["recipients"][0];
    assert_eq!((&recipient["to"], &recipient["via"]), (&json!("foo@inbox.test"), &json!("me@example.test")));
    assert!(recipient["reason"].as_str().unwrap().contains("refused"), "{recipient}");
    let text = waypost.ok(&["queue", "show", &ids[0]]);
    assert!(text.contains("her@foreign.test") && text.contains("foo@inbox.test (via me@example.test)"), "{text}");
    assert!(waypost.refused(&["queue", "show", "0000000000001"]).contains("queue list"));
    assert!(waypost.refused(&["queue", "drop", &ids[0]]).contains("--yes"));
    assert!(waypost.refused(&["queue", "drop", &ids[0], "--recipient", "9", "--yes"]).contains("no recipient 9"));
    assert_eq!(waypost.queued(), ids.len());
}

#[test]
fn queue_commands_with_a_running_server() {
    let lab = Lab::new();
    let (waypost, _dns, ids) = with_a_queue(&lab);
    look(&waypost, &ids);
    waypost.ok(&["queue", "drop", &ids[0], "--yes"]);
    waypost.refused(&["queue", "show", &ids[0]]);
    let sink = Sink::start(lab.address(2), MX_PORT);
    assert_eq!(waypost.json(&["queue", "retry", "--domain", "far.test"])["recipients"], 1);
    wait_for("the mail to far.test", || sink.messages().iter().any(|m| m.to == ["<b@far.test>"]).then_some(()));
    wait_for("one message to be left", || (waypost.queued() == 1).then_some(()));
    let left = waypost.json(&["queue", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    waypost.ok(&["queue", "retry", &left]);
    wait_for("an empty queue", || (waypost.queued() == 0).then_some(()));
    assert_eq!(sink.messages().len(), 2, "what was dropped is not sent");
    assert!(waypost.ok(&["queue", "list"]).contains("nothing is waiting"));
    assert!(waypost.refused(&["queue", "retry", &left]).contains("is not in the queue"));
    waypost.assert_no_bugs();
}

#[test]
fn queue_commands_without_a_server() {
    let lab = Lab::new();
    let (mut waypost, _dns, ids) = with_a_queue(&lab);
    waypost.stop();
    look(&waypost, &ids);
    waypost.ok(&["queue", "drop", &ids[0], "--recipient", "0", "--yes"]);
    assert_eq!(waypost.queued(), 2);
    assert_eq!(waypost.json(&["queue", "retry", "--all"])["recipients"], 2);
    let sink = Sink::start(lab.address(2), MX_PORT);
    waypost.start();
    wait_for("an empty queue", || (waypost.queued() == 0).then_some(()));
    assert_eq!(sink.messages().len(), 2);
    waypost.assert_no_bugs();
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, "");
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let many: String = (0..3000).map(|n| format!("alias{n}@example.test target{n}@inbox.test\n")).collect();
    let file = lab.write("virtual", &many).display().to_string();
    waypost.ok(&["alias", "import", "virtual", &file]);
    waypost.start();
    for what in ["queue list", "alias list", "--json alias list", "alias export", "config reference", "completions bash", "--help"] {
        let line = format!("set -o pipefail; {} --config {} {what} 2>&1 | head -1", binary().display(), waypost.config.display());
        let output = run("bash", &["-c", &line]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && !said.contains("rror:") && !said.contains("panicked"), "{what}: {} {said}", output.status);
        let mut command = Command::new(binary());
        command.arg("--config").arg(&waypost.config).args(what.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{what}: {} {said}", output.status);
    }
}

#[test]
fn configuration_errors_are_reported_by_line() {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, "");
    assert!(waypost.ok(&["config", "check"]).starts_with("OK "));
    assert_eq!(waypost.json(&["config", "check"])["ok"], true);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    waypost.start();
    let good = std::fs::read_to_string(&waypost.config).unwrap();
    let line = good.lines().count() + 1;
    for (bad, what) in [("bogus = 1", "bogus"), ("[limits]\nsessions = 0", "between 1 and"), ("[log]\nlevel = 7", ""), ("x", "")] {
        std::fs::write(&waypost.config, format!("{good}{bad}\n")).unwrap();
        let output = waypost.command(&["config", "check"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let at = format!("{}:{}:", waypost.config.display(), if bad.starts_with('[') { line + 1 } else { line });
        assert!(said.contains(&at) && said.contains(what), "{bad}: wanted {at}, got {said}");
        let output = waypost.command(&["--json", "config", "check"]);
        let reported: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &reported["ok"]), (Some(1), &json!(false)));
        assert!(reported["errors"][0]["line"].is_u64(), "{reported}");
        waypost.hang_up();
        waypost.wait_for_log(&at);
        Talk::greeted(waypost.address, MX_PORT).expect("NOOP", "250");
    }
    std::fs::write(&waypost.config, &good).unwrap();
    waypost.ok(&["reload"]);
    waypost.assert_no_bugs();
}

#[test]
fn shells_get_completions() {
    let lab = Lab::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = run_ok(binary().to_str().unwrap(), &["completions", shell]);
        assert!(script.contains("alias") && script.contains("waypost"), "{shell}: {script:.200}");
        if shell == "bash" {
            run_ok("bash", &["-n", &lab.write("completions", &script).display().to_string()]);
        }
    }
    let pages = lab.path().join("man");
    run_ok(binary().to_str().unwrap(), &["man", pages.to_str().unwrap()]);
    assert!(pages.join("waypost-alias-test.1").exists());
}

#[test]
fn setup_creates_a_server_that_starts() {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, "");
    let ours = lab.path().join("fresh/waypost.toml");
    std::fs::create_dir(lab.path().join("fresh")).unwrap();
    let mut lab_config = Config::read(&waypost.config);
    waypost.config = ours.clone();
    waypost.data = lab.path().join("fresh/data");
    let data = waypost.data.display().to_string();
    let arguments = ["setup", "example.test", "--forward", "me=foo@inbox.test", "--data", &data, "--no-preflight"];
    let first = waypost.ok(&arguments);
    let password = first.split("Password ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned();
    let state = |waypost: &Waypost| {
        let lists = ["domain", "alias", "account"].map(|what| waypost.ok(&[what, "list"]));
        let key = std::fs::read(waypost.data.join("tls/key.pem")).unwrap();
        (lists, key, std::fs::read_to_string(&waypost.config).unwrap())
    };
    let made = state(&waypost);
    let second = waypost.ok(&arguments);
    assert!(!second.contains("done  ") && !second.contains(&password), "{second}");
    assert_eq!(state(&waypost), made);
    // The lab's ports, since the standard ones need root and may be in use.
    let text = std::fs::read_to_string(&ours).unwrap();
    for name in ["mx", "submission", "submissions"] {
        assert!(text.contains(&format!("# {name} = [")), "{text}");
    }
    waypost.configure(|config| {
        for name in ["listen.mx", "listen.submission", "listen.submissions"] {
            config.set(name, lab_config.get(name).clone());
        }
        config
    });
    assert!(waypost.ok(&["config", "check"]).contains(&format!("{}:{MX_PORT}", waypost.address)));
    waypost.start();
    assert!(logs_in(&lab, &waypost, "me@example.test", &password));
    assert!(!logs_in(&lab, &waypost, "me@example.test", "wrong"));
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    for to in ["me@example.test", "postmaster@example.test", "abuse@example.test", "Postmaster"] {
        talk.expect(&format!("RCPT TO:<{to}>"), "250");
    }
    waypost.ok(&["setup", "example.test", "--forward", "me=foo@inbox.test"]);
    waypost.assert_no_bugs();
}

#[test]
fn demo_shows_all_its_steps() {
    let shown = run_ok(binary().to_str().unwrap(), &["demo", "--once"]);
    for step in [
        "1. A stranger writes to me@example.test",
        "has new mail for <foo@inbox.test>",
        "2. The answer is sent over TLS",
        "has new mail for <stranger@foreign.test>",
        "3. A stranger tries to relay",
        "550 5.7.1",
        "All three steps worked",
    ] {
        assert!(shown.contains(step), "no {step:?} in:\n{shown}");
    }
}

#[test]
fn explain_reply_needs_no_configuration_or_server() {
    let explain = |arguments: &[&str]| {
        run(&binary().display().to_string(), &[&["explain-reply", "--config", "/nowhere/waypost.toml"], arguments].concat())
    };
    let said = "452-4.2.2 The recipient's inbox is out of storage space.\\n452 4.2.2 x1 - gsmtp";
    let text = String::from_utf8(explain(&[said]).stdout).unwrap();
    assert!(text.contains("Gmail") && text.contains("out of storage") && text.contains("about      the mailbox"), "{text}");
    let full: Value = serde_json::from_slice(&explain(&[said, "--json"]).stdout).unwrap();
    assert_eq!((&full["row"], &full["waits"], &full["severity"]), (&json!("gmail-full"), &json!(true), &json!("critical")));
    // A rule for the host precedes one for the text.
    let other: Value = serde_json::from_slice(&explain(&[said, "--json", "--host", "mx01.mail.icloud.com"]).stdout).unwrap();
    assert_eq!(other["row"], json!("any-full"));
    let nonsense = explain(&["hello"]);
    assert_eq!(nonsense.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nonsense.stderr).contains("hint: "));
    let piped = run("sh", &["-c", &format!("printf '550 5.1.1 no\\r\\n' | {} explain-reply -", binary().display())]);
    assert!(String::from_utf8_lossy(&piped.stdout).contains("any-no-user"), "{piped:?}");
}
