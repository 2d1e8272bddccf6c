//! A disk filled by the queue itself: new mail is deferred, and queued mail is delivered without help.

use std::fs;

use it::{Dns, Lab, MX_PORT, Mount, Sink, Talk, Waypost, zone};

/// The disk, in MiB.
const DISK_MIB: u32 = 24;

/// Some contents are in rows, some in files.
const SIZES: [usize; 3] = [2_000, 60_000, 200_000];

fn offer(waypost: &Waypost, number: usize) -> String {
    let body = "0123456789abcdef\r\n".repeat(SIZES[number % SIZES.len()] / 18);
    let content = format!("From: her@foreign.test\r\nSubject: number {number}.\r\n\r\n{body}");
    Talk::greeted(waypost.address, MX_PORT).message("her@foreign.test", "me@example.test", &content)
}

#[test]
fn a_queue_that_filled_the_disk_drains_by_itself() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::paused(lab.address(2), MX_PORT);
    let mut waypost = Waypost::configured(&lab, "");
    let mount = Mount::of(&waypost.data, DISK_MIB);
    waypost.start_hosting("foo@inbox.test");
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for number in 0..2000 {
        match offer(&waypost, number) {
            reply if reply.starts_with("250") => acknowledged.push(number),
            reply => {
                assert!(reply.starts_with("452 4.3.1"), "{reply}");
                refused += 1;
            }
        }
        if refused == 10 {
            break;
        }
    }
    assert_eq!(refused, 10, "the disk never was full");
    // The process is killed during deliveries, and another program fills the disk.
    waypost.kill();
    let filler = mount.fill_but(0);
    // The operator can still remove mail, also without a server.
    let list = waypost.json(&["queue", "list", "--limit", "1000"]);
    let last = list["items"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    waypost.ok(&["queue", "drop", &last, "--yes"]);
    let dropped = acknowledged.pop().unwrap();
    waypost.start();
    inbox.resume();
    waypost.ok(&["queue", "retry", "--all"]);
    for number in &acknowledged {
        inbox.wait_for(&format!("Subject: number {number}.\r\n"));
    }
    waypost.wait_for_empty_queue();
    assert!(!inbox.messages().iter().any(|m| m.text().contains(&format!("Subject: number {dropped}.\r\n"))));
    fs::remove_file(filler).unwrap();
    // The database keeps its size; its free pages count as space.
    let reply = it::wait_for("new mail to be taken", || Some(offer(&waypost, 5000)).filter(|reply| reply.starts_with("250")));
    assert!(reply.contains("queued as"), "{reply}");
    inbox.wait_for("Subject: number 5000.\r\n");
    waypost.assert_no_bugs();
}
