//! The reply 250 follows the syncs: of the content's file, of its directory, and of the database.
//!
//! RFC 5321 s.6.1. strace shows the calls in their order. `resources.rs` makes them fail.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use it::{Dns, Lab, MX_PORT, Process, Talk, Waypost, wait_for, zone};

/// The beginning of the reply as a system call writes it.
const REPLY: &str = "\"250 2.0.0 queued as ";

#[test]
fn a_reply_of_250_follows_the_syncs_of_file_directory_and_database() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    // No host answers for the target, so that the message must be kept.
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let (trace, log) = (lab.path().join("trace"), lab.path().join("strace.log"));
    let mut command = Command::new("strace");
    let calls = "trace=fsync,fdatasync,write,writev,sendto,sendmsg";
    command.args(["-f", "-y", "-s", "40", "-e", calls, "-o"]).arg(&trace).args(["-p", &waypost.id().to_string()]);
    let mut strace = Process::start(command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()));
    wait_for("strace to attach", || fs::read_to_string(&log).unwrap_or_default().contains("attached").then_some(()));

    let large = format!("From: her@foreign.test\r\nSubject: large\r\n\r\n{}", "0123456789abcdef\r\n".repeat(12_000));
    Talk::greeted(waypost.address, MX_PORT).taken("her@foreign.test", "me@example.test", &large);
    let calls = wait_for("the reply in the trace", || fs::read_to_string(&trace).ok().filter(|calls| calls.contains(REPLY)));
    strace.stop();

    let before: Vec<&str> = calls.lines().take_while(|line| !line.contains(REPLY)).filter(|line| line.contains("sync(")).collect();
    let data = waypost.data.display().to_string();
    let is_synced = |what: &str| before.iter().any(|line| line.contains(&format!("<{data}/{what}")));
    assert!(is_synced("content/"), "the content's file was not synced: {before:#?}");
    assert!(is_synced("content>"), "the directory of contents was not synced: {before:#?}");
    assert!(is_synced("waypost.db") || is_synced("journal"), "the database was not synced: {before:#?}");
}
