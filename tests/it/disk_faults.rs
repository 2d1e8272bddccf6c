//! Threat 98 at every system call: each call that the queue makes to its disk fails once, at each of its first indexes, while mail arrives and is delivered.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Instant;

use it::{Dns, Lab, MX_PORT, Process, Sink, Talk, Waypost, wait_for, zone};

/// The calls that write, sync, open, and remove. `write` is left out here: the runtime wakes its threads by it, and a failed wake-up is not a failed disk;
/// `store_faults.rs` injects it into the thread of the store.
const CALLS: [&str; 6] = ["pwrite64", "fdatasync", "fsync", "openat", "unlink", "ftruncate"];

/// What they fail with.
const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];

/// Indexes of each call, counted in each thread.
const INDEXES: u32 = 6;

/// Small content is in the database, large content in a file.
const SIZES: [usize; 2] = [2_000, 200_000];

/// Maximum time for a reply while the disk fails, in seconds.
const REPLY_MAX_S: u64 = 10;

fn content(number: usize, size: usize) -> String {
    format!("From: her@foreign.test\r\nSubject: number {number}.\r\n\r\n{}", "0123456789abcdef\r\n".repeat(size / 18))
}

/// Returns whether the message was acknowledged; any other reply must be a 4xx.
fn offer(waypost: &Waypost, number: usize) -> bool {
    let begin = Instant::now();
    let reply = Talk::greeted(waypost.address, MX_PORT).message("her@foreign.test", "me@example.test", &content(number, SIZES[number % 2]));
    assert!(begin.elapsed().as_secs() < REPLY_MAX_S, "{number}: {reply} after {:?}", begin.elapsed());
    assert!(reply.starts_with("250") || reply.starts_with('4'), "{number}: {reply}");
    reply.starts_with("250")
}

#[test]
fn threat_98_a_failure_of_every_call_at_every_index_loses_nothing() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let mut waypost = Waypost::started(&lab, "foo@inbox.test", "[limits]\nsessions_per_client = 10000\n");
    let log = lab.path().join("strace.log");
    let (mut number, mut acknowledged, mut refused) = (0, Vec::new(), 0);
    for call in CALLS {
        for error in ERRORS {
            for index in 1..=INDEXES {
                let inject = format!("inject={call}:error={error}:when={index}");
                let mut command = Command::new("strace");
                command.args(["-f", "-o", "/dev/null", "-p", &waypost.id().to_string(), "-e", &inject]);
                let mut fault = Process::start(command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()));
                wait_for("strace to attach", || fs::read_to_string(&log).unwrap_or_default().contains("attached").then_some(()));
                for _ in 0..SIZES.len() {
                    number += 1;
                    if offer(&waypost, number) {
                        acknowledged.push(number);
                    } else {
                        refused += 1;
                    }
                }
                fault.stop();
            }
        }
    }
    assert!(refused > 0, "no call failed");
    // It recovers by itself.
    number += 1;
    assert!(offer(&waypost, number), "the disk works again");
    acknowledged.push(number);
    waypost.ok(&["queue", "retry", "--all"]);
    for number in &acknowledged {
        inbox.wait_for(&format!("Subject: number {number}.\r\n"));
    }
    waypost.wait_for_empty_queue();
    waypost.ok(&["queue", "verify"]);
    waypost.assert_no_bugs();
    println!("{} messages acknowledged, {refused} refused, none lost", acknowledged.len());
    waypost.stop();
}
