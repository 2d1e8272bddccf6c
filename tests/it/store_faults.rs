//! A lost database, a server without domains, and a store thread that dies.

use std::fs;
use std::process::{Command, Stdio};

use it::{Dns, Lab, MX_PORT, Process, Sink, Talk, Waypost, wait_for, zone};

fn large(number: usize) -> String {
    format!("From: her@foreign.test\r\nSubject: number {number}.\r\n\r\n{}", "0123456789abcdef\r\n".repeat(12_000))
}

#[test]
fn content_survives_a_lost_database() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut waypost = Waypost::started(&lab, "foo@inbox.test", "");
    for number in 0..3 {
        Talk::greeted(waypost.address, MX_PORT).taken("her@foreign.test", "me@example.test", &large(number));
    }
    waypost.kill();
    let content = || fs::read_dir(waypost.data.join("content")).unwrap().count();
    assert_eq!(content(), 3);
    let backup = lab.path().join("backup");
    fs::create_dir(&backup).unwrap();
    for entry in fs::read_dir(&waypost.data).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("waypost.db") {
            fs::rename(entry.path(), backup.join(entry.file_name())).unwrap();
        }
    }
    for command in [&["queue", "list"][..], &["serve"]] {
        let said = waypost.refused(command);
        assert!(said.contains("waypost.db is missing or empty") && said.contains("hint: restore waypost.db from a backup"), "{said}");
        assert_eq!(content(), 3, "{command:?}");
    }
    for entry in fs::read_dir(&backup).unwrap().map(Result::unwrap) {
        fs::rename(entry.path(), waypost.data.join(entry.file_name())).unwrap();
    }
    let inbox = Sink::start(lab.address(2), MX_PORT);
    waypost.start();
    waypost.ok(&["queue", "retry", "--all"]);
    for number in 0..3 {
        inbox.wait_for(&format!("Subject: number {number}.\r\n"));
    }
    waypost.wait_for_empty_queue();
    waypost.assert_no_bugs();
}

#[test]
fn a_server_without_domains_defers_mail() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut waypost = Waypost::configured(&lab, "");
    waypost.start();
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.expect("EHLO client.foreign.test", "250");
    talk.expect("MAIL FROM:<her@foreign.test>", "250");
    talk.expect("RCPT TO:<me@example.test>", "451 4.3.0");
    waypost.ok(&["domain", "add", "example.test"]);
    talk.expect("RCPT TO:<me@elsewhere.test>", "550 5.7.1");
}

#[test]
fn a_dead_store_ends_the_server_with_an_error() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let tasks = format!("/proc/{}/task", waypost.id());
    let name = |id: &str| fs::read_to_string(format!("{tasks}/{id}/comm")).unwrap_or_default().trim().to_owned();
    let ids = fs::read_dir(&tasks).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let thread = ids.into_iter().find(|id| name(id) == "store-write").expect("the thread that writes");
    // Once, that thread fails to wake the runtime: not a real fault, but a real panic.
    let log = lab.path().join("strace.log");
    let mut command = Command::new("strace");
    command.args(["-o", "/dev/null", "-p", &thread, "-e", "inject=write:error=EIO:when=1"]);
    let _strace = Process::start(command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap()));
    wait_for("strace to attach", || fs::read_to_string(&log).unwrap_or_default().contains("attached").then_some(()));
    // The call happens only if the whole runtime sleeps, so a few messages may still be accepted.
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    while talk.message("her@foreign.test", "me@example.test", "Subject: one more\r\n\r\n").starts_with("250") {}
    waypost.wait_for_failure();
    let log = waypost.log();
    assert!(log.contains("store-write") && log.contains("service manager"), "{log}");
}
