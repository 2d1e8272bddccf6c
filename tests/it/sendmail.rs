//! `waypost sendmail` with git, mutt, PHP, cron and by hand; as root, as the user nobody, with and without a server.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use it::{Delivered, Dns, Lab, MX_PORT, Sink, Waypost, binary, signers};

/// Our server, and a mailbox host.
struct Office {
    lab: Lab,
    waypost: Waypost,
    far: Sink,
    _dns: Dns,
}

impl Office {
    fn with(extra: &str) -> Self {
        let lab = Lab::new();
        let mut waypost = Waypost::configured(&lab, extra);
        waypost.ok(&["domain", "add", "--bare", "example.test"]);
        waypost.ok(&["alias", "add", "me@example.test", "foo@foreign.test"]);
        let keys = waypost.keys("example.test");
        let zone = format!("foreign MX 10 mx.foreign\nmx.foreign A {}\n{keys}", lab.address(2));
        let dns = Dns::start(&lab, &zone);
        let far = Sink::start(lab.address(2), MX_PORT);
        waypost.start();
        Self { lab, waypost, far, _dns: dns }
    }

    fn open() -> Self {
        Self::with("postmaster = \"boss@foreign.test\"\n")
    }

    /// Runs `waypost sendmail` as root.
    fn sendmail(&self, words: &[&str], input: &str) -> Output {
        let mut command = Command::new(binary());
        command.arg("--config").arg(&self.waypost.config).arg("sendmail").args(words);
        fed(&mut command, input.as_bytes())
    }

    fn taken(&self, words: &[&str], input: &str) {
        let output = self.sendmail(words, input);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
    }

    fn refused(&self, words: &[&str], input: &str, code: i32, what: &str) {
        let output = self.sendmail(words, input);
        assert!(output.status.code() == Some(code) && said(&output).contains(what), "{words:?}: {:?} {}", output.status, said(&output));
    }

    fn arrived(&self, text: &str) -> Delivered {
        self.far.wait_for(text)
    }

    /// The command line for other programs.
    fn line(&self) -> String {
        format!("{} --config {} sendmail", binary().display(), self.waypost.config.display())
    }
}

fn fed(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    // A refused program does not read its input to the end.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn dash_t_sends_to_header_recipients_and_removes_bcc() {
    let office = Office::open();
    let letter =
        "From: Me <me@example.test>\nTo: a@foreign.test\nCc: \"B, b\" <b@foreign.test>\nBcc: c@foreign.test\nSubject: header\n\n.\ntext\n";
    office.taken(&["-t", "-i"], letter);
    let arrived = office.arrived("Subject: header");
    assert_eq!(
        (arrived.from.as_str(), arrived.to.join(" ")),
        ("<root@mx.example.test>", "<a@foreign.test> <b@foreign.test> <c@foreign.test>".into())
    );
    let text = arrived.text();
    assert!(!text.contains("Bcc") && !text.contains("c@foreign.test"), "{text}");
    assert!(text.ends_with("Subject: header\r\n\r\n.\r\ntext\r\n"), "{text}");
    assert!(
        text.contains("Received: from local\r\n\tby mx.example.test (Waypost) with local id ") && text.contains("\r\nDate: "),
        "{text}"
    );
    assert!(text.contains("\r\nMessage-ID: <"), "{text}");
    assert_eq!(signers(&office.lab, &arrived.content), ["example.test"]);
    office.waypost.assert_no_bugs();
}

#[test]
fn missing_fields_are_added_and_a_lone_dot_ends_input() {
    let office = Office::open();
    office.taken(&["-f", "me@example.test", "-F", "Mé Myself", "you@foreign.test"], "Subject: dot\n\nabove\n.\nbelow\n");
    let arrived = office.arrived("Subject: dot");
    let text = arrived.text();
    assert_eq!(arrived.from, "<me@example.test>");
    assert!(text.contains("From: =?utf-8?B?TcOpIE15c2VsZg==?= <me@example.test>\r\n") && text.ends_with("\r\n\r\nabove\r\n"), "{text}");
    office.taken(&["you@foreign.test"], "only a body\n");
    let arrived = office.arrived("only a body");
    assert!(arrived.text().contains("<root@mx.example.test>\r\n\r\nonly a body\r\n"), "{}", arrived.text());
    office.taken(&["-f", "<>", "-Nnever", "-V", "id7", "me@example.test"], "Subject: null\n\n\n");
    assert_eq!(office.arrived("Subject: null").to, ["<foo@foreign.test>"]);
}

#[test]
fn cron_mail_to_root_reaches_the_postmaster() {
    let office = Office::open();
    let mail = "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> false\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n\
                X-Cron-Env: <SHELL=/bin/sh>\n\noutput\n";
    office.taken(&["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"], mail);
    let arrived = office.arrived("Cron <root@host> false");
    assert_eq!(arrived.to, ["<boss@foreign.test>"]);
    assert!(arrived.text().contains("From: root@mx.example.test (Cron Daemon)\r\nTo: root@mx.example.test\r\n"), "{}", arrived.text());
    office.refused(&["nosuchuser"], "Subject: x\n\n\n", 67, "no such user on this host");
    // If the host name is a hosted domain, local users have ordinary addresses.
    office.waypost.ok(&["domain", "add", "--bare", "mx.example.test"]);
    office.waypost.ok(&["alias", "add", "root@mx.example.test", "admin@foreign.test"]);
    office.taken(&["root"], "Subject: aliased\n\n\n");
    assert_eq!(office.arrived("Subject: aliased").to, ["<admin@foreign.test>"]);
}

#[test]
fn a_dsn_to_a_local_user_reaches_the_postmaster() {
    let lab = Lab::new();
    let mut waypost = Waypost::configured(&lab, "postmaster = \"boss@foreign.test\"\n");
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let _dns = Dns::start(&lab, &format!("foreign MX 10 mx.foreign\nmx.foreign A {}\n", lab.address(2)));
    let refusing = |to: &str| to.contains("gone@").then(|| mail::Reply::new(550, (5, 1, 1), "no such user"));
    let far = Sink::deciding(lab.address(2), MX_PORT, refusing);
    waypost.start();
    let mut command = Command::new(binary());
    command.arg("--config").arg(&waypost.config).args(["sendmail", "gone@foreign.test"]);
    assert!(fed(&mut command, b"Subject: to nobody\n\n\n").status.success());
    let report = far.wait_for("no such user");
    assert_eq!((report.from.as_str(), report.to.join(" ")), ("<>", "<boss@foreign.test>".into()));
    waypost.wait_for_empty_queue();
    waypost.assert_no_bugs();
}

/// Sends this to the submission socket; returns the answer.
fn raw(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(request.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn the_submission_socket_survives_malformed_input() {
    let office = Office::open();
    let socket = office.waypost.data.join("submit.sock");
    let post = |length: &str, body: &str| {
        raw(&socket, &format!("POST /api/v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}\r\n{body}"))
    };
    let of = |body: &str| post(&format!("content-length: {}\r\n", body.len()), body);
    for (answer, want) in [
        (post("content-length: 9999999999999\r\n", ""), "552 5.3.4"),
        (post("transfer-encoding: chunked\r\n", "0\r\n\r\n"), "has no Content-Length"),
        (of("no envelope"), "the envelope before the message is missing"),
        (of("{\"uid\": 0}\n\n"), "unknown field `uid`"),
        (of("{\"recipients\": [\"you@foreign.test\"], \"notify\": \"x\"}\n\n"), "is not a value of NOTIFY"),
        (of("{\"recipients\": [\"you@foreign.test\\r\\nBcc: x\"]}\n\n"), "invalid address"),
        (of("{\"sender\": \"me@example.test\\nx\", \"recipients\": [\"you@foreign.test\"]}\n\n"), "invalid sender address"),
        (of(&format!("{{\"recipients\": [\"you@foreign.test\"{}]}}\n\n", ",\"a@foreign.test\"".repeat(1000))), "maximum 1000"),
    ] {
        assert!(answer.contains(want), "{want}: {answer}");
    }
    // A name cannot contain a line end.
    office.taken(&["-F", "a\r\nBcc: evil@foreign.test\r\n\r\nb", "you@foreign.test"], "Subject: named\n\n\n");
    let text = office.arrived("Subject: named").text();
    assert!(text.contains("From: \"aBcc: evil@foreign.testb\" <root@mx.example.test>\r\n") && !text.contains("\nBcc"), "{text}");
    assert_eq!(office.far.messages().len(), 1);
    office.waypost.assert_no_bugs();
}

#[test]
fn mail_is_queued_while_the_server_is_down() {
    let mut office = Office::open();
    office.waypost.stop();
    office.taken(&["-v", "-f", "me@example.test", "you@foreign.test"], "From: me@example.test\nSubject: down\n\nkept\n");
    assert_eq!(office.waypost.queued(), 1);
    office.waypost.start();
    let arrived = office.arrived("Subject: down");
    assert_eq!(signers(&office.lab, &arrived.content), ["example.test"]);
    office.waypost.wait_for_empty_queue();
}

#[test]
fn links_named_sendmail_mailq_and_newaliases_work() {
    let mut office = Office::open();
    let run = |office: &Office, name: &str, words: &[&str], input: &str| {
        let link = office.lab.path().join(name);
        if !link.exists() {
            symlink(binary(), &link).unwrap();
        }
        let output = fed(Command::new(link).env("WAYPOST_CONFIG", &office.waypost.config).args(words), input.as_bytes());
        assert!(output.status.success(), "{name}: {}", said(&output));
        said(&output)
    };
    run(&office, "sendmail", &["-oi", "you@foreign.test"], "Subject: link\n\n\n");
    office.arrived("Subject: link");
    assert!(run(&office, "newaliases", &[], "").contains("nothing to do"));
    office.waypost.wait_for_empty_queue();
    office.waypost.stop();
    run(&office, "sendmail", &["you@foreign.test"], "Subject: waits\n\n\n");
    assert!(run(&office, "mailq", &[], "").contains("root@mx.example.test"));
    assert!(run(&office, "sendmail", &["-bp"], "").contains("you@foreign.test"));
}

#[test]
fn dash_bs_speaks_smtp_on_standard_input() {
    let office = Office::open();
    let talk = "EHLO here\nMAIL FROM:<me@example.test>\nRCPT TO:<you@foreign.test>\nDATA\nFrom: me@example.test\nSubject: bs\n\n..dot\n.\n\
                MAIL FROM:<me@example.test>\r\nRCPT TO:<nobody.here@example.test>\r\nDATA\r\nFrom: me@example.test\r\n\r\n\r\n.\r\nQUIT\r\n";
    let output = office.sendmail(&["-bs"], talk);
    let replies = said(&output);
    assert!(
        output.status.success() && replies.contains("250 2.0.0 queued as ") && replies.contains("550 5.1.1 <nobody.here@example.test>"),
        "{replies}"
    );
    assert!(office.arrived("Subject: bs").text().ends_with("\r\n\r\n.dot\r\n"));
}

#[test]
fn errors_have_their_sysexits_code() {
    let office = Office::with("[limits]\nmessage_bytes = \"1 MiB\"\n");
    let to = "you@foreign.test";
    let me = "From: me@example.test\n";
    office.refused(&[], "Subject: x\n\n\n", 64, "no recipients");
    office.refused(&["-t"], "Subject: x\n\n\n", 65, "no recipients");
    office.refused(&["-z", to], "", 64, "-z is not an option");
    office.refused(&["-bd"], "", 64, "waypost serve");
    office.refused(&[to], "Subject: a\0b\n\n\n", 65, "NUL");
    office.refused(&[to], "Subject: a\rb\n\n\n", 65, "bare CR");
    office.refused(&[to], &format!("Subject: x\n\n{}\n", "x".repeat(76)).repeat(20_000), 65, "larger than");
    office.refused(&[to], "From: me@example.test\nFrom: me@example.test\n\n", 65, "more than one From");
    office.refused(&["-f", "me@gmail.test", to], me, 77, "local_users = [\"root=me@gmail.test\"]");
    office.refused(&[to], "From: me@gmail.test\n\n", 77, "may not send as");
    office.refused(&["not an address@x"], me, 67, "invalid address");
    office.refused(&["nobody.here@example.test", to], me, 67, "<nobody.here@example.test>: no such address here");
    office.refused(&["root"], me, 67, "no postmaster is configured");
    assert_eq!(office.far.messages().len(), 0, "what was refused is not sent");
    let nothing =
        Command::new(binary()).args(["--config", "/nonexistent/waypost.toml", "sendmail", to]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(nothing.status.code(), Some(75), "{}", said(&nothing));
    office.waypost.assert_no_bugs();
}

/// Runs the binary as the user nobody, which can read the files in `place`.
fn as_nobody(place: &Path, words: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(place.join("waypost"));
    let output = fed(command.arg("sendmail").arg("-C").arg(place.join("waypost.toml")).args(words), input.as_bytes());
    (output.status.code(), said(&output))
}

#[test]
fn local_users_send_only_under_their_own_addresses() {
    let mut office = Office::with(
        "submit_socket = \"open/submit.sock\"\n[submission]\nlocal_users = [\"nobody=noreply@example.test\"]\nrecipients_per_hour = 3\n",
    );
    let place = office.lab.path().to_owned();
    fs::set_permissions(&place, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(place.join("data"), Permissions::from_mode(0o700)).unwrap();
    fs::copy(binary(), place.join("waypost")).unwrap();
    let to = "you@foreign.test";
    let (code, text) = as_nobody(&place, &["-f", "me@example.test", to], "From: me@example.test\n\n");
    assert!(code == Some(77) && text.contains("user nobody may not send as me@example.test"), "{code:?} {text}");
    let (code, text) = as_nobody(&place, &[to], "From: me@example.test\n\n");
    assert!(code == Some(77) && text.contains("local_users = [\"nobody=me@example.test\"]"), "{code:?} {text}");
    assert_eq!(as_nobody(&place, &[to], "Subject: itself\n\n\n"), (Some(0), String::new()));
    assert_eq!(office.arrived("Subject: itself").from, "<nobody@mx.example.test>");
    let allowed = as_nobody(&place, &["-f", "noreply@example.test", to], "From: noreply@example.test\nSubject: allowed\n\n\n");
    assert_eq!(allowed, (Some(0), String::new()));
    assert_eq!(office.arrived("Subject: allowed").from, "<noreply@example.test>");
    let (code, text) = as_nobody(&place, &["a@foreign.test", "b@foreign.test"], "Subject: too many\n\n\n");
    assert!(code == Some(75) && text.contains("3 recipients an hour"), "{code:?} {text}");
    // The socket accepts nothing but mail.
    let socket = place.join("open/submit.sock").display().to_string();
    let queue = it::run("curl", &["-s", "--unix-socket", &socket, "http://waypost/api/v1/queue"]);
    assert!(said(&queue).contains("unknown route"), "{}", said(&queue));
    office.waypost.stop();
    let (code, text) = as_nobody(&place, &[to], "Subject: down\n\n\n");
    assert!(code == Some(75) && text.contains("hint:"), "{code:?} {text}");
}

#[test]
fn root_submits_to_a_server_of_another_user() {
    let mut office = Office::with("postmaster = \"boss@foreign.test\"\n");
    office.waypost.stop();
    let place = office.lab.path().to_owned();
    fs::set_permissions(&place, Permissions::from_mode(0o755)).unwrap();
    fs::copy(binary(), place.join("waypost")).unwrap();
    it::run_ok("chown", &["-R", "65534:65534", &place.display().to_string()]);
    office.taken(&["root"], "Subject: while it is down\n\n\n");
    let owned = it::run_ok("find", &[&place.join("data").display().to_string(), "-not", "-user", "65534"]);
    assert_eq!(owned, "", "what root makes there is closed to the server");
    office.waypost.start_by(|_| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(place.join("waypost"));
        command
    });
    assert_eq!(office.arrived("Subject: while it is down").from, "<root@mx.example.test>");
    office.taken(&["-f", "me@example.test", "you@foreign.test"], "From: me@example.test\nSubject: while it is up\n\n\n");
    office.arrived("Subject: while it is up");
}

#[test]
fn php_sends() {
    let office = Office::open();
    let path = format!("sendmail_path={} -t -i", office.line());
    let script = "exit(mail('you@foreign.test', 'Grüße', \"line\\nanother\", \"From: me@example.test\\r\\nCc: cc@foreign.test\") ? 0 : 1);";
    let output = it::run("php", &["-d", &path, "-r", script]);
    assert!(output.status.success(), "{}", said(&output));
    let arrived = office.arrived("another");
    assert_eq!(arrived.to, ["<you@foreign.test>", "<cc@foreign.test>"]);
    assert!(arrived.text().ends_with("\r\n\r\nline\r\nanother\r\n"), "{}", arrived.text());
}

#[test]
fn mutt_sends() {
    let office = Office::open();
    let rc = format!(
        "set sendmail=\"{} -oem -oi\"\nset from=\"Me <me@example.test>\"\nset use_from=yes\nset envelope_from=yes\nset copy=no\nset charset=utf-8\n",
        office.line()
    );
    let rc = office.lab.write("muttrc", &rc);
    let mut command = Command::new("mutt");
    command.env("HOME", office.lab.path()).arg("-n").arg("-F").arg(rc).args([
        "-s",
        "by mutt",
        "-b",
        "bcc@foreign.test",
        "--",
        "you@foreign.test",
    ]);
    let output = fed(&mut command, "jürgen\n.\nend\n".as_bytes());
    assert!(output.status.success(), "{}", said(&output));
    let arrived = office.arrived("by mutt");
    assert_eq!((arrived.from.as_str(), arrived.to.join(" ")), ("<me@example.test>", "<you@foreign.test> <bcc@foreign.test>".into()));
    assert!(arrived.text().contains("\r\n.\r\nend\r\n"), "{}", arrived.text());
}

#[test]
fn git_sends_patches() {
    let office = Office::open();
    let repository = office.lab.path().join("repository");
    fs::create_dir(&repository).unwrap();
    let git = |words: &[&str]| {
        let mut command = Command::new("/usr/bin/git");
        command.current_dir(&repository).env("HOME", office.lab.path()).env("GIT_CONFIG_NOSYSTEM", "1").args(words);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "git {words:?}: {}", said(&output));
    };
    git(&["init", "-q"]);
    git(&["config", "user.name", "Me"]);
    git(&["config", "user.email", "me@example.test"]);
    fs::write(repository.join("file"), "text\n").unwrap();
    git(&["add", "file"]);
    git(&["commit", "-qm", "a change\n\n.\nits reason"]);
    git(&["format-patch", "-q", "--root"]);
    let command = format!("--sendmail-cmd={} -i", office.line());
    git(&[
        "send-email",
        &command,
        "--envelope-sender=me@example.test",
        "--confirm=never",
        "--suppress-cc=all",
        "--to=list@foreign.test",
        "0001-a-change.patch",
    ]);
    let arrived = office.arrived("[PATCH] a change");
    assert_eq!((arrived.from.as_str(), arrived.to[0].as_str()), ("<me@example.test>", "<list@foreign.test>"));
    assert!(arrived.text().contains("\r\n.\r\nits reason\r\n"), "{}", arrived.text());
}
